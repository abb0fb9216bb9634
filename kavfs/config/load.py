"""Loading: a configuration file to Settings.

Used as ``load(path)``; ``read(path)`` gives what stands where besides. Everything that kavscanner does not know in its
own sections is an error with file, line and the nearest name; sections of other components are passed over, because one
file serves them all.
"""

from __future__ import annotations

from collections.abc import Iterable

from kavfs.config import combinations
from kavfs.config.ini import Entry, read_entries
from kavfs.config.keys import KEYS, SECTIONS, Key
from kavfs.config.settings import Settings
from kavfs.errors import ConfigError
from kavfs.record import field, record, replace

_BY_NAME: dict[tuple[str, str], Key] = {
    (key.section, name.lower()): key for key in KEYS for name in (key.name, *key.synonyms)
}
_DEFAULTS = Settings()


@record
class Loaded:
    """What a file says: the settings, where each key was given, and what was passed over."""

    settings: Settings = _DEFAULTS
    given: dict[Key, Entry] = field(default_factory=dict)
    foreign: list[Entry] = field(default_factory=list)  # of other components
    errors: list[str] = field(default_factory=list)  # with file:line

    def doubts(self) -> list[str]:
        """What can be carried out but hardly means what it says, with file:line."""
        return list(combinations.doubts(self.settings, self.given))


def load(path: bytes) -> Settings:
    """The settings of the file at *path*; ConfigError says file and line of what is wrong."""
    return settings_of(read_entries(path))


def read(path: bytes) -> Loaded:
    """The settings of the file at *path*, where they stand in it, and all that is wrong with them."""
    return loaded(read_entries(path))


def settings_of(entries: list[Entry]) -> Settings:
    """Settings with every entry applied; ConfigError for the first that is wrong."""
    result = loaded(entries)
    if result.errors:
        raise ConfigError(result.errors[0])
    return result.settings


def loaded(entries: list[Entry]) -> Loaded:
    """Every entry applied; those that are wrong leave the default."""
    into = Loaded()
    for entry in entries:
        try:
            _apply(into, entry)
        except ConfigError as error:
            into.errors.append(str(error))
    into.errors += combinations.conflicts(into.settings, into.given)
    return into


def _apply(into: Loaded, entry: Entry) -> None:
    key = key_of(entry)
    if key is None:
        into.foreign.append(entry)
        return
    if key in into.given:
        raise ConfigError(f"{entry.place}: {entry.key} is set a second time (first at {into.given[key].place})")
    known = replace(entry, section=key.section, key=key.name)
    into.settings = with_value(into.settings, key, known)
    into.given[key] = known


def with_value(settings: Settings, key: Key, entry: Entry) -> Settings:
    """*settings* with the value of one entry, which is named *key*."""
    if not entry.value and key.kind.empty_is_default:
        return settings
    try:
        value = key.kind.read(entry.value)
    except ValueError as error:
        comment = b" #" in entry.value or b" ;" in entry.value or b"\t#" in entry.value
        hint = " (a comment needs a line of its own)" if comment else ""
        raise ConfigError(f"{entry.place}: {key.name}: {error}{hint}") from None
    if key.switch:
        return settings._replace(switches=settings.switches | key.switch if value else settings.switches & ~key.switch)
    if not key.field:
        return settings
    if key.field == "actions":
        value = (*settings.actions, replace(entry, value=value)) if value else settings.actions
    elif key.field == "notify_command":
        value = entry if value else None
    return settings._replace(**{key.field: value})


def key_of(entry: Entry) -> Key | None:
    """The key an entry sets; None for a section of another component; ConfigError for a name we should know."""
    section = entry.section.lower()
    key = _BY_NAME.get((section, entry.key.lower()))
    if key is not None:
        return key
    if section in SECTIONS:
        names = [k.name for k in KEYS if k.section == section]
        homes = sorted({f"[{home}]" for home, name in _BY_NAME if name == entry.key.lower()})
        right = f"; it belongs to {' or '.join(homes)}" if homes else _nearest(entry.key, names)
        raise ConfigError(f"{entry.place}: [{entry.section}] has no key {entry.key}{right}")
    if section.startswith("scanner.") or _like(section, SECTIONS, 0.8):
        raise ConfigError(f"{entry.place}: there is no section [{entry.section}]{_nearest(section, SECTIONS)}")
    return None


def _nearest(word: str, words: list[str] | tuple[str, ...]) -> str:
    by_lower = {w.lower(): w for w in words}
    near = _like(word.lower(), by_lower, 0.5)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


def _like(word: str, words: Iterable[str], least: float) -> list[str]:
    """The one that is most like the word, if any is."""
    from difflib import get_close_matches  # only for what is written wrongly: every start reads the configuration

    return get_close_matches(word, list(words), 1, least)

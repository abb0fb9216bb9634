"""Loading: a configuration file to Settings.

Used as ``load(path)``; ``read(path)`` gives what stands where besides. Everything that a program does not know in its
own sections is an error with file, line and the nearest name; sections of other programs are passed over, because one
file serves them all. A ``Table`` is what one program knows: kavscanner's is here, that of aveserver in ``server.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kavfs.config import combinations
from kavfs.config.ini import Entry, read_entries
from kavfs.config.keys import KEYS, Key
from kavfs.config.settings import Settings
from kavfs.errors import ConfigError
from kavfs.record import field, record, replace

Values = Any  # Settings, or what another table fills
Check = Callable[[Values, Mapping[Key, Entry]], Iterator[str]]


class Table:
    """The keys of one program, the settings that they make, and what is wrong or doubtful about them together.
    *family*: how the names of its own sections begin; *likeness*: from which on a name is one of them mistyped;
    *complete*: makes of the settings and of all that was given what needs several keys at once."""

    def __init__(
        self,
        keys: tuple[Key, ...],
        defaults: Values,
        family: str,
        conflicts: Check,
        doubts: Check,
        likeness: float = 0.8,
        complete: Callable[[Values, Mapping[Key, Entry]], Values] | None = None,
    ) -> None:
        self.keys = keys
        self.defaults = defaults
        self.family = family
        self.likeness = likeness
        self.conflicts = conflicts
        self.doubts = doubts
        self.complete = complete
        self.sections = tuple(dict.fromkeys(key.section.lower() for key in keys))
        self.by_name = {(key.section.lower(), name.lower()): key for key in keys for name in (key.name, *key.synonyms)}


SCANNER = Table(KEYS, Settings(), "scanner.", combinations.conflicts, combinations.doubts)


@record
class Loaded:
    """What a file says: the settings, where each key was given, and what was passed over."""

    settings: Values = SCANNER.defaults
    given: dict[Key, Entry] = field(default_factory=dict)
    foreign: list[Entry] = field(default_factory=list)  # of other programs
    errors: list[str] = field(default_factory=list)  # with file:line
    table: Table = SCANNER

    def doubts(self) -> list[str]:
        """What can be carried out but hardly means what it says, with file:line."""
        return list(self.table.doubts(self.settings, self.given))


def load(path: bytes) -> Settings:
    """The settings of the file at *path*; ConfigError says file and line of what is wrong."""
    return settings_of(read_entries(path))


def read(path: bytes) -> Loaded:
    """The settings of the file at *path*, where they stand in it, and all that is wrong with them."""
    return loaded(read_entries(path))


def settings_of(entries: list[Entry]) -> Settings:
    """Settings with every entry applied; ConfigError for the first that is wrong."""
    settings: Settings = checked(loaded(entries)).settings
    return settings


def checked(result: Loaded) -> Loaded:
    """*result*, if nothing is wrong with it; else ConfigError for the first that is."""
    if result.errors:
        raise ConfigError(result.errors[0])
    return result


def loaded(entries: list[Entry], table: Table = SCANNER) -> Loaded:
    """Every entry applied; those that are wrong leave the default."""
    into = Loaded(table.defaults, table=table)
    for entry in entries:
        try:
            _apply(into, entry)
        except ConfigError as error:
            into.errors.append(str(error))
    if table.complete is not None:
        into.settings = table.complete(into.settings, into.given)
    into.errors += table.conflicts(into.settings, into.given)
    return into


def _apply(into: Loaded, entry: Entry) -> None:
    key = key_of(entry, into.table)
    if key is None:
        into.foreign.append(entry)
        return
    if key in into.given:
        raise ConfigError(f"{entry.place}: {entry.key} is set a second time (first at {into.given[key].place})")
    known = replace(entry, section=key.section, key=key.name)
    into.settings = with_value(into.settings, key, known)
    into.given[key] = known


def with_value(settings: Values, key: Key, entry: Entry) -> Values:
    """*settings* with the value of one entry, which is named *key*."""
    if not entry.value and key.kind.empty_is_default:
        return settings
    value = value_in(key, entry)
    field_name = "switches" if key.switch else key.field
    if not field_name:
        return settings
    if field_name not in settings._fields:  # aveserver: its scans have settings of their own
        return settings._replace(scan=with_value(settings.scan, key, entry))
    if key.switch:
        value = settings.switches | key.switch if value else settings.switches & ~key.switch
    elif field_name == "actions":
        value = (*settings.actions, replace(entry, value=value)) if value else settings.actions
    elif field_name == "notify_command":
        value = entry if value else None
    return settings._replace(**{field_name: value})


def value_in(key: Key, entry: Entry) -> Values:
    """What the entry says, which is named *key*; ConfigError when it cannot be said."""
    try:
        return key.kind.read(entry.value)
    except ValueError as error:
        comment = b" #" in entry.value or b" ;" in entry.value or b"\t#" in entry.value
        hint = " (a comment needs a line of its own)" if comment else ""
        raise ConfigError(f"{entry.place}: {key.name}: {error}{hint}") from None


def key_of(entry: Entry, table: Table = SCANNER) -> Key | None:
    """The key an entry sets; None for a section of another program; ConfigError for a name we should know."""
    section = entry.section.lower()
    key = table.by_name.get((section, entry.key.lower()))
    if key is not None:
        return key
    if section in table.sections:
        names = [k.name for k in table.keys if k.section.lower() == section]
        homes = sorted({f"[{home}]" for home, name in table.by_name if name == entry.key.lower()})
        right = f"; it belongs to {' or '.join(homes[:3])}" if homes else _nearest(entry.key, names)
        raise ConfigError(f"{entry.place}: [{entry.section}] has no key {entry.key}{right}")
    if section.startswith(table.family) or _like(section, table.sections, table.likeness):
        raise ConfigError(f"{entry.place}: there is no section [{entry.section}]{_nearest(section, table.sections)}")
    return None


def _nearest(word: str, words: list[str] | tuple[str, ...]) -> str:
    by_lower = {w.lower(): w for w in words}
    near = _like(word.lower(), by_lower, 0.5)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


def _like(word: str, words: Iterable[str], least: float) -> list[str]:
    """The one that is most like the word, if any is."""
    from difflib import get_close_matches  # only for what is written wrongly: every start reads the configuration

    return get_close_matches(word, list(words), 1, least)

"""Loading: a configuration file to Settings.

Used as ``load(path)``. Everything that kavscanner does not know in its own sections is an error with file, line and the
nearest name; sections of other components are passed over, because one file serves them all.
"""

from __future__ import annotations

from difflib import get_close_matches

from kavfs.config.ini import Entry, read_entries
from kavfs.config.keys import KEYS, SECTIONS, Key
from kavfs.config.settings import Settings
from kavfs.errors import ConfigError

_BY_NAME: dict[tuple[str, str], Key] = {(key.section, key.name.lower()): key for key in KEYS}
_EMPTY_IS_DEFAULT = {"temp", "date_format", "time_format", "report_level", "report_mode"}


def load(path: bytes) -> Settings:
    """The settings of the file at *path*; ConfigError says file and line of what is wrong."""
    return settings_of(read_entries(path))


def settings_of(entries: list[Entry]) -> Settings:
    """Settings with every entry applied; a key given twice is an error."""
    defaults = Settings()
    changes: dict[str, object] = {}
    switches = defaults.switches
    seen: dict[str, Entry] = {}
    for entry in entries:
        key = _key_of(entry)
        if key is None:
            continue
        what = key.field or f"{key.section}/{key.name}"
        if what in seen:
            raise ConfigError(f"{entry.place}: {entry.key} is set a second time (first at {seen[what].place})")
        seen[what] = entry
        if not entry.value and key.field in _EMPTY_IS_DEFAULT:
            continue
        try:
            value = key.read(entry.value)
        except ValueError as error:
            raise ConfigError(f"{entry.place}: {key.name}: {error}") from None
        if key.switch:
            switches = switches | key.switch if value else switches & ~key.switch
        elif key.field:
            changes[key.field] = value
    return defaults._replace(switches=switches, **changes)  # type: ignore[arg-type]  # the readers of KEYS match


def _key_of(entry: Entry) -> Key | None:
    """The key an entry sets; None for a section of another component; ConfigError for a name we should know."""
    section = entry.section.lower()
    key = _BY_NAME.get((section, entry.key.lower()))
    if key is not None:
        return key
    if section in SECTIONS:
        names = [k.name for k in KEYS if k.section == section]
        raise ConfigError(f"{entry.place}: [{entry.section}] has no key {entry.key}{_nearest(entry.key, names)}")
    if section.startswith("scanner.") or get_close_matches(section, SECTIONS, 1, 0.8):
        raise ConfigError(f"{entry.place}: there is no section [{entry.section}]{_nearest(section, SECTIONS)}")
    return None


def _nearest(word: str, words: list[str] | tuple[str, ...]) -> str:
    by_lower = {w.lower(): w for w in words}
    near = get_close_matches(word.lower(), by_lower, 1, 0.5)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""

"""Showing: settings as the text of a configuration file, with a comment that says where each comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kavfs.config.ini import Entry, shown, written
from kavfs.config.keys import Key
from kavfs.config.load import SCANNER, Table
from kavfs.config.server_settings import ServerSettings
from kavfs.config.settings import Settings

DEFAULT = "default"


class Row(NamedTuple):
    """One key as it is in force."""

    key: Key
    value: bytes
    origin: str  # "default", file:line, or the option
    table: Table = SCANNER
    changed: bool | None = None  # None: if its value is not that of the defaults


def value_of(settings: Settings | ServerSettings, key: Key, given: Mapping[Key, Entry] | None = None) -> bytes:
    """What stands behind ``Name=`` to say what *settings* say."""
    if isinstance(settings, ServerSettings):
        if key.field in ServerSettings._fields:
            return key.kind.write(getattr(settings, key.field))
        settings = settings.scan
    if key.switch:
        return b"yes" if settings.switches & key.switch else b"no"
    if key.field == "actions":
        entries = [e for e in settings.actions if (e.section, e.key) == (key.section, key.name)]
        return entries[0].value if entries else b""
    if key.field == "notify_command":
        return settings.notify_command.value if settings.notify_command else b""
    if key.field:
        return key.kind.write(getattr(settings, key.field))
    return given[key].value if given and key in given else key.kind.write(b"")


def rows(
    settings: Settings | ServerSettings,
    given: Mapping[Key, Entry],
    options: Mapping[str, str],
    table: Table = SCANNER,
) -> Iterator[Row]:
    """All keys in order; of aveserver those of its own sections. *options*: which field, or name of a switch, was set
    by which option."""
    for key in table.keys:
        if table is not SCANNER and not key.section.startswith(table.family):
            continue
        option = options.get((key.switch.name or "") if key.switch else key.field)
        origin = f"option {option}" if option else given[key].place if key in given else DEFAULT
        yield Row(key, value_of(settings, key, given), origin, table)


def is_changed(row: Row) -> bool:
    """Whether it differs from what is so without any configuration."""
    return row.value != value_of(row.table.defaults, row.key) if row.changed is None else row.changed


def lines(table: Iterator[Row]) -> Iterator[bytes]:
    """The text of a configuration file; a comment wherever values come from another place than those above."""
    section = origin = ""
    for row in table:
        if row.key.section != section:
            if section:
                yield b""
            section, origin = row.key.section, ""
            yield f"[{section}]".encode()
        if row.origin != origin:
            origin = row.origin
            yield b"# " + shown(origin).encode("utf-8", "backslashreplace")
        yield row.key.name.encode() + b"=" + written(row.value)

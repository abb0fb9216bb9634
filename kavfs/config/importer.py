"""Importer: which kind of file each is, and who reads it."""

from __future__ import annotations

from kavfs.config import mail
from kavfs.config.import_clamav import import_clamav
from kavfs.config.import_old import SECTIONS as OLD_SECTIONS
from kavfs.config.import_old import import_old
from kavfs.config.import_product import import_product
from kavfs.config.imported import Imported
from kavfs.config.ini import Entry, file_name, parse, read_text
from kavfs.config.load import SCANNER, checked, loaded
from kavfs.config.server import TABLE
from kavfs.errors import ConfigError


def import_files(paths: list[bytes]) -> Imported:
    """What all files together say; the first that says something counts. ConfigError names file and line."""
    into = Imported()
    for path in paths:
        name = file_name(path)
        data = read_text(path)
        into.names.append(name)
        if not _has_sections(data):
            import_clamav(into, data, name)
            continue
        entries = list(parse(data, name))
        if any(entry.section.lower() in OLD_SECTIONS for entry in entries):
            import_old(into, entries)
        else:
            import_product(into, entries)
    if not into.taken and not into.left and not into.already:
        raise ConfigError(f"{', '.join(into.names)}: there are no settings in it")
    _check(into)
    return into


def _check(into: Imported) -> None:
    """What each file may say alone can still be wrong together."""
    entries = [Entry(key.section, key.name, value, from_[-1].place) for key, (value, from_) in into.taken.items()]
    for table in (SCANNER, TABLE, mail.table_of(entries)):
        checked(loaded(entries, table))


def _has_sections(data: bytes) -> bool:
    """Whether the first line that says something is one of an INI file."""
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        text = line.strip()
        if text and text[:1] not in (b"#", b";"):
            return text[:1] == b"["
    return False

"""Lines of a configuration file: sections, keys, values, each with the number of its line.

The format is the product's: ``[section]``, ``Name=value``, comments on lines of their own beginning with ``#`` or
``;``. Names are compared without regard to case, because plain INI libraries, with which consoles load and save the
file, change it. Values are bytes and taken whole: no comments behind a value (a path may hold any of these characters).
Two things are undone, as the product's manual and such libraries write them: a backslash at the end of a line joins the
next one, as in a shell; and a value that stands within double quotes, with none inside but such as have a backslash, is
what stands between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kavfs.errors import ConfigError
from kavfs.record import record

_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SIZE_MAX = 4 << 20  # bytes; a configuration is never that large, /dev/zero is


@record(frozen=True)
class Entry:
    """One ``Name=value`` as it stands in the file."""

    section: str
    key: str
    value: bytes
    place: str  # file:line, for messages


def file_name(path: bytes) -> str:
    """*path* for a message."""
    return path.decode("utf-8", "backslashreplace")


def read_entries(path: bytes) -> list[Entry]:
    """All entries of the file, in order; ConfigError with file and line when something cannot be understood."""
    return list(parse(read_text(path), file_name(path)))


def read_text(path: bytes) -> bytes:
    """The file, if it can be one of settings at all."""
    try:
        with open(path, "rb") as file:
            data = file.read(_SIZE_MAX + 1)
    except OSError as error:
        raise ConfigError(f"configuration {file_name(path)}: {error.strerror}") from None
    if len(data) > _SIZE_MAX or b"\0" in data:
        raise ConfigError(f"configuration {file_name(path)}: not a text file of sections and keys")
    return data


def parse(data: bytes, name: str) -> Iterator[Entry]:
    """The entries of *data*; *name* is the file's name in messages."""
    section = ""
    for number, line in _lines(data.removeprefix(b"\xef\xbb\xbf")):
        place = f"{name}:{number}"
        if not line or line[:1] in (b"#", b";"):
            continue
        if line[:1] == b"[":
            if line[-1:] != b"]" or not line[1:-1].strip():
                raise ConfigError(f"{place}: a section is written [name]")
            section = _text(line[1:-1], place)
            continue
        key, equals, value = line.partition(b"=")
        if not equals or not key.strip():
            raise ConfigError(f"{place}: neither [section] nor Name=value: {file_name(line[:60])}")
        if not section:
            raise ConfigError(f"{place}: {file_name(key.strip())} stands before the first [section]")
        yield Entry(section, _text(key, place), unquoted(value.strip()), place)


def unquoted(value: bytes) -> bytes:
    """*value* without the quotes around it, if it has such."""
    match = _QUOTED.fullmatch(value)
    return re.sub(rb'\\(["\\])', rb"\1", match[1]) if match else value


def written(value: bytes) -> bytes:
    """*value* as it must stand in a file to be read again as it is."""
    if value == value.strip() and not value.endswith(b"\\") and not _QUOTED.fullmatch(value):
        return value
    return b'"' + re.sub(rb'(["\\])', rb"\\\1", value) + b'"'


def shown(text: str) -> str:
    """*text* for a comment: on one line, whatever the names of files hold."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Lines without blanks around them, those that are joined as one, with the number of the first."""
    begun, first = b"", 0
    for number, raw in enumerate(data.split(b"\n"), 1):
        line = begun + raw.removesuffix(b"\r")
        first = first or number
        if line.endswith(b"\\") and line.lstrip()[:1] not in (b"#", b";", b"["):
            begun = line[:-1]
            continue
        yield first, line.strip()
        begun, first = b"", 0
    if begun:
        yield first, begun.strip()


def _text(word: bytes, place: str) -> str:
    try:
        return word.strip().decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{place}: the name {file_name(word)} is not UTF-8") from None

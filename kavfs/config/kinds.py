"""Kinds of values: how the value of a key is read, and how it is written so that reading gives the same again.

A reader takes the bytes behind ``Name=`` and raises ValueError with words that fit behind the name of the key. A writer
is what ``kavfs config show`` and ``import`` print.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from kavfs.config import values
from kavfs.options import engine_names

_MAIL_STATUSES = ("infected", "suspicion", "warning", "cured", "curefailed", "protected", "corrupted", "error")
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.][A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]*(@[A-Za-z0-9][A-Za-z0-9.-]*)?")


class Kind(NamedTuple):
    """One way to write values."""

    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]
    empty_is_default: bool = False  # Name= with nothing behind it leaves the default


def text(value: bytes) -> str:
    """*value* for words and messages."""
    return value.decode("utf-8", "backslashreplace")


def of_text(read: Callable[[str], Any]) -> Callable[[bytes], Any]:
    """A reader of bytes made of a reader of text."""
    return lambda value: read(text(value))


# ---- readers ----


def _path(value: bytes) -> bytes:
    if value and not value.startswith(b"/"):
        raise ValueError(f"'{text(value)}' is not an absolute path")
    return value.rstrip(b"/") or value[:1]


def _folder(value: bytes) -> bytes:
    path = _path(value)
    if path and not os.path.isdir(path):
        raise ValueError(f"'{text(value)}' is not a directory")
    return path


def _folders(value: bytes) -> tuple[bytes, ...]:
    paths = tuple(_path(part) for part in values.colon_list(value))
    if b"/" in paths:
        raise ValueError("'/' would leave out everything")
    return paths


def _masks(value: bytes) -> tuple[bytes, ...]:
    masks = values.colon_list(value)
    for mask in masks:
        if not mask.strip(b"*"):
            raise ValueError(f"'{text(mask)}' would leave out everything")
    return masks


def _report_file(value: bytes) -> bytes:
    return value if value in (b"syslog", b"journald") else _path(value)


def _actions(value: bytes) -> bytes:
    """No action begins with a quote: such are of a program that put them around a value with quotes of its own."""
    return value[1:-1] if len(value) > 1 and value[:1] == value[-1:] == b'"' else value


def _path_or_no(value: bytes) -> bytes | None:
    return None if value.lower() in (b"no", b"false") else _path(value)


def _standard(value: bytes) -> None:
    if value.lower() not in (b"", b"standard"):
        raise ValueError("only 'standard' can be set: choose signatures by the files in BasesPath")


def _addresses(value: bytes) -> tuple[str, ...]:
    words = tuple(word for word in (w.strip() for w in text(value).split(",")) if word)
    for word in words:
        if not _ADDRESS.fullmatch(word):
            raise ValueError(f"'{word}' is not a mail address")
    return words


def _one_address(value: bytes) -> str:
    words = _addresses(value)
    if len(words) > 1:
        raise ValueError(f"'{text(value)}' is more than one mail address")
    return words[0] if words else ""


def _occasions(value: bytes) -> tuple[str, ...]:
    words = tuple(word for word in (w.strip().lower() for w in text(value).split(",")) if word)
    for word in words:
        if word not in (*_MAIL_STATUSES, "always"):
            raise ValueError(f"'{word}' is not one of {', '.join(_MAIL_STATUSES)}, always")
    if "always" in words and len(words) > 1:
        raise ValueError("'always' stands alone")
    return words


def _line(value: bytes) -> str:
    line = text(value)
    if not line.isprintable():
        raise ValueError("control characters cannot stand in it")
    return line


def _load(value: bytes) -> float:
    return values.load(text(value)) if value else 0.0


def _age(value: bytes) -> float:
    return values.duration_or_none(text(value)) if value else 0.0


# ---- writers ----


def _write_bytes(value: bytes) -> bytes:
    return value


def _write_text(value: object) -> bytes:
    return str(value).encode("utf-8", "backslashreplace")


def _write_boolean(value: bool) -> bytes:
    return b"yes" if value else b"no"


def _write_colons(value: tuple[bytes, ...]) -> bytes:
    return b":".join(value)


def _write_commas(value: tuple[str, ...]) -> bytes:
    return ",".join(value).encode()


def _write_path_or_no(value: bytes | None) -> bytes:
    return b"no" if value is None else value


def _write_size(value: int) -> bytes:
    for shift, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if value and value % (1 << shift) == 0:
            return f"{value >> shift}{unit}".encode()
    return str(value).encode()


def _write_duration(value: float) -> bytes:
    for seconds, unit in ((86400, "d"), (3600, "h")):
        if value and value % seconds == 0:
            return f"{int(value // seconds)}{unit}".encode()
    return (f"{int(value)}s" if value == int(value) else f"{value:.3f}s").encode() if value else b"0"


def _write_load(value: float) -> bytes:
    return f"{value:g}".encode() if value else b""


def _write_mode(value: int) -> bytes:
    return f"{value:04o}".encode()


BOOLEAN = Kind(of_text(values.boolean), _write_boolean)
PATH = Kind(_path, _write_bytes)
FOLDER = Kind(_folder, _write_bytes, empty_is_default=True)
FOLDERS = Kind(_folders, _write_colons)
MASKS = Kind(_masks, _write_colons)
REPORT_FILE = Kind(_report_file, _write_bytes)
PROGRAM = Kind(_path, _write_bytes, empty_is_default=True)
PATH_OR_NO = Kind(_path_or_no, _write_path_or_no)
ENGINES = Kind(of_text(engine_names), _write_commas)
SERVER = Kind(of_text(values.address), _write_text)
LEVEL = Kind(lambda value: values.whole(text(value), 0, 9), _write_text, empty_is_default=True)
COUNT = Kind(of_text(values.count), _write_text)
MODE = Kind(of_text(values.octal_mode), _write_mode, empty_is_default=True)
TIME_FORMAT = Kind(of_text(values.time_format), _write_text, empty_is_default=True)
SIZE = Kind(of_text(values.size), _write_size)
POSITIVE_SIZE = Kind(of_text(values.positive_size), _write_size)
CACHE_SIZE = Kind(lambda value: values.size_from(text(value), values.CACHE_LEAST), _write_size)
CACHE_SIZE_OR_NONE = Kind(lambda value: values.size_or_none(text(value), values.CACHE_LEAST), _write_size)
MEMORY = Kind(of_text(values.memory), _write_size)
DURATION = Kind(of_text(values.positive_duration), _write_duration)
AGE = Kind(_age, _write_duration)
LOAD = Kind(_load, _write_load)
ADDRESSES = Kind(_addresses, _write_commas)
ADDRESS = Kind(_one_address, _write_text)
OCCASIONS = Kind(_occasions, _write_commas, empty_is_default=True)
LINE = Kind(_line, _write_text)

# Texts that others read later: what is kept is the entry itself, with its place for messages.
COMMAND = Kind(_write_bytes, _write_bytes)
ACTIONS = Kind(_actions, _write_bytes)

STANDARD = Kind(_standard, lambda value: b"standard")
ANYTHING = Kind(lambda value: None, _write_bytes)  # a setting of another component in a section that we share

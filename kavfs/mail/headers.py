"""Headers: what we say of a message in its own header. What comes in under the same name was written by somebody else
and is never believed: it goes."""

from __future__ import annotations

import datetime
from functools import lru_cache
from typing import NamedTuple

from kavfs.mail.fields import Header

NAME = b"X-Anti-Virus"
PRODUCT = "kavfs for Linux Mail Servers"
WIDTH = 78


class Bases(NamedTuple):
    """The signatures that a message was scanned with."""

    date: datetime.date
    records: int


def short_form(version: str, bases: Bases, status: str) -> str:
    """As release 5.5 of the old product wrote it."""
    return f"{PRODUCT} {version}/RELEASE, bases: {bases.date:%d%m%Y} #{bases.records}, status: {status}"


def long_form(version: str, bases: Bases, checked: datetime.date | None, status: str) -> str:
    """As release 5.6 wrote it; *checked* is None for what was not scanned."""
    check = f"check: {checked:%Y%m%d} {status}" if checked else "notchecked"
    return f"{PRODUCT} {version}/RELEASE, bases: {bases.date:%Y%m%d} #{bases.records}, {check}"


@lru_cache(64)  # most messages are told the same
def field(value: str, line_end: bytes, name: bytes = NAME) -> bytes:
    """A field in lines that are not too long. What is no printable ASCII is a question mark: no value can begin a field
    of its own."""
    words = "".join(c if " " <= c <= "~" else "?" for c in value).split()
    lines = [name.decode("ascii") + ":"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) > WIDTH and lines[-1].strip():
            lines.append(" " + word)
        else:
            lines[-1] += " " + word
    return b"".join(line.encode("ascii") + line_end for line in lines)


def claimed(header: Header, names: tuple[bytes, ...] = (NAME,)) -> list[tuple[int, int]]:
    """Where fields stand that claim to be ours."""
    wanted = {name.lower() for name in names}
    return [(one.start, one.end) for one in header.fields if one.name in wanted]

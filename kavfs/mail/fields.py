"""Fields: the header of a message or a part, as ranges of a file. Where a header ends is disputed: at the first
line that is no field (Python's library), or at the first empty line (others pass over what they do not understand).
Both are told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from kavfs.action.cure.pieces import Source

HEADER_MAX = 1 << 20  # bytes of one header that are looked at
WINDOW = 8192
LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)")
FIELD = re.compile(rb"[!-9;-~]+[ \t]*:|>?From ")
STRICT = re.compile(rb"[!-9;-~]*:|From |[ \t]")  # no blank before the colon


class Field(NamedTuple):
    """A field with its continued lines: where it stands, and all its bytes."""

    start: int
    name: bytes  # in small letters
    raw: bytes
    strict: bool  # every reader sees it as a field of this header

    @property
    def end(self) -> int:
        return self.start + len(self.raw)

    @property
    def value(self) -> bytes:
        """In one line."""
        return re.sub(rb"(?:\r\n|\r|\n)[ \t]*", b" ", self.raw.partition(b":")[2].strip(b"\r\n")).strip()


class Header(NamedTuple):
    start: int
    fields: tuple[Field, ...]
    stop: int  # where it ends: the empty line, if there is one
    body: int
    other: int  # where the body begins for those who go on to an empty line; the same where they agree
    whole: bool  # nothing was left unread
    lines: int = 0  # that were read

    @property
    def bodies(self) -> tuple[int, ...]:
        return (self.body,) if self.body == self.other else (self.body, self.other)

    def values(self, name: bytes) -> Iterator[bytes]:
        """Those of all fields called so, in order."""
        return (one.value for one in self.fields if one.name == name)


def lines(source: Source, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Lines with their ends, whatever these are; a very long one comes in pieces of *HEADER_MAX*."""
    at, held = start, b""
    while at < end or held:
        more = source.upto(at, min(WINDOW, end - at))
        at += len(more)
        held += more
        last = not more or at >= end
        base, begin = at - len(held), 0
        while begin < len(held):
            found = LINE.match(held, begin)
            stop = found.end() if found else len(held)
            if stop == len(held) and not last and stop - begin < HEADER_MAX:
                break  # it may go on, or a line feed may follow the carriage return
            yield base + begin, held[begin:stop]
            begin = stop
        held = held[begin:]
        if last:
            return


def read_header(
    source: Source, start: int, end: int, is_boundary: Callable[[bytes], bool], most: int = HEADER_MAX
) -> Header:
    """The header that begins at *start*; a line that is a boundary ends it as well. *most*: lines that are read."""
    rows: list[list[tuple[int, bytes]]] = []  # a field each, with its continued lines
    stop = -1  # where strict readers see the end, when there is no empty line
    sure = 0  # fields above that
    at = over = start
    count = 0
    for count, (at, line) in enumerate(lines(source, start, end), 1):
        over = at + len(line)
        if over - start > HEADER_MAX or count > most:
            body = stop if stop >= 0 else at
            whole = stop >= 0 and count <= most
            return Header(start, _fields(rows, sure if stop >= 0 else len(rows)), body, body, body, whole, count)
        if not line.strip(b"\r\n"):
            break
        if line.startswith(b"--") and is_boundary(line[2:].rstrip(b" \t\r\n")):
            over = at
            break
        if stop < 0 and not STRICT.match(line):
            stop, sure = at, len(rows)
        if line[:1] in (b" ", b"\t"):
            if rows and (stop < 0 or len(rows) > sure):
                rows[-1].append((at, line))
        elif FIELD.match(line):
            rows.append([(at, line)])
    else:
        at = over
    if stop < 0:
        return Header(start, _fields(rows, len(rows)), at, over, over, True, count)
    return Header(start, _fields(rows, sure), stop, stop, over if over < end else stop, True, count)


def _fields(rows: list[list[tuple[int, bytes]]], sure: int) -> tuple[Field, ...]:
    made = []
    for number, row in enumerate(rows):
        raw = b"".join(line for _, line in row)
        made.append(Field(row[0][0], raw.partition(b":")[0].strip().lower(), raw, number < sure))
    return tuple(made)

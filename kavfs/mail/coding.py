"""Coding: what a part decodes to, in every way that a reader may take, and content encoded as a part wants it."""

from __future__ import annotations

import binascii
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kavfs.action.cure.pieces import CHUNK, Source
from kavfs.mail.fields import lines
from kavfs.mail.parts import Part

RUN = re.compile(rb"=+|[^=]+")
JUNK = re.compile(rb"[^A-Za-z0-9+/=]+")
UU_ANYWHERE = re.compile(rb"begin(?:-base64)? [0-7]{3,6} ")
UU_REACH = 1024
UU_MARK = re.compile(rb"(?<![^\r\n])(?:begin((?:-base64)?) [0-7]{3,6} +([^\r\n]+)|(?:end|====)[ \t\f\v]*(?=[\r\n]|\Z))")
FILES_MAX = 2000  # in the texts of a message; more than can be looked at one by one


class Reading(NamedTuple):
    """One way to understand a part."""

    body: int
    encoding: str


class File(NamedTuple):
    """Where a file in a text may begin. *over*: what ends it, *stop*: where; 0: nowhere."""

    at: int
    name: bytes
    over: bytes
    stop: int = 0


class Block(NamedTuple):
    """A file that stands in a text as uuencoded lines."""

    name: bytes
    start: int
    end: int


def readings(part: Part) -> tuple[Reading, ...]:
    """The last is always the text as it stands: what is no good base64 is shown so."""
    encodings = dict.fromkeys((*part.encodings, ""))
    return tuple(Reading(body, encoding) for body in part.header.bodies for encoding in encodings)


def decoded(source: Source, part: Part, reading: Reading, step: int = CHUNK) -> Iterator[bytes]:
    """The content in pieces. Damage is passed over, as readers do. *step*: bytes that are read at a time."""
    raw = (source.upto(at, min(step, part.end - at)) for at in range(reading.body, max(reading.body, part.end), step))
    if reading.encoding == "base64":
        return from_base64(raw)
    if reading.encoding == "quoted-printable":
        return (binascii.a2b_qp(text) for text in _logical_lines(source, reading.body, part.end))
    return raw


def from_base64(raw: Iterator[bytes]) -> Iterator[bytes]:
    """Other characters are passed over; so is an equals sign where no padding can be; after padding it goes on with the
    next text."""
    held, pads = b"", 0  # letters that are less than a group
    for piece in raw:
        out = []
        for run in RUN.findall(JUNK.sub(b"", piece)):
            if run[:1] != b"=":
                held += run
                whole = len(held) & ~3
                out.append(binascii.a2b_base64(held[:whole]))
                held, pads = held[whole:], 0
            elif len(held) >= 2:
                pads += len(run)
                if len(held) + pads >= 4:
                    out.append(_rest(held))
                    held, pads = b"", 0
        yield b"".join(out)
    yield _rest(held)


def _rest(held: bytes) -> bytes:
    return binascii.a2b_base64(held + b"=" * (4 - len(held))) if len(held) >= 2 else b""


def _logical_lines(source: Source, start: int, end: int) -> Iterator[bytes]:
    """Pieces that end where a line ends that does not go on."""
    held: list[bytes] = []
    size = 0
    for _, line in lines(source, start, end):
        held.append(line)
        size += len(line)
        if size >= CHUNK and not line.rstrip(b"\r\n \t").endswith(b"="):
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def encoded(content: Iterator[bytes], encoding: str, width: int, line_end: bytes) -> Iterator[bytes]:
    """Content as it stands in a part, without a line end behind the last line."""
    if encoding == "base64":
        step = width // 4 * 3
        rows = (binascii.b2a_base64(piece, newline=False) for piece in _sliced(content, max(1, CHUNK // step) * step))
        for number, row in enumerate(rows):
            lines_of = [row[at : at + width] for at in range(0, len(row), width)]
            yield (line_end if number else b"") + line_end.join(lines_of)
    elif encoding == "quoted-printable":
        yield from _to_quoted(content, line_end)
    else:
        yield from content


def _sliced(content: Iterator[bytes], size: int) -> Iterator[bytes]:
    held = b""
    for piece in content:
        held += piece
        while len(held) > size:
            yield held[:size]
            held = held[size:]
    if held:
        yield held


def _to_quoted(content: Iterator[bytes], line_end: bytes) -> Iterator[bytes]:
    """Every byte as it is: line ends that are not the message's own are encoded as well."""
    held = b""
    for piece in content:
        rows = (held + piece).split(line_end)
        held = rows.pop()
        for row in rows:
            yield _quoted(row, line_end) + line_end
    yield _quoted(held, line_end)


def _quoted(row: bytes, line_end: bytes) -> bytes:
    coded = binascii.b2a_qp(row, istext=False).replace(b"=\n", b"=" + line_end)
    return b"=2D" + coded[1:] if coded.startswith(b"--") else coded


def files_of(source: Source) -> list[File]:
    """All lines of a message with which a file in a text can begin; of very many the first."""
    if not _any_file(source):  # most have none
        return []
    found: list[File] = []
    open_since = {b"end": 0, b"====": 0}  # those from there on have no end yet
    for at, mark in _file_marks(source):
        if mark[1] is not None:
            if len(found) >= FILES_MAX:
                break
            found.append(File(at, mark[2], b"====" if mark[1] else b"end"))
            continue
        over = mark[0].rstrip()
        for number in range(open_since[over], len(found)):
            if found[number].over == over:
                found[number] = found[number]._replace(stop=at + len(mark[0]))
        open_since[over] = len(found)
    return found


def _file_marks(source: Source) -> Iterator[tuple[int, re.Match[bytes]]]:
    for base in range(0, source.size, CHUNK):
        first = max(0, base - 1)  # what stands before a line says that it is one
        for mark in UU_MARK.finditer(source.upto(first, CHUNK + UU_REACH)):
            if base <= first + mark.start() < base + CHUNK:
                yield first + mark.start(), mark


def _any_file(source: Source) -> bool:
    windows = (source.upto(at, CHUNK + UU_REACH) for at in range(0, source.size, CHUNK))
    return any(UU_ANYWHERE.search(window) for window in windows)


def blocks(files: Sequence[File], start: int, end: int) -> Iterator[Block]:
    """Files in a text; one without its end goes on to the text's."""
    number = bisect_left(files, start, key=_begin)
    while number < len(files) and files[number].at < end:
        at, name, _, stop = files[number]
        if not 0 < stop <= end:
            yield Block(name, at, end)
            return
        yield Block(name, at, stop)
        number = bisect_left(files, stop, key=_begin)


def _begin(file: File) -> int:
    return file.at


def unpacked(source: Source, block: Block) -> Iterator[bytes]:
    """The content of such a file; lines that are none are passed over."""
    rows = lines(source, block.start, block.end)
    _, first = next(rows)
    if first.startswith(b"begin-base64"):
        yield from from_base64(row for _, row in rows)
        return
    for _, row in rows:
        plain = row.rstrip(b"\r\n")
        if not plain:
            continue  # which the library would take for 32 zeros
        size = (plain[0] - 32) & 63
        try:
            yield binascii.a2b_uu(plain[: 1 + (size + 2) // 3 * 4])
        except binascii.Error:  # no line of a block
            continue

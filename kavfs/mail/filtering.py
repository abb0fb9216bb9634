"""Filtering: parts that a group does not want, whatever is in them: by name, by what they say or seem to be, by size.

What counts is what any reader might show: each name, each type. An exception must hold for all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kavfs._native.basics import TYPE_HEAD, detect
from kavfs.action.cure.pieces import Source
from kavfs.mail.case import Finding
from kavfs.mail.coding import Block, blocks, decoded, readings, unpacked
from kavfs.mail.findings import error_of, harmless, shown_name
from kavfs.mail.message import Message
from kavfs.mail.parts import Part
from kavfs.mail.rules import Filters, Matcher
from kavfs.mail.scanning import TooMuch, crosses
from kavfs.model import Status

READ_MOST = 4  # times the size of a message: its parts may lie in one another, and be read in several ways ...
READ_MORE = 64 << 20  # ... and bytes
STEP = 48 << 10  # bytes of a part that are read at a time to tell what it is
COUNTED = 1 << 14  # bytes of a file in a text of which the size is told exactly
PASSED_OVER = b" .\t"  # at the end of a name: some systems do not mind them


class _Read(Source):
    """A message that is read so often and no more. Raises TooMuch."""

    left: int  # bytes

    def upto(self, at: int, count: int) -> bytes:
        data = super().upto(at, count)
        self.left -= len(data)
        if self.left < 0:
            raise TooMuch("its parts are more than can be looked into")
        return data


def _read(source: Source) -> _Read:
    read = _Read(*source)
    read.left = READ_MOST * source.size + READ_MORE
    return read


def filtered(filters: Filters, message: Message) -> list[Finding]:
    """What the filters of a group say of each part; of a file that stands in a text by what it is called. Where that
    takes too much the rest is not looked at, which is an error of the message."""
    if not (filters.names or filters.mime or filters.types or filters.size_over is not None):
        return []
    found: list[Finding] = []
    seen: set[Block] = set()
    source = _read(message.source)
    for part in message.tree.leaves():
        try:
            why = _why(filters, source, part)
        except TooMuch as much:
            return [*found, error_of(str(much))]
        if why:
            where = None if crosses(part) else part
            found.append(Finding(Status.FILTERED, shown_name(part), part=where, why=why))
        elif filters.names and message.files:
            found += _blocks(filters, message, part, seen)
    return found


def _why(filters: Filters, source: Source, part: Part) -> str:
    names = variants(part.names())
    if names and _all(filters.spare_names, names):
        return ""
    kinds = [kind.encode("utf-8", "replace") for kind in part.kinds]
    if _all(filters.spare_mime, kinds):
        return ""
    if _any(filters.names, names):
        return "its name is not allowed"
    if _any(filters.mime, kinds):
        return "its type is not allowed"
    if filters.types and _any(filters.types, list(_formats(source, part))):
        return "what it holds is not allowed"
    if filters.size_over is not None and _larger(source, part, filters.size_over):
        return f"it has more than {filters.size_over} bytes"
    return ""


def variants(names: Sequence[bytes]) -> list[bytes]:
    """Each name, and what some system would make of it: up to a NUL, without folders, without dots at its end."""
    out: dict[bytes, None] = {}
    for name in names:
        cut = name.partition(b"\0")[0]
        last = re.split(rb"[/\\]", cut)[-1]
        for one in (name, cut, last, last.rstrip(PASSED_OVER)):
            out[one] = None
    return [name for name in out if name]


def _formats(source: Source, part: Part) -> Iterator[bytes]:
    """What the content is by its first bytes, in each way in which it may be read."""
    for reading in readings(part):
        head = b""
        for chunk in decoded(source, part, reading, STEP):
            head += chunk
            if len(head) >= TYPE_HEAD:
                break
        yield detect(head[:TYPE_HEAD], len(head))[0].encode("ascii")


def _larger(source: Source, part: Part, most: int) -> bool:
    """More than *most* bytes, decoded as its first field says. No coding makes more of less."""
    reading = readings(part)[0]
    if part.end - reading.body <= most:
        return False
    if not reading.encoding:
        return True
    if part.guessed:  # many may lie in one another: near enough
        return reading.encoding != "base64" or (part.end - reading.body) // 4 * 3 > most
    size = 0
    for chunk in decoded(source, part, reading):
        size += len(chunk)
        if size > most:
            return True
    return False


def _blocks(filters: Filters, message: Message, part: Part, seen: set[Block]) -> Iterator[Finding]:
    """Files in a text. *seen*: those that were looked at in a part around it."""
    for body in part.header.bodies:
        for block in blocks(message.files, body, part.end):
            if block in seen:
                continue
            seen.add(block)
            names = variants([block.name])
            if _any(filters.names, names) and not _all(filters.spare_names, names):
                size, why = _size(message.source, block), "its name is not allowed"
                yield Finding(Status.FILTERED, harmless(block.name), part=part, size=size, why=why, block=block)


def _size(source: Source, block: Block) -> int:
    """Of a large one it is near enough: nobody waits for it to be decoded."""
    size = block.end - block.start
    return sum(len(chunk) for chunk in unpacked(source, block)) if size < COUNTED else size // 4 * 3


def _any(matchers: Sequence[Matcher], texts: Sequence[bytes]) -> bool:
    return any(matcher(text) for matcher in matchers for text in texts)


def _all(matchers: Sequence[Matcher], texts: Sequence[bytes]) -> bool:
    """Each text matches one of them."""
    return bool(matchers) and all(any(matcher(text) for matcher in matchers) for text in texts)

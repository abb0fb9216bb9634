"""Mbox: messages are found as ext/object/mbox.c finds them, and cured one by one; the lines between them stay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from kavfs.action.cure.mails import MESSAGE_MAX, without_content
from kavfs.action.cure.pieces import CHUNK, Pieces, Source
from kavfs.action.cure.refused import Refused, Why
from kavfs.action.cure.task import Layer, Named, Task

FROM_LINE_MAX, FIELD_MAX, LOOK_BACK = 1024, 80, 3
MESSAGES_MAX = 1 << 20
TIME = re.compile(rb"[0-9]:[0-9][0-9]")
FIELD = re.compile(rb">From |[!-9;-~]{1,79}:")


def cure_mbox(task: Task, layer: Layer) -> Pieces:
    source = layer.source
    spans = list(_spans(source))
    edits: list[tuple[int, int, Pieces]] = []
    members = [Named(b"", end - start) for start, end in spans]
    for index, path in task.chosen(layer, members).items():
        start, end = spans[index]
        message = partial(source.part, start, end)
        inner = task.inside(path, message, layer)
        edits.append((start, end, [_note(message())] if inner is None else inner))
    pieces: Pieces = []
    at = 0
    for start, end, new in edits:
        pieces += [source.part(at, start), *new]
        at = end
    return [*pieces, source.part(at, source.size)]


def _note(message: Source) -> bytes:
    if message.size > MESSAGE_MAX:
        raise Refused(Why.MEMORY)
    data = message.read(0, message.size)
    return without_content(data, b"message") + (b"\n" if data.endswith((b"\n\n", b"\r\n\r\n")) else b"")


def _spans(source: Source) -> Iterator[tuple[int, int]]:
    """All messages; what stands before the first separator is one as well."""
    start = count = 0
    for at, following in _separators(source):
        if at > start:
            count += 1
            yield start, at
        start = following
        if count > MESSAGES_MAX:
            raise Refused(Why.TOO_MANY)
    if source.size > start:
        yield start, source.size


def _separators(source: Source) -> Iterator[tuple[int, int]]:
    """Where a "From " line stands that begins a message, and where that message begins."""
    behind = 0
    for at in _from_lines(source):
        if at >= behind and (start := _message(source, at)):
            yield at, start
            behind = start


def _from_lines(source: Source) -> Iterator[int]:
    if source.upto(0, 5) == b"From ":
        yield 0
    for base in range(0, source.size, CHUNK):
        window = source.upto(base, CHUNK + 5)
        at = -1
        while (at := window.find(b"\nFrom ", at + 1)) >= 0:
            if at < CHUNK:
                yield base + at + 1


def _message(source: Source, at: int) -> int:
    """Where the message below a "From " line begins; 0 when none does."""
    before = min(at, LOOK_BACK)
    look = source.upto(at - before, FROM_LINE_MAX + FIELD_MAX)
    stop = look.find(b"\n", before)
    if stop < 0:
        return 0
    empty = before < 2 or look[before - 2 : before] == b"\n\n" or look[before - 3 : before] == b"\n\r\n"
    if not empty and not TIME.search(look, before, stop):
        return 0
    return at - before + stop + 1 if FIELD.match(look, stop + 1) else 0

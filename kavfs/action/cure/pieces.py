"""Pieces: what a cured file is put together from: stretches of open files and bytes made anew, never a copy in memory.

Everything is read by offset: the descriptors are shared with other processes, and so are their positions.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kavfs.action.cure.refused import Refused, Why

CHUNK = 1 << 20  # bytes that are held at a time


class Source(NamedTuple):
    """A stretch of an open file: a layer, or a part of one."""

    fd: int
    base: int  # bytes
    size: int

    def read(self, at: int, count: int) -> bytes:
        """Exactly these bytes; Refused where the layer has not got them."""
        data = self.upto(at, count)
        if len(data) != count:
            raise Refused(Why.DAMAGED)
        return data

    def upto(self, at: int, count: int) -> bytes:
        """As many of them as there are."""
        if at < 0 or count < 0:
            raise Refused(Why.DAMAGED)
        rest = min(count, self.size - at)
        parts = []
        while rest > 0:
            data = os.pread(self.fd, min(rest, CHUNK), self.base + at)
            if not data:
                break
            parts.append(data)
            at += len(data)
            rest -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def part(self, start: int, end: int) -> Source:
        """The stretch from *start* to *end*, which must lie inside."""
        if not 0 <= start <= end <= self.size:
            raise Refused(Why.DAMAGED)
        return Source(self.fd, self.base + start, end - start)


Pieces = list[Source | bytes]


def size_of(pieces: Iterable[Source | bytes]) -> int:
    return sum(piece.size if isinstance(piece, Source) else len(piece) for piece in pieces)


def chunks_of(pieces: Iterable[Source | bytes]) -> Iterator[bytes]:
    """All bytes in order."""
    for piece in pieces:
        if isinstance(piece, Source):
            for at in range(0, piece.size, CHUNK):
                yield piece.read(at, min(CHUNK, piece.size - at))
        elif piece:
            yield piece


def joined(pieces: Iterable[Source | bytes]) -> Pieces:
    """The same with stretches that follow each other made one, so that 100,000 members are not as many reads."""
    out: Pieces = []
    for piece in pieces:
        last = out[-1] if out else None
        if isinstance(piece, Source) and isinstance(last, Source) and last[:2] == (piece.fd, piece.base - last.size):
            out[-1] = Source(last.fd, last.base, last.size + piece.size)
            continue
        out.append(piece)
    return out


def write_all(fd: int, at: int, data: bytes) -> int:
    """Write *data* at offset *at*; where it ends."""
    rest = memoryview(data)
    while rest:
        count = os.pwrite(fd, rest, at)
        rest = rest[count:]
        at += count
    return at


class Scratch:
    """A nameless file for what is unpacked and packed on the way. It only grows: its owner limits it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._end = 0

    def keep(self, chunks: Iterable[bytes]) -> Source:
        """Write these bytes and give back where they lie. *chunks* must not keep anything itself."""
        start = at = self._end
        for chunk in chunks:
            at = write_all(self._fd, at, chunk)
        self._end = at
        return Source(self._fd, start, at - start)

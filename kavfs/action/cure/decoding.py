"""Decoding of compressed streams by the decompressors of the standard library, a bounded piece at a time."""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator
from lzma import LZMAError
from typing import Protocol

from kavfs.action.cure.pieces import CHUNK, Source
from kavfs.action.cure.refused import Refused, Why


class Decoder(Protocol):
    """What the decompressors of zlib, bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def decoded(decoder: Decoder, source: Source, at: int = 0) -> Generator[bytes, None, int]:
    """The bytes of the stream that begins at *at*; returns where it ends."""
    pending = b""
    while not decoder.eof:
        if not pending and getattr(decoder, "needs_input", True):
            pending = source.upto(at, CHUNK)
            at += len(pending)
        given = len(pending)
        plain = _step(decoder, pending)
        if not plain and not given and not decoder.eof:
            raise Refused(Why.DAMAGED)
        yield plain
        pending = getattr(decoder, "unconsumed_tail", b"")  # zlib's; the others keep what they have not used
    return at - len(decoder.unused_data)


def measured(decoder: Decoder, source: Source, size: int) -> Iterator[bytes]:
    """The first *size* bytes of a stream that need not tell its end."""
    pending, at = b"", 0
    while size > 0:
        if not pending and getattr(decoder, "needs_input", True):
            pending = source.upto(at, CHUNK)
            at += len(pending)
        given = len(pending)
        plain = _step(decoder, pending, min(CHUNK, size))
        if (decoder.eof and len(plain) < size) or not (plain or given):
            raise Refused(Why.DAMAGED)
        yield plain
        size -= len(plain)
        pending = getattr(decoder, "unconsumed_tail", b"")


def _step(decoder: Decoder, pending: bytes, most: int = CHUNK) -> bytes:
    try:
        return decoder.decompress(pending, most)
    except (zlib.error, OSError, EOFError, LZMAError, ValueError):
        raise Refused(Why.DAMAGED) from None

"""Packed: files that are one compressed stream, mostly of a tar. It is unpacked, cured, and packed by the same method:
gzip with its header as it was, bzip2 with its block size, xz with its kind of checksum; zstd and lz4 by libarchive."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Protocol

from kavfs._native import recode
from kavfs.action.cure.decoding import Decoder, decoded
from kavfs.action.cure.pieces import Pieces, Source, chunks_of, size_of
from kavfs.action.cure.refused import Refused, Why
from kavfs.action.cure.task import Layer, Named, Task

GZIP = b"\x1f\x8b\x08"
HEADER_MAX = 1 << 18
HAS_CRC, HAS_EXTRA, HAS_NAME, HAS_COMMENT = 2, 4, 8, 16
NAME_REACH = 4096  # ext/object/gzip.c
SLOWEST, FASTEST = 2, 4  # in a gzip header, how it was packed
XZ = b"\xfd7zXZ\0"
LZ4_MAGIC = 4
MEMORY = 512 << 20  # bytes that a stream may ask its decoder for


class Packer(Protocol):
    """What the compressors of zlib, bz2 and lzma have in common."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def cure_gzip(task: Task, layer: Layer) -> Pieces:
    head, name = _gzip_head(layer.source)
    inner, rest = _inside(task, layer, name, GZIP, partial(zlib.decompressobj, zlib.MAX_WBITS | 16))
    level = {SLOWEST: 9, FASTEST: 1}.get(head[8], 6)
    packed = task.scratch.keep(_squeezed(zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS), inner))
    crc = 0
    for chunk in chunks_of(inner):
        crc = zlib.crc32(chunk, crc)
    return [head, packed, struct.pack("<II", crc, size_of(inner) & 0xFFFFFFFF), rest]


def cure_bzip2(task: Task, layer: Layer) -> Pieces:
    inner, rest = _inside(task, layer, b"", b"BZh", bz2.BZ2Decompressor)
    level = layer.source.read(3, 1)
    if level not in b"123456789":
        raise Refused(Why.DAMAGED)
    return [task.scratch.keep(_squeezed(bz2.BZ2Compressor(int(level)), inner)), rest]


def cure_xz(task: Task, layer: Layer) -> Pieces:
    make = partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, MEMORY)
    inner, rest = _inside(task, layer, b"", XZ, make)
    check = layer.source.read(7, 1)[0]
    if not lzma.is_check_supported(check):
        raise Refused(Why.METHOD)
    return [task.scratch.keep(_squeezed(lzma.LZMACompressor(lzma.FORMAT_XZ, check), inner)), rest]


def cure_lzma(task: Task, layer: Layer) -> Pieces:
    inner, rest = _inside(task, layer, b"", b"", partial(lzma.LZMADecompressor, lzma.FORMAT_ALONE, MEMORY))
    return [task.scratch.keep(_squeezed(lzma.LZMACompressor(lzma.FORMAT_ALONE), inner)), rest]


def cure_zstd(task: Task, layer: Layer) -> Pieces:
    return _by_libarchive(task, layer, "zstd")


def cure_lz4(task: Task, layer: Layer) -> Pieces:
    return _by_libarchive(task, layer, "lz4")


def _by_libarchive(task: Task, layer: Layer, form: str) -> Pieces:
    inner, rest = _unpacked(task, layer, b"", partial(_foreign, layer.source, form))
    try:
        return [task.scratch.keep(_squeezed(recode.Packer(form), inner)), rest]
    except ValueError:
        raise Refused(Why.METHOD) from None


def _foreign(source: Source, form: str) -> Generator[bytes, None, int]:
    try:
        unpacker = recode.Unpacker(form, source.fd, source.base, source.size)
        while data := unpacker.read():
            yield data
    except ValueError:
        raise Refused(Why.DAMAGED) from None
    end = min(unpacker.end, source.size)
    return end - LZ4_MAGIC if form == "lz4" and end < source.size else end  # it looks for another frame


def _inside(task: Task, layer: Layer, name: bytes, magic: bytes, make: Callable[[], Decoder]) -> tuple[Pieces, Source]:
    return _unpacked(task, layer, name, partial(_streams, layer.source, magic, make))


def _unpacked(
    task: Task, layer: Layer, name: bytes, streams: Callable[[], Generator[bytes, None, int]]
) -> tuple[Pieces, Source]:
    """What the streams hold, cured; and what stands behind them. *streams* returns where they end."""
    ends: list[int] = []

    def unpacked() -> Iterator[bytes]:
        ends.append((yield from streams()))

    chosen = task.chosen(layer, [Named(name)])
    if not chosen:
        raise Refused(Why.NOT_FOUND)
    inner = task.inside(chosen[0], lambda: task.scratch.keep(unpacked()), layer)
    if inner is None:
        raise Refused(Why.NOTHING_LEFT)
    return inner, layer.source.part(ends[0], layer.source.size)


def _streams(source: Source, magic: bytes, make: Callable[[], Decoder]) -> Generator[bytes, None, int]:
    """All streams in a row; xz pads them with zeros, which end with them."""
    at = yield from decoded(make(), source, 0)
    while magic:
        following = at
        while magic == XZ and source.upto(following, 4) == bytes(4):
            following += 4
        if source.upto(following, len(magic)) != magic:
            break
        at = yield from decoded(make(), source, following)
    return at


def _squeezed(packer: Packer, inner: Pieces) -> Iterator[bytes]:
    for chunk in chunks_of(inner):
        yield packer.compress(chunk)
    yield packer.flush()


def _gzip_head(source: Source) -> tuple[bytes, bytes]:
    """The header of the first stream, and the name in it."""
    head = source.upto(0, HEADER_MAX)
    if head[:3] != GZIP or len(head) < 10:
        raise Refused(Why.DAMAGED)
    flags, at, name = head[3], 10, b""
    if flags & HAS_EXTRA:
        at += 2 + int.from_bytes(head[at : at + 2], "little")
    for flag in (HAS_NAME, HAS_COMMENT):
        if flags & flag:
            end = head.find(b"\0", at)
            if end < 0:
                raise Refused(Why.DAMAGED)
            if flag == HAS_NAME and end < NAME_REACH:
                name = head[at:end]
            at = end + 1
    at += 2 if flags & HAS_CRC else 0
    if at > len(head):
        raise Refused(Why.DAMAGED)
    return head[:at], name

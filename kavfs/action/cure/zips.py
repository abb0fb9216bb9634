"""Zip: local entries are kept as they lie, unpacked by nobody; members that go leave no gap, and the directory is told.

Order, flags, extra fields, comments, names, data descriptors, a stub in front and what stands behind stay. Only numbers
change: places of members, and sizes of those from which something was taken out.
"""

from __future__ import annotations

import bz2
import struct
import zlib
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

from kavfs.action.cure.decoding import decoded
from kavfs.action.cure.pieces import CHUNK, Pieces, Source, chunks_of, size_of
from kavfs.action.cure.refused import Refused, Why
from kavfs.action.cure.task import Layer, Named, Task, joined, shown
from kavfs.action.cure.zipdir import (
    CENTRAL,
    CLOSING_MAX,
    END,
    END64,
    LOCAL,
    LOCATOR,
    SIZES_LATER,
    WIDE,
    WIDE16,
    Directory,
    Entry,
    read_directory,
    wide_places,
)

STORED, DEFLATED, BZIP2 = 0, 8, 12
NAME_AT_MOST = 4096  # ext/object/zip.h: of the name of a member that the directory does not know


class New(NamedTuple):
    """What stands in the place of a member."""

    packed: Source
    unpacked: int
    crc: int


def cure_zip(task: Task, layer: Layer) -> Pieces:
    source = layer.source
    if _is_signed_program(source):
        raise Refused(Why.SIGNED)
    directory = read_directory(source)
    entries = directory.entries
    removed: set[int] = set()
    changed: dict[int, New] = {}
    chosen = task.chosen(layer, [Named(entry.name, entry.unpacked) for entry in entries])
    for index, path in chosen.items():
        inner = task.inside(path, partial(unpack_member, task, source, entries[index]), layer)
        if inner is None:
            removed.add(index)
        else:
            changed[index] = pack_member(task, entries[index], inner)
    dead = _dead_space(task, layer, directory, removed)
    if all(index in removed or entry.name.endswith(b"/") for index, entry in enumerate(entries)):
        raise Refused(Why.NOTHING_LEFT)
    return rewrite(source, directory, removed, changed, dead)


# ---- what goes --------------------------------------------------------------------------------------------------


def _dead_space(task: Task, layer: Layer, directory: Directory, removed: set[int]) -> dict[int, int]:
    """Entry -> where it really ends, for those with bytes behind them that the directory does not know and in which a
    member stands that is infected: what an archiver that deletes leaves, or somebody hides."""
    dead: dict[int, int] = {}
    for index, entry in enumerate(directory.entries):
        if index in removed or entry.next - entry.data - entry.packed < LOCAL.size:
            continue
        end = _end_of(layer.source, entry)
        gap = layer.source.read(end, min(entry.next - end, CHUNK))
        for path in _hidden(layer.path, gap):
            if shown(path) in task.lines:
                dead[index] = end
                task.take_out(path)
    return dead


def _hidden(above: bytes, gap: bytes) -> Iterator[bytes]:
    at = -1
    while (at := gap.find(b"PK\x03\x04", at + 1)) >= 0 and at + LOCAL.size <= len(gap):
        length = LOCAL.unpack_from(gap, at)[9]
        if length:
            yield joined(above, gap[at + LOCAL.size : at + LOCAL.size + min(length, NAME_AT_MOST)])


def _end_of(source: Source, entry: Entry) -> int:
    """Where the entry's data descriptor ends, if it has one, else its data."""
    end = entry.data + entry.packed
    if not entry.flags & SIZES_LATER:
        return end
    tail = source.upto(end, min(24, entry.next - end))
    for form in ("<4sIII", "<4sIQQ", "<III", "<IQQ"):
        if len(tail) < struct.calcsize(form):
            continue
        *magic, crc, packed, unpacked = struct.unpack_from(form, tail)
        if magic in ([], [b"PK\x07\x08"]) and (crc, packed, unpacked) == (entry.crc, entry.packed, entry.unpacked):
            return end + struct.calcsize(form)
    return end


def _is_signed_program(source: Source) -> bool:
    """Whether a program with an Authenticode signature stands in front: it counts the archive in."""
    if source.upto(0, 2) != b"MZ" or source.size < 64:
        return False
    at: int = struct.unpack("<I", source.read(60, 4))[0]
    head = source.upto(at, 24 + 168)
    if head[:4] != b"PE\0\0" or len(head) < 24 + 168:
        return False
    directories = 24 + (112 if head[24:26] == b"\x0b\x02" else 96)
    return struct.unpack_from("<II", head, directories + 4 * 8) != (0, 0)


# ---- members from which something was taken out -------------------------------------------------------------------


def unpack_member(task: Task, source: Source, entry: Entry) -> Source:
    """Its bytes, checked; Refused where they are not what the directory says."""
    if entry.flags & 1:
        raise Refused(Why.ENCRYPTED)
    packed = source.part(entry.data, entry.data + entry.packed)
    if entry.method == STORED:
        return packed
    unpacked = task.scratch.keep(_checked(unpacked_chunks(packed, entry.method), entry))
    if unpacked.size != entry.unpacked:
        raise Refused(Why.DAMAGED)
    return unpacked


def _checked(chunks: Iterable[bytes], entry: Entry) -> Iterator[bytes]:
    crc = size = 0
    for chunk in chunks:
        crc = zlib.crc32(chunk, crc)
        size += len(chunk)
        if size > entry.unpacked:
            raise Refused(Why.DAMAGED)
        yield chunk
    if crc != entry.crc:
        raise Refused(Why.DAMAGED)


def unpacked_chunks(packed: Source, method: int) -> Iterator[bytes]:
    """The bytes of a member."""
    if method == DEFLATED:
        yield from decoded(zlib.decompressobj(-zlib.MAX_WBITS), packed)
    elif method == BZIP2:
        yield from decoded(bz2.BZ2Decompressor(), packed)
    else:
        raise Refused(Why.METHOD)


def pack_member(task: Task, entry: Entry, inner: Pieces) -> New:
    """With the method that it had."""
    crc = 0

    def counted() -> Iterator[bytes]:
        nonlocal crc
        for chunk in chunks_of(inner):
            crc = zlib.crc32(chunk, crc)
            yield chunk

    def squeezed() -> Iterator[bytes]:
        packer = bz2.BZ2Compressor() if entry.method == BZIP2 else zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        for chunk in counted():
            yield packer.compress(chunk)
        yield packer.flush()

    packed = task.scratch.keep(counted() if entry.method == STORED else squeezed())
    return New(packed, size_of(inner), crc)


# ---- the new archive ----------------------------------------------------------------------------------------------


def rewrite(
    source: Source, directory: Directory, removed: set[int], changed: dict[int, New], dead: dict[int, int]
) -> Pieces:
    """The archive without the entries *removed*, with others *changed*; *dead*: those that end earlier than said."""
    order = sorted(range(len(directory.entries)), key=lambda index: directory.entries[index].header)
    at = directory.entries[order[0]].header
    pieces: Pieces = [source.part(0, at)]
    places: dict[int, int] = {}
    for index in order:
        entry = directory.entries[index]
        if index in removed:
            continue
        places[index] = at
        if index in changed:
            parts: Pieces = [_local(source, entry, changed[index]), changed[index].packed]
        else:
            parts = [source.part(entry.header, dead.get(index, entry.next))]
        pieces += parts
        at += size_of(parts)
    records: Pieces = [
        _central(directory, index, places[index], changed.get(index))
        for index in range(len(directory.entries))
        if index in places
    ]
    pieces += [b"".join(record for record in records if isinstance(record, bytes))]
    pieces += [_closing(source, directory, len(records), size_of(records), at)]
    return pieces


def _local(source: Source, entry: Entry, new: New) -> bytes:
    """A member's local header with its new sizes. They are known now, so that none need follow the data."""
    head = bytearray(source.read(entry.header, entry.data - entry.header))
    fields = LOCAL.unpack_from(head)
    flags, name, extra = fields[2] & ~SIZES_LATER, fields[9], fields[10]
    places = wide_places(bytes(head), LOCAL.size + name, extra, (fields[8], fields[7]))
    struct.pack_into("<H", head, 6, flags)
    struct.pack_into("<I", head, 14, new.crc)
    _set(head, 22, places[0], new.unpacked)
    _set(head, 18, places[1], new.packed.size)
    return bytes(head)


def _central(directory: Directory, index: int, place: int, new: New | None) -> bytes:
    """A member's entry in the directory with its new place and, where it has them, sizes."""
    entry = directory.entries[index]
    record = bytearray(directory.raw[entry.central[0] : entry.central[1]])
    fields = CENTRAL.unpack_from(record)
    wide = wide_places(bytes(record), CENTRAL.size + fields[10], fields[11], (fields[9], fields[8], fields[16]))
    told = fields[16] if wide[2] < 0 else struct.unpack_from("<Q", record, wide[2])[0]
    _set(record, 42, wide[2], told + place - entry.header)
    if new is not None:
        struct.pack_into("<H", record, 8, fields[3] & ~SIZES_LATER)
        struct.pack_into("<I", record, 16, new.crc)
        _set(record, 24, wide[0], new.unpacked)
        _set(record, 20, wide[1], new.packed.size)
    return bytes(record)


def _set(record: bytearray, at: int, wide: int, value: int) -> None:
    if wide >= 0:
        struct.pack_into("<Q", record, wide, value)
    elif value < WIDE:
        struct.pack_into("<I", record, at, value)
    else:
        raise Refused(Why.ODD)


def _closing(source: Source, directory: Directory, count: int, size: int, start: int) -> bytes:
    """What follows the directory: the end record, before it perhaps its 64-bit form and locator, comments."""
    if source.size - directory.stop > CLOSING_MAX:
        raise Refused(Why.ODD)
    closing = bytearray(source.read(directory.stop, source.size - directory.stop))
    moved = start + size - directory.stop
    at = directory.end - directory.stop
    fields = END.unpack_from(closing, at)
    if fields[4] != WIDE16:
        struct.pack_into("<HH", closing, at + 8, count, count)
    if fields[5] != WIDE:
        struct.pack_into("<I", closing, at + 12, size)
    if fields[6] != WIDE:
        struct.pack_into("<I", closing, at + 16, fields[6] + start - directory.start)
    if directory.end64 >= 0:
        _closing64(closing, directory, (count, size, start - directory.start, moved))
    return bytes(closing)


def _closing64(closing: bytearray, directory: Directory, numbers: tuple[int, int, int, int]) -> None:
    count, size, shift, moved = numbers
    at = directory.end64 - directory.stop
    offset = END64.unpack_from(closing, at)[9]
    struct.pack_into("<QQQQ", closing, at + 24, count, count, size, offset + shift)
    locator = directory.end - directory.stop - LOCATOR.size
    struct.pack_into("<Q", closing, locator + 8, LOCATOR.unpack_from(closing, locator)[2] + moved)

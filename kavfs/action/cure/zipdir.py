"""The directory of a zip archive with every place that must change when members go. The scanner's reading of it is
ext/object/zipdir.c, and what that one finds must be found here; but what it puts up with is refused here."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import NamedTuple

from kavfs.action.cure.pieces import Source
from kavfs.action.cure.refused import Refused, Why

LOCAL = struct.Struct("<4sHHHHHIIIHH")
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
END = struct.Struct("<4sHHHHIIH")
END64 = struct.Struct("<4sQHHIIQQQQ")
LOCATOR = struct.Struct("<4sIQI")
END_REACH = END.size + 65535
CLOSING_MAX = 1 << 20  # bytes behind the directory
DIRECTORY_MAX = 256 << 20
WIDE = 0xFFFFFFFF
WIDE16 = 0xFFFF
ENCRYPTED, SIZES_LATER, MASKED = 1 << 0, 1 << 3, 1 << 13
SIGNATURES = re.compile(rb"META-INF/([^/]+\.(SF|RSA|DSA|EC)|[a-z]*signatures\.xml)", re.IGNORECASE)


@dataclass(slots=True)
class Entry:
    central: tuple[int, int]  # where in Directory.raw it stands
    header: int  # where in the file its local header begins
    packed: int
    unpacked: int
    crc: int
    method: int
    flags: int
    name: bytes
    data: int = 0  # where its bytes begin
    next: int = 0  # where the next local header begins, or the directory


class Directory(NamedTuple):
    raw: bytes
    start: int  # where it begins
    stop: int  # where its last entry ends
    end: int  # where the end record is
    end64: int  # where its 64-bit form is, -1 = there is none
    entries: list[Entry]


def read_directory(source: Source) -> Directory:
    """The directory, and its entries as they and their local headers have them."""
    end, end64, start, size, shift, count = _find(source)
    if size > DIRECTORY_MAX:
        raise Refused(Why.TOO_MANY)
    raw = source.read(start, size)
    entries, used = _entries(raw, shift)
    if count not in (len(entries), len(entries) & WIDE16):
        raise Refused(Why.DAMAGED)
    if source.upto(start + used, 4) == b"PK\x05\x05" or source.upto(max(start - 16, 0), 16) == b"APK Sig Block 42":
        raise Refused(Why.SIGNED)
    if any(SIGNATURES.fullmatch(entry.name) for entry in entries):
        raise Refused(Why.SIGNED)
    _locate(source, entries, start)
    return Directory(raw[:used], start, start + used, end, end64, entries)


def _find(source: Source) -> tuple[int, int, int, int, int, int]:
    """(end record, its 64-bit form, directory, bytes, stub that offsets do not count, entries)"""
    reach = min(source.size, END_REACH)
    tail = source.read(source.size - reach, reach)
    at = len(tail)
    while (at := tail.rfind(b"PK\x05\x06", 0, at)) >= 0:
        if len(tail) - at >= END.size and (found := _take(source, source.size - reach + at, tail[at : at + END.size])):
            return found
    raise Refused(Why.DAMAGED)


def _take(source: Source, at: int, record: bytes) -> tuple[int, int, int, int, int, int] | None:
    _, disk, first, _, count, size, offset, _ = END.unpack(record)
    end64, end = -1, at
    if count == WIDE16 or WIDE in (size, offset):
        end64 = _find64(source, at)
    if end64 >= 0:
        end = end64
        _, _, _, _, disk, first, _, count, size, offset = END64.unpack(source.read(end64, END64.size))
    if size == 0 or count == 0:
        return None
    if size <= end and source.upto(end - size, 4) == b"PK\x01\x02":
        start = end - size
    elif offset + size <= end and source.upto(offset, 4) == b"PK\x01\x02":
        start = offset
    else:
        return None
    if (disk, first) not in ((0, 0), (WIDE16, WIDE16)):
        raise Refused(Why.MULTI_VOLUME)
    if offset > start:
        raise Refused(Why.ODD)
    return at, end64, start, size, start - offset, count


def _find64(source: Source, end: int) -> int:
    at = end - LOCATOR.size
    if at < 0 or source.upto(at, 4) != b"PK\x06\x07":
        return -1
    _, _, offset, _ = LOCATOR.unpack(source.read(at, LOCATOR.size))
    for place in (offset, at - END64.size):
        if 0 <= place <= at - END64.size and source.upto(place, 4) == b"PK\x06\x06":
            return place
    return -1


def _entries(raw: bytes, shift: int) -> tuple[list[Entry], int]:
    entries, at = [], 0
    while at + CENTRAL.size <= len(raw) and raw[at : at + 4] == b"PK\x01\x02":
        fields = CENTRAL.unpack_from(raw, at)
        _, _, _, flags, method, _, _, crc, packed, unpacked, name, extra, comment, disk, _, _, header = fields
        names = at + CENTRAL.size
        stop = names + name + extra + comment
        if stop > len(raw):
            raise Refused(Why.DAMAGED)
        unpacked, packed, header = wide_fields(raw, names + name, extra, (unpacked, packed, header))
        if disk not in (0, WIDE16):
            raise Refused(Why.MULTI_VOLUME)
        if flags & MASKED:
            raise Refused(Why.ENCRYPTED)
        full = raw[names : names + name]
        entries.append(Entry((at, stop), header + shift, packed, unpacked, crc, method, flags, full))
        at = stop
    return entries, at


def wide_fields(raw: bytes, at: int, length: int, values: tuple[int, ...]) -> list[int]:
    """*values* with those that say "look in the extra field" replaced from there."""
    places = wide_places(raw, at, length, values)
    return [
        value if place < 0 else struct.unpack_from("<Q", raw, place)[0]
        for value, place in zip(values, places, strict=True)
    ]


def wide_places(raw: bytes, at: int, length: int, values: tuple[int, ...]) -> list[int]:
    """Where the 64-bit extra field has each of these values; -1 = it does not."""
    stop = at + length
    while at + 4 <= stop:
        kind, size = struct.unpack_from("<HH", raw, at)
        at += 4
        if at + size > stop:
            break
        if kind == 1:
            places, field_end = [], at + size
            for value in values:
                there = value == WIDE and at + 8 <= field_end
                places.append(at if there else -1)
                at += 8 if there else 0
            return places
        at += size
    return [-1] * len(values)


def _locate(source: Source, entries: list[Entry], directory: int) -> None:
    """Compare each entry with its local header. Members that share bytes, or whose two headers disagree, are refused:
    what one reader takes for a member is another's gap."""
    last: Entry | None = None
    for entry in sorted(entries, key=lambda one: one.header):
        head = source.read(entry.header, LOCAL.size)
        magic, _, flags, method, _, _, _, packed, unpacked, name, extra = LOCAL.unpack(head)
        if magic != b"PK\x03\x04":
            raise Refused(Why.DAMAGED)
        if method != entry.method or (flags ^ entry.flags) & ENCRYPTED:
            raise Refused(Why.ODD)
        entry.data = entry.header + LOCAL.size + name + extra
        entry.next = directory
        if WIDE in (packed, unpacked):
            rest = source.read(entry.header + LOCAL.size + name, extra)
            unpacked, packed = wide_fields(rest, 0, extra, (unpacked, packed))
        if not (flags & SIZES_LATER and packed == 0) and packed != entry.packed:
            raise Refused(Why.ODD)
        if entry.data + entry.packed > directory:
            raise Refused(Why.DAMAGED)
        if last is not None:
            if last.data + last.packed > entry.header:
                raise Refused(Why.ODD)
            last.next = entry.header
        last = entry

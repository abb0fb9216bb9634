"""The header of a 7z archive: read with every number checked, and written again.

    32 bytes | packed streams ... | header

A folder is a chain of coders over one or several packed streams; what comes out of it is cut into substreams, one for
each file that is not empty.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kavfs.action.cure.refused import Refused, Why

END, HEADER, PROPERTIES, ADDITIONAL, STREAMS, FILES = range(6)
PACK, UNPACK, SUBSTREAMS, SIZE, CRC, FOLDER, UNPACK_SIZES, COUNTS = range(6, 14)
EMPTY_STREAM, EMPTY_FILE, ANTI, NAMES, CREATED, READ, CHANGED, ATTRIBUTES = range(14, 22)
ENCODED, START, DUMMY = 23, 24, 25
WIDTHS = {CREATED: 8, READ: 8, CHANGED: 8, ATTRIBUTES: 4, START: 8}  # bytes of a file's value
COUNT_MAX = 1 << 20
CODERS_MAX = 32


class Coder(NamedTuple):
    kind: bytes
    inputs: int
    outputs: int
    properties: bytes


@dataclass(slots=True)
class Folder:
    raw: bytes  # as the header has it
    coders: list[Coder]
    binds: list[tuple[int, int]]
    packed: int  # how many packed streams it takes
    sizes: list[int] = field(default_factory=list)  # of what each coder puts out
    crc: int | None = None
    substreams: list[tuple[int, int | None]] = field(default_factory=list)  # size, CRC

    @property
    def size(self) -> int:
        """Of what comes out of the last coder."""
        bound = {output for _, output in self.binds}
        free = [index for index in range(len(self.sizes)) if index not in bound]
        if len(free) != 1:
            raise Refused(Why.DAMAGED)
        return self.sizes[free[0]]


@dataclass(slots=True)
class File:
    name: bytes  # UTF-16, without its end
    empty: bool = False  # has no substream
    empty_file: bool = False  # and is no folder
    anti: bool = False
    values: dict[int, bytes] = field(default_factory=dict)  # times, attributes: as they stand


@dataclass(slots=True)
class Streams:
    start: int = 0  # of the packed streams, behind the first 32 bytes
    packed: list[int] = field(default_factory=list)  # their sizes
    folders: list[Folder] = field(default_factory=list)


class Reader:
    """Bytes of a header, read from front to back."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def bytes(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise Refused(Why.DAMAGED)
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self) -> int:
        return self.bytes(1)[0]

    def number(self) -> int:
        """The leading ones of the first byte say how many bytes follow."""
        first, mask, value = self.byte(), 0x80, 0
        for shift in range(0, 64, 8):
            if not first & mask:
                return value | (first & (mask - 1)) << shift
            value |= self.byte() << shift
            mask >>= 1
        return value

    def count(self) -> int:
        number = self.number()
        if number > COUNT_MAX:
            raise Refused(Why.TOO_MANY)
        return number

    def bits(self, count: int) -> list[bool]:
        data = self.bytes(-(-count // 8))
        return [bool(data[index >> 3] & 0x80 >> (index & 7)) for index in range(count)]

    def defined(self, count: int) -> list[bool]:
        return [True] * count if self.byte() else self.bits(count)

    def crcs(self, count: int) -> list[int | None]:
        return [struct.unpack("<I", self.bytes(4))[0] if there else None for there in self.defined(count)]

    def expect(self, kind: int) -> None:
        if self.byte() != kind:
            raise Refused(Why.DAMAGED)

    def inline(self) -> None:
        """What follows stands here, and in no stream of its own."""
        if self.byte():
            raise Refused(Why.ODD)


# ---- streams ------------------------------------------------------------------------------------------------------


def read_streams(reader: Reader) -> Streams:
    """All of a streams info, behind its first byte."""
    streams = Streams()
    kind = reader.byte()
    if kind == PACK:
        _read_pack(reader, streams)
        kind = reader.byte()
    if kind == UNPACK:
        _read_folders(reader, streams)
        kind = reader.byte()
    for folder in streams.folders:
        folder.substreams = [(folder.size, folder.crc)]
    if kind == SUBSTREAMS:
        _read_substreams(reader, streams.folders)
        kind = reader.byte()
    if kind != END or sum(folder.packed for folder in streams.folders) != len(streams.packed):
        raise Refused(Why.DAMAGED)
    return streams


def _read_pack(reader: Reader, streams: Streams) -> None:
    streams.start, count = reader.number(), reader.count()
    kind = reader.byte()
    if kind == SIZE:
        streams.packed = [reader.number() for _ in range(count)]
        kind = reader.byte()
    if kind == CRC:
        reader.crcs(count)
        kind = reader.byte()
    if kind != END or len(streams.packed) != count:
        raise Refused(Why.DAMAGED)


def _read_folders(reader: Reader, streams: Streams) -> None:
    reader.expect(FOLDER)
    count = reader.count()
    reader.inline()
    streams.folders = [_read_folder(reader) for _ in range(count)]
    reader.expect(UNPACK_SIZES)
    for folder in streams.folders:
        folder.sizes = [reader.number() for _ in range(sum(coder.outputs for coder in folder.coders))]
    kind = reader.byte()
    if kind == CRC:
        for folder, crc in zip(streams.folders, reader.crcs(count), strict=True):
            folder.crc = crc
        kind = reader.byte()
    if kind != END:
        raise Refused(Why.DAMAGED)


def _read_folder(reader: Reader) -> Folder:
    start, coders = reader.at, []
    count = reader.number()
    if not 0 < count <= CODERS_MAX:
        raise Refused(Why.DAMAGED)
    for _ in range(count):
        flags = reader.byte()
        kind = reader.bytes(flags & 0x0F)
        inputs, outputs = (reader.number(), reader.number()) if flags & 0x10 else (1, 1)
        coders.append(Coder(kind, inputs, outputs, reader.bytes(reader.number()) if flags & 0x20 else b""))
        if flags & 0xC0 or not 0 < inputs <= CODERS_MAX or outputs != 1:
            raise Refused(Why.ODD)
    inputs = sum(coder.inputs for coder in coders)
    binds = [(reader.number(), reader.number()) for _ in range(count - 1)]
    packed = inputs - len(binds)
    if packed < 1:
        raise Refused(Why.DAMAGED)
    if packed > 1:
        for _ in range(packed):
            reader.number()
    return Folder(reader.data[start : reader.at], coders, binds, packed)


def _read_substreams(reader: Reader, folders: Sequence[Folder]) -> None:
    kind = reader.byte()
    counts = [1] * len(folders)
    if kind == COUNTS:
        counts = [reader.count() for _ in folders]
        kind = reader.byte()
    if sum(counts) > COUNT_MAX:
        raise Refused(Why.TOO_MANY)
    sizes: list[list[int]] = []
    for folder, count in zip(folders, counts, strict=True):
        told = [reader.number() for _ in range(count - 1)] if kind == SIZE else []
        if len(told) < count - 1 or sum(told) > folder.size:
            raise Refused(Why.DAMAGED)
        sizes.append([*told, folder.size - sum(told)][:count])
    kind = reader.byte() if kind == SIZE else kind
    known = [count == 1 and folder.crc is not None for folder, count in zip(folders, counts, strict=True)]
    wanted = sum(count for count, there in zip(counts, known, strict=True) if not there)
    crcs = iter(reader.crcs(wanted) if kind == CRC else [None] * wanted)
    for folder, own, there in zip(folders, sizes, known, strict=True):
        folder.substreams = [(size, folder.crc if there else next(crcs)) for size in own]
    if kind == CRC:
        kind = reader.byte()
    if kind != END:
        raise Refused(Why.DAMAGED)


# ---- files ----------------------------------------------------------------------------------------------------------


def read_files(reader: Reader) -> list[File]:
    """All of a files info, behind its first byte."""
    files = [File(b"") for _ in range(reader.count())]
    while (kind := reader.number()) != END:
        own = Reader(reader.bytes(reader.number()))
        if kind == NAMES:
            own.inline()
            for file in files:
                file.name = _read_name(own)
        elif kind == EMPTY_STREAM:
            for file, empty in zip(files, own.bits(len(files)), strict=True):
                file.empty = empty
        elif kind in (EMPTY_FILE, ANTI):
            some = [file for file in files if file.empty]
            for file, bit in zip(some, own.bits(len(some)), strict=True):
                file.empty_file = bit if kind == EMPTY_FILE else file.empty_file
                file.anti = bit if kind == ANTI else file.anti
        elif kind in WIDTHS:
            there = own.defined(len(files))
            own.inline()
            for file, defined in zip(files, there, strict=True):
                if defined:
                    file.values[kind] = own.bytes(WIDTHS[kind])
        elif kind != DUMMY:
            raise Refused(Why.ODD)
    return files


def _read_name(reader: Reader) -> bytes:
    at = reader.at
    while (end := reader.data.find(b"\0\0", at)) >= 0 and (end - reader.at) % 2:
        at = end + 1
    if end < 0:
        raise Refused(Why.DAMAGED)
    name = reader.bytes(end - reader.at)
    reader.bytes(2)
    return name


# ---- writing --------------------------------------------------------------------------------------------------------


def number(value: int) -> bytes:
    for extra in range(8):
        if value < 1 << (7 * (extra + 1)):
            first = (0xFF00 >> extra) & 0xFF | value >> (8 * extra)
            return bytes([first]) + (value & ((1 << 8 * extra) - 1)).to_bytes(extra, "little")
    return b"\xff" + struct.pack("<Q", value)


def bits(values: Iterable[bool]) -> bytes:
    text = "".join("1" if value else "0" for value in values)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big") if text else b""


def write_header(streams: Streams, files: Sequence[File]) -> bytes:
    """The header of an archive whose packed streams begin behind the first 32 bytes."""
    told = bytes([STREAMS]) + _streams(streams) if streams.folders else b""
    return bytes([HEADER]) + told + bytes([FILES]) + _files(files) + bytes([END])


def write_start(header: bytes, behind: int) -> bytes:
    """The first 32 bytes; *behind*: bytes of the packed streams."""
    start = struct.pack("<QQI", behind, len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<I", zlib.crc32(start)) + start


def _streams(streams: Streams) -> bytes:
    folders = streams.folders
    pack = bytes([PACK]) + number(0) + number(len(streams.packed)) + bytes([SIZE])
    pack += b"".join(map(number, streams.packed)) + bytes([END])
    unpack = bytes([UNPACK, FOLDER]) + number(len(folders)) + b"\0" + b"".join(folder.raw for folder in folders)
    unpack += bytes([UNPACK_SIZES]) + b"".join(number(size) for folder in folders for size in folder.sizes)
    counts = bytes([COUNTS]) + b"".join(number(len(folder.substreams)) for folder in folders)
    sizes = bytes([SIZE]) + b"".join(number(size) for folder in folders for size, _ in folder.substreams[:-1])
    crcs = [crc for folder in folders for _, crc in folder.substreams]
    digests = bytes([CRC]) + _defined([crc is not None for crc in crcs])
    digests += b"".join(struct.pack("<I", crc) for crc in crcs if crc is not None)
    return pack + unpack + bytes([END, SUBSTREAMS]) + counts + sizes + digests + bytes([END, END])


def _files(files: Sequence[File]) -> bytes:
    empty = [file for file in files if file.empty]
    out = number(len(files))
    if empty:
        out += _property(EMPTY_STREAM, bits(file.empty for file in files))
    for kind, flags in ((EMPTY_FILE, [one.empty_file for one in empty]), (ANTI, [one.anti for one in empty])):
        if any(flags):
            out += _property(kind, bits(flags))
    out += _property(NAMES, b"\0" + b"".join(file.name + b"\0\0" for file in files))
    for kind in WIDTHS:
        there = [kind in file.values for file in files]
        if any(there):
            values = b"".join(file.values[kind] for file in files if kind in file.values)
            out += _property(kind, _defined(there) + b"\0" + values)
    return out + bytes([END])


def _defined(there: Sequence[bool]) -> bytes:
    return b"\1" if all(there) else b"\0" + bits(there)


def _property(kind: int, data: bytes) -> bytes:
    return bytes([kind]) + number(len(data)) + data

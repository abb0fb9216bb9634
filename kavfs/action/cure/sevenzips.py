"""7z: what was packed without an infected file stays packed as it is; a solid block that holds one is unpacked and
packed again without it, by LZMA2 (or stored, where it was). Names, times and attributes stay; the header is written
unpacked."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Iterator
from functools import partial

from kavfs.action.cure.decoding import measured
from kavfs.action.cure.pieces import Pieces, Scratch, Source, chunks_of, size_of
from kavfs.action.cure.refused import Refused, Why
from kavfs.action.cure.sevenheader import (
    ADDITIONAL,
    ENCODED,
    END,
    FILES,
    HEADER,
    PROPERTIES,
    STREAMS,
    Coder,
    File,
    Folder,
    Reader,
    Streams,
    read_files,
    read_streams,
    write_header,
    write_start,
)
from kavfs.action.cure.task import Layer, Named, Task

MAGIC = b"7z\xbc\xaf\x27\x1c"
START = 32
HEADER_MAX = 64 << 20
PACKINGS = 4  # times that a header may be packed
DICTIONARY_MAX = 512 << 20
COPY, LZMA, LZMA2, DELTA, DEFLATE, BZIP2 = b"\0", b"\3\1\1", b"\x21", b"\3", b"\4\1\x08", b"\4\2\2"
AES = b"\x06\xf1\7\1"
BRANCHES = {
    b"\3\3\1\3": lzma.FILTER_X86,
    b"\4": lzma.FILTER_X86,
    b"\3\3\2\5": lzma.FILTER_POWERPC,
    b"\5": lzma.FILTER_POWERPC,
    b"\3\3\4\1": lzma.FILTER_IA64,
    b"\6": lzma.FILTER_IA64,
    b"\3\3\5\1": lzma.FILTER_ARM,
    b"\7": lzma.FILTER_ARM,
    b"\3\3\7\1": lzma.FILTER_ARMTHUMB,
    b"\x08": lzma.FILTER_ARMTHUMB,
    b"\3\3\x08\5": lzma.FILTER_SPARC,
    b"\x09": lzma.FILTER_SPARC,
}
PRESET = 6
NEW_LZMA2 = b"\1\x21\x21\1\x16"  # one coder with a property: a dictionary of 8 MiB, that of the preset
NEW_COPY = b"\1\1\0"

Place = tuple[int, int]  # folder, substream


def cure_7z(task: Task, layer: Layer) -> Pieces:
    source = layer.source
    streams, files = _read(task.scratch, source)
    places = _places(streams, files)
    members = [
        Named(name_of(file), 0 if place is None else streams.folders[place[0]].substreams[place[1]][0])
        for file, place in zip(files, places, strict=True)
    ]
    packed = _packed(source, streams)
    opened = _Opened(task.scratch, streams, packed)
    removed: set[int] = set()
    changed: dict[Place, Pieces] = {}
    for index, path in task.chosen(layer, members).items():
        place = places[index]
        inner = task.inside(path, partial(opened.substream, place), layer)
        if inner is None:
            removed.add(index)
        elif place is not None:
            changed[place] = inner
    if all(index in removed or (file.empty and not file.empty_file) for index, file in enumerate(files)):
        raise Refused(Why.NOTHING_LEFT)
    gone = {place for index in removed if (place := places[index]) is not None}
    new, pieces = _folders(task.scratch, streams, packed, opened, gone, changed)
    header = write_header(new, [file for index, file in enumerate(files) if index not in removed])
    return [write_start(header, size_of(pieces)), *pieces, header]


def name_of(file: File) -> bytes:
    return file.name.decode("utf-16-le", "replace").encode()


# ---- reading ------------------------------------------------------------------------------------------------------


def _read(scratch: Scratch, source: Source) -> tuple[Streams, list[File]]:
    head = source.read(0, START)
    offset, size, crc = struct.unpack_from("<QQI", head, 12)
    if head[: len(MAGIC)] != MAGIC or zlib.crc32(head[12:32]) != struct.unpack_from("<I", head, 8)[0]:
        raise Refused(Why.DAMAGED)
    if size > HEADER_MAX:
        raise Refused(Why.TOO_MANY)
    data = source.read(START + offset, size)
    if START + offset + size != source.size:
        raise Refused(Why.ODD)
    if zlib.crc32(data) != crc:
        raise Refused(Why.DAMAGED)
    for _ in range(PACKINGS):
        if data[:1] != bytes([ENCODED]):
            return _header(data)
        streams = read_streams(Reader(data[1:]))
        opened = _Opened(scratch, streams, _packed(source, streams))
        if len(streams.folders) != 1 or streams.folders[0].size > HEADER_MAX:
            raise Refused(Why.ODD)
        unpacked = opened.substream((0, 0))
        data = unpacked.read(0, unpacked.size)
    raise Refused(Why.ODD)


def _header(data: bytes) -> tuple[Streams, list[File]]:
    reader = Reader(data)
    reader.expect(HEADER)
    kind = reader.byte()
    if kind in (PROPERTIES, ADDITIONAL):
        raise Refused(Why.ODD)
    streams, files = Streams(), []
    if kind == STREAMS:
        streams = read_streams(reader)
        kind = reader.byte()
    if kind == FILES:
        files = read_files(reader)
        kind = reader.byte()
    if kind != END:
        raise Refused(Why.DAMAGED)
    return streams, files


def _places(streams: Streams, files: list[File]) -> list[Place | None]:
    """Where each file lies; None for those that are empty."""
    all_places = iter(
        [(number, at) for number, folder in enumerate(streams.folders) for at in range(len(folder.substreams))]
    )
    try:
        places = [None if file.empty else next(all_places) for file in files]
    except StopIteration:
        raise Refused(Why.DAMAGED) from None
    if next(all_places, None) is not None:
        raise Refused(Why.DAMAGED)
    return places


def _packed(source: Source, streams: Streams) -> list[list[Source]]:
    """The packed streams of each folder."""
    at = START + streams.start
    sizes = iter(streams.packed)
    packed = []
    for folder in streams.folders:
        own = []
        for _ in range(folder.packed):
            size = next(sizes)
            own.append(source.part(at, at + size))
            at += size
        packed.append(own)
    return packed


# ---- unpacking ----------------------------------------------------------------------------------------------------


class _Opened:
    """Folders unpacked, each once."""

    def __init__(self, scratch: Scratch, streams: Streams, packed: list[list[Source]]) -> None:
        self._scratch = scratch
        self._streams = streams
        self._packed = packed
        self._folders: dict[int, Source] = {}

    def substream(self, place: Place | None) -> Source:
        """What a file holds; its checksum is right."""
        if place is None:
            raise Refused(Why.DAMAGED)
        number, index = place
        folder = self._streams.folders[number]
        if number not in self._folders:
            self._folders[number] = unpack(self._scratch, folder, self._packed[number])
        start = sum(size for size, _ in folder.substreams[:index])
        size, crc = folder.substreams[index]
        source = self._folders[number].part(start, start + size)
        if crc is not None and checksum([source]) != crc:
            raise Refused(Why.DAMAGED)
        return source


def checksum(pieces: Pieces) -> int:
    crc = 0
    for chunk in chunks_of(pieces):
        crc = zlib.crc32(chunk, crc)
    return crc


def unpack(scratch: Scratch, folder: Folder, packed: list[Source]) -> Source:
    """All that a folder holds. Chains of coders with one input each; others are refused."""
    if any(coder.kind == AES for coder in folder.coders):
        raise Refused(Why.ENCRYPTED)
    if any(coder.inputs != 1 for coder in folder.coders):
        raise Refused(Why.METHOD)
    feeds = dict(folder.binds)  # the coder at the key reads what the one at the value puts out
    order: list[int] = []
    reader = min(set(range(len(folder.coders))) - set(feeds.values()))
    while reader in feeds and len(order) < len(folder.coders):
        order.append(reader)
        reader = feeds[reader]
    if not 0 <= reader < len(folder.coders):
        raise Refused(Why.DAMAGED)
    (data,) = packed
    for index in [reader, *reversed(order)]:
        data = scratch.keep(_decoded(folder.coders[index], data, folder.sizes[index]))
        if data.size != folder.sizes[index]:
            raise Refused(Why.DAMAGED)
    return data


def _decoded(coder: Coder, data: Source, size: int) -> Iterator[bytes]:
    kind, properties = coder.kind, coder.properties
    if kind == COPY:
        return chunks_of([data])
    if kind in (LZMA, LZMA2):
        return measured(_raw([_lzma_filter(kind, properties)]), data, size)
    if kind == DEFLATE:
        return measured(zlib.decompressobj(-zlib.MAX_WBITS), data, size)
    if kind == BZIP2:
        return measured(bz2.BZ2Decompressor(), data, size)
    if kind == DELTA and len(properties) == 1:
        return _filtered({"id": lzma.FILTER_DELTA, "dist": properties[0] + 1}, data)
    if kind in BRANCHES and not properties:
        return _filtered({"id": BRANCHES[kind]}, data)
    raise Refused(Why.METHOD)


def _raw(filters: list[dict[str, int]]) -> lzma.LZMADecompressor:
    try:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
    except (lzma.LZMAError, ValueError):
        raise Refused(Why.DAMAGED) from None


def _lzma_filter(kind: bytes, properties: bytes) -> dict[str, int]:
    if kind == LZMA2 and len(properties) == 1 and properties[0] <= 40:
        code = properties[0]
        return {"id": lzma.FILTER_LZMA2, "dict_size": _dictionary((2 | code & 1) << (code // 2 + 11))}
    if kind == LZMA and len(properties) == 5 and properties[0] < 9 * 5 * 5:
        packed, size = struct.unpack("<BI", properties)
        places = {"lc": packed % 9, "lp": packed // 9 % 5, "pb": packed // 45}
        return {"id": lzma.FILTER_LZMA1, "dict_size": _dictionary(size), **places}
    raise Refused(Why.DAMAGED)


def _dictionary(size: int) -> int:
    if size > DICTIONARY_MAX:
        raise Refused(Why.MEMORY)
    return max(size, 4096)


def _filtered(by: dict[str, int], data: Source) -> Iterator[bytes]:
    """A filter that packs nothing, undone. The library does that only in front of a stream that tells its end."""
    packer = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])
    chain = _raw([by, {"id": lzma.FILTER_LZMA2, "preset": 0}])
    for chunk in chunks_of([data]):
        yield from _through(chain, packer.compress(chunk))
    yield from _through(chain, packer.flush())


def _through(chain: lzma.LZMADecompressor, packed: bytes) -> Iterator[bytes]:
    if packed and not chain.eof:
        yield chain.decompress(packed)


# ---- packing ------------------------------------------------------------------------------------------------------


def _folders(
    scratch: Scratch,
    streams: Streams,
    packed: list[list[Source]],
    opened: _Opened,
    gone: set[Place],
    changed: dict[Place, Pieces],
) -> tuple[Streams, Pieces]:
    """The folders without what goes, and their packed streams."""
    new, pieces = Streams(), []
    touched = {number for number, _ in (*gone, *changed)}
    for number, folder in enumerate(streams.folders):
        if number not in touched:
            new.folders.append(folder)
            own: Pieces = [*packed[number]]
        else:
            kept = [(number, at) for at in range(len(folder.substreams)) if (number, at) not in gone]
            if not kept:
                continue
            parts: list[Pieces] = [changed[at] if at in changed else [opened.substream(at)] for at in kept]
            stored = all(coder.kind == COPY for coder in folder.coders)
            made, own = _again(scratch, parts, stored=stored)
            new.folders.append(made)
        new.packed += [size_of([piece]) for piece in own]
        pieces += own
    return new, pieces


def _again(scratch: Scratch, parts: list[Pieces], *, stored: bool) -> tuple[Folder, Pieces]:
    """A folder of these files."""
    flat: Pieces = [piece for part in parts for piece in part]
    size = size_of(flat)
    raw = NEW_COPY if stored else NEW_LZMA2
    folder = Folder(raw, [Coder(COPY if stored else LZMA2, 1, 1, b"")], [], 1, [size])
    folder.substreams = [(size_of(part), checksum(part)) for part in parts]
    return folder, [scratch.keep(chunks_of(flat) if stored else _squeezed(flat))]


def _squeezed(pieces: Pieces) -> Iterator[bytes]:
    packer = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": PRESET}])
    for chunk in chunks_of(pieces):
        yield packer.compress(chunk)
    yield packer.flush()

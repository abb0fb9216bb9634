"""Tar: headers and data are kept as they lie. With a member go the headers that speak of it alone (pax, long names) and
the links to it, which would lead nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from kavfs.action.cure.pieces import CHUNK, Pieces, Source, size_of
from kavfs.action.cure.refused import Refused, Why
from kavfs.action.cure.task import Layer, Named, Task

BLOCK = 512
RECORD = 20 * BLOCK
MEMBERS_MAX = 1 << 20
FIELDS_MAX = 1 << 20  # bytes of one pax header, or of one long name
LINKS = b"1"
BARE = b"23456"  # links, devices, folders, FIFOs: whatever size they tell, nothing follows
SPARSE = b"S"
FRAME = (b"5", b"g")  # folders, and headers that speak of all that follow


@dataclass(slots=True)
class Entry:
    start: int  # where the first header that belongs to it begins
    header: int
    data: int
    size: int  # bytes that lie there
    kind: bytes
    name: bytes
    link: bytes
    whole: int  # bytes unpacked, holes included
    plain: bool  # its size stands in its header alone

    @property
    def end(self) -> int:
        return self.data + -(-self.size // BLOCK) * BLOCK


def cure_tar(task: Task, layer: Layer) -> Pieces:
    source = layer.source
    entries, end = _read(source)
    rest = _first_data(source, end)
    members = [Named(entry.name, entry.whole) for entry in entries]
    if rest < source.size:
        members.append(Named(b"", source.size - rest))
    removed: set[int] = set()
    changed: dict[int, Pieces] = {}
    for index, path in task.chosen(layer, members).items():
        inner = task.inside(path, partial(_unpack, source, entries, index, rest), layer)
        if inner is None:
            removed.add(index)
        else:
            changed[index] = inner
    removed |= _dangling(entries, removed)
    if all(entry.kind in FRAME or index in removed for index, entry in enumerate(entries)):
        raise Refused(Why.NOTHING_LEFT)
    pieces: Pieces = []
    for index, entry in enumerate(entries):
        if index in changed:
            pieces += _changed(source, entry, changed[index])
        elif index not in removed:
            pieces.append(source.part(entry.start, min(entry.end, source.size)))
    return pieces + _ending(source, end, rest, size_of(pieces), len(entries), removed, changed)


def _unpack(source: Source, entries: list[Entry], index: int, rest: int) -> Source:
    if index == len(entries):
        return source.part(rest, source.size)
    entry = entries[index]
    if not entry.plain:
        raise Refused(Why.METHOD)
    return source.part(entry.data, entry.data + entry.size)


def _dangling(entries: list[Entry], removed: set[int]) -> set[int]:
    """Hard links to what goes, and links to these: by what a name means when the archive is unpacked in its order."""
    gone: set[bytes] = set()
    found: set[int] = set()
    for index, entry in enumerate(entries):
        if index in removed:
            gone.add(entry.name)
        elif entry.kind == LINKS and entry.link in gone:
            found.add(index)
            gone.add(entry.name)
        else:
            gone.discard(entry.name)
    return found


def _changed(source: Source, entry: Entry, inner: Pieces) -> Pieces:
    size = size_of(inner)
    header = bytearray(source.read(entry.header, BLOCK))
    if header[124] & 0x80 or size >= 8**11:
        header[124:136] = b"\x80" + size.to_bytes(11, "big")
    else:
        header[124:136] = b"%011o\0" % size
    header[148:156] = b"%06o\0 " % _sum(header)
    before = source.part(entry.start, entry.header)
    return [before, bytes(header), *inner, bytes(-size % BLOCK)]


def _ending(
    source: Source,
    end: int,
    rest: int,
    size: int,
    number: int,
    removed: set[int],
    changed: dict[int, Pieces],
) -> Pieces:
    """The end mark; what stands behind it; where the archive had whole records, it has them again."""
    pieces: Pieces = [source.part(end, rest)]
    if number in changed:
        return pieces + changed[number]
    if rest < source.size:
        return pieces if number in removed else [source.part(end, source.size)]
    if source.size % RECORD == 0:
        pieces.append(bytes(-(size + size_of(pieces)) % RECORD))
    return pieces


# ---- reading ------------------------------------------------------------------------------------------------------


def _read(source: Source) -> tuple[list[Entry], int]:
    """All members, and where the end mark stands."""
    entries: list[Entry] = []
    at = 0
    while at < source.size:
        header = source.upto(at, BLOCK)
        if len(header) < BLOCK or not any(header):
            break
        entry = _entry(source, at)
        if len(entries) >= MEMBERS_MAX:
            raise Refused(Why.TOO_MANY)
        entries.append(entry)
        at = entry.end
    return entries, min(at, source.size)


def _entry(source: Source, start: int) -> Entry:
    """The member whose headers begin at *start*."""
    fields: dict[bytes, bytes] = {}
    at = start
    while True:
        header = source.read(at, BLOCK)
        if not is_header(header):
            raise Refused(Why.DAMAGED)
        kind, size = header[156:157], _number(header[124:136])
        if kind not in b"xXgLKA":
            break
        if size > FIELDS_MAX:
            raise Refused(Why.ODD)
        told = source.read(at + BLOCK, size)
        if kind == b"L":
            fields[b"path"] = told.split(b"\0")[0]
        elif kind == b"K":
            fields[b"linkpath"] = told.split(b"\0")[0]
        elif kind in b"xX":
            fields |= _pax(told)
        elif kind == b"g" and (fields or {b"size", b"path"} & _pax(told).keys()):
            raise Refused(Why.ODD)
        at += BLOCK + -(-size // BLOCK) * BLOCK
        if kind == b"g":  # it speaks of all that follow, and stays when this one goes
            return Entry(start, at - BLOCK, at, 0, b"g", b"\0", b"", 0, False)
    return _plain_entry(source, start, at, header, fields)


def _plain_entry(source: Source, start: int, at: int, header: bytes, fields: dict[bytes, bytes]) -> Entry:
    kind, size, data = header[156:157], _number(header[124:136]), at + BLOCK
    if kind in b"MV":
        raise Refused(Why.MULTI_VOLUME)
    whole = size = _decimal(fields[b"size"]) if b"size" in fields else size
    if kind == SPARSE:
        whole, more = _number(header[483:495]), header[482]
        while more:
            more = source.read(data, BLOCK)[504]
            data += BLOCK
    for key in (b"GNU.sparse.realsize", b"GNU.sparse.size"):
        whole = _decimal(fields[key]) if key in fields else whole
    if kind in BARE or (kind == LINKS and not _has_data(source, data, size)):
        size = whole = 0
    if data + size > source.size:
        raise Refused(Why.DAMAGED)
    name = fields.get(b"GNU.sparse.name", fields.get(b"path", _name(header)))
    link = fields.get(b"linkpath", header[157:257].split(b"\0")[0])
    plain = kind != SPARSE and b"size" not in fields and whole == size
    return Entry(start, at, data, size, kind, name, link, whole, plain)


def _has_data(source: Source, data: int, size: int) -> bool:
    """Whether bytes follow a hard link that tells a size: some archivers store them again, most do not."""
    following = source.upto(data, BLOCK)
    return bool(size) and any(following) and not is_header(following)


def is_header(block: bytes) -> bool:
    """Whether the checksum of this block is that of a header."""
    try:
        told = int(block[148:156].strip(b" \0") or b"0", 8)
    except ValueError:
        return False
    return len(block) == BLOCK and told == _sum(block)


def _sum(block: bytes | bytearray) -> int:
    return sum(block[:148]) + 8 * 32 + sum(block[156:])


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        if field[0] != 0x80:
            raise Refused(Why.DAMAGED)
        return int.from_bytes(field[1:], "big")
    try:
        number = int(field.strip(b" \0").split(b"\0")[0] or b"0", 8)
    except ValueError:
        raise Refused(Why.DAMAGED) from None
    if number < 0:
        raise Refused(Why.DAMAGED)
    return number


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 18:
        raise Refused(Why.DAMAGED)
    return int(text)


def _name(header: bytes) -> bytes:
    name = header[:100].split(b"\0")[0]
    prefix = header[345:500].split(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _pax(data: bytes) -> dict[bytes, bytes]:
    """Records "<length> <key>=<value>\\n"."""
    fields: dict[bytes, bytes] = {}
    at = 0
    while at < len(data) and data[at]:
        space = data.find(b" ", at, at + 20)
        if space < 0 or not data[at:space].isdigit():
            raise Refused(Why.DAMAGED)
        end = at + int(data[at:space])
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end <= space or end > len(data) or not equals:
            raise Refused(Why.DAMAGED)
        fields[key] = value
        at = end
    return fields


def _first_data(source: Source, at: int) -> int:
    """The first block from *at* on that is not all zeros; the end of the file when there is none."""
    while at < source.size:
        data = source.read(at, min(CHUNK, source.size - at))
        kept = data.lstrip(b"\0")
        if kept:
            return at + (len(data) - len(kept))
        at += len(data)
    return source.size

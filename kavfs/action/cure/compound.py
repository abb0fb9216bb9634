"""Compound files (OLE2) changed where they lie: storages are taken out, bytes of streams are set, nothing moves.

    compound = Compound(source)                              raises Refused for what is damaged or unusual
    compound.take_out(entry)                                 unlinked, its sectors zeroed and freed
    compound.set(stream, at, data)                           bytes of a stream; its length stays
    pieces = compound.pieces()

The scanner's reading of it (ext/ole/cfb.h) leads as far as it can; here everything must be in order: each sector has
one owner, every chain its end, so that nothing that is zeroed belongs to anything else.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from kavfs.action.cure.pieces import Pieces, Source
from kavfs.action.cure.refused import Refused, Why

MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")
HEADER = 512
FREE, END = 0xFFFFFFFF, 0xFFFFFFFE
LAST = 0xFFFFFFFA  # larger numbers are no sectors
NONE = 0xFFFFFFFF  # no entry
MINI, CUTOFF = 64, 4096
ENTRY = 128
ENTRIES_MAX = 1 << 17
SIZE_MAX = 1 << 30  # bytes of a document
STORAGE, STREAM, ROOT = 1, 2, 5
COLOUR, LEFT, RIGHT, CHILD = 67, 68, 72, 76  # places in an entry
BLACK = b"\1"
UNUSED = bytes(LEFT) + b"\xff" * 12 + bytes(ENTRY - CHILD - 4)


@dataclass(slots=True, eq=False)
class Entry:
    number: int
    name: str
    kind: int
    left: int
    right: int
    child: int
    start: int
    size: int
    parent: int = NONE
    inside: list[Entry] = field(default_factory=list)

    def named(self, *names: str) -> bool:
        return self.name.upper() in names

    def find(self, *names: str) -> Entry | None:
        return next((entry for entry in self.inside if entry.named(*names)), None)


class Compound:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._changed: dict[int, bytearray] = {}  # sector, -1 = what stands before sector 0 -> its new bytes
        head = source.read(0, HEADER)
        shift, mini_shift = struct.unpack_from("<HH", head, 30)
        cutoff = struct.unpack_from("<I", head, 56)[0]
        if head[:8] != MAGIC or head[28:30] != b"\xfe\xff":
            raise Refused(Why.DAMAGED)
        if shift not in (9, 12) or mini_shift != 6 or cutoff != CUTOFF or source.size > SIZE_MAX:
            raise Refused(Why.ODD)
        self.sector: int = 1 << shift
        self._wide = shift == 12
        self._count = -(-(source.size - self.sector) // self.sector)
        if self._count <= 0:
            raise Refused(Why.DAMAGED)
        self._owned = bytearray(self._count)
        self._fat_places = self._find_fat(head)
        self._fat = self._load_table(self._fat_places)
        directory, minifat = struct.unpack_from("<I", head, 48)[0], struct.unpack_from("<I", head, 60)[0]
        self._directory = self._chain(directory)
        self._minifat_places = self._chain(minifat)
        self._minifat = self._load_table(self._minifat_places)
        self._entries = self._read_entries()
        self.root = self._entries[0]
        self._mini_places = self._chain(self.root.start) if self.root.size else []
        self._mini_owned = bytearray(len(self._mini_places) * (self.sector // MINI))
        self._read_tree()
        self._chains = {e.number: self._chain_of(e) for e in self.all() if e.kind == STREAM}

    # ---- reading ------------------------------------------------------------------------------------------------

    def all(self) -> Iterator[Entry]:
        """Everything that the tree leads to, the root first, parents before what is in them."""
        waiting = [self.root]
        while waiting:
            entry = waiting.pop()
            yield entry
            waiting += reversed(entry.inside)

    def parent(self, entry: Entry) -> Entry:
        return self._entries[entry.parent]

    def path(self, entry: Entry) -> bytes:
        """As the scanner names it (kav_cfb_path), without the root."""
        names = []
        while entry.number != 0:
            names.append(entry.name)
            entry = self.parent(entry)
        return "/".join(reversed(names)).encode("utf-8", "surrogatepass")

    def read(self, stream: Entry, at: int, count: int) -> bytes:
        """Bytes of a stream as they are now; Refused beyond its end."""
        return b"".join(bytes(self._bytes(where, length)) for where, length in self._stretches(stream, at, count))

    # ---- changing -----------------------------------------------------------------------------------------------

    def set(self, stream: Entry, at: int, data: bytes) -> None:
        for where, length in self._stretches(stream, at, len(data)):
            self._put(where, data[:length])
            data = data[length:]

    def take_out(self, entry: Entry) -> None:
        """A storage with all that is in it, or a stream."""
        self._unlink(entry)
        waiting = [entry]
        while waiting:
            gone = waiting.pop()
            waiting += gone.inside
            if gone.kind == STREAM:
                self._free(gone)
            self._put(self._place(gone.number), UNUSED)

    def pieces(self) -> Pieces:
        pieces: Pieces = []
        at = 0
        for sector in sorted(self._changed):
            start = (sector + 1) * self.sector
            pieces += [self._source.part(at, start), bytes(self._changed[sector])]
            at = start + len(self._changed[sector])
        return [*pieces, self._source.part(at, self._source.size)]

    # ---- parts --------------------------------------------------------------------------------------------------

    def _own(self, sector: int) -> int:
        if sector >= self._count or self._owned[sector]:
            raise Refused(Why.DAMAGED if sector >= self._count else Why.ODD)
        self._owned[sector] = 1
        return sector

    def _find_fat(self, head: bytes) -> list[int]:
        count, follows, more = struct.unpack_from("<I", head, 44)[0], *struct.unpack_from("<II", head, 68)
        places = [place for place in struct.unpack_from("<109I", head, 76) if place < LAST]
        for _ in range(more):
            if follows >= LAST:
                break
            row = struct.unpack(
                f"<{self.sector // 4}I", self._source.read((self._own(follows) + 1) * self.sector, self.sector)
            )
            places += [place for place in row[:-1] if place < LAST]
            follows = row[-1]
        if len(places) < count or count > self._count:
            raise Refused(Why.DAMAGED)
        return [self._own(place) for place in places[:count]]

    def _load_table(self, places: list[int]) -> array[int]:
        table = array("I")
        for place in places:
            table.frombytes(self._source.read((place + 1) * self.sector, self.sector))
        if sys.byteorder == "big":
            table.byteswap()
        return table

    def _chain(self, start: int) -> list[int]:
        """The sectors of a chain, each of which gets its owner."""
        chain: list[int] = []
        while start < LAST:
            chain.append(self._own(start))
            if start >= len(self._fat):
                raise Refused(Why.DAMAGED)
            start = self._fat[start]
        if start != END and (chain or start != FREE):
            raise Refused(Why.DAMAGED)
        return chain

    def _mini_chain(self, start: int) -> list[int]:
        chain: list[int] = []
        while start < LAST:
            if start >= len(self._mini_owned) or start >= len(self._minifat):
                raise Refused(Why.DAMAGED)
            if self._mini_owned[start]:
                raise Refused(Why.ODD)
            self._mini_owned[start] = 1
            chain.append(start)
            start = self._minifat[start]
        if start != END:
            raise Refused(Why.DAMAGED)
        return chain

    def _chain_of(self, stream: Entry) -> list[int]:
        if not stream.size:
            return []
        mini = stream.size < CUTOFF
        chain = self._mini_chain(stream.start) if mini else self._chain(stream.start)
        if len(chain) * (MINI if mini else self.sector) < stream.size:
            raise Refused(Why.DAMAGED)
        return chain

    def _read_entries(self) -> list[Entry]:
        entries: list[Entry] = []
        if not self._directory or len(self._directory) * self.sector > ENTRIES_MAX * ENTRY:
            raise Refused(Why.ODD if self._directory else Why.DAMAGED)
        for place in self._directory:
            data = self._source.read((place + 1) * self.sector, self.sector)
            for at in range(0, self.sector, ENTRY):
                entries.append(self._entry(len(entries), data[at : at + ENTRY]))
        if entries[0].kind != ROOT:
            raise Refused(Why.DAMAGED)
        return entries

    def _entry(self, number: int, data: bytes) -> Entry:
        length, kind = struct.unpack_from("<HB", data, 64)
        left, right, child = struct.unpack_from("<III", data, LEFT)
        start, size = struct.unpack_from("<IQ", data, 116)
        name = data[: 2 * max(0, (min(length, 64) - 1) // 2)].decode("utf-16-le", "surrogatepass").partition("\0")[0]
        return Entry(number, name, kind, left, right, child, start, size if self._wide else size & 0xFFFFFFFF)

    def _read_tree(self) -> None:
        seen = {0}
        storages = [self.root]
        while storages:
            storage = storages.pop()
            waiting = [storage.child]
            while waiting:
                number = waiting.pop()
                if number == NONE:
                    continue
                if number >= len(self._entries) or number in seen:
                    raise Refused(Why.DAMAGED)
                seen.add(number)
                entry = self._entries[number]
                if entry.kind not in (STORAGE, STREAM):
                    raise Refused(Why.DAMAGED)
                entry.parent = storage.number
                storage.inside.append(entry)
                waiting += [entry.right, entry.left]
                if entry.kind == STORAGE:
                    storages.append(entry)

    def _unlink(self, entry: Entry) -> None:
        """Out of the tree of its siblings, which stay in order. All become black, which MS-CFB allows and which is
        right whatever the tree looks like then."""
        storage = self._entries[entry.parent]
        if entry.left != NONE and entry.right != NONE:
            last = self._entries[entry.left]
            while last.right != NONE:
                last = self._entries[last.right]
            self._link(last, RIGHT, entry.right)
        heir = entry.left if entry.left != NONE else entry.right
        storage.inside.remove(entry)
        if storage.child == entry.number:
            self._link(storage, CHILD, heir)
        for sibling in storage.inside:
            if sibling.left == entry.number:
                self._link(sibling, LEFT, heir)
            elif sibling.right == entry.number:
                self._link(sibling, RIGHT, heir)
            self._put(self._place(sibling.number) + COLOUR, BLACK)

    def _link(self, entry: Entry, which: int, number: int) -> None:
        setattr(entry, {LEFT: "left", RIGHT: "right", CHILD: "child"}[which], number)
        self._put(self._place(entry.number) + which, struct.pack("<I", number))

    def _free(self, stream: Entry) -> None:
        mini = stream.size < CUTOFF
        places = self._minifat_places if mini else self._fat_places
        for number in self._chains.pop(stream.number):
            self._put(self._unit(mini, number), bytes(MINI if mini else self.sector))
            table, index = divmod(number, self.sector // 4)
            self._put((places[table] + 1) * self.sector + 4 * index, struct.pack("<I", FREE))

    def _place(self, number: int) -> int:
        """Where in the file an entry of the directory stands."""
        at, index = divmod(number, self.sector // ENTRY)
        return (self._directory[at] + 1) * self.sector + ENTRY * index

    def _unit(self, mini: bool, number: int) -> int:
        if not mini:
            return (number + 1) * self.sector
        at, index = divmod(number, self.sector // MINI)
        return (self._mini_places[at] + 1) * self.sector + MINI * index

    def _stretches(self, stream: Entry, at: int, count: int) -> Iterator[tuple[int, int]]:
        """Where in the file these bytes of a stream lie."""
        if at < 0 or count < 0 or at + count > stream.size:
            raise Refused(Why.DAMAGED)
        mini = stream.size < CUTOFF
        unit = MINI if mini else self.sector
        chain = self._chains[stream.number]
        while count > 0:
            index, within = divmod(at, unit)
            length = min(unit - within, count)
            yield self._unit(mini, chain[index]) + within, length
            at += length
            count -= length

    def _load(self, where: int) -> tuple[bytearray | None, int]:
        sector, within = divmod(where, self.sector)
        return self._changed.get(sector - 1), within

    def _bytes(self, where: int, count: int) -> bytes:
        held, within = self._load(where)
        return bytes(held[within : within + count]) if held is not None else self._source.read(where, count)

    def _put(self, where: int, data: bytes) -> None:
        """Set bytes of one sector. The last one may be short: what is not there is not written."""
        held, within = self._load(where)
        if held is None:
            sector = where // self.sector - 1
            held = self._changed[sector] = bytearray(self._source.upto((sector + 1) * self.sector, self.sector))
        held[within : within + len(data)] = data[: max(0, len(held) - within)]


def empty() -> bytes:
    """A compound file with nothing in it."""
    head = MAGIC + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<IIIIIIIII", 0, 1, 1, 0, CUTOFF, END, 0, END, 0) + struct.pack("<I", 0)
    head = head.ljust(HEADER, b"\xff")
    fat = struct.pack("<II", 0xFFFFFFFD, END).ljust(HEADER, b"\xff")
    name = "Root Entry".encode("utf-16-le")
    root = name.ljust(64, b"\0") + struct.pack("<HBBIII", len(name) + 2, ROOT, 1, NONE, NONE, NONE)
    root += bytes(36) + struct.pack("<IQ", END, 0)
    return head + fat + root + 3 * UNUSED

"""Compound files (OLE2) and VBA projects made by ourselves, and as wrong as a test wants them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

FREE, END, FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")
CUTOFF = 4096

Tree = dict[str, "bytes | Tree"]


def _padded(data: bytes, size: int) -> bytes:
    return data + bytes(-len(data) % size)


@dataclass
class _Entry:
    name: str
    kind: int
    start: int = END
    size: int = 0
    left: int = FREE
    right: int = FREE
    child: int = FREE

    def packed(self) -> bytes:
        name = self.name.encode("utf-16-le")
        links = struct.pack("<BBIII", self.kind, 1, self.left, self.right, self.child)
        head = name.ljust(64, b"\0") + struct.pack("<H", len(name) + 2) + links
        return head + bytes(36) + struct.pack("<IQ", self.start, self.size)


@dataclass
class Compound:
    """A compound file with these storages and streams; what is to lie about it is set before `build`."""

    tree: Tree
    sector: int = 512
    fat_lies: dict[int, int] = field(default_factory=dict)  # sector -> what is said to follow
    entry_lies: dict[str, dict[str, int]] = field(default_factory=dict)  # name -> field -> value
    entries: list[_Entry] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)  # sectors
    fat: list[int] = field(default_factory=list)
    mini: bytes = b""
    minifat: list[int] = field(default_factory=list)

    def build(self) -> bytes:
        self.entries, self.body, self.fat = [_Entry("Root Entry", 5)], [], []
        self.mini, self.minifat = b"", []
        self._add(self.tree, 0)
        self.entries[0].start, self.entries[0].size = self._chain(self.mini), len(self.mini)
        minifat = self._chain(struct.pack(f"<{len(self.minifat)}I", *self.minifat), FREE)
        minifat_count = -(-4 * len(self.minifat) // self.sector)
        for e in self.entries:
            for name, value in self.entry_lies.get(e.name, {}).items():
                setattr(e, name, value)
        table = b"".join(e.packed() for e in self.entries)
        directory = self._chain(table)
        return self._finish(directory, minifat, minifat_count)

    def _add(self, tree: Tree, parent: int) -> None:
        """Siblings hang together as a list: allowed, and simple."""
        before: int | None = None
        for name, content in tree.items():
            index = len(self.entries)
            if before is None:
                self.entries[parent].child = index
            else:
                self.entries[before].right = index
            before = index
            if isinstance(content, dict):
                self.entries.append(_Entry(name, 1))
                self._add(content, index)
            else:
                self.entries.append(_Entry(name, 2, self._place(content), len(content)))

    def _place(self, content: bytes) -> int:
        if not content:
            return END
        if len(content) >= CUTOFF:
            return self._chain(content)
        start, count = len(self.minifat), -(-len(content) // 64)
        self.minifat += [start + i + 1 for i in range(count - 1)] + [END]
        self.mini += _padded(content, 64)
        return start

    def _chain(self, content: bytes, filler: int = 0) -> int:
        if not content:
            return END
        start = len(self.body)
        sectors = [content[i : i + self.sector] for i in range(0, len(content), self.sector)]
        self.body += [s.ljust(self.sector, b"\xff" if filler else b"\0") for s in sectors]
        self.fat += [start + i + 1 for i in range(len(sectors) - 1)] + [END]
        return start

    def _finish(self, directory: int, minifat: int, minifat_count: int) -> bytes:
        each = self.sector // 4
        places: list[int] = []
        extra = 0  # DIFAT sectors
        while len(self.fat) + len(places) + extra > len(places) * each:
            places.append(len(self.fat) + len(places))
            extra = max(0, -(-(len(places) - 109) // (each - 1)))
        first_extra = len(self.fat) + len(places)
        places = [len(self.fat) + i for i in range(len(places))]
        fat = self.fat + [FAT] * len(places) + [0xFFFFFFFC] * extra
        for sector, follows in self.fat_lies.items():
            fat[sector] = follows
        fat += [FREE] * (len(places) * each - len(fat))
        body = b"".join(self.body) + struct.pack(f"<{len(fat)}I", *fat)
        rest = places[109:]
        for i in range(extra):
            row = rest[i * (each - 1) : (i + 1) * (each - 1)]
            row += [FREE] * (each - 1 - len(row)) + [first_extra + i + 1 if i + 1 < extra else END]
            body += struct.pack(f"<{each}I", *row)
        shift = self.sector.bit_length() - 1
        head = MAGIC + bytes(16) + struct.pack("<HHHHH", 0x3E, 3 if shift == 9 else 4, 0xFFFE, shift, 6) + bytes(10)
        head += struct.pack("<IIII", len(places), directory, 0, CUTOFF)
        head += struct.pack("<IIII", minifat, minifat_count, first_extra if extra else END, extra)
        head += struct.pack("<109I", *(places + [FREE] * 109)[:109])
        return head.ljust(self.sector, b"\0") + body


def compound(tree: Tree, sector: int = 512) -> bytes:
    return Compound(tree, sector).build()


# --- VBA ---------------------------------------------------------------------------------------------------------


def _bits(made: int) -> int:
    bits = 4
    while 1 << bits < made:
        bits += 1
    return bits


def _chunk(data: bytes) -> bytes:
    """Copies are taken from the nearest place that has the next three bytes and more."""
    out, at = b"", 0
    while at < len(data):
        flags, group = 0, b""
        for i in range(8):
            if at >= len(data):
                break
            bits = _bits(at)
            longest = min((0xFFFF >> bits) + 3, len(data) - at)
            found = data.rfind(data[at : at + 3], 0, at + 2) if longest >= 3 else -1
            if found < 0 or at == 0 or found >= at:
                group += data[at : at + 1]
                at += 1
                continue
            length = 3
            while length < longest and data[found + length] == data[at + length]:
                length += 1
            flags |= 1 << i
            group += struct.pack("<H", (at - found - 1) << (16 - bits) | length - 3)
            at += length
        out += bytes([flags]) + group
    return struct.pack("<H", 0xB000 | len(out) - 1) + out


def packed(data: bytes) -> bytes:
    """Data as VBA packs it."""
    return b"\1" + b"".join(_chunk(data[i : i + 4096]) for i in range(0, len(data), 4096))


def stored(data: bytes) -> bytes:
    """The same in chunks that are not packed."""
    rows = [data[i : i + 4096] for i in range(0, len(data), 4096)]
    return b"\1" + b"".join(
        struct.pack("<H", 0x3000 | len(r.ljust(4096, b" ")) - 1) + r.ljust(4096, b" ") for r in rows
    )


def _record(number: int, content: bytes) -> bytes:
    return struct.pack("<HI", number, len(content)) + content


def _named(number: int, twin: int, name: str) -> bytes:
    return _record(number, name.encode("cp1252")) + _record(twin, name.encode("utf-16-le"))


def directory(modules: dict[str, int]) -> bytes:
    """The records of a project: module -> offset of its source."""
    out = (
        _record(1, struct.pack("<I", 1))
        + _record(2, struct.pack("<I", 0x409))
        + _record(0x14, struct.pack("<I", 0x409))
    )
    out += _record(3, struct.pack("<H", 1252)) + _record(4, b"VBAProject") + _named(5, 0x40, "")
    out += _named(6, 0x3D, "") + _record(7, bytes(4)) + _record(8, bytes(4))
    out += struct.pack("<HIIH", 9, 4, 1467127224, 6) + _record(0x0C, b"") + _record(0x3C, b"")
    out += _record(0x0F, struct.pack("<H", len(modules))) + _record(0x13, b"\xff\xff")
    for name, offset in modules.items():
        out += _named(0x19, 0x47, name) + _named(0x1A, 0x32, name) + _named(0x1C, 0x48, "")
        out += _record(0x31, struct.pack("<I", offset)) + _record(0x1E, bytes(4)) + _record(0x2C, b"\xff\xff")
        out += _record(0x21, b"") + _record(0x2B, b"")
    return out + _record(0x10, b"")


def compiled(modules: dict[str, int]) -> bytes:
    """A "_VBA_PROJECT" as Office keeps it, as far as others read it."""
    out = b"\xcc\x61" + struct.pack("<HBHHHH", 0x97, 0, 0, 0x409, 0, 0).ljust(32, b"\0")
    reference = "*\\G{000204EF-0000-0000-C000-000000000046}#4.2#9#C:\\VBE7.DLL#Visual Basic For Applications"
    out += struct.pack("<H", 2 * len(reference)) + reference.encode("utf-16-le") + bytes(12)
    out += b"\0\0\xff\xff" + struct.pack("<HH", 0xFFFF, 0xFFFF) + bytes(100) + struct.pack("<H", len(modules))
    for name, offset in modules.items():
        wide = name.encode("utf-16-le")
        out += struct.pack("<H", len(wide)) + wide + struct.pack("<H", 0) + struct.pack("<H", 0) + bytes(10)
        out += struct.pack("<H", 0) + bytes(5) + struct.pack("<I", offset) + bytes(2)
    return out + bytes(64)


def project(modules: dict[str, bytes], compiled_too: bool = True, before: int = 21) -> Tree:
    """The storage "VBA" with these modules; `before` bytes of compiled code stand before each source."""
    offsets = dict.fromkeys(modules, before)
    tree: Tree = {"dir": packed(directory(offsets))}
    for name, source in modules.items():
        tree[name] = bytes(before) + packed(source)
    tree["_VBA_PROJECT"] = compiled(offsets) if compiled_too else b"\xcc\x61\xff\xff\0\0\0"
    return tree


def package(name: bytes, content: bytes) -> bytes:
    """A stream "\\1Ole10Native" that holds a file."""
    inner = struct.pack("<H", 2) + name + b"\0C:\\" + name + b"\0" + struct.pack("<HHI", 0, 3, 5) + b"C:\\x\0"
    inner += struct.pack("<I", len(content)) + content
    return struct.pack("<I", len(inner)) + inner


def object_of_rtf(kind: bytes, data: bytes) -> bytes:
    """An OLE 1 stream: what the digits of an RTF object stand for."""
    texts = struct.pack("<I", len(kind) + 1) + kind + b"\0" + bytes(8)
    return struct.pack("<II", 0x501, 2) + texts + struct.pack("<I", len(data)) + data


def rtf(content: bytes, width: int = 64) -> bytes:
    """A text with these bytes as the data of an object."""
    digits = content.hex().encode()
    lines = b"\r\n".join(digits[i : i + width] for i in range(0, len(digits), width))
    head = b"{\\rtf1\\ansi Text before {\\object\\objemb\\objw100{\\*\\objclass Package}{\\*\\objdata "
    return head + lines + b"}{\\result nothing}} and after.}"

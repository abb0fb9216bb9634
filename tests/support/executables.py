"""Programs made by hand: PE, ELF and Mach-O files with fields of one's choice, which no processor ever runs."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CODE = 0x60000020  # flags of a section: code, executable, readable
DATA = 0xC0000040  # data, readable, writable
ALIGNMENT, SECTOR = 0x1000, 0x200


@dataclass(frozen=True)
class Part:
    """A section: what stands in it, and what its header says where that is not the truth."""

    name: bytes
    data: bytes
    flags: int = CODE
    virtual: int | None = None
    raw: int | None = None
    size: int | None = None


def up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def pe(
    sections: Sequence[Part] = (Part(b".text", b"\x90" * 64),),
    *,
    entry: int = ALIGNMENT,
    wide: bool = False,
    directories: dict[int, tuple[int, int]] | None = None,
    overlay: bytes = b"",
    count: int | None = None,
    stub: int = 64,
) -> bytes:
    """A PE file. *entry*: relative address; *directories*: number -> (relative address, size)."""
    rows = b"".join(struct.pack("<II", *(directories or {}).get(i, (0, 0))) for i in range(16))
    fields = struct.pack("<HBB9I", 0x20B if wide else 0x10B, 14, 0, 0, 0, 0, entry, ALIGNMENT, 0, 0, ALIGNMENT, SECTOR)
    optional = fields + struct.pack("<6H4I2H", 6, 0, 0, 0, 6, 0, 0, 0x10000, SECTOR * 2, 0, 3, 0)
    optional += struct.pack("<4Q2I" if wide else "<4I2I", 0, 0, 0, 0, 0, 16) + rows
    machine = 0x8664 if wide else 0x14C
    head = b"PE\0\0" + struct.pack(
        "<HHIIIHH", machine, len(sections) if count is None else count, 0, 0, 0, len(optional), 2
    )
    file = b"MZ" + bytes(58) + struct.pack("<I", stub) + bytes(stub - 64) + head + optional
    raw, rva, headers, bodies = up(len(file) + 40 * len(sections), SECTOR), ALIGNMENT, b"", b""
    first = raw
    for part in sections:
        size = up(len(part.data), SECTOR)
        numbers = (
            len(part.data) if part.virtual is None else part.virtual,
            rva,
            size if part.size is None else part.size,
            raw if part.raw is None else part.raw,
        )
        headers += part.name.ljust(8, b"\0") + struct.pack("<4I12xI", *numbers, part.flags)
        bodies += part.data.ljust(size, b"\0")
        raw += size
        rva += up(max(len(part.data), 1), ALIGNMENT)
    return (file + headers).ljust(first, b"\0") + bodies + overlay


def imports(at: int, libraries: Mapping[bytes, Sequence[bytes | int]]) -> bytes:
    """An import table for a section at a relative address; a number is imported by ordinal."""
    lists = 20 * (len(libraries) + 1)
    names_at = lists + sum(4 * (len(functions) + 1) for functions in libraries.values())
    descriptors, thunks, names = b"", b"", b""
    for library, functions in libraries.items():
        thunk = at + lists + len(thunks)
        for function in functions:
            if isinstance(function, int):
                thunks += struct.pack("<I", 0x80000000 | function)
                continue
            thunks += struct.pack("<I", at + names_at + len(names))
            names += b"\0\0" + function + b"\0"
        thunks += bytes(4)
        descriptors += struct.pack("<5I", thunk, 0, 0, at + names_at + len(names), thunk)
        names += library + b"\0"
    return descriptors + bytes(20) + thunks + names + bytes(300)


def version_resource(at: int, strings: dict[str, str]) -> bytes:
    """A section of resources at a relative address that holds version information."""

    def block(key: str, value: bytes, children: bytes = b"", words: int | None = None) -> bytes:
        head = key.encode("utf-16-le") + b"\0\0"
        head += bytes(-(6 + len(head)) % 4) + value
        body = head + bytes(-(6 + len(head)) % 4) + children
        length = len(value) if words is None else words
        return struct.pack("<HHH", 6 + len(body), length, 1) + body

    rows = b""
    for key, text in strings.items():
        value = text.encode("utf-16-le") + b"\0\0"
        row = block(key, value, words=len(text) + 1)
        rows += row + bytes(-len(row) % 4)
    fixed = struct.pack("<I", 0xFEEF04BD) + bytes(0x30)
    info = block("VS_VERSION_INFO", fixed, block("StringFileInfo", b"", block("040904B0", b"", rows)))
    root = bytes(12) + struct.pack("<HH", 0, 1) + struct.pack("<II", 16, 0x80000018)
    name = bytes(12) + struct.pack("<HH", 0, 1) + struct.pack("<II", 1, 0x80000030)
    language = bytes(12) + struct.pack("<HH", 0, 1) + struct.pack("<II", 1033, 0x48)
    return root + name + language + struct.pack("<4I", at + 0x58, len(info), 0, 0) + info


def elf(*, wide: bool = True, big: bool = False, entry: int = 0x1010, base: int = 0x1000, size: int = 0x100) -> bytes:
    """An ELF file with one segment, at *base* in memory and 0x200 in the file, and two sections."""
    order = ">" if big else "<"
    word = "Q" if wide else "I"
    header = 64 if wide else 52
    segment, section = (56, 64) if wide else (32, 40)
    at = header + segment
    ident = b"\x7fELF" + bytes([2 if wide else 1, 2 if big else 1, 1]) + bytes(9)
    file = ident + struct.pack(
        f"{order}HHI3{word}I6H", 2, 3, 1, entry, header, at, 0, header, segment, 1, section, 2, 0
    )
    if wide:
        file += struct.pack(f"{order}II6Q", 1, 5, 0x200, base, base, size, size, 4096)
    else:
        file += struct.pack(f"{order}8I", 1, 0x200, base, base, size, size, 5, 4096)
    for rva, raw, length in ((0, 0, 0), (base, 0x200, size)):
        file += struct.pack(f"{order}II4{word}II2{word}", 0, 1, 0, rva, raw, length, 0, 0, 0, 0)
    return file.ljust(0x200, b"\0") + b"\xcc" * size


def macho(*, wide: bool = True, big: bool = False, data: bytes = b"\xcc" * 64, sections: int = 1) -> bytes:
    """A Mach-O file with one segment, whose sections all stand at 0x400 in the file."""
    order = ">" if big else "<"
    word = "Q" if wide else "I"
    file = struct.pack(f"{order}7I", 0xFEEDFACF if wide else 0xFEEDFACE, 7 | (0x1000000 if wide else 0), 3, 2, 1, 0, 0)
    file += bytes(4 if wide else 0)
    rows = b"".join(
        b"__text".ljust(16, b"\0")
        + b"__TEXT".ljust(16, b"\0")
        + struct.pack(
            f"{order}2{word}{'8I' if wide else '7I'}", 0x1000, len(data), 0x400, 2, *([0] * (6 if wide else 5))
        )
        for _ in range(sections)
    )
    segment = b"__TEXT".ljust(16, b"\0") + struct.pack(
        f"{order}4{word}4I", 0x1000, 0x1000, 0, 0x1000, 7, 5, sections, 0
    )
    file += struct.pack(f"{order}II", 0x19 if wide else 1, 8 + len(segment) + len(rows)) + segment + rows
    return file.ljust(0x400, b"\0") + data


def fat(parts: Sequence[bytes], *, wide: bool = False, big: bool = True) -> bytes:
    """A Mach-O file for several processors."""
    order = ">" if big else "<"
    magic = 0xCAFEBABF if wide else 0xCAFEBABE
    file, bodies, at = struct.pack(f"{order}II", magic, len(parts)), b"", 0x1000
    for number, part in enumerate(parts):
        form = f"{order}IIQQII" if wide else f"{order}5I"
        numbers = (7 + number, 3, at, len(part), 12) + ((0,) if wide else ())
        file += struct.pack(form, *numbers)
        padded = part.ljust(up(len(part), 0x1000), b"\0")
        bodies += padded
        at += len(padded)
    return file.ljust(0x1000, b"\0") + bodies

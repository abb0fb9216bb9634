"""Small executables, whole enough for their headers to be read: PE with version information, ELF, Mach-O.

Each is filled with markers, so that a signature can ask for what stands at the entry point or in a section.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

ALIGNMENT = 0x200
PAGE = 0x1000
BASE = 0x400000
PE_SECTION = 0x80000000


def marked(mark: bytes, length: int) -> bytes:
    """*length* bytes that begin with *mark* and hold it again at 0x40 from the end."""
    body = bytearray(bytes([len(mark)]) * length)
    body[: len(mark)] = mark
    body[length - 0x40 : length - 0x40 + len(mark)] = mark
    return bytes(body)


def pe(bodies: Sequence[bytes], entry: int = 0x10, resources: int | None = None, overlay: bytes = b"") -> bytes:
    """A 32-bit PE with a section for each body; *entry*: bytes behind the beginning of the first one; *resources*:
    which section holds the resources (see :func:`version`)."""
    count = len(bodies)
    directories = [(0, 0)] * 16
    if resources is not None:
        directories[2] = (PAGE * (resources + 1), len(bodies[resources]))
    optional = struct.pack(
        "<HBBIIIIIIIIIHHHHHHIIIIHHIIIIII",
        *(0x10B, 9, 0, 0x200, 0, 0, PAGE + entry, PAGE, PAGE, BASE, PAGE, ALIGNMENT, 4, 0, 0, 0, 4, 0, 0),
        *(PAGE * (count + 1), 0x400, 0, 3, 0, 0x100000, PAGE, 0x100000, PAGE, 0, 16),
    ) + b"".join(struct.pack("<II", *directory) for directory in directories)
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x80)
    head = head.ljust(0x80, b"\0") + b"PE\0\0"
    head += struct.pack("<HHIIIHH", 0x14C, count, 0, 0, 0, len(optional), 0x103) + optional
    data, raw = b"", 0x400
    for i, body in enumerate(bodies):
        padded = body.ljust(-(-len(body) // ALIGNMENT) * ALIGNMENT, b"\0")
        head += struct.pack(
            "<8sIIIIIIHHI", b".s%d" % i, len(body), PAGE * (i + 1), len(padded), raw, 0, 0, 0, 0, 0x60000020
        )
        data += padded
        raw += len(padded)
    return head.ljust(0x400, b"\0") + data + overlay


def _block(key: bytes, value: bytes, inside: bytes = b"", *, text: bool = False) -> bytes:
    """A node of version information: lengths, key in UTF-16, value and children, each at a multiple of 4."""
    wide = key.decode().encode("utf-16-le") + b"\0\0"
    head = wide.ljust(-(-(6 + len(wide)) // 4) * 4 - 6, b"\0")
    filled = value.ljust(-(-len(value) // 4) * 4, b"\0") if inside else value
    length = 6 + len(head) + len(filled) + len(inside)
    return struct.pack("<HHH", length, len(value) // 2 if text else len(value), int(text)) + head + filled + inside


def _joined(blocks: Sequence[bytes]) -> bytes:
    return b"".join(block.ljust(-(-len(block) // 4) * 4, b"\0") for block in blocks)


def version(strings: dict[bytes, bytes], address: int) -> bytes:
    """A section of resources that holds version information; *address*: where it will be in memory, relative."""
    rows = [_block(k, v.decode().encode("utf-16-le") + b"\0\0", text=True) for k, v in strings.items()]
    table = _block(b"040904b0", b"", _joined(rows), text=True)
    fixed = struct.pack("<IIIIIIIIIIIII", 0xFEEF04BD, 0x10000, 0, 0, 0, 0, 0, 0x3F, 0, 4, 1, 0, 0)
    info = _block(b"VS_VERSION_INFO", fixed, _block(b"StringFileInfo", b"", table, text=True))
    tree = b""
    for number, where in ((16, 0x18), (1, 0x30), (0x409, 0x48)):
        leaf = where == 0x48
        tree += struct.pack("<IIHHHH", 0, 0, 0, 0, 0, 1) + struct.pack(
            "<II", number, where | (0 if leaf else PE_SECTION)
        )
    tree += struct.pack("<IIII", address + 0x58, len(info), 0, 0)
    return tree + info


def elf(bodies: Sequence[bytes], entry: int = 0x10) -> bytes:
    """A 32-bit little-endian ELF: one segment over everything, a section for each body."""
    count, start = len(bodies), 0x100
    places, at = [], start
    for body in bodies:
        places.append(at)
        at += len(body)
    table = at
    head = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    head += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, BASE + start + entry, 52, table, 0, 52, 32, 1, 40, count, 0)
    head += struct.pack("<IIIIIIII", 1, 0, BASE, BASE, at, at, 5, PAGE)
    rows = [
        struct.pack("<IIIIIIIIII", 0, 1, 6, BASE + place, place, len(body), 0, 0, 4, 0)
        for place, body in zip(places, bodies, strict=True)
    ]
    return head.ljust(start, b"\0") + b"".join(bodies) + b"".join(rows)


def macho(bodies: Sequence[bytes], entry: int = 0x10) -> bytes:
    """A Mach-O for PowerPC (of x86 ClamAV takes no entry point): one segment with a section for each body, and a thread
    that begins at the entry point."""
    count, start = len(bodies), 0x400
    places, at = [], start
    for body in bodies:
        places.append(at)
        at += len(body)
    segment = struct.pack(">II16sIIIIiiII", 1, 56 + 68 * count, b"__TEXT", PAGE, PAGE, 0, at, 7, 5, count, 0)
    for place, body in zip(places, bodies, strict=True):
        segment += struct.pack(
            ">16s16sIIIIIIIII", b"__text", b"__TEXT", PAGE + place, len(body), place, 4, 0, 0, 0, 0, 0
        )
    thread = struct.pack(">IIII", 5, 176, 1, 40) + struct.pack(">40I", PAGE + start + entry, *[0] * 39)
    commands = segment + thread
    head = struct.pack(">IiiIIII", 0xFEEDFACE, 18, 0, 2, 2, len(commands), 0)
    return (head + commands).ljust(start, b"\0") + b"".join(bodies)

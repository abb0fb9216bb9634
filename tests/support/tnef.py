"""TNEF (winmail.dat) made by ourselves, and as wrong as a test wants it ([MS-OXTNEF], [MS-OXRTFCP])."""

from __future__ import annotations

import struct
import zlib

BODY, RENDERING, PROPERTIES, ATTACHMENT, DATA, TITLE = 0x2800C, 0x69002, 0x69003, 0x69005, 0x6800F, 0x18010
SUBJECT, VERSION = 0x18004, 0x89006
P_BODY, P_RTF, P_HTML, P_DISPLAY_NAME, P_DATA, P_FILENAME, P_LONG_NAME = (
    *(0x1000, 0x1009, 0x1013, 0x3001, 0x3701, 0x3704, 0x3707),
)  # fmt: skip
I2, LONG, BOOLEAN, OBJECT, TEXT, TIME, UNICODE, BINARY, MANY = 0x02, 0x03, 0x0B, 0x0D, 0x1E, 0x40, 0x1F, 0x102, 0x1000
MESSAGE = bytes.fromhex("0703020000000000c000000000000046")  # IID_IMessage
STORAGE = bytes.fromhex("0b00000000000000c000000000000046")  # IID_IStorage
VARIABLE = (OBJECT, TEXT, UNICODE, BINARY)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def attribute(id: int, data: bytes, *, level: int = 0, size: int | None = None, sum: int | None = None) -> bytes:
    """*size*, *sum*: what it says of its length and its sum, where that is a lie."""
    level = level or (2 if id in (RENDERING, ATTACHMENT, DATA, TITLE) else 1)
    head = struct.pack("<BII", level, id, len(data) if size is None else size)
    return head + data + struct.pack("<H", (_sum(data) if sum is None else sum) & 0xFFFF)


def _sum(data: bytes) -> int:
    return sum(data)


def value(type: int, id: int, *values: bytes, name: str | int | None = None, size: int | None = None) -> bytes:
    """A property. *name*: a number or text, of those with ids from 8000 on. *size*: said of the first value."""
    out = struct.pack("<HH", type, id)
    if name is not None:
        out += bytes(range(16))
        wide = (str(name) + "\0").encode("utf-16-le")
        out += (
            struct.pack("<II", 0, name) if isinstance(name, int) else struct.pack("<II", 1, len(wide)) + _padded(wide)
        )
    if type & ~MANY in VARIABLE:
        rows = (struct.pack("<I", len(v) if size is None else size) + _padded(v) for v in values)
        return out + struct.pack("<I", len(values)) + b"".join(rows)
    return out + (struct.pack("<I", len(values)) if type & MANY else b"") + b"".join(map(_padded, values))


def properties(*values: bytes, count: int | None = None) -> bytes:
    return struct.pack("<I", len(values) if count is None else count) + b"".join(values)


def tnef(*attributes: bytes) -> bytes:
    return struct.pack("<IH", 0x223E9F78, 1) + attribute(VERSION, struct.pack("<I", 0x10000)) + b"".join(attributes)


def attached(name: bytes, content: bytes, *more: bytes) -> bytes:
    """An attachment as Outlook orders it; *more*: properties."""
    out = attribute(RENDERING, bytes(14)) + attribute(DATA, content) + attribute(TITLE, name + b"\0")
    return out + (attribute(ATTACHMENT, properties(*more)) if more else b"")


def letter_inside(name: bytes, inner: bytes) -> bytes:
    """An enclosed letter: an attachment with an object."""
    found = properties(value(TEXT, P_DISPLAY_NAME, name + b"\0"), value(OBJECT, P_DATA, MESSAGE + inner))
    return attribute(RENDERING, bytes(14)) + attribute(ATTACHMENT, found)


WORDS = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS "
    b"Sans SerifSymbolArialTimes New "
    b"RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u"
    b"\\tab\\tx"
)


def _header(kind: bytes, contents: bytes, size: int) -> bytes:
    return struct.pack("<II4sI", len(contents) + 12, size, kind, zlib.crc32(contents, 0xFFFFFFFF) ^ 0xFFFFFFFF)


def plain_rtf(text: bytes) -> bytes:
    return _header(b"MELA", text, len(text)) + text


def packed_rtf(text: bytes, *, end: bool = True) -> bytes:
    """Copies are taken from the nearest place in the last 4096 bytes that has the next three bytes and more."""
    past, at, tokens = WORDS, 0, list[bytes]()
    while at < len(text):
        length, place = 1, -1
        while at + length < len(text) and length < 17:
            near = max(0, len(past) - 4000)
            found = past.find(text[at : at + length + 1], near)
            if found < 0:
                break
            length, place = length + 1, found
        if length < 3:
            tokens.append(text[at : at + 1])
            length = 1
        else:
            tokens.append(struct.pack(">H", (place & 4095) << 4 | length - 2))
        past += text[at : at + length]
        at += length
    if end:
        tokens.append(struct.pack(">H", (len(past) & 4095) << 4))
    out = b""
    for i in range(0, len(tokens), 8):
        group = tokens[i : i + 8]
        out += bytes([sum((len(token) == 2) << bit for bit, token in enumerate(group))]) + b"".join(group)
    return _header(b"LZFu", out, len(text)) + out

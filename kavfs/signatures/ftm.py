"""Reader of file types: ``Magic:Offset:Hex:Name:RequiredType:Type[:MinLevel[:MaxLevel]]``, one on each line.

Magic 0 compares bytes at an offset: then the layer has that type, unless what we found ourselves is one of the formats
that the type stands for, which are told apart more finely here. Magic 1 is a pattern (``??``, half bytes, alternatives,
gaps of one length) at an offset, in a range of them or anywhere in the first 1,024 bytes; it is asked of what would
otherwise be text or of no known format. What ClamAV cuts out of the middle of files by such patterns, openers find
themselves. Magic 4 is for partitions, which are not told apart here.
"""

from __future__ import annotations

import binascii
import itertools
import re
import struct

from kavfs._native.match import FORMATS
from kavfs.model import Target
from kavfs.signatures.cdb import Rows
from kavfs.signatures.filetypes import formats_of
from kavfs.signatures.lines import LATER, Rejected, Tally, check_level, number, read_lines

ROW = struct.Struct("=4Q4IHBBI")  # kav_magic in ext/match/format.h
MOST = (1 << 64) - 1
HEAD = 65536  # bytes in which a magic must lie: KAV_TYPE_HEAD
GENERAL_HEAD = 1024  # likewise a pattern
EXPANDED_MAX = 64  # patterns that alternatives may stand for

TOKEN = re.compile(rb"(?P<byte>[0-9a-fA-F?]{2})|\((?P<choice>[0-9a-fA-F?|]+)\)|\{(?P<gap>\d{1,4})\}")

TARGETS = {
    "html": Target.HTML,
    "mail": Target.MAIL,
    "mbox": Target.MAIL,
    "pe": Target.PE,
    "elf": Target.ELF,
    "macho": Target.MACHO,
    "macho-fat": Target.MACHO,
    "ole2": Target.OLE2,
    "pdf": Target.PDF,
    "flash": Target.FLASH,
    "java": Target.JAVA,
    "text": Target.TEXT,
    "script": Target.TEXT,
    **dict.fromkeys(("png", "jpeg", "gif", "bmp", "tiff"), Target.GRAPHICS),
}
"""Of formats that have one; the others are for any."""


Masked = tuple[bytes, bytes]
"""Bytes, and which of their bits count."""


def read_ftm(text: bytes, rows: Rows, tally: Tally) -> None:
    def take(line: bytes, row: int) -> None:
        fields = line.split(b":")
        if not 6 <= len(fields) <= 8:
            raise Rejected("wrong number of fields")
        magic, offset, pattern, _name, required, kind, *levels = fields
        check_level(*[number(level, "engine level") for level in levels])
        formats = formats_of(kind.decode("ascii", "replace"))
        if required != b"CL_TYPE_ANY":
            formats_of(required.decode("ascii", "replace"))
        match number(magic, "kind of magic"):
            case 0:
                at, reach, found = number(offset, "offset"), 0, [(_plain(pattern), b"")]
            case 1 if required == b"CL_TYPE_ANY":
                at, reach = _range(offset)
                found = _expand(pattern)
            case 1:
                raise Rejected(f"{LATER}file type inside of another one")
            case 4:
                raise Rejected(f"{LATER}file type of a partition")
            case _:
                raise Rejected("unknown kind of magic")
        if any(at + len(wanted) > (GENERAL_HEAD if mask else HEAD) for wanted, mask in found):
            raise Rejected(f"{LATER}file type far from the beginning")
        if not formats:
            raise Rejected(f"{LATER}file type without a format")
        format = min(formats)
        bits = sum(1 << n for n in formats)
        words = [bits >> shift & MOST for shift in range(0, 256, 64)]
        target = TARGETS.get(FORMATS[format], Target.ANY)
        for wanted, mask in found:
            where, _ = rows.keep(wanted + mask)
            rows.rows.append(ROW.pack(*words, row, at, where, len(wanted), format, target, bool(mask), reach))

    read_lines(text, take, tally)


def _plain(pattern: bytes) -> bytes:
    try:
        wanted = binascii.unhexlify(pattern)
    except ValueError:
        raise Rejected("malformed hex") from None
    if not wanted:
        raise Rejected("malformed hex")
    return wanted


def _range(offset: bytes) -> tuple[int, int]:
    """(first place, how far behind it)."""
    if offset == b"*":
        return 0, GENERAL_HEAD
    if offset.startswith((b"EOF", b"EP", b"S")):
        raise Rejected(f"{LATER}file type far from the beginning")
    first, _, reach = offset.partition(b",")
    return number(first, "offset"), min(number(reach, "offset"), GENERAL_HEAD)


def _expand(pattern: bytes) -> list[Masked]:
    """The patterns without alternatives that a pattern stands for."""
    parts: list[list[Masked]] = []
    at = count = 0
    while at < len(pattern):
        token = TOKEN.match(pattern, at)
        if token is None:
            raise Rejected(
                f"{LATER}file type by a pattern of many lengths"
                if b"{" in pattern or b"*" in pattern
                else "malformed hex"
            )
        if token["gap"]:
            parts.append([(bytes(int(token["gap"])), bytes(int(token["gap"])))])
        else:
            parts.append([_masked(word) for word in (token["byte"] or token["choice"]).split(b"|")])
        count = (count or 1) * len(parts[-1])
        if count > EXPANDED_MAX:
            raise Rejected("file type of too many alternatives")
        at = token.end()
    found = [(b"".join(w for w, _ in row), b"".join(m for _, m in row)) for row in itertools.product(*parts)]
    if any(not any(mask) for _, mask in found):
        raise Rejected("malformed hex")  # it says nothing
    return found


def _masked(word: bytes) -> Masked:
    if not word or len(word) % 2:
        raise Rejected("malformed hex")
    wanted = binascii.unhexlify(word.replace(b"?", b"0"))
    return wanted, binascii.unhexlify(re.sub(rb"[^?]", b"f", word).replace(b"?", b"0"))

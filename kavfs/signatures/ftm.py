"""Reader of file types: ``Magic:Offset:Hex:Name:RequiredType:Type[:MinLevel[:MaxLevel]]``, one on each line.

Magic 0 compares bytes at an offset: then the layer has that type, unless what we found ourselves is one of the formats
that the type stands for, which are told apart more finely here. The others (1: a pattern anywhere, 4: a partition) are
not read: what they are for is found by the openers themselves.
"""

from __future__ import annotations

import binascii
import struct

from kavfs._native.match import FORMATS
from kavfs.model import Target
from kavfs.signatures.cdb import Rows
from kavfs.signatures.filetypes import formats_of
from kavfs.signatures.lines import LATER, Rejected, Tally, check_level, number, read_lines

ROW = struct.Struct("=4Q4IHB5x")  # kav_magic in ext/match/format.h
MOST = (1 << 64) - 1
HEAD = 65536  # bytes in which a magic must lie: KAV_TYPE_HEAD

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
        if number(magic, "kind of magic") != 0:
            raise Rejected(f"{LATER}file type by pattern or partition")
        try:
            wanted = binascii.unhexlify(pattern)
        except ValueError:
            raise Rejected("malformed hex") from None
        at = number(offset, "offset")
        if not wanted:
            raise Rejected("malformed hex")
        if at + len(wanted) > HEAD:
            raise Rejected(f"{LATER}file type far from the beginning")
        if not formats:
            raise Rejected(f"{LATER}file type without a format")
        format = min(formats)
        bits = sum(1 << n for n in formats)
        words = (bits >> shift & MOST for shift in range(0, 256, 64))
        target = TARGETS.get(FORMATS[format], Target.ANY)
        rows.rows.append(ROW.pack(*words, row, at, *rows.keep(wanted), format, target))

    read_lines(text, take, tally)

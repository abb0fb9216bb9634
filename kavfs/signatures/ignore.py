"""Reader of lists of signatures that are to be silent (.ign, .ign2): a name on each line.

Also taken, as ClamAV takes them: ``file:line:Name``, where file and line are not compared; the name as it stands in a
report, with ``.UNOFFICIAL`` behind it; and ``Name:MD5``, which silences the line with this digest alone: when it is
changed, it detects again. What is named by digest is decided when databases are read: the line is left out there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from kavfs.signatures.lines import Rejected, Tally, read_lines

MARK = b".UNOFFICIAL"

Muted = tuple[bytes, str]
"""The name of a signature, and the MD5 of its line in small hexadecimal digits."""


def read_ign2(text: bytes, tally: Tally) -> tuple[list[bytes], list[Muted]]:
    """The names in *text*, and the lines that are named by digest; each once, in order."""
    names: dict[bytes, None] = {}
    muted: dict[Muted, None] = {}

    def take(line: bytes, row: int) -> None:
        fields = line.split(b":")
        if len(fields) > 3:
            raise Rejected("wrong number of fields")
        name = fields[0 if len(fields) < 3 else 2].removesuffix(MARK)
        if not name:
            raise Rejected("no name")
        if len(fields) != 2:
            names[name] = None
        elif len(fields[1]) == 32 and not fields[1].strip(b"0123456789abcdefABCDEF"):
            muted[name, fields[1].decode().lower()] = None
        else:
            raise Rejected("malformed digest")

    read_lines(text, take, tally)
    return list(names), list(muted)


def without_muted(text: bytes, muted: Iterable[Muted]) -> bytes:
    """The text of a database file with comments in place of lines that are named by digest; the others keep their
    numbers. The name only says where to look: the digest is that of the whole line, without its end."""
    spans: set[tuple[int, int]] = set()
    for name, digest in muted:
        at = text.find(name)
        while at >= 0:
            begin = text.rfind(b"\n", 0, at) + 1
            end = text.find(b"\n", at)
            end = len(text) if end < 0 else end
            line = text[begin:end].rstrip(b"\r")
            if hashlib.md5(line, usedforsecurity=False).hexdigest() == digest:
                spans.add((begin, end))
            at = text.find(name, end)
    pieces, at = [], 0
    for begin, end in sorted(spans):
        pieces += [text[at:begin], b"#"]
        at = end
    return b"".join([*pieces, text[at:]]) if spans else text

"""Names that whoever may create files could choose to deceive a report: always the same 500, none twice."""

from __future__ import annotations

import random

PIECES: tuple[bytes, ...] = (
    b"\n", b"\r\n", b"\t", b"\x1b[2J", b"\x1b]0;title\x07", b"\x7f", b"\x9b1m", b"\xff\xfe", b"\xed\xa0\x80",
    "\u202egpj.exe".encode(), "\u2028".encode(), "\u2066".encode(), "\u0301\u0301".encode(), "\U0001f9a0".encode(),
    b"$(touch owned)", b"`touch owned`", b";touch owned;", b"|touch owned", b"&&touch owned", b"'", b'"', b"\\", b"\\n",
    b"<script>alert(1)</script>", b"<img src=x onerror=alert(1)>", b"</td></tr></table>", b"</style>", b"</script>",
    b"<!--", b"-->", b"]]>", b"&lt;", b"&#0;", b"&", b"javascript:alert(1)", b"%s%n", b"%FULLPATH%", b"{{7*7}}",
    b"\nBcc: victim@example.org\n\n", b"\r\n.\r\n", b"From root", b" INFECTED Eicar", b"/srv/forged INFECTED Some.Name",
    b"=cmd()", b"-rf", b"--", b"*", b"?", b"[a-z]", b"~root", b"=?utf-8?q?x?=", b"a" * 200, b" ",
    b".", b"..x", b"OK", b"x",
)  # fmt: skip


def hostile_names(count: int = 500) -> list[bytes]:
    """Names of files, of at most 255 bytes, without a slash or a NUL."""
    chance = random.Random(5)
    names: dict[bytes, None] = {}
    for piece in PIECES:
        names[(piece + b"~").replace(b"/", b":")[:255]] = None
    while len(names) < count:
        name = b"".join(chance.choices(PIECES, k=chance.randint(2, 5))).replace(b"/", b":")[:255]
        if name.strip(b".") and name:
            names[name] = None
    return list(names)[:count]

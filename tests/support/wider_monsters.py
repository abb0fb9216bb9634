"""Monsters of a wider kind: oddities that most mail programs have met, each far more often than in other monsters."""

from __future__ import annotations

import base64
import re

from tests.support.monsters import Monster

TYPES = (
    "text/plain",
    "text/plain (a comment; x=y)",
    "(a) text/(b)html (c)",
    "application/octet-stream;;",
    "image/png ; ;",
)
ENCODINGS = ("base64", "base64", "quoted-printable", "begin-base64", "uuencode", "(a) base64 (b)", "7bit")


class WiderMonster(Monster):
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.odd = self.random.choice([0.05, 0.2])

    def named(self) -> list[bytes]:
        name = "ü a.zip".encode(self.random.choice(["utf-8", "latin-1", "utf-16"]))
        hexed = b"".join(b"%%%02x" % byte for byte in name)
        word = b"=?UTF-8?Q?=C3=BC?= =?us-ascii?b?" + base64.b64encode(b" a.zip") + b"?="
        ways = [
            b"attachment; filename*0*=utf-8''" + hexed[:6] + b'; filename*1="plain %41"; filename*2*=' + hexed[6:],
            b"attachment; filename*1*=" + hexed + b"; filename*0*=x-unknown'de'" + hexed,
            b"attachment; filename*0*=''" + hexed[:4] + b"; filename*2*=lost",
            b"attachment; filename*=utf-8''%zz%4; filename=" + word,
            b'attachment; filename="' + word + b"\"; filename*=iso-8859-1''%fc",
            b'attachment (comment; filename=no); filename = (x) "a\\"b.exe"',
        ]
        return [b"Content-Disposition: " + self.random.choice(ways)] if self.random.random() < 0.5 else []

    def leaf(self) -> bytes:
        content, encoding = self.content(), self.random.choice(ENCODINGS)
        fields = [*self.named(), b"Content-Type: " + self.random.choice(TYPES).encode()]
        if not encoding.startswith("begin"):
            fields.append(b"Content-Transfer-Encoding: " + encoding.encode())
        if self.chance():
            other = self.random.choice([b"Content-Type: text/html", b"Content-Transfer-Encoding: 8bit"])
            fields.insert(self.random.randint(0, len(fields)), other)
        return self.header(fields) + self.encoded(content, encoding)

    def encoded(self, content: bytes, encoding: str) -> bytes:
        if encoding.startswith("begin"):
            text = base64.b64encode(content)
            rows = [text[at : at + 60] for at in range(0, len(text), 60)]
            return self.lines(b"Hello,", b"begin-base64 644 file.bin", *rows, b"====", b"and more")
        text = super().encoded(content, encoding)
        if "quoted" in encoding:
            return re.sub(rb"=(\r\n|\n|\r)", lambda end: b"=" + self.blanks() + end[1], text)
        if "64" in encoding and self.chance():
            at = self.random.randrange(len(text))
            junk = self.random.choice([b"=", b"==", b"====", b"\0", b"\xff", b"-", b"_", b" ", b"=\r\n", b"#"])
            return text[:at] + junk + text[at:]
        return text

    def blanks(self) -> bytes:
        return self.random.choice([b" ", b"\t", b" \t "]) if self.chance() else b""

    def enclosed(self, depth: int, around: list[bytes]) -> bytes:
        inner = self.lines(b"From: c@example.com", b"Subject: inside") + self.entity(depth + 1, around)
        encoding = self.random.choice(["base64", "quoted-printable", "7bit"])
        fields = [b"Content-Type: message/rfc822", b"Content-Transfer-Encoding: " + encoding.encode()]
        if encoding == "base64":
            inner = base64.encodebytes(inner)
        elif encoding == "quoted-printable":
            inner = inner.replace(b"=", b"=3D")
        return self.header(fields) + inner

    def declared(self, boundary: bytes) -> list[bytes]:
        escaped = re.sub(rb"([-_=b])", rb"\\\1", boundary)
        kind, plain = b"Content-Type: multipart/mixed", b"Content-Type: text/plain"
        quoted = b'boundary="' + boundary + b'"'
        ways = [
            [kind + b"; " + quoted],
            [kind + b" (a; boundary=no); " + quoted],
            [kind + b"; (a) boundary (b) = (c) " + quoted[9:] + b" (d)"],
            [b"Content-Type: (x) multipart / mixed ; " + quoted],
            [kind + b'; boundary="' + boundary + b'  "'],
            [kind + b'; boundary="' + escaped + b'"'],
            [kind + b"; " + quoted + b" "],
            [kind + b"; charset=utf-8;; " + quoted + b";"],
            [kind + b"; " + quoted, plain],
            [plain, kind + b"; " + quoted],
            [kind + b'; boundary="other"', kind + b"; " + quoted],
            [kind + b"; boundary*0*=us-ascii''" + boundary[:1] + b'; boundary*1="' + boundary[1:] + b'"'],
        ]
        return self.random.choice(ways) if self.chance(3) else ways[0]


def wider_monster(seed: int) -> bytes:
    return WiderMonster(seed).message()

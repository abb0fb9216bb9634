"""Monsters: messages that no program should write and every reader reads in its own way, made from a seed. Each part
has a mark of its own in its content, as harmless as can be."""

from __future__ import annotations

import base64
import binascii
import quopri
import random
import re

MARKS_MAX = 48
MARK = re.compile(rb"marked part number ([0-9]{2}) of a monster")
ENCODINGS = ("base64", "BASE64", "Base64 ", "base64 (comment)", '"base64"', "\tbase64", "base64;", "quoted-printable")
PLAIN = ("7bit", "8bit", "binary", "", "8-bit", "none", "7BIT (as it is)", "x-unknown")
TYPES = ("text/plain", "application/octet-stream", "TEXT/HTML; charset=utf-8", "image/png", "audio", "a/b/c", "")
MULTI = ("mixed", "alternative", "related", "MIXED", "digest", "signed; micalg=x", "x-odd", "parallel")


def mark(number: int) -> bytes:
    return b"marked part number %02d of a monster" % number


def marks_in(data: bytes) -> set[int]:
    return {int(number) for number in MARK.findall(data)}


def monster(seed: int) -> bytes:
    return Monster(seed).message()


class Monster:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0
        self.end = self.random.choice([b"\r\n", b"\r\n", b"\n"])
        self.mixed = self.random.choice([0, 0, 0, 0.1, 0.5])
        self.odd = self.random.choice([0.02, 0.1, 0.3])  # how likely each oddity is
        self.old_mac = self.random.random() < 0.03

    def chance(self, factor: float = 1.0) -> bool:
        return self.random.random() < self.odd * factor

    def lines(self, *rows: bytes) -> bytes:
        return b"".join(row + self.line_end() for row in rows)

    def line_end(self) -> bytes:
        if self.random.random() < self.mixed:
            return self.random.choice([b"\n", b"\r\n", b"\n", *([b"\r"] if self.old_mac else [])])
        return self.end

    def message(self) -> bytes:
        head = self.lines(b"From: a@example.com", b"To: b@example.com", b"Subject: monster", b"MIME-Version: 1.0")
        if self.chance():
            head = self.lines(b"Received: from x", b" by y", b"Subject: =?utf-8?q?=41?=", b"From: c@example.com")
        data = head + self.entity(0, [])
        if self.chance():
            rows = data.splitlines(keepends=True)
            for _ in range(self.random.randint(1, 3)):
                at = self.random.randrange(4, len(rows)) if len(rows) > 4 else 0
                rows[at : at + 1] = self.random.choice(
                    [[], [rows[at], rows[at]], [b"\n", rows[at]], [b"junk " + rows[at]]]
                )
            data = b"".join(rows)
        if self.chance(0.5):
            data = data[: self.random.randint(len(data) // 2, len(data))]
        return data

    def entity(self, depth: int, around: list[bytes]) -> bytes:
        """Header and body, the end of the last line included."""
        if self.count >= MARKS_MAX - 1:
            return self.leaf()
        dice = self.random.random()
        if dice < (0.85 if depth == 0 else 0.35 if depth < 6 else 0):
            return self.multipart(depth, around)
        if dice > 0.9 and depth < 6:
            return self.enclosed(depth, around)
        return self.leaf()

    # ---- headers ----------------------------------------------------------------------------------------------------

    def header(self, fields: list[bytes]) -> bytes:
        rows = list(fields)
        self.random.shuffle(rows)
        if self.chance():
            rows.insert(self.random.randint(0, len(rows)), b"Content-Description: nothing")
        if self.chance() and rows:
            rows.insert(
                self.random.randint(0, len(rows)),
                self.random.choice([b"no field at all", b">From somebody", b"X Y: z", b" lost"]),
            )
        text = b"".join(self.lines(self.folded(row)) for row in rows)
        return text if self.chance(0.7) else text + self.line_end()

    def folded(self, row: bytes) -> bytes:
        if self.chance():
            row = row.replace(b":", self.random.choice([b" :", b":\t", b":", b":  "]), 1)
        if self.chance():
            row = row.replace(b"; ", b";" + self.line_end() + b"\t")
        if self.chance():
            row = row.replace(b": ", b": (comment; boundary=none) ", 1)
        return row.upper() if self.chance(0.3) and b"boundary" not in row.lower() else row

    def named(self) -> list[bytes]:
        name = self.random.choice([b"file.exe", b"a b.doc", "ü.zip".encode(), b"x;y.pdf", b'q"r.js'])
        quoted = name.replace(b'"', b'\\"')
        word = b"=?utf-8?b?" + base64.b64encode(name) + b"?="
        hexed = b"".join(b"%%%02X" % byte for byte in name)
        ways = [
            b'attachment; filename="' + quoted + b'"',
            b"attachment; filename=" + name.split()[0],
            b"attachment; filename*=utf-8''" + hexed,
            b"attachment; filename*0*=utf-8''" + hexed[:6] + b"; filename*1*=" + hexed[6:],
            b'attachment; filename*0="' + quoted[:3] + b'"; filename*1="' + quoted[3:] + b'"',
            b'attachment; filename="' + word + b'"',
            b'inline; filename="' + quoted + b'"; filename="other.txt"',
            b'attachment; filename="' + quoted,
        ]
        return [b"Content-Disposition: " + self.random.choice(ways)] if self.random.random() < 0.6 else []

    # ---- parts ------------------------------------------------------------------------------------------------------

    def leaf(self) -> bytes:
        content = self.content()
        kind = self.random.choice(TYPES).encode()
        fields = self.named() + ([b"Content-Type: " + kind] if kind else [])
        encoding = self.random.choice(ENCODINGS[:4] if self.random.random() > self.odd else ENCODINGS)
        if self.random.random() < 0.25:
            encoding = self.random.choice(["quoted-printable", "x-uuencode", "uuencode", *PLAIN])
        if encoding:
            fields.append(b"Content-Transfer-Encoding: " + encoding.encode())
        if self.chance():
            fields.append(
                b"Content-Transfer-Encoding: " + self.random.choice([b"7bit", b"base64", b"quoted-printable"])
            )
        return self.header(fields) + self.encoded(content, encoding)

    def content(self) -> bytes:
        number, self.count = self.count, self.count + 1
        before = self.random.randbytes(self.random.randint(0, 60)) if self.random.random() < 0.5 else b"text "
        return before + mark(number) + self.random.randbytes(self.random.randint(0, 90))

    def encoded(self, content: bytes, encoding: str) -> bytes:
        if "uu" in encoding:
            rows = [binascii.b2a_uu(content[at : at + 45]).rstrip(b"\n") for at in range(0, len(content), 45)]
            return self.lines(b"begin 644 file.bin", *rows, b"`", b"end")
        if "quoted" in encoding:
            width = self.random.choice([20, 76])
            hexed = b"".join(
                b"=%02X" % byte if self.random.random() < 0.6 else quopri.encodestring(bytes([byte]), True)
                for byte in content
            )
            units = re.findall(rb"=[0-9A-F]{2}|[^=]", hexed.replace(b"=\n", b""))
            rows = [b"".join(units[at : at + width]) for at in range(0, len(units), width)]
            return self.lines(*[row + b"=" for row in rows[:-1]], *rows[-1:])
        if "64" in encoding.lower():
            text = base64.b64encode(content)
            width = self.random.choice([4, 19, 60, 76, 76, 76, 1000])
            rows = [text[at : at + width] for at in range(0, len(text), width)]
            if self.chance():
                at = self.random.randrange(len(rows))
                rows[at] = self.random.choice(
                    [
                        b" " + rows[at],
                        rows[at][:3] + b"!*" + rows[at][3:],
                        rows[at][:1] + b"=" + rows[at][1:],
                        b"\t" + rows[at] + b" ",
                        rows[at][:2] + b"=" + rows[at][2:],
                    ]
                )
            if self.chance():
                rows[-1] = rows[-1].rstrip(b"=")
            return self.lines(*rows)
        return self.lines(re.sub(rb"[\r\n\0]", b".", content))

    def enclosed(self, depth: int, around: list[bytes]) -> bytes:
        kind = self.random.choice(
            [b"message/rfc822", b"message/rfc822", b"message/news", b"message/global", b"message/x-odd"]
        )
        fields = [b"Content-Type: " + kind, *self.named()]
        inner = self.lines(b"From: c@example.com", b"Subject: inside") + self.entity(depth + 1, around)
        if self.chance() and not self.mixed:
            fields.append(b"Content-Transfer-Encoding: base64")
            text = base64.b64encode(inner)
            return self.header(fields) + self.lines(*[text[at : at + 76] for at in range(0, len(text), 76)])
        return self.header(fields) + inner

    # ---- multiparts -------------------------------------------------------------------------------------------------

    def boundary(self, around: list[bytes]) -> bytes:
        ways = [b"b%d" % self.random.randrange(10**6), b"----=_Part_%d.%d" % (self.random.randrange(99), len(around))]
        if self.chance(2):
            ways = [b"a'()+_,-./:=?b", b"with blank", b"x" * 70, b"-", b"--", b"=", b"a:b", b"0"]
            if around:
                outer = around[-1]
                ways = [outer, outer + b"x", outer + b"--", outer[:-1], outer.upper(), outer + b" "]
        return self.random.choice(ways)

    def declared(self, boundary: bytes) -> list[bytes]:
        kind = b"multipart/" + self.random.choice(MULTI if self.chance(2) else MULTI[:1]).encode()
        quoted = b'boundary="' + boundary + b'"'
        one = b"Content-Type: " + kind + b"; " + quoted
        if not self.chance(2):
            return [one]
        half = len(boundary) // 2
        kind_alone = b"Content-Type: " + kind
        return self.random.choice(
            [
                [kind_alone + b"; boundary=" + boundary],
                [kind_alone + b'; boundary*0="' + boundary[:half] + b'"; boundary*1="' + boundary[half:] + b'"'],
                [kind_alone + b"; boundary*=us-ascii''" + boundary.replace(b" ", b"%20")],
                [kind_alone + b'; boundary="other"; ' + quoted],
                [one + b'; boundary="other"'],
                [one, b'Content-Type: multipart/mixed; boundary="other"'],
                [b"Content-Type: text/plain", one],
                [kind_alone + b'; BOUNDARY = "' + boundary + b'"'],
                [kind_alone + b';charset="x\\"y";' + quoted],
                [kind_alone],
                [b"Content-Type: multipart; " + quoted],
                [kind_alone + b"; boundary='" + boundary + b"'"],
                [kind_alone + b'; boundary="' + boundary],
                [kind_alone + b" " + quoted],
            ]
        )

    def multipart(self, depth: int, around: list[bytes]) -> bytes:
        boundary = self.boundary(around)
        fields = self.declared(boundary)
        if self.chance(0.5):
            fields.append(
                b"Content-Transfer-Encoding: " + self.random.choice([b"base64", b"7bit", b"quoted-printable"])
            )
        out = self.header(fields)
        if self.random.random() < 0.5:
            out += self.lines(b"This is a multipart message.")
        inside = [*around, boundary]
        for _ in range(self.random.randint(0 if self.chance() else 1, 5)):
            out += self.line(boundary)
            out += self.leaf_without_header() if self.chance() else self.entity(depth + 1, inside)
        if not self.chance():
            out += self.line(boundary + b"--")
        if self.chance():
            out += self.line(boundary) + self.entity(depth + 1, inside) + self.line(boundary + b"--")
        if self.chance():
            out += self.lines(b"", b"An epilogue.")
        return out

    def line(self, boundary: bytes) -> bytes:
        extra = self.random.choice([b" ", b"\t ", b" junk", b"-", b"x", b"--"]) if self.chance(0.7) else b""
        return self.lines(b"--" + boundary + extra)

    def leaf_without_header(self) -> bytes:
        return self.line_end() + self.encoded(self.content(), "")

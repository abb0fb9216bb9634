"""Mails of every kind, as bytes, and what is to be seen of each where it arrives.

mail = Letter("infected")            its own Message-ID
mail.content                         to be sent
mail.check(content)                  of what arrived
"""

from __future__ import annotations

import base64
import email
import io
import itertools
import os
import re
import zipfile
from email.message import Message
from functools import cache

from tests.support.archives import make_zip, with_tool
from tests.support.daemons import EICAR_NAME
from tests.support.programs import EICAR

KINDS = ("clean", "infected", "cured", "filtered", "protected", "oversize")
SUSPECT = b"a mark that a heuristic speaks of"
HEURISTIC = f"Heuristics.Test:0:*:{SUSPECT.hex()}\n"  # a signature
OVERSIZE = 300_000  # bytes, more than SETTINGS let through
SETTINGS = """
[smtpscan.limits]
MaxMessageSize=256KiB
MaxReceivedSize=1MiB
"""
FILTERS = "FilterByName=^setup\\.exe$\n"  # of a group
SAID = {
    "infected": f"is infected ({EICAR_NAME}). ",
    "filtered": "is not allowed here",
    "suspicious": "is suspicious (Heuristics.Test",
    "corrupted": "is damaged",
    "protected": "is protected by a password",
}
FINE = bytes(range(256)) * 8
_MARK = b"=_mark of a mail program"
_TEXT = "Grüße\r\n.\r\n..two dots\r\n \r\ntrailing blanks  \r\n" + "long " * 190 + "\r\n"
_numbers = itertools.count()


@cache
def attachment(kind: str) -> tuple[str, bytes]:
    """Name and content of what makes a mail one of this kind."""
    match kind:
        case "clean":
            return "good.zip", make_zip({"good.txt": b"good"})
        case "infected":
            return "game.com", EICAR
        case "cured":
            return "both.zip", make_zip({"good.txt": b"good", "game.com": EICAR})
        case "filtered":
            return "setup.exe", b"MZ is all that it has"
        case "protected":
            return "secret.zip", with_tool({"game.com": EICAR}, "zip", "-q", "-P", "word", "OUT", "FILES")
        case "corrupted":
            return "broken.zip", make_zip({"good.txt": os.urandom(5000)})[:2000]
        case "suspicious":
            return "odd.dat", b"<" + SUSPECT + b">"
    return "large.bin", os.urandom(OVERSIZE)


class Letter:
    """One mail with a text, a file that is fine, and one that makes its kind. *name*: of the latter."""

    def __init__(self, kind: str, sender: str = "a@example.org", to: str = "b@example.org", size: int = 0) -> None:
        name, data = attachment(kind)
        self.kind, self.name = kind, name
        self.data = os.urandom(size) if size else data
        self.id = f"{kind}.{next(_numbers)}.{os.getpid()}@example.org"
        self.fields = [
            f"From: Alice <{sender}>",
            f"To: {to}",
            f"Subject: a {kind} mail",
            "Date: Mon, 23 Nov 2026 10:00:00 +0000",
            f"Message-ID: <{self.id}>",
            "X-Anti-Virus: clean, says the sender",
            "MIME-Version: 1.0",
            f'Content-Type: multipart/mixed; boundary="{_MARK.decode()}"',
        ]
        self._start = b"preamble\r\n" + _part("text/plain; charset=utf-8", "8bit", _TEXT.encode(), "")
        self._start += _part("application/octet-stream", "base64", FINE, "fine.bin")
        self._end = b"--" + _MARK + b"--\r\nepilogue\r\n"
        self.body = self._start + _part("application/octet-stream", "base64", self.data, name) + self._end
        self.content = "".join(f"{one}\r\n" for one in self.fields).encode() + b"\r\n" + self.body

    def check(self, content: bytes, status: str = "") -> None:
        """That *content* is what the usual rules make of this mail."""
        head, _, body = content.partition(b"\r\n\r\n")
        self._check_header(email.message_from_bytes(head + b"\r\n\r\n"), status)
        if self.kind == "clean":
            assert body == self.body
            return
        if self.kind == "oversize":
            assert "This message could not be checked" in body.decode()
            assert base64.b64encode(self.data)[:40] not in content
            return
        assert body.startswith(self._start), body[: len(self._start)]
        parts = _parts(content)
        assert len(parts) == 4
        assert "has checked this message" in text_of(parts[3])
        assert f'The attachment "{self.name}"' in text_of(parts[3])
        if self.kind == "protected":
            self.check_with_report(content, status)
            assert "is protected by a password" in text_of(parts[3])
            return
        assert _joined(EICAR) not in _joined(content)
        if self.kind == "cured":
            assert parts[2].get_filename() == "both.zip"
            self.check_cured(content, True)
            assert EICAR_NAME in text_of(parts[3])
            return
        for part in parts[2:]:
            assert f'The attachment "{self.name}" {SAID[self.kind]}' in text_of(part)
            assert "It was removed." in text_of(part)

    def check_removed(self, content: bytes, report: bool) -> None:
        """That a note stands for what makes its kind, and all else is there."""
        parts = _parts(content)
        assert content.partition(b"\r\n\r\n")[2].startswith(self._start)
        assert f'The attachment "{self.name}" {SAID[self.kind]}' in text_of(parts[2])
        assert len(parts) == (4 if report else 3)

    def check_cured(self, content: bytes, report: bool) -> None:
        """That what is good in its archive is there, and nothing else of it."""
        parts = _parts(content)
        assert len(parts) == (4 if report else 3)
        with zipfile.ZipFile(io.BytesIO(bytes_of(parts[2]))) as archive:
            assert [(one, archive.read(one)) for one in archive.namelist()] == [("good.txt", b"good")]

    def check_unchanged(self, content: bytes, status: str) -> None:
        """That nothing was done to it."""
        head, _, body = content.partition(b"\r\n\r\n")
        self._check_header(email.message_from_bytes(head + b"\r\n\r\n"), status)
        assert body == self.body

    def check_with_report(self, content: bytes, status: str = "") -> None:
        """That a report was added, and that is all."""
        head, _, body = content.partition(b"\r\n\r\n")
        self._check_header(email.message_from_bytes(head + b"\r\n\r\n"), status)
        assert body.startswith(self.body.removesuffix(self._end))
        parts = _parts(content)
        assert len(parts) == 4
        assert "has checked this message" in text_of(parts[3])

    def _check_header(self, header: Message, status: str) -> None:
        status = status or {"oversize": "error"}.get(self.kind, self.kind)
        said = header.get_all("X-Anti-Virus") or []
        assert [re.sub(r"\s+", " ", one).rpartition("status: ")[2] for one in said] == [status]
        assert header["Message-ID"] == f"<{self.id}>"
        assert header["Subject"] == f"a {self.kind} mail"


def infected_text(sender: str = "a@example.org", to: str = "b@example.org") -> tuple[str, bytes]:
    """Message-ID and content of a mail of which nothing is left when what was found is taken out."""
    ident = f"text.{next(_numbers)}.{os.getpid()}@example.org"
    fields = f"From: {sender}\r\nTo: {to}\r\nSubject: text\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    return ident, f"{fields}Message-ID: <{ident}>\r\n\r\n".encode() + EICAR + b"\r\n"


def _part(kind: str, encoding: str, data: bytes, name: str) -> bytes:
    fields = [f"Content-Type: {kind}", f"Content-Transfer-Encoding: {encoding}"]
    if name:
        fields.append(f'Content-Disposition: attachment; filename="{name}"')
        text = base64.b64encode(data)
        data = b"".join(text[at : at + 60] + b"\r\n" for at in range(0, len(text), 60))
    return b"--" + _MARK + b"\r\n" + "\r\n".join(fields).encode() + b"\r\n\r\n" + data


def _parts(content: bytes) -> list[Message]:
    parts = email.message_from_bytes(content).get_payload()
    assert isinstance(parts, list), content[:2000]
    return parts  # type: ignore[return-value]


def bytes_of(part: Message) -> bytes:
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    return data


def text_of(part: Message) -> str:
    return bytes_of(part).decode().replace("\r\n", "\n")


def _joined(data: bytes) -> bytes:
    return b"".join(base64.b64encode(data).split())[:60] if data == EICAR else b"".join(data.split())

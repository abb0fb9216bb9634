"""Message: fields that are asked for, and the part that a scan speaks of."""

from __future__ import annotations

import base64

import pytest

from kavfs.mail.message import Message
from tests.support.curing import zip_of
from tests.support.objects import EICAR, scan
from tests.unit.test_mail_parts import held

HEAD = b"From: a@example.com\r\nMessage-ID: <1@example.com>\r\nSubject: =?utf-8?q?Gr=C3=BCn?=\r\nMIME-Version: 1.0\r\n"


def part(content: bytes, name: bytes = b"") -> bytes:
    kind = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
    named = b'Content-Disposition: attachment; filename="' + name + b'"\r\n' if name else b""
    return kind + named + b"\r\n" + base64.encodebytes(content).replace(b"\n", b"\r\n")


def mixed(*parts: bytes, boundary: bytes = b"b") -> bytes:
    line = b"--" + boundary
    inner = b"".join(line + b"\r\n" + one + b"\r\n" for one in parts)
    return b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n' + inner + line + b"--\r\n"


def test_fields() -> None:
    with held(HEAD + b"\r\ntext\r\n") as source:
        message = Message(source)
        assert message.message_id == b"<1@example.com>"
        assert message.subject == "Gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n".encode()
        assert message.field(b"cc") == b""
        assert message.headers(5) == b"From:"
        assert message.headers(1000) == HEAD


ENCLOSED = b"Content-Type: message/rfc822\r\n\r\n" + HEAD


@pytest.mark.parametrize(
    ("data", "places"),
    [
        (HEAD + mixed(part(b"x"), part(EICAR)), ["1.2"]),
        (HEAD + mixed(part(b"x", b"x"), part(EICAR, b"e.com")), ["1.2"]),
        (HEAD + mixed(part(EICAR, b"e.com"), part(EICAR, b"e.com")), ["1.1", "1.2"]),
        (HEAD + mixed(part(zip_of([("e.com", EICAR)]), b"a.zip"), part(b"x")), ["1.1"]),
        (HEAD + mixed(part(b"x"), mixed(part(b"y"), part(EICAR), boundary=b"c")), ["1.2.2"]),
        (HEAD + mixed(part(b"x"), ENCLOSED + mixed(part(b"y"), part(EICAR, b"e.com"), boundary=b"c")), ["1.2.1.2"]),
        (HEAD + mixed(part(b"x"), ENCLOSED + part(EICAR, b"e.com")), ["1.2.1"]),
        (HEAD + part(EICAR, b"e.com"), ["1"]),
    ],
)
def test_what_a_scan_names_is_found_again(data: bytes, places: list[str]) -> None:
    infected = scan(data).infected
    assert infected
    with held(data) as source:
        message = Message(source)
        found = {one.place for member in infected for one in message.parts_called(member)}
        assert sorted(found) == places
        assert message.parts_called(b"other") == []

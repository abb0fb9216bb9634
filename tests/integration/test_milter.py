"""The milter of smtpscanner behind a real Postfix: what arrives, what is refused, and what Postfix does without us."""

from __future__ import annotations

import base64
import os
import smtplib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email import message_from_bytes

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.archives import make_zip
from tests.support.daemons import databases
from tests.support.mailing import PATIENCE, House, letter, open_folder, send
from tests.support.postfix import Postfix, postfix
from tests.support.programs import EICAR
from tests.support.smtpscanners import smtpscanner, stand_in

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="Postfix changes its user")]

SETTINGS = """
[smtpscan.path]
SocketPath=no
StatusSocketPath=no
[smtpscan.network]
MilterListen=unix:{top}/milter.sock
SocketMode=0666
[smtpscan.group:curing]
Recipients=^cure@
CuredRecipientAction=cured
[smtpscan.group:nothing]
Recipients=^nothing@
RecipientAction=remove
RecipientAttachReport=no
[smtpscan.group:brave]
Recipients=^brave@
RecipientAction=unchanged
"""
FROM = "a@example.org"


@dataclass
class Mail:
    postfix: Postfix
    house: House

    def send(self, data: bytes, *to: str) -> tuple[int, str]:
        """Code and text of the answer to the message."""
        with smtplib.SMTP(
            "127.0.0.1", self.postfix.port, local_hostname="test.example.org", timeout=PATIENCE
        ) as client:
            client.ehlo()
            client.mail(FROM)
            for one in to:
                assert client.rcpt(f"{one}@example.org")[0] == 250
            code, said = client.data(data)
            return code, said.decode()

    def through(self, data: bytes, *to: str) -> tuple[tuple[str, ...], bytes]:
        """For whom it arrives, and what."""
        assert self.send(data, *to)[0] == 250
        taken = self.house.next()
        return tuple(one.partition(b"@")[0].decode() for one in taken.recipients), taken.content


@pytest.fixture(scope="module")
def mail() -> Iterator[Mail]:
    with ExitStack() as stack:
        top = stack.enter_context(open_folder("milter"))
        stack.enter_context(smtpscanner(top, databases(top / "databases"), SETTINGS.format(top=top)))
        house = stack.enter_context(House())
        running = postfix(top, top / "milter.sock", f"smtp:[127.0.0.1]:{house.port}")
        yield Mail(stack.enter_context(running), house)


def test_clean_mail_arrives_as_it_was_with_our_field_and_its_signature(mail: Mail) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
    data = b"From:<a@example.org>\r\nSubject:  odd \r\n\tspaces\r\n"
    data += b"X-Anti-Virus: clean, says the sender\r\n\r\nbody \r\n.\r\n"
    names = [b"from", b"subject"]
    signed = dkim.sign(data, b"s", b"example.org", private, canonicalize=(b"simple", b"simple"), include_headers=names)
    to, content = mail.through(signed + data, "b", "c")
    assert to == ("b", "c")
    assert dkim.verify(content, dnsfunc=lambda name, timeout=5: record)
    fields = message_from_bytes(content).get_all("X-Anti-Virus") or []
    assert len(fields) == 1
    assert "status: clean" in fields[0]
    assert "says the sender" not in fields[0]


def test_an_infected_part_is_removed_and_the_rest_arrives(mail: Mail) -> None:
    data = letter(("notes.txt", b"fine"), ("game.com", EICAR)).as_bytes()
    to, content = mail.through(data, "b")
    assert to == ("b",)
    parts = [one.get_payload(decode=True) for one in message_from_bytes(content).walk() if not one.is_multipart()]
    assert b"fine" in parts
    assert not any(EICAR in part for part in parts)
    assert "status: infected" in str(message_from_bytes(content)["X-Anti-Virus"])


def test_an_infected_archive_is_cured(mail: Mail) -> None:
    data = letter(("both.zip", make_zip({"fine.txt": b"fine", "game.com": EICAR}))).as_bytes()
    _, content = mail.through(data, "cure")
    archive = [one for one in message_from_bytes(content).walk() if one.get_filename() == "both.zip"]
    assert len(archive) == 1
    inside = archive[0].get_payload(decode=True)
    assert b"fine.txt" in inside
    assert b"game.com" not in inside


def test_of_several_recipients_the_strictest_counts_and_who_gets_nothing_is_taken_off(mail: Mail) -> None:
    data = letter(("game.com", EICAR)).as_bytes()
    assert b"game.com" in data
    to, content = mail.through(data, "brave")
    assert to == ("brave",)
    assert EICAR in message_from_bytes(content).get_payload(1).get_payload(decode=True)  # type: ignore[union-attr]
    to, content = mail.through(data, "brave", "b")
    assert to == ("b", "brave")
    assert base64.b64encode(EICAR)[:40] not in content
    whole = b"From: a@example.org\r\nSubject: x\r\n\r\n" + EICAR + b"\r\n"
    to, content = mail.through(whole, "brave", "nothing")
    assert (to, EICAR in content) == (("brave",), True)
    assert mail.send(whole, "nothing")[0] == 250
    assert mail.through(b"From: a@example.org\r\nSubject: last\r\n\r\nx\r\n", "nothing")[0] == ("nothing",)


def test_a_large_message_is_changed_whole(mail: Mail) -> None:
    data = letter(("big.bin", os.urandom(2 << 20)), ("game.com", EICAR)).as_bytes().replace(b"\n", b"\r\n")
    _, content = mail.through(data, "b")
    sent, came = (message_from_bytes(one) for one in (data, content))
    big = [[p.get_payload(decode=True) for p in one.walk() if p.get_filename() == "big.bin"] for one in (sent, came)]
    assert big[0] == big[1]


@contextmanager
def without_engine() -> Iterator[Postfix]:
    with open_folder("milter") as top, stand_in(top, top / "m.sock"), postfix(top, top / "m.sock") as running:
        yield running


def test_when_the_engine_is_down_or_we_are_killed_mail_is_to_come_again() -> None:
    def titled(subject: str) -> tuple[int, str]:
        mail = letter()
        mail.replace_header("Subject", subject)
        try:
            return send(running.port, mail)
        except smtplib.SMTPSenderRefused as error:  # nobody is there any more
            return error.smtp_code, ""

    with without_engine() as running:
        assert titled("clean") == (250, "")
        code, said = titled("fail")
        assert (code, said.partition(" ")[0]) == (451, "4.3.0")
        assert titled("clean") == (250, "")
        assert titled("kill")[0] == 451
        assert titled("clean")[0] == 451

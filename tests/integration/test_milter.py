"""The milter of smtpscanner behind a real Postfix and a real Sendmail: what arrives, and what they do without us."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.archives import make_zip
from tests.support.daemons import databases
from tests.support.mailing import House, free_port, letter, open_folder
from tests.support.postfix import Postfix, postfix
from tests.support.programs import EICAR
from tests.support.sendmail import Sendmail, sendmail
from tests.support.smtpscanners import smtpscanner, stand_in

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="Postfix changes its user")]

SETTINGS = """
[smtpscan.path]
SocketPath=no
StatusSocketPath=no
[smtpscan.network]
MilterListen=unix:{top}/m.sock,inet:{port}@127.0.0.1
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


@contextmanager
def _postfix(top: Path, milter: int, port: int) -> Iterator[Postfix | Sendmail]:
    with postfix(top, top / "m.sock", f"smtp:[127.0.0.1]:{port}") as running:
        yield running


@contextmanager
def _sendmail(top: Path, milter: int, port: int) -> Iterator[Postfix | Sendmail]:
    yield sendmail(top, milter, port)


# In a folder, a socket for Postfix; and a port for Sendmail, which will not have a socket below a folder of everybody.
MTAS = {"postfix": _postfix, "sendmail": _sendmail}


@dataclass
class Mail:
    mta: Postfix | Sendmail
    house: House

    def send(self, data: bytes, *to: str) -> tuple[int, str]:
        """Code and text of the answer to the message."""
        with self.mta.client() as client:
            client.ehlo()
            client.mail(FROM)
            for one in to:
                assert client.rcpt(f"{one}@example.org")[0] == 250
            code, said = client.data(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
            return code, said.decode()

    def through(self, data: bytes, *to: str) -> tuple[tuple[str, ...], bytes]:
        """For whom it arrives, and what."""
        assert self.send(data, *to)[0] == 250
        taken = self.house.next()
        return tuple(one.partition(b"@")[0].decode() for one in taken.recipients), taken.content


@pytest.fixture(scope="module", params=["postfix", "sendmail"])
def mail(request: pytest.FixtureRequest) -> Iterator[Mail]:
    with ExitStack() as stack:
        top, port = stack.enter_context(open_folder("milter")), free_port()
        stack.enter_context(smtpscanner(top, databases(top / "databases"), SETTINGS.format(top=top, port=port)))
        house = stack.enter_context(House())
        yield Mail(stack.enter_context(MTAS[request.param](top, port, house.port)), house)


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
    data = letter(("big.bin", os.urandom(2 << 20)), ("game.com", EICAR)).as_bytes()
    _, content = mail.through(data, "b")
    sent, came = (message_from_bytes(one) for one in (data, content))
    big = [[p.get_payload(decode=True) for p in one.walk() if p.get_filename() == "big.bin"] for one in (sent, came)]
    assert big[0] == big[1]


@pytest.mark.parametrize("mta", MTAS)
def test_when_the_engine_is_down_or_we_are_killed_mail_is_to_come_again(mta: str) -> None:
    def titled(subject: str) -> tuple[int, str]:
        with running.client() as client:
            for code, said in (client.ehlo(), client.mail(FROM), client.rcpt("b@example.org")):
                if code != 250:  # nobody is there any more
                    return code, said.decode()
            code, said = client.data(f"From: a@example.org\r\nSubject: {subject}\r\n\r\nx\r\n".encode())
            return code, said.decode()

    with ExitStack() as stack:
        top, port = stack.enter_context(open_folder("milter")), free_port()
        stack.enter_context(stand_in(top, top / "m.sock", port))
        house = stack.enter_context(House())
        running = stack.enter_context(MTAS[mta](top, port, house.port))
        assert titled("clean")[0] == 250
        code, said = titled("fail")
        assert (code, said.partition(" ")[0]) == (451, "4.3.0")
        assert titled("clean")[0] == 250
        assert titled("kill")[0] == 451
        assert titled("clean")[0] == 451
        assert [house.next().content.count(b"Subject: clean") for _ in range(2)] == [1, 1]
        assert house.arrived.empty()


def test_recipients_of_another_group_come_again_where_that_is_wanted() -> None:
    """MilterGroups=defer: Postfix says so of each recipient, and takes the message for the others."""
    with ExitStack() as stack:
        top, house = stack.enter_context(open_folder("defer")), stack.enter_context(House())
        settings = SETTINGS.format(top=top, port=free_port()).replace("SocketMode", "MilterGroups=defer\nSocketMode")
        stack.enter_context(smtpscanner(top, databases(top / "databases"), settings))
        mta = stack.enter_context(postfix(top, top / "m.sock", f"smtp:[127.0.0.1]:{house.port}"))
        mail = letter(("game.com", EICAR)).as_bytes()
        with mta.client() as client:
            client.ehlo()
            client.mail(FROM)
            assert client.rcpt("b@example.org")[0] == 250
            code, said = client.rcpt("brave@example.org")
            assert (code, said[:5]) == (452, b"4.5.3")
            assert client.rcpt("c@example.org")[0] == 250
            assert client.data(mail.replace(b"\n", b"\r\n"))[0] == 250
        first = house.next()
        assert first.recipients == (b"b@example.org", b"c@example.org")
        assert base64.b64encode(EICAR)[:40] not in first.content
        again = Mail(mta, house).through(mail, "brave")
        assert again[0] == ("brave",)
        assert base64.b64encode(EICAR)[:40] in again[1]

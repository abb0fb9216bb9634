"""Surgery: parts go, are cured or come to a message, and no other byte changes."""

from __future__ import annotations

import base64
import datetime
import email
import email.policy
import random
import tempfile
from collections.abc import Callable
from email.message import EmailMessage, Message

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kavfs.action.cure.pieces import Scratch, chunks_of
from kavfs.mail import headers
from kavfs.mail.coding import blocks, files_of
from kavfs.mail.parts import Part, Tree
from kavfs.mail.parts import parts_of as tree_of
from kavfs.mail.surgery import Treatment, operated
from tests.support.monsters import marks_in, monster
from tests.unit.test_mail_parts import held

Doing = Callable[[Treatment, Tree], None]
HEAD = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: test\r\n"


def treated(data: bytes, doing: Doing) -> bytes:
    with held(data) as source, tempfile.TemporaryFile() as scratch:
        tree, treatment = tree_of(source), Treatment()
        doing(treatment, tree)
        return b"".join(chunks_of(operated(source, tree, treatment, Scratch(scratch.fileno()))))


def mail(crlf: bool = True) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.com", "b@example.com", "Gr\N{LATIN SMALL LETTER U}n"
    message.set_content("Some words.\n")
    message.add_alternative("<p>Some words</p>", subtype="html")
    for number in range(3):
        content = random.Random(number).randbytes(3000)
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=f"m{number}.bin")
    return message.as_bytes(policy=email.policy.SMTP if crlf else email.policy.default)


def leaves(data: bytes) -> list[Message]:
    return [part for part in email.message_from_bytes(data).walk() if not part.is_multipart()]


def named(tree: Tree, name: bytes) -> Part:
    return next(part for part in tree.walk() if name in part.names())


def test_nothing_to_do_is_nothing_done() -> None:
    for data in (mail(), mail(crlf=False), *(monster(seed) for seed in range(50))):
        assert treated(data, lambda treatment, tree: None) == data


@pytest.mark.parametrize("crlf", [True, False])
@pytest.mark.parametrize("gone", ["m0.bin", "m1.bin", "m2.bin"])
def test_a_removed_part_becomes_a_note_in_its_place(gone: str, crlf: bool) -> None:
    before = mail(crlf)
    after = treated(before, lambda t, tree: t.remove(named(tree, gone.encode()), f'"{gone}" was removed.'))
    old, new = leaves(before), leaves(after)
    assert len(old) == len(new)
    for was, now in zip(old, new, strict=True):
        if was.get_filename() == gone:
            assert now.get_content_type() == "text/plain"
            assert now.get_payload(decode=True) == f'"{gone}" was removed.'.encode()
        else:
            assert was.as_bytes() == now.as_bytes()
    assert (b"\n" in after.replace(b"\r\n", b"")) is not crlf


def test_a_note_in_other_letters_or_with_a_boundary_harms_nobody() -> None:
    before = mail()
    boundary = email.message_from_bytes(before).get_boundary()
    note = f"\N{GREEK SMALL LETTER OMEGA} {'long ' * 300}\n--{boundary}--\nend."
    after = treated(before, lambda t, tree: t.remove(named(tree, b"m1.bin"), note))
    text = leaves(after)[3].get_payload(decode=True)
    assert isinstance(text, bytes)
    assert text.decode().split() == note.split()
    assert leaves(after)[4].get_filename() == "m2.bin"
    assert max(len(line) for line in after.splitlines()) < 100


@pytest.mark.parametrize("number", range(300))
def test_surgery_of_one_part_of_a_monster_leaves_the_others(number: int) -> None:
    data = monster(number)
    with held(data) as source:
        parts = list(tree_of(source).walk())
    chosen = random.Random(number).choice(parts)
    after = treated(data, lambda t, tree: t.remove(next(p for p in tree.walk() if p.place == chosen.place), "gone"))
    if chosen.start == 0:
        assert marks_in(after) == set()
        assert b"gone" in after
        return
    assert after.startswith(data[: chosen.start])
    assert after.endswith(data[chosen.cut :])
    middle = after[chosen.start : len(after) - len(data) + chosen.cut]
    assert middle.endswith((b"gone", b"gone\n", b"gone\r\n"))
    with held(data) as old, held(after) as new:
        before = [
            p
            for p in tree_of(old).walk()
            if p.start and not p.guessed and (p.end + 2 < chosen.start or p.start >= chosen.cut)
        ]
        now = {after[p.start : p.end] for p in tree_of(new).walk()}
    lost = [p.place for p in before if p.leaf and data[p.start : p.end] not in now]
    assert lost == []


def test_a_message_that_is_one_infected_part_keeps_its_header() -> None:
    kind = b'Content-Type: application/octet-stream;\r\n name="e.com"\r\nContent-Transfer-Encoding: base64\r\n'
    data = HEAD + b"MIME-Version: 1.0\r\n" + kind + b"X-Last: 1\r\n\r\n" + base64.encodebytes(b"bad" * 50)
    after = treated(data, lambda t, tree: t.remove(tree.root, "gone"))
    assert after.startswith(HEAD + b"X-Last: 1\r\nMIME-Version: 1.0\r\n")
    (part,) = leaves(after)
    assert part.get_payload(decode=True) == b"gone\r\n"


# ---- cured forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 56, 57, 58, 3000, 3 << 20])
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit"])
def test_a_cured_form_is_encoded_as_the_part_was(size: int, encoding: str) -> None:
    content = random.Random(size).randbytes(size).replace(b"\n", b"x").replace(b"\r", b"y")
    width = b"QUJDREVGR0hJSktM" if encoding == "base64" else b"abc"
    part = b'Content-Type: a/b; name="x.bin"\r\nContent-Transfer-Encoding: ' + encoding.encode() + b"\r\n\r\n"
    around = HEAD + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n%s\r\n--b\r\n\r\nother\r\n--b--\r\n'
    data = around % (part + width + b"\r\n")
    after = treated(data, lambda t, tree: t.replace(named(tree, b"x.bin"), [content]))
    first, second = leaves(after)
    got = first.get_payload(decode=True)
    assert isinstance(got, bytes)
    assert got.rstrip(b"\r\n") == content
    assert second.get_payload() == "other"
    if encoding == "base64" and size:
        lines = after.split(b"\r\n\r\n")[2].split(b"\r\n--b")[0].split(b"\r\n")
        assert {len(line) for line in lines[:-2]} <= {16}
    if encoding == "quoted-printable":
        assert max(len(line) for line in after.splitlines()) < 100


def test_a_file_in_a_text_becomes_words() -> None:
    text = b"before\r\nbegin 644 e.com\r\n#8F%D\r\n`\r\nend\r\nafter\r\n"
    data = HEAD + b"\r\n" + text
    with held(data) as source:
        (block,) = blocks(files_of(source), len(HEAD) + 2, len(data))
    assert block.name == b"e.com"
    after = treated(data, lambda t, tree: t.remove_block(block, "[e.com was removed]"))
    assert after == HEAD + b"\r\nbefore\r\n[e.com was removed]\r\nafter\r\n"


# ---- reports --------------------------------------------------------------------------------------------------------


def test_a_report_is_one_more_part() -> None:
    before = mail()
    after = treated(before, lambda t, tree: t.report("All is well."))
    old, new = leaves(before), leaves(after)
    assert [part.as_bytes() for part in old] == [part.as_bytes() for part in new[:-1]]
    assert new[-1].get_payload(decode=True) == b"All is well."


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n",
        b'Content-Type: application/pdf;\r\n\tname="a.pdf"\r\nX-Between: 1\r\nContent-Transfer-Encoding: base64\r\n',
    ],
)
def test_a_message_without_parts_is_wrapped(fields: bytes) -> None:
    body = b"SGVsbG8=\r\nG\xc3\xbcte\r\n"
    after = treated(HEAD + fields + b"\r\n" + body, lambda t, tree: t.report("Report."))
    message = email.message_from_bytes(after)
    assert message.get_content_type() == "multipart/mixed"
    assert message.get_all("MIME-Version") == ["1.0"]
    assert message["Subject"] == "test"
    was = email.message_from_bytes(HEAD + fields + b"\r\n" + body)
    content, report = message.get_payload()
    assert content.get_content_type() == was.get_content_type()
    assert content.get_filename() == was.get_filename()
    assert body in after
    assert content.get_payload(decode=True).rstrip() == was.get_payload(decode=True).rstrip()  # type: ignore[union-attr]
    assert report.get_payload(decode=True) == b"Report."
    assert message["X-Between"] == was["X-Between"]
    assert message.defects == []


def test_a_signed_message_is_wrapped_and_its_signature_stays() -> None:
    kind = b'Content-Type: multipart/signed; micalg=x;\r\n boundary="s"\r\n'
    body = b"--s\r\n\r\nsigned\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nsig\r\n--s--\r\n"
    after = treated(HEAD + kind + b"\r\n" + body, lambda t, tree: t.report("Report."))
    assert kind + b"\r\n" + body in after
    assert [part.get_payload() for part in leaves(after)] == ["signed", "sig", "Report."]


# ---- headers --------------------------------------------------------------------------------------------------------

BASES = headers.Bases(datetime.date(2008, 4, 1), 607456)


def test_the_header_in_both_shapes() -> None:
    short = headers.short_form("1.0", BASES, "clean")
    assert short.endswith("1.0/RELEASE, bases: 01042008 #607456, status: clean")
    long = headers.long_form("1.0", BASES, datetime.date(2023, 4, 3), "clean")
    assert long.endswith("1.0/RELEASE, bases: 20080401 #607456, check: 20230403 clean")
    assert headers.long_form("1.0", BASES, None, "").endswith("#607456, notchecked")
    raw = headers.field(long, b"\r\n")
    assert raw.startswith(b"X-Anti-Virus: ")
    assert max(len(line) for line in raw.splitlines()) <= 78
    assert email.message_from_bytes(raw + b"\r\n")["X-Anti-Virus"].replace("\r\n", "") == long


def test_no_value_begins_a_field_of_its_own() -> None:
    raw = headers.field("status: a\r\nBcc: c@example.com\r\n\r\nbody\N{SNOWMAN}", b"\r\n")
    assert list(email.message_from_bytes(raw + b"\r\n").keys()) == ["X-Anti-Virus"]
    assert raw.isascii()


def test_what_others_claim_goes() -> None:
    claims = b"X-Anti-Virus: status:\r\n clean\r\nSubject: x\r\nx-anti-VIRUS : clean\r\n"
    body = b"\r\nX-Anti-Virus: this is text\r\n"
    raw = headers.field(headers.short_form("1", BASES, "infected"), b"\r\n")
    after = treated(claims + body, lambda t, tree: t.add_field(raw))
    assert after == raw + b"Subject: x\r\n" + body


# ---- signatures of senders ------------------------------------------------------------------------------------------


def test_dkim_of_a_message_whose_content_stays_verifies() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    record = b"v=DKIM1; k=rsa; p=" + public
    data = mail()
    signed = dkim.sign(data, b"s", b"example.com", private, include_headers=[b"from", b"to", b"subject"]) + data
    claimed = b"X-Anti-Virus: clean\r\n" + signed
    raw = headers.field(headers.short_form("1.0", BASES, "clean"), b"\r\n")
    after = treated(claimed, lambda t, tree: t.add_field(raw))
    assert after == raw + signed
    assert dkim.verify(after, dnsfunc=lambda name, timeout=5: record)
    changed = treated(claimed, lambda t, tree: t.remove(named(tree, b"m1.bin"), "gone"))
    assert not dkim.verify(changed, dnsfunc=lambda name, timeout=5: record)

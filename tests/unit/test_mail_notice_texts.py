"""Notices as they are written and sent: templates, macros, hostile values, one transaction."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kavfs.errors import ConfigError
from kavfs.mail import about, composing
from kavfs.mail.envelope import Envelope, Recipient
from kavfs.mail.hop import HopLost
from kavfs.mail.pool import Pool
from kavfs.mail.rules import RULED, Action
from kavfs.mail.sending import Sender
from kavfs.mail.templates import MACROS, TEMPLATE_MAX, Chosen, Role, builtin, filled, load
from kavfs.model import Status
from tests.support.cases import TO, case, group, mail, read, spool_of
from tests.support.hops import Fault, NextHop, drive
from tests.support.noticing import Office, attachments, body

TEMPLATES = Path(__file__).resolve().parents[2] / "conf" / "templates"


# ---- templates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("status", RULED)
def test_the_templates_shipped_are_those_of_the_program(role: Role, status: Status) -> None:
    shipped = TEMPLATES / f"notify_{role.value}_{status.name.lower()}"
    assert shipped.read_text() == builtin(role, status).text
    assert set(re.findall("%([A-Z_]+)%", "\n".join(builtin(role, status)))) <= set(MACROS)


def test_every_macro_has_a_value() -> None:
    one = case()
    assert set(about.values(one, Role.ADMIN, one.status, one.addresses(), about.Formats())) == set(MACROS)


def test_no_other_templates_are_shipped() -> None:
    assert len(list(TEMPLATES.iterdir())) == len(Role) * len(RULED)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%SENDER%", "s %SENDER% %%"),
        (r"100\% %% %SENDER", "100% % %SENDER"),
        ("%%SENDER%%", "%SENDER%"),
        ("%UNKNOWN% %sender% %20", "%UNKNOWN% %sender% %20"),
        ("%SENDER%SENDER%", "s %SENDER% %%SENDER%"),
    ],
)
def test_macros_are_filled_once(text: str, expected: str) -> None:
    assert filled(text, {"SENDER": "s %SENDER% %%"}) == expected


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"x" * (TEMPLATE_MAX + 1), "64 KiB"), (b"ok\xff", "not UTF-8, at byte 2"), (None, "Is a directory")],
)
def test_a_template_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "template"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=why) as error:
        load({(Role.ADMIN, Status.ERROR): Chosen(path=bytes(file))})
    assert str(file) in str(error.value)


def test_without_the_file_the_template_is_the_one_that_is_shipped(tmp_path: Path) -> None:
    said: list[str] = []
    key = Role.ADMIN, Status.ERROR
    made = load({key: Chosen("Mine", bytes(tmp_path / "missing"))}, said.append)[key]
    assert made == builtin(*key)._replace(subject="Mine")
    assert said == [f"there is no template {tmp_path}/missing: the text that is shipped is used"]


def test_a_template_of_the_administrator_is_used(tmp_path: Path) -> None:
    file = tmp_path / "template"
    file.write_bytes("Größe: %MSGID%\r\n%HEADERS%\n".encode())
    office = Office(recipient=Chosen("Für %RECIPIENT%: %VIRUSNAME%", bytes(file)))
    notice = office.tell(case(mail(Message_ID="<1@x>"), group(recipient_notify=True)))[TO]
    assert notice["Subject"] == "Für user@example.com: Eicar-Test-Signature"
    assert body(notice).startswith("Größe: <1@x>\nFrom: a@example.org\nTo: b@example.org\n")


# ---- hostile values --------------------------------------------------------------------------------------------------

EVIL = "x\r\nBcc: victim@example.net\r\n\r\nbody \x1b[31m\u202e %SENDER% =?utf-8?q?=0D=0ABcc:_x?="


def fields_of(data: bytes) -> set[str]:
    return set(read(data).keys())


def test_hostile_values_become_neither_fields_nor_commands_nor_escapes() -> None:
    usual, office = Office(), Office(admin=Chosen(subject="%SUBJECT% %VIRUSNAME% %SENDER% %HEADERS%"))
    usual.tell(case(of=group(admin_notify=True)))
    data = mail().replace(
        b"Subject: test", b"Subject: =?utf-8?q?a=0D=0ABcc:_victim?= =?utf-8?q?=3D=3Futf-8=3Fq=3F=0A?="
    )
    one = case(data, group(admin_notify=True), threats=(EVIL, "ok"), sender=b'"a\\\r\nBcc: x@y\r\n"@\xff\x00')
    one = one._replace(findings=(one.findings[0]._replace(name=EVIL, why=EVIL),))
    office.tell(one)
    got = office.hop.got[0][1]
    assert fields_of(got) == fields_of(usual.hop.got[0][1])
    assert not re.search(rb"(?m)^Bcc", got)
    notice = read(got)
    said = body(notice) + str(notice["Subject"])
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "%SENDER%" in body(notice), "a value is no template"
    for part in notice.walk():
        assert set(part.keys()) <= {*fields_of(got), "Content-Transfer-Encoding", "Content-Disposition"}
        assert "/" not in (part.get_filename() or "")


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "c:\\evil\\a.exe", "\r\nX: y", '"; x="', "=?utf-8?q?=0A?=", "", "."]
)
def test_names_of_attachments_lead_nowhere(name: str) -> None:
    spool, head = spool_of(b""), composing.head(b"a@b", b"c@d", "x", b"h", replied=False)
    composing.write(spool, head, "text", [composing.attached(name, [b"x"])])
    ((_, shown, content),) = attachments(read(b"".join(spool.chunks())))
    assert content == b"x"
    assert shown
    assert not set(shown) & set('/\\\r\n"')
    assert shown.strip(".")


def test_a_megabyte_of_names_makes_a_short_notice() -> None:
    names = tuple(f"Name.{n}." + "x" * 90 for n in range(10_000))
    office = Office()
    office.tell(case(of=group(admin_notify=True, admin_action=Action.REMOVE), threats=names))
    assert len(office.hop.got[0][1]) < 100_000
    assert "and 9900 more" in body(read(office.hop.got[0][1]))


@pytest.mark.parametrize("address", [b"a@b\r\nBcc: x@y", b"a@b, c@d", b"=?utf-8?q?=0A?=@b", b"\xff@b", b"@", b"a b@c"])
def test_an_address_that_is_none_stands_in_no_field(address: bytes) -> None:
    head = composing.head(address, address, "x", b"h\r\nX: y", replied=False)
    assert (head["From"], head["To"]) == ("MAILER-DAEMON", "undisclosed-recipients:;")
    assert head["Message-ID"].endswith("@localhost>")


def test_an_address_in_other_letters_asks_for_smtputf8() -> None:
    office = Office()
    to = "jörg@example.com".encode()
    office.tell(case(of=group(recipient_notify=True), to=(Recipient(to),)))
    assert office.hop.got[0][0].parameters == ((b"SMTPUTF8", b""),)


def test_a_large_object_is_attached_whole() -> None:
    spool, head = spool_of(b""), composing.head(b"a@b", b"c@d", "x", b"h", replied=False)
    pieces = [bytes([n]) * 77_777 for n in range(20)]
    composing.write(spool, head, "text", [composing.attached("a", pieces)])
    assert attachments(read(b"".join(spool.chunks())))[0][2] == b"".join(pieces)


# ---- sending ---------------------------------------------------------------------------------------------------------

ONE = Envelope(b"", (Recipient(TO),), ((b"BODY", b"8BITMIME"), (b"RET", b"HDRS")))


def sent(hop: NextHop, envelope: Envelope = ONE) -> None:
    drive(Sender(Pool(hop.connect, hop.lmtp, b"us"))(envelope, spool_of(b"Subject: x\r\n\r\nx\r\n")))


def test_one_transaction() -> None:
    hop = NextHop()
    sent(hop)
    assert hop.taken == [(TO, b"Subject: x\r\n\r\nx\r\n")]
    assert b"MAIL FROM:<> BODY=8BITMIME RET=HDRS" in hop.lines


def test_parameters_that_the_next_hop_does_not_know_are_left_out() -> None:
    hop = NextHop(keywords=[b"PIPELINING"])
    sent(hop)
    assert b"MAIL FROM:<>" in hop.lines
    with pytest.raises(HopLost, match="not ASCII"):
        sent(NextHop(keywords=[]), ONE._replace(parameters=((b"SMTPUTF8", b""),)))


@pytest.mark.parametrize("step", ["RCPT" + TO.decode(), "MAIL", "DATA", "END"])
def test_what_is_refused_is_said(step: str) -> None:
    hop = NextHop(refuse={step.encode(): b"550 5.7.1 no\r\n"})
    with pytest.raises(HopLost, match="550 no"):
        sent(hop)
    assert hop.taken == []


def test_a_kept_connection_that_is_dead_is_replaced() -> None:
    hop = NextHop()
    pool = Pool(hop.connect, False, b"us")
    spool = spool_of(b"x\r\n")
    drive(Sender(pool)(ONE, spool))
    hop.fault = Fault("MAIL", "before", "dies")
    drive(Sender(pool)(ONE, spool))
    assert len(hop.taken) == 2
    hop.fault = Fault("MAIL", "before", "dies")
    with pytest.raises(HopLost):
        drive(Sender(Pool(hop.connect, False, b"us"))(ONE, spool))

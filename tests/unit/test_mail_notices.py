"""Notices: who is told what, what is attached, what is never written to, and that nothing goes round."""

from __future__ import annotations

import asyncio
from email.message import EmailMessage

import pytest

from kavfs.mail.allowance import Allowance
from kavfs.mail.answering import automatic
from kavfs.mail.envelope import Envelope, Recipient
from kavfs.mail.hop import HopLost
from kavfs.mail.marks import Marks
from kavfs.mail.notices import WAITING, Manner, Notices, Untold
from kavfs.mail.rules import Action
from kavfs.mail.templates import load
from kavfs.model import Status
from tests.support.cases import ADMIN, CONTENT, SENDER, TO, Hop, case, group, mail, spool_of
from tests.support.noticing import KEY, Office, attachments, body

# ---- who is told -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({}, set()),
        ({"admin_notify": True}, {ADMIN}),
        ({"recipient_notify": True}, {TO}),
        ({"sender_notify": True}, {SENDER}),
        ({"admin_notify": True, "recipient_notify": True, "sender_notify": True}, {ADMIN, TO, SENDER}),
    ],
)
def test_the_rule_of_the_status_says_who_is_told(rule: dict[str, bool], told: set[bytes]) -> None:
    assert set(Office().tell(case(of=group(**rule)))) == told
    other = group(Status.FILTERED, **rule)._replace(rules={Status.FILTERED: group(**rule).rule(Status.INFECTED)})
    silent = other._replace(rules={**other.rules, Status.INFECTED: group().rule(Status.INFECTED)})
    assert Office().tell(case(of=silent)) == {}


def test_each_recipient_hears_of_himself_only_and_others_of_the_group_not_at_all() -> None:
    to = tuple(Recipient(b"%c@example.com" % c) for c in b"abc")
    office = Office()
    told = office.tell(case(of=group(recipient_notify=True), to=to, recipients=(0, 2)))
    assert set(told) == {b"a@example.com", b"c@example.com"}
    assert b"c@example.com" not in office.hop.got[0][1]
    assert told[b"a@example.com"]["To"] == "a@example.com"


def test_a_notice_says_what_it_is() -> None:
    office = Office()
    told = office.tell(case(mail(Message_ID="<1@x>"), group(sender_notify=True, admin_notify=True)))
    notice = told[SENDER]
    assert notice["From"] == "MAILER-DAEMON@localhost"
    assert notice["Auto-Submitted"] == "auto-replied"
    assert notice["In-Reply-To"] == "<1@x>"
    assert notice["Message-ID"].endswith("@mx.example.com>")
    assert "Your message is infected" in notice["Subject"]
    assert told[ADMIN]["Auto-Submitted"] == "auto-generated"
    assert {envelope.sender for envelope, _ in office.hop.got} == {b""}
    assert all(data.isascii() for _, data in office.hop.got)


def test_the_admin_gets_all_there_is_to_know() -> None:
    notice = Office().tell(case(mail(Subject="Hello"), group(admin_notify=True), items=("0123456789abcdef",)))[ADMIN]
    said = body(notice)
    for text in ("bad.exe: infected (Eicar-Test-Signature): removed from the message", "0123456789abcdef"):
        assert text in said
    for text in ("ABCDEF123456", "192.0.2.7", "Subject: Hello", "sender@example.org"):
        assert text in said


# ---- what is attached ------------------------------------------------------------------------------------------------


def test_the_admin_gets_the_object_itself_where_it_was_unchanged_and_else_not() -> None:
    notice = Office().tell(case(of=group(admin_notify=True)))[ADMIN]
    assert attachments(notice) == [("application/octet-stream", "bad.exe", CONTENT)]
    notice = Office().tell(case(of=group(admin_notify=True, admin_action=Action.REMOVE)))[ADMIN]
    assert attachments(notice) == []


def test_the_admin_gets_the_cured_form() -> None:
    one = case(of=group(Status.CURED, admin_notify=True, admin_action=Action.CURED), status=Status.CURED)
    cured = one.findings[0]._replace(cured=spool_of(b"harmless"))
    assert attachments(Office().tell(one._replace(findings=(cured,)))[ADMIN]) == [
        ("application/octet-stream", "bad.exe", b"harmless")
    ]


@pytest.mark.parametrize("eight", [False, True])
def test_a_whole_message_is_enclosed_as_it_is(eight: bool) -> None:
    data = mail(Subject="x") + (b"\xff\r\n" if eight else b"")
    office = Office()
    notice = office.tell(case(data, group(admin_notify=True), whole=True))[ADMIN]
    assert [part.get_content_type() for part in notice.iter_attachments()] == ["message/rfc822"]
    assert data in office.hop.got[0][1]
    assert office.hop.got[0][0].parameters == (((b"BODY", b"8BITMIME"),) if eight else ())


def test_an_object_that_lies_nowhere_else_is_taken_by_the_next_hop_or_the_client_hears_of_it() -> None:
    office = Office(Hop(broken=True))
    with pytest.raises(HopLost):
        office.tell(case(of=group(admin_notify=True)))
    assert office.counts == {("admin", "failed"): 1}


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"items": ("x",)}, {}),
        ({}, {"admin_action": Action.REMOVE}),
        ({"action": Action.UNCHANGED}, {"recipient_action": Action.UNCHANGED}),
    ],
)
def test_of_what_lies_elsewhere_nobody_waits_for_the_notice(more: dict[str, object], rule: dict[str, object]) -> None:
    office = Office(Hop(broken=True))
    assert office.tell(case(of=group(admin_notify=True, **rule), **more)) == {}
    assert office.counts == {("admin", "failed"): 1}


# ---- to whom a program may write -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"List_Id": "<a.example.org>"},
        {"List_Unsubscribe": "<mailto:x@y>"},
        {"Precedence": "bulk"},
        {"Precedence": "List (x)"},
        {"Auto_Submitted": "auto-generated; x=y"},
        {"Auto_Submitted": "AUTO-REPLIED"},
        {"X_Auto_Response_Suppress": "OOF, AutoReply"},
        {"Return_Path": "<>"},
    ],
)
def test_lists_and_programs_are_told_nothing(fields: dict[str, str]) -> None:
    office = Office()
    assert office.tell(case(mail(**fields), group(sender_notify=True))) == {}
    assert office.counts == {("sender", "suppressed"): 1}


@pytest.mark.parametrize("fields", [{"Auto_Submitted": "no"}, {"Precedence": "first-class"}, {"X_List": "x"}])
def test_people_are_told(fields: dict[str, str]) -> None:
    assert set(Office().tell(case(mail(**fields), group(sender_notify=True)))) == {SENDER}


@pytest.mark.parametrize(
    ("address", "program"),
    [
        (b"", False),
        (b"MAILER-DAEMON@x", True),
        (b"Mailer-Daemon", True),
        (b"owner-list@x", True),
        (b"list-owner@x", True),
        (b"list-request@x", True),
        (b"list-bounces+a=b@x", True),
        (b"bounces+1@x", True),
        (b"requests@x", False),
        (b"landowner@x", False),
        (b"bouncer@x", False),
    ],
)
def test_programs_are_known_by_their_addresses(address: bytes, program: bool) -> None:
    assert automatic(address) is program
    if program or not address:
        assert Office().tell(case(sender=address, of=group(sender_notify=True))) == {}


def test_the_address_that_we_write_from_is_not_written_to() -> None:
    manner = Manner()
    assert Office().tell(case(sender=manner.sender, of=group(sender_notify=True))) == {}


# ---- nothing goes round ----------------------------------------------------------------------------------------------


def returned(office: Office, data: bytes, **more: object) -> dict[bytes, EmailMessage]:
    """What is told of a message that is one of ours or holds one."""
    office.hop.got.clear()
    return office.tell(case(data, group(admin_notify=True), sender=b"", **more))


def test_a_notice_that_comes_back_makes_no_new_one_and_nothing_is_lost() -> None:
    office = Office()
    office.tell(case(of=group(admin_notify=True)))
    notice = office.hop.got[0][1]
    assert returned(office, notice) == {}
    assert [one.spool.size for one in office.kept] == [len(notice)]
    bounce = b"From: x\r\n\r\nundeliverable\r\n\r\n> not quoted:\r\n" + notice
    assert returned(office, bounce, whole=True) == {}


def test_two_scanners_that_tell_the_same_administrator_come_to_an_end() -> None:
    offices = [Office(key=b"one"), Office(key=b"two")]
    offices[0].tell(case(of=group(admin_notify=True)))
    data, rounds = offices[0].hop.got[0][1], 0
    while data and rounds < 10:
        rounds += 1
        office = offices[rounds % 2]
        returned(office, data)
        data = office.hop.got[0][1] if office.hop.got else b""
    assert rounds == 2


def test_a_mark_that_is_forged_or_was_somebody_elses_silences_nobody() -> None:
    office = Office()
    mark = Marks(KEY).make(SENDER, office.now).decode()
    forged = mark[:-1] + ("0" if mark[-1] != "0" else "1")
    for value in (mark, forged, "0" * 12 + "-" + "0" * 32):
        assert set(returned(office, mail(X_Kavfs_Notice=value, Subject=value))) == {ADMIN}


# ---- how many --------------------------------------------------------------------------------------------------------


def test_notices_in_an_hour_are_limited_and_come_back_with_time() -> None:
    office = Office(per_hour=6)
    rule = group(recipient_notify=True)
    cases = [case(mail(Message_ID=f"<{n}@x>"), rule, to=(Recipient(b"user%d@example.com" % n),)) for n in range(20)]
    assert len(office.tell(*cases[:10])) == 6
    assert office.counts == {("recipient", "sent"): 6, ("recipient", "suppressed"): 4}
    office.now += 1800
    assert len(office.tell(*cases[10:])) == 9


@pytest.mark.parametrize(("after", "more"), [(10, 4), (6, 0), (2, 0), (0, 20)])
def test_the_number_in_an_hour_may_be_changed(after: int, more: int) -> None:
    allowance = Allowance(6, 0)
    granted = [not allowance.refused("admin", b"", b"%d" % number, 0.0) for number in range(9)]
    assert sum(granted) == 6
    allowance.change(after)
    assert sum(not allowance.refused("admin", b"", b"again %d" % number, 0.0) for number in range(20)) == more


def test_one_address_gets_no_more_than_its_share() -> None:
    office = Office(per_hour=1000)
    cases = [case(mail(Message_ID=f"<{n}@x>"), group(recipient_notify=True)) for n in range(25)]
    office.tell(*cases, case(of=group(recipient_notify=True), to=(Recipient(b"other@x"),)))
    assert office.counts["recipient", "suppressed"] == 5
    assert b"other@x" in office.hop.letters()


def test_0_is_no_limit() -> None:
    office = Office(per_hour=0)
    office.tell(*(case(mail(Message_ID=f"<{n}@x>"), group(admin_notify=True)) for n in range(150)))
    assert office.counts == {("admin", "sent"): 150}


def test_what_lies_nowhere_else_goes_into_quarantine_when_there_were_too_many() -> None:
    office = Office(per_hour=1)
    cases = [case(mail(Message_ID=f"<{n}@x>"), group(admin_notify=True)) for n in range(3)]
    office.tell(*cases)
    assert len(office.hop.got) == 1
    assert office.kept == cases[1:]
    office.tell(case(mail(Message_ID="<4@x>"), group(admin_notify=True)), keeps=False)
    assert len(office.hop.got) == 2, "with no quarantine it is sent"


def test_a_message_that_comes_again_is_told_once_unless_nobody_heard() -> None:
    office = Office()
    one = case(of=group(admin_notify=True, recipient_notify=True))
    office.hop.broken = True
    with pytest.raises(HopLost):
        office.tell(one)
    office.hop.broken = False
    assert set(office.tell(one, one)) == {ADMIN, TO}
    assert len(office.hop.got) == 2
    other = one._replace(spool=spool_of(b"".join(one.spool.chunks()).replace(b"Hello", b"Howdy")))
    office.tell(other)
    assert len(office.hop.got) == 4, "another message with the same id and size has another object"


def test_what_waits_is_bounded() -> None:
    class Stuck(Hop):
        async def __call__(self, envelope: Envelope, spool: object) -> None:
            await asyncio.Event().wait()

    async def run() -> Notices:
        office = Notices(Stuck(), load({}), Marks(KEY), Allowance(0, 0))
        to = tuple(Recipient(b"u%d@x" % n) for n in range(WAITING + 50))
        await office(case(of=group(recipient_notify=True), to=to))
        await office.close(0.01)
        return office

    assert asyncio.run(run()).counts["recipient", "lost"] >= WAITING + 49


# ---- reports of failure ----------------------------------------------------------------------------------------------


def asking(notify: bytes, address: bytes = TO) -> Recipient:
    return Recipient(address, ((b"NOTIFY", notify), (b"ORCPT", b"rfc822;+2Borig+40x")))


def test_a_report_of_failure_has_its_three_parts() -> None:
    one = case(of=group(), to=(asking(b"DELAY,FAILURE"),), blocked=True)
    one = one._replace(envelope=one.envelope._replace(parameters=((b"RET", b"FULL"), (b"ENVID", b"id+2B1"))))
    (notice,) = Office().tell(one).values()
    assert notice.get_content_type() == "multipart/report"
    assert notice.get_param("report-type") == "delivery-status"
    text, status, headers = notice.iter_parts()
    assert "the message was not delivered" in text.get_content()
    about_all, about_one = status.get_payload()
    assert (about_all["Reporting-MTA"], about_all["Original-Envelope-Id"]) == ("dns; mx.example.com", "id+1")
    assert about_one["Final-Recipient"] == "rfc822; user@example.com"
    assert about_one["Original-Recipient"] == "rfc822; +orig@x"
    assert (about_one["Action"], about_one["Status"]) == ("failed", "5.7.1")
    assert headers.get_content_type() == "text/rfc822-headers"
    assert "Subject: test" in headers.get_payload()
    assert b"bad.exe" not in b"".join(part.as_bytes() for part in (text, status, headers))


@pytest.mark.parametrize(
    ("notify", "blocked", "policy", "kind"),
    [
        (b"FAILURE", True, False, "multipart/report"),
        (b"", True, True, "multipart/report"),
        (b"", True, False, None),
        (b"NEVER", True, True, None),
        (b"SUCCESS,DELAY", True, True, None),
        (b"FAILURE", False, False, None),
        (b"FAILURE", False, True, "text/plain"),
        (b"NEVER", False, True, None),
    ],
)
def test_the_sender_gets_what_policy_and_protocol_say(
    notify: bytes, blocked: bool, policy: bool, kind: str | None
) -> None:
    to = asking(notify) if notify else Recipient(TO)
    told = Office().tell(case(of=group(sender_notify=policy), to=(to,), blocked=blocked))
    assert [notice.get_content_type() for notice in told.values()] == ([kind] if kind else [])
    assert Office().tell(case(of=group(sender_notify=policy), to=(to,), blocked=blocked, sender=b"")) == {}


def test_values_of_a_client_begin_no_line_of_a_report() -> None:
    evil = b"x+0D+0AAction:+20delivered"
    to = Recipient(TO, ((b"NOTIFY", b"FAILURE"), (b"ORCPT", b"rfc822;" + evil)))
    one = case(of=group(), to=(to,), blocked=True)
    one = one._replace(envelope=one.envelope._replace(parameters=((b"ENVID", evil),)))
    office = Office()
    office.tell(one)
    assert b"delivered" not in office.hop.got[0][1].replace(b"was not delivered", b"")


# ---- nobody can be told ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ({"admin_notify": True}, 1),
        ({"admin_notify": True, "admin_action": Action.REMOVE}, 0),  # it may be gone
        ({"admin_notify": True, "recipient_action": Action.UNCHANGED}, 0),  # they have it
        ({"recipient_notify": True}, 0),
    ],
)
def test_without_a_next_hop_quarantine_gets_what_the_admin_would_have_got(rule: dict[str, object], kept: int) -> None:
    there: list[str] = []
    untold = Untold(lambda one: (there.append(one.id) or "item",))
    judged = case(of=group(**rule))
    asyncio.run(untold(judged._replace(action=judged.group.rule(Status.INFECTED).recipient_action)))
    assert len(there) == kept


def test_without_a_next_hop_what_cannot_be_kept_is_not_taken() -> None:
    def full(one: object) -> tuple[str, ...]:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        asyncio.run(Untold(full)(case(of=group(admin_notify=True))))

"""Judge: groups, quarantine and notices, no verdict, limits, and what readers of mail disagree about."""

from __future__ import annotations

import base64
import email
import email.policy

import pytest

from kavfs.mail.envelope import Envelope, Recipient
from kavfs.mail.rules import Action, Group
from kavfs.mail.scanning import Bounds
from kavfs.model import Reason, Result, Status
from tests.support.archives import make_uu
from tests.support.curing import zip_of
from tests.support.judging import (
    DAMAGED,
    INFECTED_ZIP,
    OURS,
    SENDER,
    Court,
    attached,
    changed,
    ends,
    group,
    mail,
    status_line,
    words,
)
from tests.support.mailing import letter
from tests.support.objects import EICAR

# ---- groups ----------------------------------------------------------------------------------------------------------


def two_groups() -> tuple[Group, Group]:
    rules = changed(group(), Status.INFECTED, recipient_action=Action.UNCHANGED).rules
    return group("urgent", recipients=[ends(b"@urgent")], rules=rules), group()


def test_each_group_gets_its_own_and_one_scan_is_enough() -> None:
    urgent, usual = two_groups()
    court = Court([urgent], usual)
    got = court.send(mail(("e.com", EICAR)), b"a@x", b"b@urgent", b"c@x", b"d@urgent").got
    assert attached(got[b"b@urgent"])["e.com"] == EICAR
    assert "e.com" not in attached(got[b"a@x"])
    assert got[b"a@x"] == got[b"c@x"]
    assert got[b"b@urgent"] == got[b"d@urgent"]
    assert [(case.group.name, case.recipients) for case in court.cases] == [("default", (0, 2)), ("urgent", (1, 3))]
    assert court.scanned.count(b"message") == 2  # and the copy without it


def test_who_is_not_concerned_gets_the_same_as_everybody() -> None:
    urgent, usual = two_groups()
    outcome = Court([urgent], usual).send(mail(), b"a@x", b"b@urgent")
    assert len(outcome.plan.deliveries) == 1


def test_only_recipients_who_are_treated_alike_are_mates() -> None:
    urgent, usual = two_groups()
    same = usual._replace(name="same", recipients=[ends(b"@same")], admin=b"other@x")
    judge = Court([urgent, same], usual).judge()
    envelope = Envelope(SENDER, (Recipient(b"a@x"),))
    assert judge.mates(envelope, Recipient(b"b@x"))
    assert judge.mates(envelope, Recipient(b"b@same"))
    assert not judge.mates(envelope, Recipient(b"b@urgent"))


# ---- quarantine and notices ------------------------------------------------------------------------------------------


def keeping() -> Group:
    return changed(group(), Status.INFECTED, quarantine=True)


def test_it_is_in_quarantine_before_anybody_is_told_and_told_before_it_goes_on() -> None:
    court = Court(default=keeping(), cures=False)
    court.send(mail(("e.com", EICAR)))
    assert [one for one in court.done if one != "scan"] == ["keep", "tell", "record"]
    assert court.cases[0].items == ("item",)


def test_only_what_a_rule_wants_goes_into_quarantine() -> None:
    court = Court(default=keeping())
    court.send(mail(("d.zip", DAMAGED)))
    assert "keep" not in court.done


@pytest.mark.parametrize("failing", ["keep", "tell"])
def test_where_quarantine_or_notices_fail_the_message_comes_again(failing: str) -> None:
    court = Court(default=keeping(), fails={failing})
    outcome = court.send(mail(("e.com", EICAR)))
    assert (outcome.got, outcome.codes, court.cases) == ({}, [451], [])


def test_trouble_of_one_group_is_not_that_of_another() -> None:
    urgent, _ = two_groups()
    court = Court([urgent], keeping(), fails={"keep"})
    outcome = court.send(mail(("e.com", EICAR)), b"a@x", b"b@urgent")
    assert list(outcome.got) == [b"b@urgent"]
    assert outcome.said[b"a@x"].code == 451


# ---- no verdict ------------------------------------------------------------------------------------------------------

ENGINE_DOWN = Result(b"m", Status.ERROR, Reason.ENGINE, error="clamd does not answer")
UNREADABLE = Result(b"m", Status.ERROR, Reason.UNREADABLE)


@pytest.mark.parametrize("answer", ["no scanning process can be had", ENGINE_DOWN, UNREADABLE])
def test_without_a_verdict_everybody_hears_451(answer: Result | str) -> None:
    court = Court(answers=[answer], default=keeping())
    outcome = court.send(mail(), b"a@x", b"b@x")
    assert (outcome.got, outcome.codes) == ({}, [451, 451])
    assert court.done == ["scan"]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_without_a_verdict_on_a_part_or_a_copy_neither(at: int) -> None:
    """The message, the part alone, what was cured, the copy: whichever has none."""
    outcome = Court(answers=[*[None] * at, "down"]).send(mail(("a.zip", INFECTED_ZIP)))
    assert (outcome.got, outcome.codes) == ({}, [451])


def test_unscanned_mail_passes_where_a_setting_says_so() -> None:
    court, data = Court(answers=["down"], settings={"pass_unscanned": True}), mail(("e.com", EICAR))
    got = court.send(data).only
    assert OURS.sub(b"", got) == data
    assert status_line(got).endswith(b"status: not checked")
    assert (court.cases[0].status, court.cases[0].findings[0].why) == (Status.ERROR, "down")


@pytest.mark.parametrize("at", [1, 2, 3])
def test_what_was_found_does_not_pass_because_the_rest_cannot_be_scanned(at: int) -> None:
    court = Court(answers=[*[None] * at, "down"], settings={"pass_unscanned": True})
    outcome = court.send(mail(("a.zip", INFECTED_ZIP)))
    assert (outcome.got, outcome.codes) == ({}, [451])


def test_a_group_without_check_needs_no_verdict() -> None:
    free = group("free", recipients=[ends(b"@free")], check=False)
    outcome = Court([free], answers=["down"]).send(mail(), b"a@x", b"b@free")
    assert list(outcome.got) == [b"b@free"]
    assert outcome.said[b"a@x"].code == 451


def test_a_worker_that_was_killed_once_is_no_fault_of_the_message() -> None:
    died = Result(b"m", Status.ERROR, Reason.WORKER)
    court = Court(answers=[died, died])
    court.send(mail())
    assert court.cases[0].status is Status.CLEAN
    court = Court(answers=[died] * 3)
    court.send(mail())
    assert (court.cases[0].status, court.cases[0].findings[0].why) == (Status.ERROR, "scanning process died")


# ---- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        (Bounds(size=200), "it has more than 200 bytes"),
        (Bounds(parts=3), "it has more than 3 parts"),
        (Bounds(nesting=1), "its parts are nested more than 1 deep"),
        (Bounds(seconds=1e-9), "not checked within 1e-09 seconds"),
    ],
)
def test_what_exceeds_a_limit_is_an_error_of_the_message(bounds: Bounds, why: str) -> None:
    outer = letter(("a", b"x"))
    outer.add_attachment(letter())
    court = Court(settings={"bounds": bounds})
    got = court.send(outer.as_bytes(policy=email.policy.SMTP)).only
    assert [(one.status, one.why) for one in court.cases[0].findings] == [(Status.ERROR, why)]
    assert set(attached(got)) == {None}
    assert f"could not be checked ({why})" in words(got)


def test_within_its_limits_it_passes() -> None:
    court = Court(settings={"bounds": Bounds(seconds=0, size=10_000, parts=4, nesting=2)})
    court.send(mail(("a", b"x")))
    assert court.cases[0].status is Status.CLEAN


def test_a_copy_that_cannot_be_looked_at_in_time_is_not_delivered() -> None:
    late = Result(b"m", Status.ERROR, Reason.TIME, format="mail")
    court = Court(cures=False, answers=[None, late])
    got = court.send(mail(("e.com", EICAR), ("f", b"fine"))).only
    assert set(attached(got)) == {None}
    assert court.cases[0].action is Action.REMOVE


def test_a_limit_does_not_hide_what_was_found() -> None:
    court = Court(settings={"bounds": Bounds(parts=1)})
    court.send(mail(("e.com", EICAR)))
    assert court.cases[0].status is Status.INFECTED
    assert {one.status for one in court.cases[0].findings} == {Status.INFECTED, Status.ERROR}


# ---- what readers disagree about -------------------------------------------------------------------------------------


def test_what_only_a_reader_of_another_boundary_shows_is_scanned_by_itself() -> None:
    """One text in base64, in two halves with a boundary of the tree between them."""
    text = base64.encodebytes(EICAR + b"." * 100)
    half = text.index(b"\n", 20) + 1
    head = b'From: a@x\nTo: b@x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="b"; boundary="c"\n\n'
    part = b"--c\nContent-Transfer-Encoding: base64\n\n" + text[:half] + b"--b\n" + text[half:] + b"--c--\n--b--\n"
    court = Court()
    court.send(head + part)
    assert len(court.scanned) > 1


def test_no_mail_by_its_looks_is_read_as_mail_nevertheless() -> None:
    court = Court()
    got = court.send(b"X-Odd: 1\r\nX-Other: 2\r\n\r\n" + zip_of([("e.com", EICAR)])).only
    assert EICAR not in got
    assert court.cases[0].status in (Status.INFECTED, Status.CURED)


@pytest.mark.parametrize("between", [b"\n", b"\r", b"\r\n", b"\r\n\r\n", b"\r\n \r\n", b"\r\nnothing of it\r\n"])
def test_lines_of_a_file_in_a_text_may_be_apart(between: bytes) -> None:
    block = make_uu({"e.com": EICAR}).replace(b"\n", between)
    court = Court()
    got = court.send(b"From: a@x\r\nTo: b@x\r\nSubject: x\r\n\r\n" + block + b"\r\n").only
    assert court.cases[0].status is Status.INFECTED
    assert block[30:60] not in got

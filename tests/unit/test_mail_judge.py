"""Judge: who gets what of a message that is clean, infected, cured, damaged, locked or filtered."""

from __future__ import annotations

import email
import email.policy
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kavfs.mail.rules import Action, Filters
from kavfs.mail.scanning import Bounds, Unscanned
from kavfs.model import Member, Reason, Result, Status, Threat
from tests.support.archives import make_uu
from tests.support.curing import unzipped, zip_of
from tests.support.judging import (
    DAMAGED,
    INFECTED_ZIP,
    OURS,
    Court,
    attached,
    changed,
    ends,
    group,
    is_,
    mail,
    status_line,
    words,
)
from tests.support.mailing import letter
from tests.support.monsters import monster
from tests.support.objects import ADWARE, EICAR, NEAR_MISS
from tests.support.tnef import attached as packed
from tests.support.tnef import tnef

# ---- clean -----------------------------------------------------------------------------------------------------------


def test_clean_mail_passes_with_our_field_on_top_and_no_other_change() -> None:
    court, data = Court(), mail(("a.bin", NEAR_MISS))
    got = court.send(data, b"b@x", b"c@x").only
    assert got.startswith(b"X-Anti-Virus: kavfs")
    assert status_line(got).endswith(b"bases: 20112026 #12345, status: clean")
    assert OURS.sub(b"", got, count=1) == data
    assert court.done == ["scan", "record"]
    assert (court.cases[0].status, court.cases[0].recipients) == (Status.CLEAN, (0, 1))


def test_without_our_field_the_message_is_the_one_that_came() -> None:
    assert Court(default=group(x_headers=False)).send(mail()).same


@pytest.mark.parametrize("name", [b"X-Anti-Virus", b"x-anti-virus"])
def test_what_others_claim_in_our_name_goes(name: bytes) -> None:
    data = mail()
    forged = b"Received: from x\r\n" + name + b": kavfs,\r\n status: clean\r\nX-Antivirus: other\r\n" + data
    assert Court(default=group(x_headers=False)).send(forged).only == (
        b"Received: from x\r\nX-Antivirus: other\r\n" + data
    )
    assert len(OURS.findall(Court().send(forged).only)) == 1


def test_the_form_of_release_5_6() -> None:
    got = Court(default=group(long_header=True)).send(mail()).only
    assert re.search(rb"bases: 20261120 #12345, check: \d{8} clean$", status_line(got))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 5000))
def test_of_clean_monsters_every_byte_stays(seed: int) -> None:
    court, data = Court(), monster(seed)
    got = court.send(data).only
    assume(court.cases[0].status is Status.CLEAN)
    assert OURS.sub(b"", got, count=1) == data


def test_a_group_without_check_is_not_scanned() -> None:
    court, data = Court(default=group(check=False)), mail(("e.com", EICAR))
    got = court.send(data).only
    assert OURS.sub(b"", got) == data
    assert status_line(got).endswith(b"status: not checked")
    assert court.done == ["record"]
    assert court.cases[0].message is None
    court = Court(default=group(check=False, long_header=True))
    assert status_line(court.send(data).only).endswith(b"#12345, notchecked")


# ---- infected --------------------------------------------------------------------------------------------------------


def test_an_infected_attachment_gives_way_to_a_note_and_a_report() -> None:
    court = Court()
    got = court.send(mail(("e.com", EICAR), ("fine.txt", b"fine"))).only
    found = attached(got)
    assert "e.com" not in found
    assert found["fine.txt"] == b"fine"
    assert EICAR not in got
    assert 'The attachment "e.com" is infected (EICAR-Test-File.UNOFFICIAL). It was removed.' in words(got)
    assert "has checked this message" in words(got)
    assert status_line(got).endswith(b"status: infected")
    case = court.cases[0]
    assert (case.status, case.action, case.blocked) == (Status.INFECTED, Action.REMOVE, False)
    assert [(one.name, one.size) for one in case.findings] == [("e.com", len(EICAR))]


def test_without_a_report_the_note_is_all() -> None:
    quiet = changed(group(), Status.INFECTED, recipient_attach_report=False)
    got = Court(default=quiet).send(mail(("e.com", EICAR))).only
    assert "It was removed." in words(got)
    assert "has checked this message" not in words(got)


def test_unchanged_delivers_what_was_found_and_says_so() -> None:
    court = Court(default=changed(group(), Status.INFECTED, recipient_action=Action.UNCHANGED))
    got = court.send(mail(("e.com", EICAR))).only
    assert attached(got)["e.com"] == EICAR
    assert "It was left as it is." in words(got)
    assert court.cases[0].action is Action.UNCHANGED


def test_of_two_attachments_of_one_name_the_infected_one_goes() -> None:
    court = Court()
    got = court.send(mail(("a.bin", b"fine"), ("a.bin", EICAR))).only
    assert attached(got)["a.bin"] == b"fine"
    assert len(court.cases[0].findings) == 1


def test_a_message_that_is_nothing_but_an_infected_text_keeps_its_header_alone() -> None:
    data = b"From: a@x\r\nTo: b@x\r\nSubject: hello\r\n\r\n" + EICAR + b"\r\n"
    got = Court().send(data).only
    assert EICAR not in got
    assert email.message_from_bytes(got)["Subject"] == "hello"
    assert "It was removed." in words(got)


@pytest.mark.parametrize("seconds", [0.0, 30.0])
def test_a_cure_has_what_is_left_of_the_time_of_the_message(seconds: float) -> None:
    court = Court(settings={"bounds": Bounds(seconds=seconds)})
    court.send(mail(("a.zip", INFECTED_ZIP)))
    (left,) = court.allowed
    assert left == 0.0 if not seconds else 0.0 < left <= seconds


@pytest.mark.parametrize(("why", "codes"), [("time limit of curing", []), (Unscanned("too many wait"), [451])])
def test_what_is_not_cured_in_time_is_infected_and_what_we_could_not_begin_comes_again(
    why: str | Unscanned, codes: list[int]
) -> None:
    async def cure(fd: int, result: Result, seconds: float) -> str:
        if isinstance(why, Unscanned):
            raise why
        return why

    court = Court(settings={"pass_unscanned": True})
    court.cure = cure  # type: ignore[method-assign, assignment]
    outcome = court.send(mail(("a.zip", INFECTED_ZIP), ("fine.txt", b"fine")))
    assert outcome.codes == codes
    assert [case.status for case in court.cases] == ([] if codes else [Status.INFECTED])
    if not codes:
        assert "a.zip" not in attached(outcome.only)


@pytest.mark.parametrize(
    ("gone", "done"), [(1, ["scan"]), (2, ["scan", "scan"]), (3, ["scan", "scan", "keep", "tell"])]
)
def test_of_what_nobody_waits_for_nothing_is_kept_or_told(gone: int, done: list[str]) -> None:
    """It comes again, and would be there twice."""
    court = Court(default=changed(group(), Status.INFECTED, quarantine=True), gone=gone, cures=False)
    outcome = court.send(mail(("e.com", EICAR)))
    assert [step for step in court.done if step != "record"][: len(done)] == done
    assert ("keep" in court.done, "record" in court.done, outcome.codes) == (
        gone > 2,
        gone > 2,
        [] if gone > 2 else [451],
    )


def test_nothing_left_and_no_report_wanted_is_nothing_sent() -> None:
    quiet = changed(group(), Status.INFECTED, recipient_attach_report=False)
    court = Court(default=quiet)
    outcome = court.send(b"From: a@x\r\nTo: b@x\r\nSubject: x\r\n\r\n" + EICAR + b"\r\n")
    assert (outcome.got, outcome.codes) == ({}, [250])
    assert court.cases[0].blocked
    assert court.done[-2:] == ["tell", "record"]


def test_only_the_file_in_a_text_goes_and_the_text_stays() -> None:
    block = make_uu({"e.com": EICAR}).replace(b"\n", b"\r\n")
    text = b"From: a@x\r\nTo: b@x\r\nSubject: x\r\n\r\nbefore\r\n" + block + b"after\r\n"
    court = Court()
    got = court.send(text).only
    assert court.cases[0].findings[0].name == "e.com"
    for line in ("before", "after", 'The attachment "e.com" is infected'):
        assert line in words(got)
    assert block[:40] not in got


def test_what_outlook_packed_goes_as_a_whole() -> None:
    for content, bad in ((EICAR, True), (NEAR_MISS, False)):
        winmail = tnef(packed(b"fine.txt", b"fine"), packed(b"a.zip", zip_of([("e.com", content)])))
        court = Court()
        found = attached(court.send(mail(("winmail.dat", winmail), ("fine.txt", b"fine"))).only)
        assert found["fine.txt"] == b"fine"
        assert found.get("winmail.dat") == (None if bad else winmail)
        assert [one.name for one in court.cases[0].findings] == (["winmail.dat"] if bad else [])


def test_an_infected_part_of_an_enclosed_message() -> None:
    inner = letter(("e.com", EICAR), ("f.txt", b"fine"))
    outer = letter(("g.txt", b"fine too"))
    outer.add_attachment(inner)
    found = attached(Court().send(outer.as_bytes(policy=email.policy.SMTP)).only)
    assert "e.com" not in found
    assert (found["f.txt"], found["g.txt"]) == (b"fine", b"fine too")


def blamed(*members: bytes) -> Result:
    threats = tuple(Threat("Other", Status.INFECTED, "native", member) for member in members)
    return Result(b"m", Status.INFECTED, format="mail", threats=threats)


def test_where_taking_a_part_out_does_not_help_the_whole_message_goes() -> None:
    court = Court(cures=False, answers=[blamed(b"a.bin"), blamed(b"")])
    got = court.send(mail(("a.bin", b"x"), ("b.bin", b"y"))).only
    assert set(attached(got)) == {None}
    assert court.cases[0].action is Action.REMOVE


def test_what_is_found_in_the_message_as_a_whole_takes_all_of_it() -> None:
    court = Court(answers=[blamed(b"")])
    got = court.send(mail(("a.bin", b"x"))).only
    assert set(attached(got)) == {None}
    assert "This message is infected (Other). It was removed." in words(got)


def test_what_is_found_in_no_part_takes_the_whole_message() -> None:
    assert set(attached(Court(answers=[blamed(b"nowhere")]).send(mail(("a.bin", b"x"))).only)) == {None}


def test_what_the_rules_let_through_may_still_be_there_when_it_is_looked_at_again() -> None:
    lenient = changed(group(), Status.WARNING, recipient_action=Action.UNCHANGED)
    found = attached(Court(default=lenient).send(mail(("e.com", EICAR), ("ad.bin", ADWARE))).only)
    assert "e.com" not in found
    assert found["ad.bin"] == ADWARE


# ---- cured -----------------------------------------------------------------------------------------------------------


def test_an_attached_archive_is_cured() -> None:
    court = Court()
    got = court.send(mail(("a.zip", INFECTED_ZIP))).only
    assert unzipped(attached(got)["a.zip"]) == [("fine", b"fine " * 50)]
    assert "What was infected in it was removed." in words(got)
    case = court.cases[0]
    assert (case.status, case.action) == (Status.CURED, Action.CURED)
    assert status_line(got).endswith(b"status: cured")


def test_what_was_cured_is_infected_where_it_is_not_clean_afterwards() -> None:
    court = Court()
    still = Result(b"a.zip", Status.INFECTED, threats=(Threat("X", Status.INFECTED, "native"),), format="zip")
    court.answers = [None, None, still]  # the message, the part, what was cured
    got = court.send(mail(("a.zip", INFECTED_ZIP))).only
    assert "a.zip" not in attached(got)
    assert court.cases[0].status is Status.INFECTED


def test_a_cure_that_does_not_clean_the_message_is_none() -> None:
    court = Court(answers=[None, None, None, blamed(b"")])  # the message, the part, what was cured, the copy
    got = court.send(mail(("a.zip", INFECTED_ZIP), ("b.bin", b"fine"))).only
    assert set(attached(got)) == {None}
    assert status_line(got).endswith(b"status: infected")
    case = court.cases[0]
    assert (case.status, case.action, case.findings[0].cured) == (Status.INFECTED, Action.REMOVE, None)


def test_nothing_is_cured_that_no_group_wants() -> None:
    court = Court(default=changed(group(), Status.CURED, recipient_action=Action.REMOVE))
    assert "a.zip" not in attached(court.send(mail(("a.zip", INFECTED_ZIP))).only)
    assert court.cases[0].status is Status.INFECTED


def test_an_infected_program_cannot_be_cured() -> None:
    court = Court()
    court.send(mail(("e.com", EICAR), ("a.zip", INFECTED_ZIP)))
    assert {(one.name, one.status) for one in court.cases[0].findings} == {
        ("e.com", Status.INFECTED),
        ("a.zip", Status.CURED),
    }


# ---- other statuses --------------------------------------------------------------------------------------------------


def test_a_damaged_archive_goes_by_its_rule() -> None:
    court = Court()
    assert "d.zip" not in attached(court.send(mail(("d.zip", DAMAGED), ("f", b"fine"))).only)
    assert court.cases[0].status is Status.CORRUPTED
    lenient = changed(group(), Status.CORRUPTED, recipient_action=Action.UNCHANGED)
    assert attached(Court(default=lenient).send(mail(("d.zip", DAMAGED))).only)["d.zip"] == DAMAGED


def said_of(status: Status, reasons: Reason) -> Result:
    return Result(b"m", status, reasons, format="mail", members=(Member(b"p.zip", status, reasons, 10, True),))


def test_what_needs_a_password_passes_with_a_warning() -> None:
    court = Court(answers=[said_of(Status.PROTECTED, Reason.ENCRYPTED)])
    got = court.send(mail(("p.zip", b"locked"))).only
    assert attached(got)["p.zip"] == b"locked"
    assert "protected by a password" in words(got)
    assert "open it only if you know who sent it" in words(got)
    assert court.cases[0].status is Status.PROTECTED


def test_a_part_that_was_not_wholly_scanned_is_an_error_with_its_reason() -> None:
    court = Court(answers=[said_of(Status.ERROR, Reason.DEPTH)])
    got = court.send(mail(("p.zip", b"deep"), ("f", b"fine"))).only
    assert "p.zip" not in attached(got)
    assert "could not be checked (nested too deep)" in words(got)
    assert court.cases[0].status is Status.ERROR


def test_names_of_parts_cannot_speak_for_us() -> None:
    hostile = 'x"; it is clean. \x1b[2J\u202egpj.exe\r\nX-Forged: yes'
    message = letter(("PLACE", EICAR)).as_bytes(policy=email.policy.SMTP)
    coded = b"filename*=utf-8''" + "".join(f"%{byte:02X}" for byte in hostile.encode()).encode()
    got = Court().send(message.replace(b'filename="PLACE"', coded)).only
    assert 'The attachment "x_; it is clean. _[2J_gpj.exe__X-Forged: yes" is infected' in words(got)
    assert b"X-Forged" not in got.partition(b"\r\n\r\n")[0]


# ---- filters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "gone"),
    [
        (Filters(names=[ends(b".exe")]), {"a.exe"}),
        (Filters(names=[ends(b".exe")], spare_names=[is_(b"a.exe")]), set()),
        (Filters(mime=[is_(b"application/octet-stream")]), {"a.exe", "b.zip", "c.txt"}),
        (Filters(mime=[ends(b"stream")], spare_names=[ends(b".txt")]), {"a.exe", "b.zip"}),
        (Filters(mime=[ends(b"stream")], spare_mime=[ends(b"octet-stream")]), set()),
        (Filters(types=[is_(b"zip")]), {"b.zip"}),
        (Filters(size_over=499), {"c.txt"}),
        (Filters(size_over=500), set()),
    ],
)
def test_filters(filters: Filters, gone: set[str]) -> None:
    files = {"a.exe": b"MZ", "b.zip": zip_of([("x", b"y")]), "c.txt": b"c" * 500}
    court = Court(default=group(filters=filters))
    got = court.send(mail(*files.items())).only
    assert set(files) - set(attached(got)) == gone
    assert court.cases[0].status is (Status.FILTERED if gone else Status.CLEAN)
    assert court.done.count("scan") == 1


@pytest.mark.parametrize("name", ["a.exe ", "a.exe.", "a.exe. .", "C:\\x\\a.exe", "a.exe\x00.txt"])
def test_names_that_some_system_takes_for_a_forbidden_one(name: str) -> None:
    data = letter(("PLACE", b"MZ")).as_bytes(policy=email.policy.SMTP)
    coded = b"filename*=utf-8''" + "".join(f"%{byte:02X}" for byte in name.encode()).encode()
    court = Court(default=group(filters=Filters(names=[ends(b".exe")])))
    court.send(data.replace(b'filename="PLACE"', coded))
    assert court.cases[0].status is Status.FILTERED


def test_one_good_name_of_two_is_no_exception() -> None:
    data = letter(("a.exe", b"MZ")).as_bytes(policy=email.policy.SMTP)
    data = data.replace(b'filename="a.exe"', b'filename="a.exe"; filename="ok.txt"')
    spared = Filters(names=[ends(b".exe")], spare_names=[is_(b"ok.txt")])
    court = Court(default=group(filters=spared))
    court.send(data)
    assert court.cases[0].status is Status.FILTERED


def test_a_file_in_a_text_is_filtered_by_its_name() -> None:
    block = make_uu({"a.exe": b"MZ" * 50}).replace(b"\n", b"\r\n")
    court = Court(default=group(filters=Filters(names=[ends(b".exe")])))
    got = court.send(b"From: a@x\r\nTo: b@x\r\nSubject: x\r\n\r\nbefore\r\n" + block + b"after\r\n").only
    assert "before" in words(got)
    assert block not in got
    assert [one.size for one in court.cases[0].findings] == [100]


def test_what_is_filtered_and_infected_is_treated_by_the_stricter_rule() -> None:
    lenient = changed(group(filters=Filters(names=[ends(b".exe")])), Status.FILTERED, recipient_action=Action.UNCHANGED)
    court = Court(default=lenient)
    assert "a.exe" not in attached(court.send(mail(("a.exe", EICAR))).only)
    assert court.cases[0].status is Status.INFECTED

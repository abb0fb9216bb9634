"""Notices: what a mail program and a command are given, when, and what happens when they fail."""

from __future__ import annotations

import email
import email.policy
import os
import time
from email.message import EmailMessage
from pathlib import Path

import pytest

from kavfs.config.kinds import OCCASIONS
from kavfs.config.settings import Settings
from kavfs.model import Deed, Reason, Result, Status, Threat, Totals
from kavfs.report.names import shown_path
from kavfs.report.notify import EVENTS, LINES_MAX, USUAL, Notify, NotifyReport
from kavfs.report.summary import Signatures
from tests.support.hostile import hostile_names

SIGNATURES = Signatures(7, 1_700_000_000.0, False, bytes(16))
CODE = 25
HEADS = {"Subject", "To", "Date", "Message-ID", "Auto-Submitted", "X-Kavscanner-Exit-Code", "Content-Type"}
HEADS |= {"Content-Transfer-Encoding", "MIME-Version"}


@pytest.fixture
def sendmail(tmp_path: Path) -> Path:
    """A program that keeps its arguments, its environment and what it is given."""
    program = tmp_path / "sendmail"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/words\ncat > {tmp_path}/mail\n')
    program.chmod(0o755)
    return program


class Notices:
    def __init__(self, notify: Notify) -> None:
        self.failed: list[str] = []
        self.report = NotifyReport(notify, SIGNATURES, (b"/srv/two\nroots",), lambda totals: CODE, self.failed.append)

    def end(self, *results: Result, totals: Totals | None = None) -> list[str]:
        for result in results:
            self.report.add(result)
        statuses: dict[Status, int] = {}
        for result in results:
            statuses[result.status] = statuses.get(result.status, 0) + 1
        self.report.finish(totals or Totals(files=len(results), statuses=statuses))
        return self.failed


def infected(path: bytes, name: str = "Evil.One", **more) -> Result:
    return Result(path, Status.INFECTED, threats=(Threat(name, Status.INFECTED, "native"),), **more)


def read(folder: Path) -> EmailMessage:
    message = email.message_from_bytes((folder / "mail").read_bytes(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message.defects == []
    return message


def mails(sendmail: Path, **more) -> Notify:
    return Notify(**{"mail": ("root@example.org", "Ops"), "sendmail": os.fsencode(sendmail), **more})


def test_a_mail_says_what_was_found_and_done(sendmail: Path, tmp_path: Path) -> None:
    deeds = (Deed("quarantine", True, "item 4"), Deed("remove", False, "Read-only file system"))
    assert Notices(mails(sendmail, sender="scan@example.org")).end(infected(b"/srv/x", deeds=deeds)) == []
    mail = read(tmp_path)
    assert (tmp_path / "words").read_text() == "-t\n-oi\n"
    assert (mail["To"], mail["From"]) == ("root@example.org, Ops", "scan@example.org")
    assert mail["Subject"].endswith(": 1 infected")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime is not None
    assert mail["Message-ID"].startswith("<")
    lines = mail.get_content().splitlines()
    assert "/srv/x INFECTED Evil.One" in lines
    assert "    quarantine: item 4" in lines
    assert "    remove failed: Read-only file system" in lines
    assert "Scanned: /srv/two\\nroots" in lines
    assert "Scan finished" in lines


def test_five_hundred_hostile_names_neither_make_a_head_nor_a_line(sendmail: Path, tmp_path: Path) -> None:
    names = [b"/srv/" + name for name in hostile_names()]
    for some in (names[i : i + LINES_MAX] for i in range(0, len(names), LINES_MAX)):
        command = b'cat > %b/given; printf %%s "$KAVFS_FINDINGS" > %b/findings' % ((os.fsencode(tmp_path),) * 2)
        notify = mails(sendmail, command=command)
        results = [infected(name, name.decode("utf-8", "backslashreplace")) for name in some]
        assert Notices(notify).end(*results) == []
        raw = (tmp_path / "mail").read_bytes()
        raw.decode("ascii")
        assert max(len(line) for line in raw.split(b"\n")) < 998
        assert b"bcc" not in raw.partition(b"\n\n")[0].lower()
        mail = read(tmp_path)
        assert set(mail.keys()) == HEADS
        assert len(mail.keys()) == len(HEADS)
        lines = mail.get_content().split("\n")
        found = [line for line in lines if line.startswith("/srv/")]
        assert [line.split(" INFECTED ")[0] for line in found] == [shown_path(name).decode() for name in some]
        assert (tmp_path / "given").read_text().split("\n") == mail.get_content().split("\n")
        assert len((tmp_path / "findings").read_text().split("\n")) == len(some)
    assert not (tmp_path / "owned").exists()
    assert not Path("/owned").exists()


@pytest.mark.parametrize(
    ("on", "result", "sent"),
    [
        (("infected",), infected(b"/x"), True),
        (("infected",), Result(b"/x", Status.PROTECTED, Reason.ENCRYPTED), False),
        (("protected",), Result(b"/x", Status.PROTECTED, Reason.ENCRYPTED), True),
        (("infected",), Result(b"/x", Status.CUREFAILED), False),
        (("curefailed",), Result(b"/x", Status.CUREFAILED, threats=infected(b"").threats), True),
        (("protected",), infected(b"/x", deeds=(Deed("remove", False, "no"),)), True),
        (USUAL, Result(b"/x", Status.CLEAN), False),
        (USUAL, Result(b"/x", Status.CLEAN, allowed="ours; Evil.One"), False),
        (("always",), Result(b"/x", Status.CLEAN), True),
        ((), infected(b"/x"), False),
    ],
)
def test_a_mail_only_when_there_is_something_to_say(
    sendmail: Path, tmp_path: Path, on, result: Result, sent: bool
) -> None:
    assert Notices(mails(sendmail, on=on)).end(result) == []
    assert (tmp_path / "mail").exists() is sent


def test_a_scan_that_was_cut_off_is_an_error(sendmail: Path, tmp_path: Path) -> None:
    Notices(mails(sendmail, on=("infected",))).end(totals=Totals(interrupted=True))
    Notices(mails(sendmail, on=("error",))).end(totals=Totals(interrupted=True, window_ended=True))
    assert not (tmp_path / "mail").exists()
    Notices(mails(sendmail, on=("error",))).end(totals=Totals(interrupted=True))
    assert read(tmp_path)["Subject"].endswith("(not finished)")


def test_many_findings_are_counted_where_they_are_not_named(sendmail: Path, tmp_path: Path) -> None:
    Notices(mails(sendmail)).end(*(infected(b"/%d" % i) for i in range(LINES_MAX + 30)))
    lines = read(tmp_path).get_content().splitlines()
    assert len([line for line in lines if line.startswith("/")]) == LINES_MAX
    assert "... and 30 more lines" in lines


def test_what_was_found_is_named_however_much_could_not_be_read(sendmail: Path, tmp_path: Path) -> None:
    unread = [Result(b"/u%d" % i, Status.ERROR, Reason.UNREADABLE) for i in range(LINES_MAX + 30)]
    Notices(mails(sendmail)).end(*unread, infected(b"/the-one"))
    lines = [line for line in read(tmp_path).get_content().splitlines() if line.startswith("/")]
    assert lines[0].startswith("/the-one INFECTED")
    assert len(lines) == LINES_MAX


def test_names_of_hosts_and_subjects_that_are_not_ascii_arrive(sendmail: Path, tmp_path: Path) -> None:
    Notices(mails(sendmail, subject="Übersicht \u202e")).end(infected("/srv/Verträge".encode()))
    mail = read(tmp_path)
    assert mail["Subject"] == "Übersicht \\u202e"
    assert "/srv/Verträge INFECTED Evil.One" in mail.get_content().splitlines()


def test_a_command_gets_the_environment_and_nothing_is_put_into_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LD_PRELOAD_SECRET", "x")
    command = b'env -0 > %b/env; printf "%%s" "$KAVFS_SUBJECT $(id -u)" > %b/said' % ((os.fsencode(tmp_path),) * 2)
    evil = infected(b"/srv/$(touch /tmp/owned)`x`", "$(reboot)")
    assert Notices(Notify(command=command)).end(evil, Result(b"/y", Status.ERROR, error="no")) == []
    pairs = dict(pair.split("=", 1) for pair in (tmp_path / "env").read_text().split("\0") if pair)
    assert (pairs["KAVFS_INFECTED"], pairs["KAVFS_ERROR"], pairs["KAVFS_CLEAN"]) == ("1", "1", "0")
    assert (pairs["KAVFS_EXIT_CODE"], pairs["KAVFS_FILES"], pairs["KAVFS_INTERRUPTED"]) == ("25", "2", "no")
    assert pairs["KAVFS_FINDINGS"].split("\n")[0] == "/srv/$(touch /tmp/owned)`x` INFECTED $(reboot)"
    assert "LD_PRELOAD_SECRET" not in pairs
    assert (tmp_path / "said").read_text().endswith(f": 1 infected, 1 error {os.getuid()}")


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("#!/bin/sh\necho 'no such user' >&2\nexit 67\n", "the mail ended with code 67: no such user"),
        ("#!/bin/sh\nkill -9 $$\n", "the mail was ended by signal 9"),
        ("#!/bin/sh\nexec <&-; exit 0\n", ""),
        ("#!/nowhere/sh\n", "the mail could not be started: No such file or directory"),
    ],
)
def test_what_fails_is_told_with_what_it_said(tmp_path: Path, program: str, told: str) -> None:
    path = tmp_path / "sendmail"
    path.write_text(program)
    path.chmod(0o755)
    assert Notices(mails(path)).end(*(infected(b"/%d" % i) for i in range(50))) == ([told] if told else [])


def test_a_command_that_hangs_is_ended_with_all_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    command = b"sleep 1000 & echo $! > %b; wait" % os.fsencode(pid)
    (told,) = Notices(Notify(command=command, time_limit=0.5)).end(infected(b"/x"))
    assert told == "the command took longer than 0.5 s and was ended"
    end = time.monotonic() + 10
    while _runs(int(pid.read_text())) and time.monotonic() < end:
        os.sched_yield()
    assert not _runs(int(pid.read_text()))


def _runs(pid: int) -> bool:
    """Whether a process lives; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_every_occasion_of_the_configuration_is_known() -> None:
    words = b"infected,suspicion,warning,cured,curefailed,protected,corrupted,error"
    assert set(OCCASIONS.read(words)) | {"always"} == set(EVENTS)
    assert Settings().notify_on == USUAL

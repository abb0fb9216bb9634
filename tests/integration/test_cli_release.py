"""kavfs quarantine with mail: what is shown of a message, who gets it when it is released, what is taken out of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kavfs.mail.case import Case
from kavfs.mail.envelope import Recipient
from kavfs.mail.keeping import Keeping
from kavfs.mail.statistics import line_of
from tests.support.cases import CONTENT, case, mail
from tests.support.mailing import Sink
from tests.support.programs import STARTER, command, kavfs

TO = (Recipient(b"a@example.com"), Recipient(b"b@example.com"))


@pytest.fixture
def sink() -> Iterator[Sink]:
    with closing(_Closing()) as made:
        yield made


class _Closing(Sink):
    def close(self) -> None:
        self.shutdown()
        self.server_close()


class Desk:
    """An administrator with messages in quarantine."""

    def __init__(self, top: Path, sink: Sink | None) -> None:
        self.state, self.config = top / "state", top / "kavfs.conf"
        forward = f"[smtpscan.general]\nForwardMailer=smtp:127.0.0.1:{sink.server_address[1]}\n" if sink else ""
        self.config.write_text(forward)

    def keep(self, one: Case) -> str:
        return Keeping(os.fsencode(self.state / "quarantine"))(one)[0]

    def said(self, *words: str | Path) -> str:
        return kavfs("quarantine", *words, "--state", self.state, "-c", self.config)

    def refused(self, *words: str | Path, code: int = 30) -> str:
        words = (*words, "--state", self.state, "-c", self.config)
        done = subprocess.run(command("kavfs", "quarantine", *words), capture_output=True, timeout=60)
        assert done.returncode == code, done.stderr
        return done.stderr.decode()


@pytest.fixture
def desk(tmp_path: Path, sink: Sink) -> Desk:
    return Desk(tmp_path, sink)


def test_a_message_is_listed_and_shown(desk: Desk) -> None:
    item = desk.keep(case(mail(Subject="H\u00e4llo\u202e", Message_ID="<1@x>"), to=TO, name="bad.exe"))
    line = desk.said("list").splitlines()[0]
    assert "  message  " in line
    assert "Eicar-Test-Signature  <sender@example.org> to <a@example.com> <b@example.com>" in line
    shown = desk.said("show", item)
    for text in (
        *(f"Item: {item} (message)", "Message: ABCDEF123456, group default", "From: <sender@example.org>"),
        *("To: <a@example.com>", "To: <b@example.com>", "Subject: H\u00e4llo\\u202e", "Message-ID: <1@x>"),
        "Found: bad.exe: infected (Eicar-Test-Signature), part 1.2",
        "client [192.0.2.7], HELO client.example.org",
    ):
        assert text in shown.splitlines() or text in shown
    assert desk.said("list", "--kind", "backup") == "no such item\n"


def test_a_released_message_goes_as_it_came_to_whom_it_was_for_and_its_item_goes(desk: Desk, sink: Sink) -> None:
    one = case(to=TO)
    item = desk.keep(one)
    assert desk.said("release", item) == f"{item}  released  <a@example.com>, <b@example.com>\n"
    assert sink.taken == [b"".join(one.spool.chunks())]
    for line in (b"MAIL FROM:<sender@example.org>", b"RCPT TO:<a@example.com>", b"RCPT TO:<b@example.com>"):
        assert line in sink.lines
    assert desk.said("list") == "the quarantine is empty\n"


def test_a_copy_for_others_leaves_the_item(desk: Desk, sink: Sink) -> None:
    item = desk.keep(case(to=TO))
    desk.said("release", item, "--to", "admin@example.com", "--to", "second@example.com")
    assert [line for line in sink.lines if line.startswith(b"RCPT")] == [
        b"RCPT TO:<admin@example.com>",
        b"RCPT TO:<second@example.com>",
    ]
    assert item in desk.said("list")
    desk.said("release", item, "--keep")
    assert item in desk.said("list")
    assert "no address" in desk.refused("release", item, "--to", "a@b>\r\nRCPT TO:<c@d", code=66)
    assert len(sink.taken) == 2


def test_what_is_not_taken_for_everybody_stays(desk: Desk, sink: Sink) -> None:
    item = desk.keep(case(to=TO))
    sink.refused.append(b"b@example.com")
    said = desk.refused("release", item)
    assert "<b@example.com>: 550 not here" in said
    assert "<a@" not in said
    assert item in desk.said("list")


def test_with_no_next_hop_nothing_is_lost(tmp_path: Path, sink: Sink) -> None:
    desk = Desk(tmp_path, None)
    item = desk.keep(case(to=TO))
    assert "ForwardMailer" in desk.refused("release", item, code=65)
    desk.config.write_text("[smtpscan.general]\nForwardMailer=smtp:127.0.0.1:1\n")
    assert "has not taken it" in desk.refused("release", item)
    assert item in desk.said("list")


def test_one_part_is_taken_out(desk: Desk, tmp_path: Path) -> None:
    item = desk.keep(case())
    desk.said("export", item, "--part", "1.2", "-o", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert "no part 7" in desk.refused("export", item, "--part", "7", "-o", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_file_is_not_released_and_a_message_not_restored(desk: Desk, tmp_path: Path) -> None:
    item = desk.keep(case())
    assert "is a message" in desk.refused("restore", item)
    desk.said("restore", item, "--to", tmp_path / "copy.eml", "--keep")
    assert (tmp_path / "copy.eml").stat().st_mode & 0o777 == 0o600
    assert b"Subject: test" in (tmp_path / "copy.eml").read_bytes()


def test_a_message_that_is_clean_now_is_not_put_into_a_file(desk: Desk, tmp_path: Path) -> None:
    item = desk.keep(case())
    said = desk.said("rescan", "--db", STARTER, "--restore-clean")
    assert f"{item}  OK" in said
    assert "1 item clean now, 0 restored" in said
    assert "clean now" in desk.said("list")


def test_a_value_of_a_message_does_not_reach_the_terminal(desk: Desk) -> None:
    one = case(mail(Subject="=?utf-8?q?=1B]0;x=07=0D=0AItem:?="), sender=b'"\x1b[2J"@x', name="bad.exe")
    item = desk.keep(one)
    for text in (desk.said("list"), desk.said("show", item), line_of(one).decode()):
        assert "\x1b" not in text
        assert "\a" not in text

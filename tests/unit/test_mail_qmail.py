"""qmail-queue's protocol, both ways: what it is given, what its exit status means to the client."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from kavfs.mail import qmail
from kavfs.mail.addresses import bare, quoted
from kavfs.mail.envelope import Envelope, Recipient
from kavfs.mail.hop import HopLost
from kavfs.mail.qmail import QmailHops, QmailLink, network_lines, unix_lines
from kavfs.mail.replies import Reply
from kavfs.mail.settings import Times
from kavfs.mail.spool import Spool
from tests.support.qmails import QUEUE

BODY = b"Subject: x\r\n\r\n" + b"y" * 300_000 + b"\r\nlone\rcr\r\n"
ENVELOPE = Envelope(b"from@example.org", (Recipient(b"a@example.org"), Recipient(b'"b c"@example.org')))


def spooled(content: bytes = BODY) -> Spool:
    spool = Spool(in_memory=1 << 16)
    spool.write(content)
    return spool


def hand_over(folder: Path, how: str, wanted: bool = True, envelope: Envelope = ENVELOPE) -> list[Reply | None]:
    (folder / "queue.py").write_text(QUEUE)
    hops = QmailHops((sys.executable, str(folder / "queue.py"), str(folder / "out"), how), Times(block=10, final=30))

    async def run() -> list[Reply | None]:
        link = await hops.take()
        assert link.begin(envelope).reply.good
        assert all(link.recipient(recipient).reply.good for recipient in envelope.recipients)
        await link.settle()
        spool = spooled()
        try:
            return list(await link.send(spool, len(envelope.recipients), lambda: wanted))
        finally:
            spool.close()

    return asyncio.run(run())


def test_what_the_queue_gets(tmp_path: Path) -> None:
    answers = hand_over(tmp_path, "0")
    assert [answer.code for answer in answers] == [250, 250]
    message, _, envelope = (tmp_path / "out").read_bytes().rpartition(b"|")
    assert message == b"Subject: x\n\n" + b"y" * 300_000 + b"\nlone\rcr\n"
    assert envelope == b"Ffrom@example.org\0Ta@example.org\0Tb c@example.org\0\0"


@pytest.mark.parametrize(
    ("status", "code"),
    [(11, 554), (31, 554), (40, 554), (41, 451), (51, 451), (53, 451), (71, 451), (81, 451), (91, 451)],
)
def test_exit_statuses(tmp_path: Path, status: int, code: int) -> None:
    (answer, _) = hand_over(tmp_path, str(status))
    assert answer.code == code
    assert answer.enhanced.startswith(b"5." if code == 554 else b"4.")


def test_a_queue_that_reads_nothing_says_why(tmp_path: Path) -> None:
    assert [answer.code for answer in hand_over(tmp_path, "early")] == [451, 451]


def test_a_queue_that_was_killed_may_have_taken_it(tmp_path: Path) -> None:
    assert hand_over(tmp_path, "killed") == [None, None]


def test_without_somebody_who_waits_the_queue_takes_nothing(tmp_path: Path) -> None:
    with pytest.raises(HopLost):
        hand_over(tmp_path, "0", wanted=False)
    assert not (tmp_path / "out").exists()


def test_a_program_that_is_not_there() -> None:
    async def run() -> None:
        link = QmailLink(("/nonexistent/queue",), Times())
        link.begin(ENVELOPE)
        spool = spooled()
        try:
            await link.send(spool, 1, lambda: True)
        finally:
            spool.close()

    with pytest.raises(HopLost, match="/nonexistent/queue"):
        asyncio.run(run())


def test_a_nul_cannot_become_another_recipient() -> None:
    link = QmailLink(("x",), Times())
    assert link.begin(ENVELOPE._replace(sender=b"a\0Tb")).reply.code == 553
    assert link.recipient(Recipient(b"a\0Tb@x")).reply.code == 553


@pytest.mark.parametrize(
    ("smtp", "raw"),
    [
        (b"", b""),
        (b"a@b", b"a@b"),
        (b"#@[]", b"#@[]"),
        (b"list-@host-@[]", b"list-@host-@[]"),
        (b'"a b"@c', b"a b@c"),
        (b'"a\\"b\\\\"@c', b'a"b\\@c'),
    ],
)
def test_quotes_come_and_go(smtp: bytes, raw: bytes) -> None:
    assert bare(smtp) == raw
    assert quoted(raw) == smtp


def test_a_route_is_dropped() -> None:
    assert bare(b"@a,@b:c@d") == b"c@d"


@pytest.mark.parametrize("size", range(1, 9))
def test_lines_whatever_comes_at_once(size: int) -> None:
    def pieces(data: bytes):
        return (data[at : at + size] for at in range(0, len(data), size))

    assert b"".join(unix_lines(pieces(b"a\r\n\r\nb\rc\r\n\r"))) == b"a\n\nb\rc\n\r"
    assert b"".join(network_lines(pieces(b"a\n\nb\r\nc\rd\n"))) == b"a\r\n\r\nb\r\nc\rd\r\n"
    assert b"".join(network_lines(pieces(b"no end"))) == b"no end\r\n"
    assert b"".join(network_lines(pieces(b"a\r"))) == b"a\r\n"
    assert b"".join(network_lines(pieces(b""))) == b""


def test_every_status_has_an_answer() -> None:
    for status in range(256):
        assert qmail.answer(status).code == (250 if status == 0 else 554 if 11 <= status <= 40 else 451)

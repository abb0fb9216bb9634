"""Mail over real sockets, pipes and commands: in by smtplib, out by every form of ForwardMailer."""

from __future__ import annotations

import asyncio
import os
import smtplib
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kavfs import forwarding
from kavfs.mail.channel import Channel, Connector, on_pipes
from kavfs.mail.envelope import Envelope, Judge, Plan, pass_on
from kavfs.mail.hop import Exchange
from kavfs.mail.pool import Pool
from kavfs.mail.receiving import Crowd, Line, Receiver
from kavfs.mail.replies import OK
from kavfs.mail.settings import PASSED, Capabilities, Settings
from kavfs.mail.spool import Spool

BODY = b"Subject: x\r\n\r\n.dot\r\n" + b"y" * 70_000 + b"\r\n"
SERVER = """
import sys
out = sys.stdout.buffer
def say(text):
    out.write(text + b"\\r\\n"); out.flush()
say(b"220 command")
while line := sys.stdin.buffer.readline():
    verb = line[:4].upper()
    if verb == b"DATA":
        say(b"354 go")
        with open(sys.argv[1], "ab") as file:
            while (line := sys.stdin.buffer.readline()) != b".\\r\\n":
                file.write(line[1:] if line.startswith(b".") else line)
    say(b"250 ok")
"""


class Sink:
    """A next hop that settles everything itself: its judge keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[tuple[Envelope, bytes]] = []

    async def capabilities(self) -> Capabilities:
        return dict.fromkeys(PASSED, b"")

    async def judge(self, envelope: Envelope, spool: Spool) -> Plan:
        self.got.append((envelope, b"".join(spool.chunks())))
        return Plan((), dict.fromkeys(range(len(envelope.recipients)), OK))

    async def take(self, fresh: bool = False, xclient: object = ()) -> SinkLink:
        return SinkLink()

    def give(self, link: object) -> None:
        """There is only one kind."""


class SinkLink:
    capabilities: Capabilities = dict.fromkeys(PASSED, b"")
    used = False
    usable = True

    def begin(self, envelope: Envelope):
        return self.recipient(None)

    def recipient(self, recipient: object):
        exchange = Exchange(b"")
        exchange.reply = OK
        return exchange

    async def settle(self) -> None:
        """Nothing to ask."""

    async def send(self, message: Spool, count: int, wanted: Callable[[], bool]):
        raise AssertionError("the judge settles all")

    def close(self) -> None:
        """Nothing to close."""


async def listening(receiver: Receiver, path: Path | None) -> str:
    """Where it can be reached, as ForwardMailer says it."""
    sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    sock.bind(str(path) if path else ("127.0.0.1", 0))
    await receiver.listen(sock)
    return str(path) if path else f"127.0.0.1:{sock.getsockname()[1]}"


async def relayed(
    to_hop: str,
    lmtp: bool,
    work: Callable[[str], Awaitable[None]],
    path: Path | None = None,
    judge: Judge = pass_on,
    crowd: Crowd | None = None,
) -> Receiver:
    destination = forwarding.parse(to_hop)
    connector = Connector(destination, 10.0)
    pool = Pool(connector, destination.protocol == "lmtp", b"us")
    receiver = Receiver(Line(Settings(b"us", lmtp=lmtp), pool, judge, crowd=crowd or Crowd()))
    try:
        await work(await listening(receiver, path))
    finally:
        await receiver.stop(5.0)
        pool.close()
        await connector.finish()
    return receiver


def send(where: str, lmtp: bool, times: int = 2) -> None:
    host, _, port = where.rpartition(":")
    client = smtplib.LMTP(where) if lmtp and not host else (smtplib.LMTP if lmtp else smtplib.SMTP)(host, int(port))
    to = ["b@example.org", "c@example.org"][
        : 1 if lmtp else 2
    ]  # smtplib reads one reply of LMTP, however many there are
    with client:
        for _ in range(times):
            assert client.sendmail("a@example.org", to, BODY) == {}


@pytest.mark.parametrize("unix", [False, True])
@pytest.mark.parametrize("lmtp", [False, True])
def test_over_sockets(tmp_path: Path, lmtp: bool, unix: bool) -> None:
    async def run() -> None:
        sink = Sink()
        behind = Receiver(Line(Settings(b"sink", lmtp=lmtp), sink, sink.judge))
        where = await listening(behind, tmp_path / "hop" if unix else None)

        async def work(ours: str) -> None:
            await asyncio.to_thread(send, ours, lmtp)

        ours = tmp_path / "ours" if unix and lmtp else None
        receiver = await relayed(f"{'lmtp' if lmtp else 'smtp'}:{where}", lmtp, work, ours)
        await behind.stop(5.0)
        assert [content for _, content in sink.got] == [BODY, BODY]
        assert receiver.counts.delivered == (2 if lmtp else 4)

    asyncio.run(run())


def test_to_a_command(tmp_path: Path) -> None:
    async def work(ours: str) -> None:
        await asyncio.to_thread(send, ours, False)

    program, out = tmp_path / "server.py", tmp_path / "out"
    program.write_text(SERVER)
    receiver = asyncio.run(relayed(f"smtp:({sys.executable} {program} {out})", False, work))
    assert out.read_bytes() == BODY * 2
    assert receiver.counts.delivered == 4


def test_a_command_that_is_none() -> None:
    async def work(ours: str) -> None:
        with pytest.raises(smtplib.SMTPException):
            await asyncio.to_thread(send, ours, False)

    asyncio.run(relayed("smtp:(/nonexistent/program)", False, work))


def test_on_stdin_and_stdout(tmp_path: Path) -> None:
    """All at once, and nobody waits: as a script does it."""
    there, ours_in = os.pipe()
    ours_out, back = os.pipe()
    os.write(
        ours_in,
        b"EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n",
    )
    os.close(ours_in)

    async def run() -> None:
        sink = Sink()
        await Receiver(Line(Settings(b"us"), sink, sink.judge)).converse(await on_pipes(there, back))
        assert [content for _, content in sink.got] == [b"hi\r\n"]

    asyncio.run(run())
    heard = b""
    while data := os.read(ours_out, 65536):
        heard += data
    os.close(ours_out)
    assert [line[:3] for line in heard.split(b"\r\n") if line[3:4] == b" "] == [
        b"220",
        b"250",
        b"250",
        b"250",
        b"354",
        b"250",
        b"221",
    ]


def test_one_socket_for_both_ways(tmp_path: Path) -> None:
    """As Postfix's spawn(8) and inetd give it; its client waits for each reply."""
    ours, theirs = socket.socketpair()
    sink = Sink()

    async def run() -> None:
        reader, writer = await asyncio.open_connection(sock=theirs)
        channel = await on_pipes(os.dup(ours.fileno()), os.dup(ours.fileno()))
        ours.close()
        task = asyncio.create_task(Receiver(Line(Settings(b"us"), sink, sink.judge)).converse(channel))
        assert (await reader.readline()).startswith(b"220 ")
        steps = {b"HELO x": b"250", b"MAIL FROM:<a@x>": b"250", b"RCPT TO:<b@x>": b"250", b"DATA": b"354"}
        for line, code in (steps | {b"hi\r\n.": b"250", b"QUIT": b"221"}).items():
            writer.write(line + b"\r\n")
            assert (await reader.readline()).startswith(code)
        await task
        writer.close()

    asyncio.run(run())
    assert [content for _, content in sink.got] == [b"hi\r\n"]


def test_too_many_clients_are_sent_away() -> None:
    async def run() -> None:
        sink = Sink()
        receiver = Receiver(Line(Settings(b"us"), sink, sink.judge, crowd=Crowd(all=9, each=1)))
        host, _, port = (await listening(receiver, None)).rpartition(":")
        first, writer = await asyncio.open_connection(host, int(port))
        assert (await first.readline()).startswith(b"220")
        second, other = await asyncio.open_connection(host, int(port))
        assert (await second.read()).startswith(b"421")
        writer.write(b"QUIT\r\n")
        assert (await first.read()).startswith(b"221")
        for end in (writer, other):
            end.close()
            await end.wait_closed()
        await receiver.stop(5.0)

    asyncio.run(run())


def test_who_is_idle_when_we_end_is_told_and_who_is_sending_may_finish() -> None:
    async def run() -> None:
        sink = Sink()
        receiver = Receiver(Line(Settings(b"us"), sink, sink.judge))
        host, _, port = (await listening(receiver, None)).rpartition(":")
        idle, sending = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
        for reader, _ in (idle, sending):
            assert (await reader.readline()).startswith(b"220 ")
        sending[1].write(b"HELO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n")
        for code in (b"250", b"250", b"250", b"354"):
            assert (await sending[0].readline()).startswith(code)
        stopping = asyncio.create_task(receiver.stop(60.0))
        assert (await idle[0].read()).startswith(b"421 ")
        sending[1].write(b"hi\r\n.\r\n")
        heard = await sending[0].read()
        assert heard.startswith(b"250 ")
        assert heard.splitlines()[1].startswith(b"421 ")
        await stopping
        assert [content for _, content in sink.got] == [b"hi\r\n"]
        for _, writer in (idle, sending):
            writer.close()

    asyncio.run(run())


def test_both_protocols_at_once_and_changed_settings_for_those_who_come_then() -> None:
    async def run() -> None:
        sink = Sink()
        receiver = Receiver(Line(Settings(b"us"), sink, sink.judge))
        where = []
        for lmtp in (False, True):
            sock = socket.socket()
            sock.bind(("127.0.0.1", 0))
            await receiver.listen(sock, lmtp)
            where.append(sock.getsockname())

        async def greeting(lmtp: bool) -> bytes:
            reader, writer = await asyncio.open_connection(*where[lmtp])
            said = await reader.readline()
            writer.close()
            return said

        assert (await greeting(False), await greeting(True)) == (b"220 us ESMTP\r\n", b"220 us LMTP\r\n")
        receiver.change(Line(Settings(b"other"), sink, sink.judge))
        assert await greeting(True) == b"220 other LMTP\r\n"
        await receiver.stop(5.0)

    asyncio.run(run())


def test_who_has_hung_up_is_seen_before_the_loop_turns() -> None:
    """Else a message could go on for somebody who is going to send it again."""

    async def look() -> list[bool]:
        ours, theirs = socket.socketpair()
        channel = Channel()
        await asyncio.get_running_loop().connect_accepted_socket(lambda: channel, ours)
        seen = [channel.ended]
        theirs.sendall(b"QUIT")
        theirs.close()
        seen.append(channel.ended)
        assert await channel.read(10.0) == b"QUIT"
        seen.append(channel.ended)
        channel.close()
        return seen

    assert asyncio.run(look()) == [False, False, True]

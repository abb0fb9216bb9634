"""The milter on sockets: several connections and messages, and every step of a dialogue x whatever can go wrong. What a
mail server hears then is a refusal for now, or nothing, which it takes for one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kavfs.mail.envelope import Delivery, Envelope, Judge, Plan, pass_on
from kavfs.mail.milter import MilterLimits
from kavfs.mail.milter_front import MilterFront, MilterLine
from kavfs.mail.receiving import Crowd
from kavfs.mail.replies import reply
from kavfs.mail.spool import Spool
from tests.support.milters import Heard, MailServer, frame, frames

MESSAGE = b"From: <a@example.org>\r\nSubject: test\r\n\r\nHello\r\n"
TO = [b"<b@example.org>", b"<c@example.org>"]
QUICK = MilterLimits(idle=0.2, judging=0.2, progress=0.03)
STEPS = ["OPTIONS", "CONNECT", "HELO", "MAIL", "RCPT", "HEADER", "BODY", "END"]


class Front:
    """A front on a socket, for `async with`; *made*: spools that it opened."""

    def __init__(self, judge: Judge, limits: MilterLimits | None = None, crowd: Crowd | None = None) -> None:
        self.made: list[Spool] = []
        self.callers: list[Caller] = []
        self.front = MilterFront(MilterLine(judge, self._spool, limits or MilterLimits(), None, crowd or Crowd()))

    def _spool(self) -> Spool:
        self.made.append(Spool())
        return self.made[-1]

    async def __aenter__(self) -> Front:
        sock = socket.create_server(("127.0.0.1", 0))
        self.port: int = sock.getsockname()[1]
        await self.front.listen(sock)
        return self

    async def __aexit__(self, *_: object) -> None:
        for caller in self.callers:
            await caller.close()
        async with asyncio.timeout(20):
            await self.front.stop(5)
        assert all(one.fd < 0 for one in self.made)

    async def connect(self) -> Caller:
        self.callers.append(Caller(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self.callers[-1]


class Caller:
    """A mail server with one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.server = MailServer()
        self.said = b""

    async def next(self) -> tuple[bytes, bytes]:
        """A frame, or nothing when the connection has ended."""
        try:
            async with asyncio.timeout(20):
                size = int.from_bytes(await self.reader.readexactly(4))
                data = await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b"", b""
        self.said += frame(data[:1], data[1:])
        return data[:1], data[1:]

    async def greet(self) -> Caller:
        self.writer.write(b"".join(data for _, data in self.server.hello()))
        code, data = await self.next()
        assert code == b"O"
        self.server.agreed(data)
        return self

    async def send(self, message: bytes = MESSAGE, to: list[bytes] = TO) -> Heard:
        """A message, to the answer."""
        self.said = b""
        self.writer.write(b"".join(data for _, data in self.server.mail(message, to)))
        return await self.heard(message, to)

    async def heard(self, message: bytes = MESSAGE, to: list[bytes] = TO) -> Heard:
        heard = Heard()
        while not heard.answer:
            code, _ = await self.next()
            heard = self.server.hear(self.said, message, len(to))
            if not code:
                break
        return heard

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def play(judge: Judge, scene: Callable[[Front], Awaitable[None]], limits: MilterLimits | None = None) -> Front:
    async def run() -> Front:
        async with Front(judge, limits) as front:
            await scene(front)
        return front

    return asyncio.run(run())


async def marking(envelope: Envelope, spool: Spool) -> Plan:
    """The subject and the body become others."""
    made = Spool()
    made.write(b"".join(spool.chunks()).replace(b"test", b"TEST").replace(b"Hello", b"HELLO"))
    return Plan((Delivery(tuple(range(len(envelope.recipients))), made),))


def test_many_connections_with_many_messages_each() -> None:
    async def scene(front: Front) -> None:
        async def one() -> None:
            caller = await (await front.connect()).greet()
            for number in range(5):
                heard = await caller.send(MESSAGE.replace(b"test", b"test %d" % number))
                assert (heard.answer, heard.message) == (
                    "accepted",
                    b"From: <a@example.org>\r\nSubject: TEST %d\r\n\r\nHELLO\r\n" % number,
                )
            caller.writer.write(frame(b"Q"))
            assert await caller.next() == (b"", b"")

        await asyncio.gather(*(one() for _ in range(20)))

    front = play(marking, scene)
    assert (front.front.counts.delivered, len(front.made)) == (200, 100)


def test_on_a_socket_with_a_path(tmp_path: Path) -> None:
    async def run() -> None:
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(os.fspath(tmp_path / "milter"))
        sock.listen()
        front = MilterFront(MilterLine(pass_on))
        await front.listen(sock)
        caller = await Caller(*await asyncio.open_unix_connection(os.fspath(tmp_path / "milter"))).greet()
        assert (await caller.send()).message == MESSAGE
        await front.stop(5)  # nothing is under way on the connection: it ends
        assert await caller.next() == (b"", b"")
        await caller.close()

    asyncio.run(run())


async def _raises(_envelope: Envelope, _spool: Spool) -> Plan:
    raise RuntimeError("the engine is down")


async def _hangs(_envelope: Envelope, _spool: Spool) -> Plan:
    await asyncio.Event().wait()
    raise AssertionError


async def _forgets(_envelope: Envelope, spool: Spool) -> Plan:
    return Plan((Delivery((0,), spool),))


async def _cannot_say(_envelope: Envelope, _spool: Spool) -> Plan:
    made = Spool()
    made.write(b"this is no header")
    return Plan((Delivery((0, 1), made),))


async def _closed(_envelope: Envelope, spool: Spool) -> Plan:
    made = Spool()
    made.close()
    return Plan((Delivery((0, 1), made),))


async def _later(_envelope: Envelope, _spool: Spool) -> Plan:
    return Plan((), dict.fromkeys((0, 1), reply(451, b"4.3.0", b"later")))


@pytest.mark.parametrize(
    "judge", [_raises, _hangs, _forgets, _cannot_say, _closed, _later], ids=lambda one: one.__name__
)
def test_whatever_is_wrong_with_us_the_message_is_to_come_again_and_the_next_one_too(judge: Judge) -> None:
    async def scene(front: Front) -> None:
        caller = await (await front.connect()).greet()
        for _ in range(2):
            heard = await caller.send()
            assert heard.answer.startswith("451 4.3.0")
            assert (heard.message, b"p" in heard.codes) == (b"", judge is _hangs)

    assert play(judge, scene, QUICK._replace(idle=20)).front.counts.deferred == 4


@pytest.mark.parametrize("how", ["dies", "stalls", "garbage"])
@pytest.mark.parametrize("when", ["before", "middle", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_mail_server_that_fails_at_any_step(step: str, when: str, how: str) -> None:
    judged: list[bytes] = []
    whole = (step, when) == ("END", "after")
    answers = 1 + 1 + len(TO)  # to the options, MAIL and RCPT

    async def judge(envelope: Envelope, spool: Spool) -> Plan:
        judged.append(b"".join(spool.chunks()))
        return await pass_on(envelope, spool)

    async def scene(front: Front) -> None:
        caller = await front.connect()
        for name, data in [*caller.server.hello(), *caller.server.mail(MESSAGE, TO)]:
            if name == step:
                caller.writer.write({"before": b"", "middle": data[: len(data) // 2], "after": data}[when])
                break
            caller.writer.write(data)
        if how == "garbage":
            caller.writer.write(b"\xff\0GET / HTTP/1.0\r\n\r\n" * 3)
        if how != "stalls":
            caller.writer.write_eof()
        while (await caller.next())[0]:
            pass
        assert (b"c" not in [code for code, _ in list(frames(caller.said))[answers:]]) != whole
        fresh = await (await front.connect()).greet()
        assert (await fresh.send()).message == MESSAGE

    front = play(judge, scene, MilterLimits(idle=0.05 if how == "stalls" else 20.0))
    assert judged == [MESSAGE] * (1 + whole)
    assert front.front.counts.delivered == 2 * (1 + whole)


def test_too_many_connections_are_closed_and_one_that_ends_makes_room() -> None:
    async def run() -> None:
        async with Front(pass_on, crowd=Crowd(2)) as front:
            first, second = [await (await front.connect()).greet() for _ in range(2)]
            third = await front.connect()
            assert await third.next() == (b"", b"")
            assert (await first.send()).answer == "accepted"
            first.writer.write(frame(b"Q"))
            assert await first.next() == (b"", b"")
            assert (await (await (await front.connect()).greet()).send()).answer == "accepted"
            assert second.said

    asyncio.run(run())


def test_one_that_is_under_way_when_we_stop_is_finished_or_refused() -> None:
    go = asyncio.Event()

    async def judge(envelope: Envelope, spool: Spool) -> Plan:
        begun.set()
        await go.wait()
        return await pass_on(envelope, spool)

    async def run(grace: float, expected: str) -> None:
        nonlocal begun, go
        begun, go = asyncio.Event(), asyncio.Event()
        front = Front(judge)
        await front.__aenter__()
        caller = await (await front.connect()).greet()
        sending = asyncio.create_task(caller.send())
        await begun.wait()
        stopping = asyncio.create_task(front.front.stop(grace))
        if expected:
            go.set()
        assert (await sending).answer == expected
        await stopping
        assert all(one.fd < 0 for one in front.made)
        assert await caller.next() == (b"", b"")
        await caller.close()

    begun = asyncio.Event()
    asyncio.run(run(20.0, "accepted"))
    asyncio.run(run(0.0, ""))


def test_a_large_message_goes_both_ways() -> None:
    body = os.urandom(1 << 16).replace(b"\r", b"x").replace(b"\n", b"\r\n") * 48

    async def scene(front: Front) -> None:
        caller = await (await front.connect()).greet()
        heard = await caller.send(b"Subject: test\r\n\r\n" + body)
        assert heard.message == b"Subject: TEST\r\n\r\n" + body

    play(marking, scene)

"""Milter front: mail servers on listening sockets, each message judged as one that came by SMTP.

Until we have said what becomes of a message the server has told nobody that it was taken. So whatever fails here, the
judge, the disk, ourselves, the message is still with the one who sent it.

A milter has one message for all its recipients. Those who are treated otherwise than the first are told to come again
(*mates*), or else get the strictest treatment: who gets nothing is taken off the message, and of several altered
copies each is made from the one before, so that no recipient gets what the rule of his group would have taken out.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

from kavfs.mail import milter_wire as wire
from kavfs.mail.channel import Channel
from kavfs.mail.envelope import Closable, Content, Delivery, Envelope, Judge, Mates
from kavfs.mail.milter import MailItem, MilterLimits, MilterSession, Passed, Verdict
from kavfs.mail.milter_edits import altered, edits
from kavfs.mail.receiving import Crowd
from kavfs.mail.relay import Counts
from kavfs.mail.replies import DISTURBED, Reply, one_for_all, passed
from kavfs.mail.scanning import apart
from kavfs.mail.spool import Spool
from kavfs.mail.treating import written

log = logging.getLogger(__name__)


class MilterLine(NamedTuple):
    """What every connection is made of. *mates*: the judge's, where recipients who are treated otherwise are to come
    again; None: all get the strictest. *crowd*: connections at once; a mail server has one for each of its own."""

    judge: Judge
    spools: Callable[[], Spool] = Spool
    limits: MilterLimits = MilterLimits()
    mates: Mates | None = None
    crowd: Crowd = Crowd()


class MilterFront:
    """Mail servers on all listeners together. *counts* may be those of an earlier one."""

    def __init__(self, line: MilterLine, counts: Counts | None = None) -> None:
        self.counts = counts or Counts()
        self.accepted = self.turned_away = 0  # connections
        self._line = line
        self._open: dict[asyncio.Task[None], tuple[Channel, MilterSession]] = {}
        self._servers: list[asyncio.Server] = []

    @property
    def connections(self) -> int:
        return len(self._open)

    async def listen(self, sock: socket.socket) -> None:
        """Serve mail servers on a listening socket from now on."""
        loop = asyncio.get_running_loop()
        channel = partial(Channel, self._came)
        if sock.family == socket.AF_UNIX:
            self._servers.append(await loop.create_unix_server(channel, sock=sock))
        else:
            self._servers.append(await loop.create_server(channel, sock=sock))

    def change(self, line: MilterLine) -> None:
        """For connections that come from now on; those that are there go on as they began."""
        self._line = line

    async def stop(self, grace: float) -> None:
        """No more connections; those within a message have *grace* seconds. What is not decided by then is to come
        again."""
        for server in self._servers:
            server.close()
        for channel, session in self._open.values():
            channel.end_when(lambda session=session: session.idle)  # type: ignore[misc]
        if self._open:
            _, late = await asyncio.wait(self._open, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # ---- one connection --------------------------------------------------------------------------------------------

    def _came(self, channel: Channel) -> None:
        if 0 < self._line.crowd.all <= len(self._open):
            log.warning("a mail server was turned away: too many connections")
            self.turned_away += 1
            channel.close()
            return
        self.accepted += 1
        line = self._line
        session = MilterSession(line.limits, line.spools, line.mates)
        task = asyncio.get_running_loop().create_task(self._serve(_Call(channel, session, line)))
        self._open[task] = channel, session
        task.add_done_callback(self._open.pop)

    async def _serve(self, call: _Call) -> None:
        try:
            await self._converse(call)
        except (OSError, wire.Strange) as error:
            log.info("connection of a mail server ends: %s", error or "nothing came in time")
        except Exception:  # one connection's trouble is not another's
            log.exception("a conversation with a mail server broke off")
        finally:
            call.session.close()
            call.channel.close()

    async def _converse(self, call: _Call) -> None:
        session = call.session
        while not session.over:
            data = await call.channel.read(call.line.limits.idle)
            if not data:
                return
            session.receive(data)
            while (item := session.next_message()) is not None:
                await call.write(session.output())
                await self._message(call, item)
            await call.write(session.output())

    # ---- one message -----------------------------------------------------------------------------------------------

    async def _message(self, call: _Call, item: MailItem) -> None:
        plans: list[Closable] = [item.spool]
        try:
            async with _signs(call):
                verdict = await _verdict(call.line, item, plans)
            for data in call.session.verdict(verdict):
                await call.write(data)
            self._count(item.envelope, verdict)
        finally:
            for one in plans:
                one.close()

    def _count(self, envelope: Envelope, verdict: Verdict) -> None:
        count, counts = len(envelope.recipients), self.counts
        if isinstance(verdict, Reply):
            counts.refused += count if verdict.code >= 500 else 0
            counts.deferred += count if verdict.code < 500 else 0
        else:
            settled = count if verdict is None else len(verdict.without)
            counts.settled += settled
            counts.delivered += count - settled


class _Call(NamedTuple):
    """A connection as it began."""

    channel: Channel
    session: MilterSession
    line: MilterLine

    async def write(self, data: bytes) -> None:
        if data:
            await self.channel.write(data, self.line.limits.writing)


@asynccontextmanager
async def _signs(call: _Call) -> AsyncIterator[None]:
    """Meanwhile the server hears that we are at it."""
    task = asyncio.get_running_loop().create_task(_say_progress(call))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _say_progress(call: _Call) -> None:
    try:
        while True:
            await asyncio.sleep(call.line.limits.progress)
            await call.write(wire.frame(wire.PROGRESS))
    except OSError as error:
        log.info("a mail server does not wait any more: %s", error)


async def _verdict(line: MilterLine, item: MailItem, plans: list[Closable]) -> Verdict:
    try:
        async with asyncio.timeout(line.limits.judging):
            return await decided(line.judge, item.envelope, item.spool, plans, line.spools)
    except Exception:  # whatever is wrong with us, the message stays where it is
        log.exception("message %s of a mail server could not be judged", item.queue or "without a name")
        return DISTURBED


# ---- one message for all --------------------------------------------------------------------------------------------


async def decided(
    judge: Judge, envelope: Envelope, spool: Spool, plans: list[Closable], spools: Callable[[], Spool] = Spool
) -> Verdict:
    """What becomes of a message that has all these recipients. *plans* gets what has to be closed afterwards. Raises
    NoEdits, OSError, and what the judge raises."""
    chosen = await _chosen(judge, envelope, spool, plans, spools)
    if not isinstance(chosen, Delivery):
        return chosen
    without = tuple(n for n in range(len(envelope.recipients)) if n not in chosen.recipients)
    return Passed(await apart(spool.size, lambda: edits(spool, chosen.message)), chosen.message, without)


async def _chosen(
    judge: Judge, envelope: Envelope, spool: Spool, plans: list[Closable], spools: Callable[[], Spool]
) -> Delivery | Reply | None:
    """One delivery for everybody who gets something, a reply that refuses all, or None."""
    plan = await judge(envelope, spool)
    plans.append(plan)
    if not plan.covers(len(envelope.recipients)):
        raise ValueError("a plan does not say what becomes of every recipient")
    if refusals := [passed(answer) for answer in plan.settled.values() if not answer.good]:
        return one_for_all(refusals)
    if not plan.deliveries:
        return None
    strict = [one for one in plan.deliveries if await _altered(spool, one.message)] or plan.deliveries[:1]
    everybody = {number for one in plan.deliveries for number in one.recipients}
    message = strict[0].message
    for other in strict[1:]:
        if not await _altered(message, other.message):
            continue
        base = await apart(message.size, lambda message=message: written(message, spools()))  # type: ignore[misc]
        plans.append(base)
        part = envelope._replace(recipients=tuple(envelope.recipients[n] for n in other.recipients))
        again = await _chosen(judge, part, base, plans, spools)
        if isinstance(again, Reply):
            return again
        kept = {other.recipients[n] for n in again.recipients} if again else set()
        everybody -= set(other.recipients) - kept
        message = again.message if again else message
    return Delivery(tuple(sorted(everybody)), message) if everybody else None


async def _altered(before: Content, after: Content) -> bool:
    return await apart(before.size, lambda: altered(before, after))

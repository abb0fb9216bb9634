"""Relay: one client's connection from its greeting to its end, with the next hop behind it.

MAIL and RCPT go to the next hop at once and its replies come back; so a recipient that it refuses is refused to the
client. Content is spooled and judged; then, and only then, the next hop gets it. The client hears 250 for a recipient
when the next hop has said so for the same message, or when the plan has settled it.

    250 of the next hop, lost on its way to us       the client hears 451 and comes again: `uncertain`
    250 of ours, lost on its way to the client       it comes again: `unheard`
    some recipients taken, others not, one reply     it comes again for all: `repeated`

These three are the only ways to a second copy (RFC 1047), and they are counted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from kavfs.mail import replies
from kavfs.mail.commands import needed
from kavfs.mail.envelope import Delivery, Envelope, Judge, Mates, Parameters, Plan, Recipient
from kavfs.mail.hop import Exchange, HopLost
from kavfs.mail.link import Link, Stream
from kavfs.mail.replies import DISTURBED, HOP_LOST, NO_HOP, Reply, passed, reply
from kavfs.mail.session import Ended, Event, Hello, Mail, Message, Rcpt, Session, Slot
from kavfs.mail.settings import Capabilities, offered
from kavfs.mail.spool import Spool

log = logging.getLogger(__name__)

REPLY_TIMEOUT = 60.0  # for a client to take its replies
RATE = 500  # bytes of a message in a second, at the least and on the average; a command has the client's idle time
APART = reply(452, b"4.5.3", b"This recipient's mail is treated otherwise, send it again to him")


class Hops(Protocol):
    """Connections to the next hop."""

    async def capabilities(self) -> Capabilities:
        """What it announces. Raises HopLost."""
        ...

    async def take(self, fresh: bool = False, xclient: Parameters = ()) -> Link:
        """A connection without a transaction; *fresh*: not one that was used. Raises HopLost."""
        ...

    def give(self, link: Link) -> None:
        """It is not needed any more; kept for the next one if it is usable."""
        ...


class Counts:
    """What became of messages, by recipients."""

    def __init__(self) -> None:
        self.delivered = self.settled = self.refused = self.deferred = 0
        self.uncertain = self.unheard = self.repeated = 0


class Relay:
    """One client. `run` returns when the connection has ended; the stream is closed then. *mates*: who cannot have the
    reply of the others comes again; where each recipient has a reply of his own (LMTP) nobody asks."""

    def __init__(
        self,
        session: Session,
        client: Stream,
        hops: Hops,
        judge: Judge,
        counts: Counts,
        mates: Mates | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._clock = clock
        self._left = session.idle  # seconds in which something has to come
        self._client = client
        self._hops = hops
        self._judge = judge
        self._counts = counts
        self._mates = None if session.settings.lmtp else mates
        self._accepted: list[Recipient] = []  # of this transaction
        self._link: Link | None = None  # where the transaction of the client is open
        self._envelope: Envelope | None = None
        self._pairs: list[tuple[Slot, Exchange]] = []  # asked of the next hop, not answered to the client
        self._taken = 0  # recipients whose 250 the client has not been sent

    async def run(self) -> None:
        try:
            await self._converse()
        except OSError as error:
            log.info("connection of a client was lost: %s", error)
        finally:
            self._counts.unheard += self._taken
            self._session.close()
            self._drop()
            self._client.close()

    async def _converse(self) -> None:
        session = self._session
        while True:
            event = session.next_event()
            if event is not None:
                await self._handle(event)
            elif self._pairs:
                await self._settle()
            else:
                await self._flush()
                if session.over:
                    return
                try:
                    data = await self._read()
                except TimeoutError:
                    session.end(421, b"4.4.2", b"Timeout, closing")
                    continue
                if not data:
                    return
                session.receive(data)

    async def _read(self) -> bytes:
        """A byte now and then holds nobody's place: only a reply of ours begins the time anew, and a message adds to
        it by its bytes. Raises TimeoutError."""
        session, begun = self._session, self._clock()
        data = await self._client.read(max(0.0, self._left))
        gained = len(data) / RATE if session.within_message else 0.0
        self._left = min(session.idle, self._left - (self._clock() - begun) + gained)
        return data

    async def _flush(self) -> None:
        if data := self._session.output():
            await self._client.write(data, REPLY_TIMEOUT)
            self._left = self._session.idle
        self._taken = 0

    async def _handle(self, event: Event) -> None:
        match event:
            case Hello():
                self._drop()
                await self._welcome()
            case Mail(slot, envelope):
                await self._mail(slot, envelope)
            case Rcpt(slot, recipient):
                await self._rcpt(slot, recipient)
            case Ended():
                self._drop()
            case Message(envelope, spool):
                try:
                    answers = await self._message(envelope, spool)
                finally:
                    spool.close()
                    self._drop()
                self._session.finish(answers)
                await self._flush()

    async def _welcome(self) -> None:
        try:
            found = await self._hops.capabilities()
        except HopLost as lost:
            log.warning("next hop: %s", lost)
            self._session.welcome(None)
        else:
            self._session.welcome(offered(self._session.settings, found, self._session.trusted))

    # ---- before the content ----------------------------------------------------------------------------------------

    async def _mail(self, slot: Slot, envelope: Envelope) -> None:
        self._drop()
        self._envelope = envelope
        try:
            self._link = await self._take(envelope)
        except HopLost as lost:
            log.warning("next hop: %s", lost)
            self._session.answer(slot, NO_HOP)
            return
        self._pairs.append((slot, self._link.begin(envelope)))

    async def _take(self, envelope: Envelope, fresh: bool = False) -> Link:
        """A connection that can do what the client was told of."""
        link = await self._hops.take(fresh, envelope.xclient)
        parameters = [*envelope.parameters, *(pair for r in envelope.recipients for pair in r.parameters)]
        missing = needed(parameters) - set(link.capabilities)
        if missing:
            self._hops.give(link)
            raise HopLost("it cannot do any more what it announced: " + b" ".join(sorted(missing)).decode())
        return link

    async def _rcpt(self, slot: Slot, recipient: Recipient) -> None:
        if self._link is not None and await self._apart(recipient):
            self._session.answer(slot, APART)
        elif self._link is None:
            self._session.answer(slot, NO_HOP)
        else:
            self._pairs.append((slot, self._link.recipient(recipient)))

    async def _apart(self, recipient: Recipient) -> bool:
        """Whether he cannot have the same reply as those who are accepted. Who is not yet does not count: the next hop
        is waited for then, or one whom it refuses each time would keep the others out each time."""
        if self._mates is None or self._envelope is None:
            return False
        asked = [slot.recipient for slot, _ in self._pairs if slot.recipient is not None]
        everybody = (*self._accepted, *asked)
        if not everybody or self._mates(self._envelope._replace(recipients=everybody), recipient):
            return False
        if asked:
            await self._settle()
        accepted = tuple(self._accepted)
        return bool(accepted) and not self._mates(self._envelope._replace(recipients=accepted), recipient)

    async def _settle(self) -> None:
        """Replies of the next hop for all that was asked."""
        assert self._link is not None
        try:
            await self._link.settle()
        except HopLost as lost:
            log.info("next hop: %s", lost)
            if not (self._link.used and await self._again()) and self._link is not None:
                self._hops.give(self._link)
                self._link = None
        pairs, self._pairs = self._pairs, []
        for slot, exchange in pairs:
            answer = passed(exchange.reply) if exchange.reply else HOP_LOST
            if answer.good and slot.recipient is not None:
                self._accepted.append(slot.recipient)
            self._session.answer(slot, answer)

    async def _again(self) -> bool:
        """A connection that was kept is dead: the transaction goes another way, if it has only begun."""
        assert self._link is not None
        assert self._envelope is not None
        if self._pairs[0][0].verb != b"MAIL" or any(e.reply and e.reply.code != 421 for _, e in self._pairs):
            return False
        self._hops.give(self._link)
        self._link = None
        try:
            link = self._link = await self._take(self._envelope, fresh=True)
            slots = [slot for slot, _ in self._pairs]
            begun = [(slots[0], link.begin(self._envelope))]
            self._pairs = begun + [(slot, link.recipient(slot.recipient)) for slot in slots[1:] if slot.recipient]
            await link.settle()
        except HopLost as lost:
            log.warning("next hop: %s", lost)
            return False
        return True

    def _drop(self) -> None:
        """The transaction, if any, is over."""
        if self._link is not None:
            self._hops.give(self._link)
            self._link = None
        self._envelope = None
        self._accepted = []

    # ---- the content -----------------------------------------------------------------------------------------------

    async def _message(self, envelope: Envelope, spool: Spool) -> Sequence[Reply]:
        """A reply for each recipient."""
        count = len(envelope.recipients)
        plan: Plan | None = None
        try:
            plan = await self._judge(envelope._replace(waits=self._wanted), spool)
            if not plan.covers(count):
                raise ValueError("a plan does not say what becomes of every recipient")
        except Exception:  # whatever is wrong with us, the message stays where it is
            log.exception("a message could not be judged")
            if plan is not None:
                plan.close()
            plan = Plan((), dict.fromkeys(range(count), DISTURBED))
        answers = dict(plan.settled)
        settled = sum(answer.good for answer in answers.values())
        try:
            for delivery in plan.deliveries:
                answers.update(await self._deliver(envelope, delivery))
        finally:
            plan.close()
        ordered = [answers[number] for number in range(count)]
        self._count(ordered, settled)
        return ordered

    def _count(self, answers: Sequence[Reply], settled: int) -> None:
        counts = self._counts
        taken = sum(answer.good for answer in answers)
        counts.settled += settled
        counts.delivered += taken - settled
        counts.deferred += sum(answer.passing for answer in answers)
        counts.refused += sum(answer.code >= 500 for answer in answers)
        self._taken = taken
        if not self._session.settings.lmtp and taken and replies.one_for_all(answers).passing:
            counts.repeated += taken
            self._taken = 0

    async def _deliver(self, envelope: Envelope, delivery: Delivery) -> dict[int, Reply]:
        """Try on the open transaction, and on a fresh connection if the next hop did not hear its end."""
        whole = delivery.recipients == tuple(range(len(envelope.recipients)))
        link, self._link = self._link, None
        if link is not None and not (whole and link.usable):
            self._hops.give(link)
            link = None
        if link is not None:
            try:
                return await self._send(link, delivery, {}, delivery.recipients)
            except (HopLost, OSError) as error:
                log.info("next hop: %s", error)
        for fresh in (False, True) if link is None else (True,):
            if not self._wanted():
                break
            try:
                return await self._transaction(envelope, delivery, fresh)
            except (HopLost, OSError) as error:
                log.warning("next hop: %s", error)
        return dict.fromkeys(delivery.recipients, HOP_LOST)

    async def _transaction(self, envelope: Envelope, delivery: Delivery, fresh: bool) -> dict[int, Reply]:
        """One delivery from MAIL to its end."""
        link = await self._take(envelope, fresh)
        try:
            mail = link.begin(envelope._replace(parameters=_sized(envelope.parameters, delivery.message.size)))
            asked = [(number, link.recipient(envelope.recipients[number])) for number in delivery.recipients]
            await link.settle()
        except BaseException:
            self._hops.give(link)
            raise
        if mail.reply is None or not mail.reply.good:
            self._hops.give(link)
            return dict.fromkeys(delivery.recipients, passed(mail.reply) if mail.reply else HOP_LOST)
        answers = {number: passed(exchange.reply) if exchange.reply else HOP_LOST for number, exchange in asked}
        accepted = tuple(number for number in delivery.recipients if answers[number].good)
        if not accepted:
            self._hops.give(link)
            return answers
        return await self._send(link, delivery, answers, accepted)

    async def _send(
        self, link: Link, delivery: Delivery, answers: dict[int, Reply], accepted: tuple[int, ...]
    ) -> dict[int, Reply]:
        try:
            got = await link.send(delivery.message, len(accepted), self._wanted)
        finally:
            self._hops.give(link)
        for number, answer in zip(accepted, got, strict=True):
            answers[number] = passed(answer) if answer else HOP_LOST
            self._counts.uncertain += answer is None or answer.code == 421  # which says that it closes, not what it did
        return answers

    def _wanted(self) -> bool:
        """Somebody still waits for what becomes of the message: else it would come again, twice."""
        return not self._client.ended or self._session.unread


def _sized(parameters: Parameters, size: int) -> Parameters:
    return tuple((key, b"%d" % size if key == b"SIZE" else value) for key, value in parameters)

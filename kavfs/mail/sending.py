"""Sending: mail of our own, notices and what quarantine gives back, to the next hop: one transaction each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from kavfs.mail.commands import needed
from kavfs.mail.envelope import Envelope, Parameters
from kavfs.mail.hop import HopLost
from kavfs.mail.link import Link
from kavfs.mail.relay import Hops
from kavfs.mail.replies import HOP_LOST, Reply, passed
from kavfs.mail.settings import Capabilities
from kavfs.mail.spool import Spool

Send = Callable[[Envelope, Spool], Awaitable[None]]
"""The message was taken for each recipient of the envelope when it returns. Raises HopLost, OSError."""


class Sender:
    """Promises Send."""

    def __init__(self, hops: Hops) -> None:
        self._hops = hops

    async def __call__(self, envelope: Envelope, spool: Spool) -> None:
        for recipient, answer in zip(envelope.recipients, await deliver(self._hops, envelope, spool), strict=True):
            if not answer.good:
                said = b"%d " % answer.code + b" ".join(answer.lines)
                to = recipient.address.decode("utf-8", "backslashreplace")
                raise HopLost(f"the next hop refuses what is for <{to}>: {said.decode('utf-8', 'backslashreplace')}")


async def deliver(hops: Hops, envelope: Envelope, spool: Spool) -> Sequence[Reply]:
    """What the next hop says of each recipient. A connection that was kept and is dead is tried again on a fresh one.
    Raises HopLost where no recipient has the message, OSError where it cannot be read."""
    link = await hops.take()
    while True:
        kept = link.used
        try:
            return await _transaction(link, envelope, spool)
        except HopLost:
            if not kept:
                raise
        finally:
            hops.give(link)
        link = await hops.take(fresh=True)


async def _transaction(link: Link, envelope: Envelope, spool: Spool) -> Sequence[Reply]:
    able = link.capabilities
    if b"SMTPUTF8" in needed(envelope.parameters) - set(able):
        raise HopLost("the next hop does not take addresses that are not ASCII")
    begun = link.begin(envelope._replace(parameters=_fitting(envelope.parameters, able)))
    asked = [link.recipient(one._replace(parameters=_fitting(one.parameters, able))) for one in envelope.recipients]
    await link.settle()
    if begun.reply is None or not begun.reply.good:
        return [passed(begun.reply) if begun.reply else HOP_LOST] * len(asked)
    answers = [passed(one.reply) if one.reply else HOP_LOST for one in asked]
    places = [number for number, answer in enumerate(answers) if answer.good]
    if places:
        got = await link.send(spool, len(places), lambda: True)
        for number, answer in zip(places, got, strict=True):
            answers[number] = passed(answer) if answer else HOP_LOST
    return answers


def _fitting(parameters: Parameters, able: Capabilities) -> Parameters:
    """Those that the next hop has announced: without the others it is the same message."""
    return tuple(one for one in parameters if needed([one]) <= set(able))

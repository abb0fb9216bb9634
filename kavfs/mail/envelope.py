"""Envelope: from whom, to whom and how one message travels; and the plan for it once it was judged."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

from kavfs.mail.replies import Reply
from kavfs.mail.spool import Spool

Parameters = tuple[tuple[bytes, bytes], ...]  # (keyword in capitals, value or b""), as they came


class Recipient(NamedTuple):
    """*address* is what stood between the angle brackets; *parameters*: NOTIFY, ORCPT."""

    address: bytes
    parameters: Parameters = ()


def somebody() -> bool:
    return True


class Envelope(NamedTuple):
    """What is known of a message besides its content. *recipients* are those that were accepted, in their order."""

    sender: bytes
    recipients: tuple[Recipient, ...] = ()
    parameters: Parameters = ()  # BODY, SIZE, SMTPUTF8, RET, ENVID
    xforward: Parameters = ()  # what the previous hop says of its client, as it came
    xclient: Parameters = ()
    helo: bytes = b""
    client: bytes = b""  # address, or b"" of a UNIX socket or a pipe
    protocol: bytes = b"SMTP"  # SMTP, ESMTP, LMTP
    waits: Callable[[], bool] = somebody  # whether anybody still waits for the answer: else the message comes again

    @property
    def origin(self) -> bytes:
        """For records: the address from which the message came to the previous hop, if that says so (XFORWARD), else
        that of our client."""
        given = dict(self.xforward).get(b"ADDR", b"")
        given = given[5:] if given[:5].upper() == b"IPV6:" else given
        try:
            return str(ipaddress.ip_address(given.decode("ascii"))).encode("ascii")
        except ValueError:  # [UNAVAILABLE], or nonsense
            return self.client


class Content(Protocol):
    """What is delivered: a spool, or one that was made of parts of it."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """All of it, as often as it is asked for. Raises OSError."""
        ...


class Closable(Protocol):
    def close(self) -> None: ...


class Delivery(NamedTuple):
    """One message for some of the recipients, by their place in the envelope."""

    recipients: tuple[int, ...]
    message: Content


class Plan(NamedTuple):
    """What becomes of a message. Each recipient of the envelope stands in one delivery or in *settled*.

    A good reply in *settled* says that the message is where policy wants it (in quarantine, discarded), durably, by
    now.
    """

    deliveries: tuple[Delivery, ...] = ()
    settled: Mapping[int, Reply] = {}
    held: tuple[Closable, ...] = ()  # what the deliveries read from, besides the message as it came

    def covers(self, count: int) -> bool:
        """Each of *count* recipients once: a plan that forgets somebody would lose his mail."""
        named = [number for delivery in self.deliveries for number in delivery.recipients]
        return sorted([*named, *self.settled]) == list(range(count))

    def close(self) -> None:
        """Nothing is delivered any more. The message as it came is its owner's."""
        for one in self.held:
            one.close()


Judge = Callable[[Envelope, Spool], Awaitable[Plan]]

Mates = Callable[[Envelope, Recipient], bool]
"""Can one more recipient have the same reply to DATA as those of the envelope? Not if he is to be treated otherwise."""


async def pass_on(envelope: Envelope, spool: Spool) -> Plan:
    """A judge that lets everything through as it is."""
    return Plan((Delivery(tuple(range(len(envelope.recipients))), spool),))

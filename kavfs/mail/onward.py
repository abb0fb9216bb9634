"""Onward: the next hop, in whichever form ForwardMailer names it."""

from __future__ import annotations

from kavfs.forwarding import Destination
from kavfs.mail.channel import Connector
from kavfs.mail.envelope import Parameters
from kavfs.mail.hop import HopLost
from kavfs.mail.link import Link
from kavfs.mail.pool import Pool
from kavfs.mail.qmail import QmailHops
from kavfs.mail.settings import Capabilities, Times


class Onward:
    """Promises relay.Hops. *name*: what we call ourselves there. Close it when nobody uses it any more."""

    def __init__(self, destination: Destination, name: bytes, times: Times | None = None) -> None:
        self.destination = destination
        times = times or Times()
        self._connector = Connector(destination, times.connect)
        self._hops: Pool | QmailHops
        if destination.protocol == "qmail":
            self._hops = QmailHops(destination.command, times)
        else:
            self._hops = Pool(self._connector, destination.protocol == "lmtp", name, times)

    async def capabilities(self) -> Capabilities:
        return await self._hops.capabilities()

    async def take(self, fresh: bool = False, xclient: Parameters = ()) -> Link:
        return await self._hops.take(fresh, xclient)

    def give(self, link: Link) -> None:
        self._hops.give(link)

    def tidy(self) -> None:
        """Now and then: connections that nobody has needed for a while end."""
        if isinstance(self._hops, Pool):
            self._hops.tidy()

    async def close(self) -> None:
        """Connections that are kept end, and so do commands; those in use when they are given back."""
        if isinstance(self._hops, Pool):
            self._hops.close()
        await self._connector.finish()


class NoHop:
    """Promises relay.Hops where mail goes nowhere from here: a mail server asks, and keeps its messages."""

    async def capabilities(self) -> Capabilities:
        raise HopLost("there is no ForwardMailer")

    async def take(self, fresh: bool = False, xclient: Parameters = ()) -> Link:
        raise HopLost("there is no ForwardMailer")

    def give(self, link: Link) -> None:
        link.close()

    def tidy(self) -> None:
        """There is nothing."""

    async def close(self) -> None:
        return None

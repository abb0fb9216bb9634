"""Pool: connections to the next hop, kept for the messages to come."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from kavfs.mail.envelope import Parameters
from kavfs.mail.hop import HopLost
from kavfs.mail.link import Link, SmtpLink, Stream
from kavfs.mail.settings import Capabilities, Times

KNOWN_FOR = 60.0  # seconds that what the next hop announced is believed
KEPT_FOR = 20.0  # seconds that a connection may lie idle
KEPT = 8


class Pool:
    """Connections that *connect* makes; it raises OSError."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Stream]],
        lmtp: bool,
        name: bytes,
        times: Times | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._lmtp = lmtp
        self._name = name
        self._times = times or Times()
        self._clock = clock
        self._kept: list[tuple[float, Link]] = []
        self._known: tuple[float, Capabilities] | None = None
        self._closed = False

    async def capabilities(self) -> Capabilities:
        """What the next hop announces, asked once a minute. Raises HopLost."""
        if self._known is None or self._clock() - self._known[0] >= KNOWN_FOR:
            self._known = None
            self.give(await self.take(fresh=True))
        assert self._known is not None
        return self._known[1]

    async def take(self, fresh: bool = False, xclient: Parameters = ()) -> Link:
        while self._kept and not fresh and not xclient:
            since, kept = self._kept.pop()
            if kept.usable and self._clock() - since < KEPT_FOR:
                kept.used = True
                return kept
            kept.close()
        try:
            stream = await self._connect()
        except OSError as error:
            raise HopLost(str(error) or "cannot be reached in time") from None
        link = SmtpLink(stream, self._lmtp, self._name, self._times)
        try:
            await link.open(xclient)
        except BaseException:
            link.close()
            raise
        if not xclient:
            self._known = self._clock(), link.capabilities
        return link

    def give(self, link: Link) -> None:
        """A kept connection is told to forget its transaction before the next one (`begin`)."""
        if link.usable and len(self._kept) < KEPT and not self._closed:
            self._kept.append((self._clock(), link))
        else:
            link.close()

    def tidy(self) -> None:
        """What has been kept too long ends: the next hop has a place for each."""
        now = self._clock()
        for one in [one for one in self._kept if not one[1].usable or now - one[0] >= KEPT_FOR]:
            self._kept.remove(one)
            one[1].close()

    def close(self) -> None:
        """Nothing is kept any more."""
        self._closed = True
        kept, self._kept = self._kept, []
        for _, link in kept:
            link.close()

"""Receiving: clients on listening sockets, or one on stdin and stdout; each has a relay of its own."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kavfs.mail.channel import Channel, on_pipes
from kavfs.mail.envelope import Judge
from kavfs.mail.relay import Counts, Hops, Relay
from kavfs.mail.replies import reply
from kavfs.mail.session import Session
from kavfs.mail.settings import Settings
from kavfs.mail.spool import Spool

log = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
BUSY = reply(421, b"4.3.2", b"Too many connections, try again later")


class Crowd(NamedTuple):
    """How many clients there may be at once; 0: no limit."""

    all: int = 100
    each: int = 0  # from one address; those without one (UNIX sockets) are not counted


class Receiver:
    """What every session is made of. *trusted*: networks whose clients may use XCLIENT."""

    def __init__(
        self,
        settings: Settings,
        hops: Hops,
        judge: Judge,
        spools: Callable[[], Spool] = Spool,
        trusted: Sequence[Network] = (),
        crowd: Crowd | None = None,
    ) -> None:
        self.counts = Counts()
        self._settings = settings
        self._hops = hops
        self._judge = judge
        self._spools = spools
        self._trusted = trusted
        self._crowd = crowd or Crowd()
        self._clients: Counter[bytes] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []

    async def listen(self, sock: socket.socket) -> None:
        """Serve clients of a listening socket from now on."""
        loop = asyncio.get_running_loop()
        if sock.family == socket.AF_UNIX:
            self._servers.append(await loop.create_unix_server(self._channel, sock=sock))
        else:
            self._servers.append(await loop.create_server(self._channel, sock=sock))

    async def converse(self, reading: int = 0, writing: int = 1) -> None:
        """One client on two descriptors, to its end."""
        await self._relay(await on_pipes(reading, writing), b"")

    async def stop(self, grace: float) -> None:
        """No more clients; those that are there have *grace* seconds. What is not said to be taken by then is not."""
        for server in self._servers:
            server.close()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # ---- one client ------------------------------------------------------------------------------------------------

    def _channel(self) -> Channel:
        return Channel(self._came)

    def _came(self, channel: Channel) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(channel))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, channel: Channel) -> None:
        client = _address(channel.peer)
        limit = self._crowd
        if 0 < limit.all < len(self._tasks) or (client and 0 < limit.each <= self._clients[client]):
            await self._turn_away(channel)
            return
        self._clients[client] += 1
        try:
            await self._relay(channel, client)
        except Exception:  # one client's trouble is not another's
            log.exception("a conversation broke off")
        finally:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    async def _turn_away(self, channel: Channel) -> None:
        try:
            await channel.write(BUSY.wire(), 1.0)
        except OSError as error:
            log.info("a client was turned away: %s", error)
        channel.close()

    async def _relay(self, channel: Channel, client: bytes) -> None:
        session = Session(self._settings, self._spools, client, self._trusts(client))
        await Relay(session, channel, self._hops, self._judge, self.counts).run()

    def _trusts(self, client: bytes) -> bool:
        if not client:
            return False
        address = ipaddress.ip_address(client.decode().partition("%")[0])
        return any(address in network for network in self._trusted)


def _address(peer: object) -> bytes:
    """The address of a client on TCP, or b""."""
    return str(peer[0]).encode() if isinstance(peer, tuple) and peer else b""

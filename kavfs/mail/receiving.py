"""Receiving: clients on listening sockets, or one on stdin and stdout; each has a relay of its own."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from kavfs.mail.channel import Channel
from kavfs.mail.envelope import Judge, Mates
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


class Line(NamedTuple):
    """What every session is made of. *trusted*: networks whose clients may use XCLIENT."""

    settings: Settings
    hops: Hops
    judge: Judge
    spools: Callable[[], Spool] = Spool
    trusted: Sequence[Network] = ()
    crowd: Crowd = Crowd()
    mates: Mates | None = None  # the judge's


class Receiver:
    """Clients of all listeners together. *counts* may be those of an earlier one."""

    def __init__(self, line: Line, counts: Counts | None = None) -> None:
        self.counts = counts or Counts()
        self.accepted = self.turned_away = 0  # connections
        self._line = line
        self._clients: Counter[bytes] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._channels: dict[Channel, Session] = {}
        self._servers: list[asyncio.Server] = []

    @property
    def connections(self) -> int:
        return len(self._tasks)

    async def listen(self, sock: socket.socket, lmtp: bool | None = None) -> None:
        """Serve clients of a listening socket from now on. *lmtp*: another protocol than that of the settings."""
        loop = asyncio.get_running_loop()
        channel = partial(Channel, partial(self._came, lmtp))
        if sock.family == socket.AF_UNIX:
            self._servers.append(await loop.create_unix_server(channel, sock=sock))
        else:
            self._servers.append(await loop.create_server(channel, sock=sock))

    def change(self, line: Line) -> None:
        """For clients that come from now on; those that are there go on as they began."""
        self._line = line

    async def converse(self, channel: Channel) -> None:
        """One client that came another way, to its end."""
        await self._relay(channel, _address(channel.peer), None)

    async def stop(self, grace: float) -> None:
        """No more clients; those within a transaction have *grace* seconds. What is not said to be taken by then is
        not."""
        for server in self._servers:
            server.close()
        for channel, session in self._channels.items():
            channel.end_when(lambda session=session: session.between)  # type: ignore[misc]
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # ---- one client ------------------------------------------------------------------------------------------------

    def _came(self, lmtp: bool | None, channel: Channel) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(channel, lmtp))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, channel: Channel, lmtp: bool | None) -> None:
        client = _address(channel.peer)
        limit = self._line.crowd
        if 0 < limit.all < len(self._tasks) or (client and 0 < limit.each <= self._clients[client]):
            self.turned_away += 1
            await self._turn_away(channel)
            return
        self.accepted += 1
        self._clients[client] += 1
        try:
            await self._relay(channel, client, lmtp)
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

    async def _relay(self, channel: Channel, client: bytes, lmtp: bool | None) -> None:
        line = self._line
        settings = line.settings if lmtp is None else line.settings._replace(lmtp=lmtp)
        session = Session(settings, line.spools, client, _trusts(line.trusted, client))
        self._channels[channel] = session
        try:
            await Relay(session, channel, line.hops, line.judge, self.counts, line.mates).run()
        finally:
            del self._channels[channel]


def _trusts(networks: Sequence[Network], client: bytes) -> bool:
    if not client:
        return False
    address = ipaddress.ip_address(client.decode().partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in networks)


def _address(peer: object) -> bytes:
    """The address of a client on TCP, or b""."""
    return str(peer[0]).encode() if isinstance(peer, tuple) and peer else b""

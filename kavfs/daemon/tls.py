"""TLS: connections of clients with certificates, taken off their wrapping and handed to the front as plain ones.

asyncio does the wrapping; each connection has a pair of sockets, one end for the front, and two tasks that carry bytes
between. So everything that reads what clients send stays the same, and TLS costs only those who use it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from kavfs.daemon.settings import Tls
from kavfs.errors import SystemFailure

CHUNK = 64 * 1024
HANDSHAKE = 15.0  # seconds that a client has for it
FAREWELL = 5.0
BREATH = 0.2

Adopt = Callable[[int, bytes], int]  # a connected socket and an address; 0: there is no room


def context(tls: Tls) -> ssl.SSLContext:
    """What we are and whom we trust. SystemFailure names the file that is wrong."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    named = tls.certificate
    try:
        made.load_cert_chain(tls.certificate, tls.key, password=_no_password)
        if tls.clients:
            named = tls.clients
            made.load_verify_locations(tls.clients)
            made.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:
        raise SystemFailure(f"cannot use {named} for TLS: {getattr(error, 'strerror', None) or error}") from None
    return made


def _no_password() -> str:
    raise ValueError("its key has a password, which nobody could type")


class TlsRelay:
    """One listening socket, which is the relay's. Made with the loop running; close() is due. *most*: connections at
    a time, those that shake hands too, in all and of one address (0 = any)."""

    def __init__(self, sock: socket.socket, tls: ssl.SSLContext, adopt: Adopt, most: int, of_one: int = 0) -> None:
        self._sock = sock
        self._tls = tls
        self._adopt = adopt
        self._most = most
        self._of_one = of_one or most
        self._carried: dict[asyncio.Task[None], str] = {}  # with the address
        self._listens = asyncio.ensure_future(self._listen())

    def stop(self) -> None:
        """Take nobody new."""
        self._listens.cancel()
        self._sock.close()

    async def close(self) -> None:
        """Those that are carried have a moment to get what the front has said."""
        self.stop()
        if self._carried:
            await asyncio.wait(self._carried, timeout=FAREWELL)
        for task in list(self._carried):
            task.cancel()
        await asyncio.gather(self._listens, *self._carried, return_exceptions=True)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(self._sock)
            except ConnectionError:
                continue
            except OSError:  # no descriptor is left; one will be
                await asyncio.sleep(BREATH)
                continue
            host = str(address[0])
            if len(self._carried) >= self._most or list(self._carried.values()).count(host) >= self._of_one:
                sock.close()
                continue
            task = asyncio.ensure_future(self._taken(sock, f"{host} {address[1]}"))
            self._carried[task] = host
            task.add_done_callback(lambda task: self._carried.pop(task, None))

    async def _taken(self, sock: socket.socket, address: str) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(CHUNK, loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, sock, ssl=self._tls, ssl_handshake_timeout=HANDSHAKE, ssl_shutdown_timeout=FAREWELL
            )
        except (OSError, ssl.SSLError):
            sock.close()  # whoever it is has no certificate that counts, or speaks something else
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            await self._carry(reader, writer, address)
        finally:
            transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        ours, fronts = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        ours.setblocking(False)
        fronts.setblocking(False)
        if not self._adopt(fronts.detach(), address.encode()):
            ours.close()
            return
        inner_reader, inner_writer = await asyncio.open_connection(sock=ours, limit=CHUNK)
        there = asyncio.ensure_future(_copy(reader, inner_writer))
        try:
            await _copy(inner_reader, writer)  # until the front has closed
            writer.close()
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), FAREWELL)
        finally:
            there.cancel()
            with suppress(OSError, asyncio.CancelledError):
                await there
            inner_writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything, and then the end of it where that can be said (TLS has no half of a connection)."""
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

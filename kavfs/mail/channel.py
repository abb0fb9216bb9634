"""Channel: a Stream on asyncio: TCP and UNIX sockets, pipes to a command, our own stdin and stdout."""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import select
import socket
import stat
import termios
from collections.abc import Callable
from typing import cast

from kavfs.errors import SystemFailure
from kavfs.forwarding import Destination
from kavfs.mail.link import Stream

BUFFERED = 1 << 17  # bytes that wait to be read before the other side is held up
LINGER = 10.0  # seconds for the last bytes to go out, and for a command to end


class Channel(asyncio.Protocol):
    """One conversation. *connected* is called with it when it is there."""

    def __init__(self, connected: Callable[[Channel], None] | None = None) -> None:
        self._connected = connected
        self._reading: asyncio.ReadTransport | None = None
        self._writing: asyncio.WriteTransport | None = None
        self._buffer = bytearray()
        self._finished = False
        self._full = False  # nothing more is taken from the transport
        self._lost = False
        self.closing: asyncio.Event = asyncio.Event()  # by us
        self._held = False  # the transport has enough to write
        self._over: Callable[[], bool] = lambda: False
        self._waiting: asyncio.Future[None] | None = None
        self._until = 0.0  # how long somebody waits
        self._timer: asyncio.TimerHandle | None = None  # never later than that

    @property
    def ended(self) -> bool:
        """Also where the loop has not heard of it yet: a copy may hang on it."""
        return not self._buffer and (self._finished or self._hung_up())

    @property
    def peer(self) -> object:
        """What the socket says of the other side."""
        return self._writing.get_extra_info("peername") if self._writing else None

    async def read(self, timeout: float) -> bytes:
        self._allow(timeout)
        while not self._buffer and not self._finished:
            if self._over():
                raise TimeoutError("there is no time left")
            await self._wait()
        return self.taken()

    def end_when(self, over: Callable[[], bool]) -> None:
        """From now on, who reads does not wait while *over* says so."""
        self._over = over
        self._wake()

    def taken(self) -> bytes:
        data = bytes(self._buffer)
        self._buffer.clear()
        if self._full and self._reading is not None and not self._finished:
            self._full = False
            self._reading.resume_reading()
        return data

    async def write(self, data: bytes, timeout: float) -> None:
        if self._lost or self._writing is None:
            raise ConnectionResetError("the connection was lost")
        self._writing.write(data)
        self._allow(timeout)
        while self._held and not self._lost:
            await self._wait()
        if self._lost:
            raise ConnectionResetError("the connection was lost")

    def close(self, last: bytes = b"") -> None:
        """*last* is left out where a command reads it: the end of its input says as much, and it could not answer."""
        if last and isinstance(self._reading, asyncio.Transport) and not (self._lost or self._reading.is_closing()):
            self._reading.write(last)
        self._finished = True
        self.closing.set()
        self._end_timer()
        for transport in (self._reading, self._writing):
            if transport is not None:
                transport.close()
        if self._writing is not None and self._writing.get_write_buffer_size():
            asyncio.get_running_loop().call_later(LINGER, self._writing.abort)

    # ---- asyncio ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A socket is both ways; of pipes this is the one to read, and `write_to` gives the other."""
        self._reading = cast(asyncio.ReadTransport, transport)
        if isinstance(transport, asyncio.Transport):
            self.write_to(transport)
        if self._connected is not None:
            self._connected(self)

    def write_to(self, transport: asyncio.WriteTransport) -> None:
        self._writing = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= BUFFERED and self._reading is not None and not self._full:
            self._full = True
            self._reading.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """The other side may still listen."""
        self._finished = True
        self._wake()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._finished = True
        if isinstance(self._reading, asyncio.Transport):  # both ways
            self._lost = True
        self._wake()

    def writing_lost(self) -> None:
        self._lost = True
        self._wake()

    def pause_writing(self) -> None:
        self._held = True

    def resume_writing(self) -> None:
        self._held = False
        self._wake()

    def _hung_up(self) -> bool:
        """Whether the kernel has the end of what comes, and nothing before it."""
        if self._reading is None:
            return False
        end = self._reading.get_extra_info("socket") or self._reading.get_extra_info("pipe")
        if end is None or end.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(end, select.POLLRDHUP)
        if not poll.poll(0):
            return False
        unread = array.array("i", [0])
        fcntl.ioctl(end, termios.FIONREAD, unread)
        return unread[0] == 0

    async def _wait(self) -> None:
        """Until something has changed. Only one coroutine uses a stream. Raises TimeoutError when its time is over."""
        loop = asyncio.get_running_loop()
        if self._timer is None or self._until < self._timer.when():
            self._end_timer()
            self._timer = loop.call_at(self._until, self._ring)
        self._waiting = loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def _allow(self, seconds: float) -> None:
        """So long may be waited from now on. There is one timer, which rings now and then and looks whether it is time:
        that costs less than one for each piece of a conversation."""
        self._until = asyncio.get_running_loop().time() + seconds

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        if self._waiting is None or self._waiting.done():
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= self._until:
            self._waiting.set_exception(TimeoutError())
        else:
            self._timer = loop.call_at(self._until, self._ring)

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class _WriteSide(asyncio.BaseProtocol):
    """The end of a pipe that a channel writes to."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._channel.write_to(cast(asyncio.WriteTransport, transport))

    def connection_lost(self, error: Exception | None) -> None:
        self._channel.writing_lost()

    def pause_writing(self) -> None:
        self._channel.pause_writing()

    def resume_writing(self) -> None:
        self._channel.resume_writing()


async def on_pipes(reading: int, writing: int) -> Channel:
    """A channel on two descriptors, which are its own from now on; as a program has them that an MTA started. Raises
    SystemFailure where they are files."""
    loop = asyncio.get_running_loop()
    channel = Channel()
    if _same_socket(reading, writing):  # what comes would be taken for the end of a pipe that is only written to
        sock = socket.socket(fileno=reading)
        os.close(writing)
        await loop.connect_accepted_socket(lambda: channel, sock)
        return channel
    sink = os.fdopen(writing, "wb", buffering=0)
    source = os.fdopen(reading, "rb", buffering=0)
    try:
        await loop.connect_write_pipe(lambda: _WriteSide(channel), sink)
        await loop.connect_read_pipe(lambda: channel, source)
    except ValueError as error:
        raise SystemFailure(f"nobody can talk there: {error}") from None
    return channel


def _same_socket(reading: int, writing: int) -> bool:
    """As inetd and Postfix's spawn(8) give it."""
    one, other = os.fstat(reading), os.fstat(writing)
    return stat.S_ISSOCK(one.st_mode) and (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


class Connector:
    """Connections to a destination, each made within *timeout* seconds. Raises OSError."""

    def __init__(self, destination: Destination, timeout: float) -> None:
        self._destination = destination
        self._timeout = timeout
        self._ending: set[asyncio.Task[None]] = set()

    async def __call__(self) -> Stream:
        where = self._destination
        if where.command:
            return await self._run(where.command)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout):
            if where.path:
                _, channel = await loop.create_unix_connection(Channel, where.path)
            else:
                _, channel = await loop.create_connection(Channel, where.host, where.port)
        return channel

    async def _run(self, command: tuple[str, ...]) -> Stream:
        """Pipes, not a socket: with one on its stdin an MTA takes itself for a server on the net."""
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(*command, stdin=theirs_in, stdout=theirs_out)
        except BaseException:
            os.close(ours_out)
            os.close(ours_in)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        channel = await on_pipes(ours_in, ours_out)
        task = asyncio.create_task(_reap(process, channel))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return channel

    async def finish(self) -> None:
        """All commands have ended."""
        await asyncio.gather(*self._ending)


async def _reap(process: asyncio.subprocess.Process, channel: Channel) -> None:
    """A command that does not end when its input has is ended."""
    await channel.closing.wait()
    try:
        await asyncio.wait_for(process.wait(), LINGER)
    except TimeoutError:
        process.kill()
        await process.wait()

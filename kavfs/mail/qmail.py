"""Qmail: delivery by the protocol of qmail-queue(8): the message on descriptor 0, the envelope on 1, an exit status.

    F sender NUL  T recipient NUL  T recipient NUL ...  NUL

Without the last NUL qmail-queue takes nothing: it is held back until everything else was taken and somebody still wants
to know. Lines end with LF there, addresses have no quotes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from kavfs.mail.addresses import bare
from kavfs.mail.envelope import Content, Envelope, Parameters, Recipient
from kavfs.mail.hop import Exchange, HopLost
from kavfs.mail.replies import OK, Reply, reply
from kavfs.mail.settings import Capabilities, Times

# SMTPUTF8 and DSN would be promises that it cannot pass on.
CAPABILITIES: Capabilities = dict.fromkeys((b"PIPELINING", b"8BITMIME", b"SIZE", b"ENHANCEDSTATUSCODES"), b"")

TOO_LONG, REFUSED, SERVER_TEMPORARY = 11, 31, 71
PERMANENT = range(11, 41)
"""Exit statuses that will be the same tomorrow; all others but 0 are for now."""

WRONG = reply(553, b"5.1.3", b"Address is none")
_MEANINGS = {
    11: (b"5.1.3", b"Address is too long"),
    31: (b"5.3.0", b"Mail server refuses the message"),
    51: (b"4.3.0", b"Out of memory"),
    52: (b"4.3.0", b"Timeout"),
    53: (b"4.3.1", b"Queue cannot be written"),
    54: (b"4.3.0", b"Message or envelope could not be read"),
    55: (b"4.3.5", b"Configuration cannot be read"),
    56: (b"4.4.0", b"Network cannot be used"),
    71: (b"4.3.0", b"Mail server refuses the message for now"),
    72: (b"4.4.1", b"Mail server does not answer in time"),
    73: (b"4.4.1", b"Mail server rejects the connection"),
    74: (b"4.4.2", b"Connection to the mail server failed"),
    81: (b"4.3.0", b"A defect of the queue"),
    91: (b"4.3.0", b"Envelope is wrong"),
}


def answer(status: int) -> Reply:
    """The reply that an exit status of qmail-queue comes to."""
    if status == 0:
        return OK
    code = 554 if status in PERMANENT else 451
    enhanced, text = _MEANINGS.get(status, (b"5.3.0" if code == 554 else b"4.3.0", b"Queue does not take the message"))
    return reply(code, enhanced, b"%b (qmail-queue %d)" % (text, status))


class QmailHops:
    """Promises relay.Hops. Each transaction is a run of *command*; nothing is kept."""

    def __init__(self, command: Sequence[str], times: Times) -> None:
        self._command = tuple(command)
        self._times = times

    async def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def take(self, fresh: bool = False, xclient: Parameters = ()) -> QmailLink:
        return QmailLink(self._command, self._times)

    def give(self, link: object) -> None:
        """There is nothing behind it any more."""


class QmailLink:
    """Promises link.Link."""

    capabilities = CAPABILITIES
    used = False
    usable = True

    def __init__(self, command: tuple[str, ...], times: Times) -> None:
        self._command = command
        self._times = times
        self._sender = b""
        self._recipients: list[bytes] = []

    def begin(self, envelope: Envelope) -> Exchange:
        self._sender, self._recipients = bare(envelope.sender), []
        return _answered(self._sender)

    def recipient(self, recipient: Recipient) -> Exchange:
        self._recipients.append(bare(recipient.address))
        return _answered(self._recipients[-1])

    async def settle(self) -> None:
        """qmail-queue says nothing before the end."""

    async def send(self, message: Content, count: int, wanted: Callable[[], bool]) -> Sequence[Reply | None]:
        try:
            run = await _Run.begin(self._command, self._times)
        except OSError as error:
            raise HopLost(f"{self._command[0]}: {error.strerror}") from None
        try:
            return [await self._hand_over(run, message, wanted)] * count
        finally:
            await run.end()

    async def _hand_over(self, run: _Run, message: Content, wanted: Callable[[], bool]) -> Reply | None:
        parts = [b"F" + self._sender, *(b"T" + recipient for recipient in self._recipients), b""]
        try:
            for piece in unix_lines(message.chunks()):
                await run.write(run.message, piece)
            run.close(run.message)
            await run.write(run.envelope, b"\0".join(parts))
            if not wanted():
                raise HopLost("nobody waits for the answer any more")
            whole = await run.write(run.envelope, b"\0")
            run.close(run.envelope)
        except TimeoutError:
            raise HopLost("qmail-queue does not read") from None
        status = await run.status()
        if status is None or (status == 0 and not whole):
            return None
        return answer(status)

    def close(self) -> None:
        """There is nothing behind it."""


class _Run:
    """One process of qmail-queue. What it does not read is lost: its exit status says why it did not."""

    def __init__(self, process: asyncio.subprocess.Process, message: int, envelope: int, times: Times) -> None:
        self.message = message
        self.envelope = envelope
        self._process = process
        self._times = times
        self._open = {message, envelope}

    @classmethod
    async def begin(cls, command: tuple[str, ...], times: Times) -> _Run:
        theirs_message, message = os.pipe()
        theirs_envelope, envelope = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(*command, stdin=theirs_message, stdout=theirs_envelope)
        except BaseException:
            os.close(message)
            os.close(envelope)
            raise
        finally:
            os.close(theirs_message)
            os.close(theirs_envelope)
        for fd in (message, envelope):
            os.set_blocking(fd, False)
        return cls(process, message, envelope, times)

    async def write(self, fd: int, data: bytes) -> bool:
        """False: it has stopped reading. Raises TimeoutError."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:
                await self._room(fd)
            except BrokenPipeError:
                return False
        return True

    async def _room(self, fd: int) -> None:
        loop, room = asyncio.get_running_loop(), asyncio.Event()
        loop.add_writer(fd, room.set)
        try:
            async with asyncio.timeout(self._times.block):
                await room.wait()
        finally:
            loop.remove_writer(fd)

    def close(self, fd: int) -> None:
        self._open.discard(fd)
        os.close(fd)

    async def status(self) -> int | None:
        """Its exit status; None: it was killed, or said none in time, and may have taken the message."""
        try:
            status = await asyncio.wait_for(self._process.wait(), self._times.final)
        except TimeoutError:
            return None
        return status if status >= 0 else None

    async def end(self) -> None:
        """It is gone. Before the last NUL of the envelope that means: it has taken nothing."""
        for fd in list(self._open):
            self.close(fd)
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


def unix_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """CR LF becomes LF; a CR that stands alone stays."""
    held = b""
    for chunk in chunks:
        data = held + chunk
        held = b"\r" if data.endswith(b"\r") else b""
        yield data[: len(data) - len(held)].replace(b"\r\n", b"\n")
    if held:
        yield held


def network_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """LF becomes CR LF, where it is not one already; a last line gets an end."""
    last = b"\n"
    for chunk in filter(None, chunks):
        data = chunk.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        if last == b"\r" and chunk.startswith(b"\n"):
            data = data[1:]
        last = chunk[-1:]
        yield data
    if last != b"\n":
        yield b"\n" if last == b"\r" else b"\r\n"


def _answered(address: bytes) -> Exchange:
    exchange = Exchange(b"")
    exchange.reply = WRONG if b"\0" in address else OK
    return exchange

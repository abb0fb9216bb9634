"""Link: transactions with a next hop that speaks SMTP or LMTP, over any stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from kavfs.mail.commands import written
from kavfs.mail.content import Stuffer
from kavfs.mail.envelope import Content, Envelope, Parameters, Recipient
from kavfs.mail.hop import Exchange, Hop, HopLost, capabilities
from kavfs.mail.replies import Reply
from kavfs.mail.settings import Capabilities, Times

BLOCK = 1 << 16  # bytes of a message that are sent at once, or a few more


class Stream(Protocol):
    """Bytes to and from somebody. Errors are OSError, of which TimeoutError is one."""

    @property
    def ended(self) -> bool:
        """The other side will send nothing more, or is gone; and all it sent was read."""
        ...

    async def read(self, timeout: float) -> bytes:
        """What has come, at least one byte; b"" at the end."""
        ...

    def taken(self) -> bytes:
        """What has come by now, without waiting."""
        ...

    async def write(self, data: bytes, timeout: float) -> None:
        """Returns when there is room for more."""
        ...

    def close(self, last: bytes = b"") -> None:
        """What was written still goes out, for a short while, and *last* behind it if it can."""
        ...


class Link(Protocol):
    """What the relay needs of a next hop: one transaction after the other.

    `begin` and `recipient` only note commands; `settle` sends them and waits for all replies. It raises HopLost; those
    exchanges that have a reply keep it.
    """

    capabilities: Capabilities
    used: bool  # it was kept for a while: the next hop may have closed it since

    @property
    def usable(self) -> bool:
        """Another transaction may begin."""
        ...

    def begin(self, envelope: Envelope) -> Exchange: ...

    def recipient(self, recipient: Recipient) -> Exchange: ...

    async def settle(self) -> None: ...

    async def send(self, message: Content, count: int, wanted: Callable[[], bool]) -> Sequence[Reply | None]:
        """DATA, the message, and a reply for each of *count* recipients; None where it is unknown what became of it.
        Raises HopLost if the next hop surely did not take it, OSError if *message* cannot be read; then the message
        has no end there. *wanted* is asked before the end is sent: HopLost if it says no."""
        ...

    def close(self) -> None: ...


class SmtpLink:
    """A Link over a stream. `open` first."""

    def __init__(self, stream: Stream, lmtp: bool, name: bytes, times: Times) -> None:
        self.used = False
        self.capabilities: Capabilities = {}
        self._lmtp = lmtp
        self._hop = Hop()
        self._stream = stream
        self._name = name
        self._times = times
        self._dirty = False  # a transaction was begun and not ended
        self._private = False  # it speaks for a client of ours and cannot be used for another
        self._reset: Exchange | None = None

    @property
    def usable(self) -> bool:
        """No reply is due, nothing came unasked, and the other side is there."""
        return not (self._hop.lost or self._hop.waiting or self._private or self._stream.ended or self._stream.taken())

    async def open(self, xclient: Parameters = ()) -> None:
        """Greeting, EHLO, and XCLIENT where it is wanted. Raises HopLost."""
        await self._greeted(self._hop.greeting)
        if xclient:
            self._private = True
            line = b" ".join([b"XCLIENT", *(key + b"=" + value for key, value in xclient)])
            await self._greeted(self._hop.command(line))

    async def _greeted(self, greeting: Exchange) -> None:
        await self.settle()
        self._good(greeting)
        hello = self._hop.command((b"LHLO " if self._lmtp else b"EHLO ") + self._name)
        await self.settle()
        if not self._lmtp and hello.reply is not None and hello.reply.code >= 500:
            hello = self._hop.command(b"HELO " + self._name)
            await self.settle()
            self._good(hello)
        else:
            self._hop.capabilities = self.capabilities = capabilities(self._good(hello))

    def _good(self, exchange: Exchange) -> Reply:
        answer = exchange.reply
        if answer is None or not answer.good:
            said = b" ".join(answer.lines) if answer else b""
            self._hop.lose("the next hop does not want us: " + said.decode(errors="replace"))
            raise HopLost(self._hop.lost)
        return answer

    # ---- a transaction ---------------------------------------------------------------------------------------------

    def begin(self, envelope: Envelope) -> Exchange:
        if self._dirty:
            self._reset = self._hop.command(b"RSET", pipelined=True)
        if b"XFORWARD" in self.capabilities:
            for key, value in envelope.xforward:  # one a command: together they may be longer than a line
                self._hop.command(b"XFORWARD " + key + b"=" + value, pipelined=True)
        self._dirty = True
        return self._hop.command(written(b"MAIL FROM:", envelope.sender, envelope.parameters), pipelined=True)

    def recipient(self, recipient: Recipient) -> Exchange:
        return self._hop.command(written(b"RCPT TO:", *recipient), pipelined=True)

    async def settle(self) -> None:
        await self._settle(self._times.command)
        reset, self._reset = self._reset, None
        if reset is not None and reset.reply is not None and not reset.reply.good:
            self._hop.lose("the next hop cannot forget a transaction")
        if self._hop.lost:
            raise HopLost(self._hop.lost)

    async def _settle(self, timeout: float) -> None:
        """All replies are there, or the hop is lost."""
        hop, stream = self._hop, self._stream
        while hop.waiting:
            try:
                if data := hop.output():
                    await stream.write(data, self._times.block)
                hop.receive(await stream.read(timeout))
            except OSError as error:
                hop.lose(str(error) or "no answer in time")

    async def send(self, message: Content, count: int, wanted: Callable[[], bool]) -> Sequence[Reply | None]:
        go = self._hop.command(b"DATA")
        await self.settle()
        if go.reply is None or go.reply.code != 354:
            if go.reply is None or go.reply.code < 400:
                self._hop.lose("the next hop answered DATA with what makes no sense")
                raise HopLost(self._hop.lost)
            return [go.reply] * count
        try:
            await self._content(message)
            if not wanted():
                raise HopLost("nobody waits for the answer any more")
        except BaseException as error:  # whatever comes next on this connection would be content
            self._hop.lose(str(error) or "broken off within a message")
            raise
        ends = [self._hop.expect() for _ in range(count if self._lmtp else 1)]
        try:
            await self._stream.write(Stuffer.END_LINE, self._times.block)
        except OSError as error:  # some of it may have been sent: what came of it is unknown
            self._hop.lose(str(error))
        await self._settle(self._times.final)
        self._dirty = False
        answers = [end.reply for end in ends]
        return answers if self._lmtp else answers * count

    async def _content(self, message: Content) -> None:
        """Everything but the end. A message that is broken off here was not taken by anybody."""
        stuffer, held = Stuffer(), b""
        for chunk in message.chunks():
            held += stuffer.feed(chunk)
            if len(held) >= BLOCK:
                await self._piece(held)
                held = b""
        await self._piece(held + stuffer.finish())
        if early := self._stream.taken():  # a reply to what was not said yet would be taken for the one to the end
            self._hop.receive(early)
        elif self._stream.ended:
            self._hop.lose("closed by the next hop")
        if self._hop.lost:
            raise HopLost(self._hop.lost)

    async def _piece(self, data: bytes) -> None:
        try:
            await self._stream.write(data, self._times.block)
        except OSError as error:
            raise HopLost(str(error) or "the next hop does not read") from None

    def close(self) -> None:
        """With a goodbye, where it cannot be taken for anything else; else servers log a lost connection."""
        hop = self._hop
        ready = not (hop.lost or hop.waiting or self._stream.ended)
        hop.lose("closed")
        self._stream.close(b"QUIT\r\n" if ready else b"")

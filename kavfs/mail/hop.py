"""Hop: the client's side of SMTP and LMTP, without sockets.

Commands go in (`command`), bytes for the next hop come out (`output`), its bytes go in (`receive`), and each Exchange
gets its reply. What the next hop sends is believed in nothing but its replies: one without a command, one that is none,
or 421 ends the connection (`lost`).
"""

from __future__ import annotations

from collections import deque

from kavfs.mail.replies import Garbage, Reply, ReplyReader
from kavfs.mail.settings import Capabilities


class HopLost(Exception):
    """The connection to the next hop is of no use any more; str() says why."""


class Exchange:
    """A command and, some time later, its reply."""

    def __init__(self, line: bytes, pipelined: bool = False) -> None:
        self.line = line
        self.pipelined = pipelined  # others may follow before it is answered
        self.reply: Reply | None = None


class Hop:
    """One connection. The first reply, the greeting, belongs to `greeting`."""

    def __init__(self) -> None:
        self.greeting = Exchange(b"")
        self.capabilities: Capabilities = {}
        self.lost = ""  # why nothing more will come
        self._reader = ReplyReader()
        self._unsent: deque[Exchange] = deque()
        self._unanswered: deque[Exchange] = deque([self.greeting])

    @property
    def waiting(self) -> bool:
        """A reply is still to come."""
        return bool(self._unanswered or self._unsent) and not self.lost

    def command(self, line: bytes, pipelined: bool = False) -> Exchange:
        exchange = Exchange(line, pipelined)
        self._unsent.append(exchange)
        return exchange

    def expect(self) -> Exchange:
        """A reply will come to what was sent without a command: the end of DATA."""
        exchange = Exchange(b"")
        self._unanswered.append(exchange)
        return exchange

    def output(self) -> bytes:
        """What may be sent now. Without PIPELINING one command at a time; with it a group, up to a command that must be
        the last of one."""
        lines = []
        while self._unsent and not self.lost:
            before = self._unanswered[-1] if self._unanswered else None
            if before is not None and not (before.pipelined and b"PIPELINING" in self.capabilities):
                break
            exchange = self._unsent.popleft()
            self._unanswered.append(exchange)
            lines.append(exchange.line + b"\r\n")
        return b"".join(lines)

    def receive(self, data: bytes) -> None:
        """Bytes of the next hop; b"": there will be no more."""
        if self.lost:
            return
        if not data:
            self.lose("closed by the next hop")
            return
        try:
            for answer in self._reader.feed(data):
                self._answered(answer)
        except Garbage as error:
            self.lose(str(error))

    def lose(self, why: str) -> None:
        self.lost = self.lost or why or "lost"

    def _answered(self, answer: Reply) -> None:
        if self.lost:
            return
        if not self._unanswered:
            self.lose("the next hop answered what was not asked")
            return
        self._unanswered.popleft().reply = answer
        if answer.code == 421:
            self.lose("the next hop closes: " + b" ".join(answer.lines).decode(errors="replace"))


def capabilities(answer: Reply) -> dict[bytes, bytes]:
    """What the reply to EHLO or LHLO announces."""
    found = {}
    for line in answer.lines[1:]:
        keyword, _, value = line.strip().partition(b" ")
        found[keyword.upper()] = value
    return found

"""Mail without sockets: a client, a next hop and the relay between them, with faults wherever a test wants them.

Nothing here waits: a stream whose other side stalls raises TimeoutError at once. So a run is one call (`drive`).
"""

from __future__ import annotations

import re
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

EVERYTHING = b"PIPELINING 8BITMIME SMTPUTF8 SIZE DSN ENHANCEDSTATUSCODES".split()
Step = tuple[str, bytes, int]  # name, bytes, replies to wait for (-1: one for each recipient)


class Killed(BaseException):
    """kill -9 of ourselves."""


def drive(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end what never really waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("something waited for an event loop")


@dataclass(frozen=True)
class Fault:
    """At *step*, *when* (before, middle, after), *how*: dies, stalls, 421, garbage."""

    step: str
    when: str
    how: str


class Fuse:
    """Kills us at one operation on a stream: before it is done, in its middle, or after."""

    def __init__(self, at: int = -1, when: str = "before") -> None:
        self.at, self.when, self.count = at, when, 0

    def part(self, data: bytes) -> bytes:
        """What of *data* is still written; `check` kills us afterwards."""
        if self.count != self.at or self.when == "after":
            return data
        return b"" if self.when == "before" else data[: len(data) // 2]

    def check(self) -> None:
        self.count += 1
        if self.count == self.at + 1:
            raise Killed


class HopStream:
    """One connection to a NextHop."""

    def __init__(self, hop: NextHop, fuse: Fuse) -> None:
        self.hop, self.fuse = hop, fuse
        self.outbox = bytearray()
        self.input = bytearray()
        self.dead = self.stalled = self.closed = False
        self.sender: bytes | None = None
        self.recipients: list[bytes] = []
        self.in_content = False
        hop.step(self, "greeting", b"220 next ESMTP\r\n")

    @property
    def ended(self) -> bool:
        return self.dead and not self.outbox

    async def read(self, timeout: float) -> bytes:
        self.fuse.check()
        if self.outbox:
            return self.taken()
        if self.dead:
            return b""
        raise TimeoutError

    def taken(self) -> bytes:
        data = bytes(self.outbox)
        self.outbox.clear()
        return data

    async def write(self, data: bytes, timeout: float) -> None:
        if self.dead:
            raise BrokenPipeError("pipe")
        if not self.stalled:
            self.input += self.fuse.part(data)
            self._work()
        self.fuse.check()

    def close(self, last: bytes = b"") -> None:
        self.closed = True
        assert not (last and self.in_content), "it would be content"
        if last and not (self.dead or self.stalled):
            self.input += last
            self._work()

    def _work(self) -> None:
        while not (self.dead or self.stalled):
            if self.in_content:
                at = self.input.find(b"\r\n.\r\n")
                if at < 0:
                    if len(self.input) > 2:
                        self.hop.step(self, "content", b"")
                    return
                content = bytes(self.input[: at + 2])
                del self.input[: at + 5]
                self.in_content = False
                self.hop.end(self, content.replace(b"\r\n.", b"\r\n")[2:])
            else:
                at = self.input.find(b"\r\n")
                if at < 0:
                    return
                line = bytes(self.input[:at])
                del self.input[: at + 2]
                self.hop.command(self, line)


@dataclass
class NextHop:
    """A server that takes everything, but for *refuse* and one fault. *taken*: (recipient, content) of each copy."""

    lmtp: bool = False
    keywords: list[bytes] = field(default_factory=lambda: list(EVERYTHING))
    fault: Fault | None = None
    fuse: Fuse = field(default_factory=Fuse)
    refuse: dict[bytes, bytes] = field(default_factory=dict)  # RCPT or END + recipient, DATA ... -> reply
    taken: list[tuple[bytes, bytes]] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    streams: list[HopStream] = field(default_factory=list)

    async def connect(self) -> HopStream:
        if self._strikes("connect", "before"):
            raise ConnectionRefusedError("refused") if self._how() != "stalls" else TimeoutError()
        self.streams.append(HopStream(self, self.fuse))
        return self.streams[-1]

    def _strikes(self, step: str, when: str) -> bool:
        return self.fault is not None and (self.fault.step, self.fault.when) == (step, when)

    def _how(self) -> str:
        assert self.fault is not None
        how, self.fault = self.fault.how, None
        return how

    def _break(self, stream: HopStream) -> None:
        how = self._how()
        if how == "stalls":
            stream.stalled = True
            return
        stream.outbox += {"421": b"421 4.3.2 bye\r\n", "garbage": b"\0\xffSSH-2.0\r\n"}.get(how, b"")
        stream.dead = True

    def step(self, stream: HopStream, name: str, answer: bytes) -> bool:
        """Answer; False: a fault came before that."""
        if self._strikes(name, "before"):
            self._break(stream)
            return False
        if self._strikes(name, "middle"):
            stream.outbox += answer[: len(answer) // 2]
            self._break(stream)
            return True
        stream.outbox += answer
        if self._strikes(name, "after"):
            self._break(stream)
        return True

    def command(self, stream: HopStream, line: bytes) -> None:
        self.lines.append(line)
        verb = line[:4].upper()
        name = verb.decode("latin-1")
        if verb == b"RCPT":
            name += str(len(stream.recipients))
        address = (re.findall(rb"<(.*)>", line) or [b""])[0]
        answer = self.refuse.get(verb + address, self.refuse.get(verb, b"250 2.0.0 ok\r\n"))
        if verb in (b"EHLO", b"LHLO") and verb not in self.refuse:
            answer = b"".join(b"250-%s\r\n" % line for line in [b"next", *self.keywords]) + b"250 HELP\r\n"
        if verb == b"DATA" and verb not in self.refuse:
            answer = b"354 go\r\n" if stream.recipients else b"554 5.5.1 nobody\r\n"
        if self.step(stream, name, answer):
            self._carry_out(stream, verb, address, answer[:1] in b"23")

    def _carry_out(self, stream: HopStream, verb: bytes, address: bytes, good: bool) -> None:
        if verb in (b"RSET", b"EHLO", b"LHLO", b"HELO"):
            stream.sender, stream.recipients = None, []
        elif verb == b"MAIL" and good:
            assert stream.sender is None, "MAIL within a transaction"
            stream.sender = address
        elif verb == b"RCPT" and good:
            stream.recipients.append(address)
        elif verb == b"DATA" and good:
            stream.in_content = True
            stream.input[:0] = b"\r\n"
        elif verb == b"QUIT":
            stream.dead = True

    def end(self, stream: HopStream, content: bytes) -> None:
        recipients, stream.recipients, stream.sender = stream.recipients, [], None
        if self._strikes("end", "before"):
            self._break(stream)
            return
        answers = [
            self.refuse.get(b"END" + recipient, b"250 2.0.0 taken\r\n")
            for recipient in (recipients if self.lmtp else [b""])
        ]
        for i, recipient in enumerate(recipients):
            if answers[i if self.lmtp else 0].startswith(b"2"):
                self.taken.append((recipient, content))
        self.step(stream, "end", b"".join(answers))


class Client:
    """A client that says *steps*, and the stream of it that we have."""

    def __init__(self, steps: list[Step], fault: Fault | None = None, fuse: Fuse | None = None) -> None:
        self.steps = steps
        self.fault, self.fuse = fault, fuse or Fuse()
        self.heard = bytearray()
        self.at = -1
        self.ended = self.stalled = self.closed = self.deaf = False

    def replies(self) -> list[bytes]:
        """Every whole reply heard, its last line."""
        whole = self.heard[: self.heard.rfind(b"\n") + 1]
        return [line for line in bytes(whole).split(b"\r\n") if line[3:4] == b" "]

    def answers(self, name: str) -> list[bytes]:
        """The replies to the step of this name."""
        at = 1
        for i, (step, _, _) in enumerate(self.steps):
            if step == name:
                return self.replies()[at : at + self._count(i)]
            at += self._count(i)
        raise AssertionError(name)

    def asked(self) -> list[bytes]:
        """The replies to recipients, as far as they were answered."""
        found = [a for name, _, _ in self.steps if name.startswith("RCPT") for a in self.answers(name)]
        return found + [a for name, _, _ in self.steps if name == "group" for a in self.answers(name)[1:-1]]

    def accepted(self) -> list[bool]:
        """Recipients, as far as they were answered: yes or no."""
        return [answer.startswith(b"2") for answer in self.asked()]

    def due(self) -> int:
        """Replies to all that was said, with the greeting."""
        return 1 + sum(self._count(i) for i in range(self.at + 1))

    def _count(self, step: int) -> int:
        count = self.steps[step][2]
        return sum(self.accepted()) if count < 0 else count

    def _strikes(self, when: str) -> str:
        name = self.steps[self.at][0]
        return self.fault.how if self.fault and (self.fault.step, self.fault.when) == (name, when) else ""

    def _broken(self, how: str) -> None:
        if how == "stalls":
            self.stalled = True
        elif how == "unheard":
            self.deaf = True
        elif how:
            self.ended = self.deaf = True

    async def read(self, timeout: float) -> bytes:
        self.fuse.check()
        if self.stalled:
            raise TimeoutError
        if self.ended or self.deaf or self.at + 1 >= len(self.steps):
            self.ended = True
            return b""
        heard = len(self.replies())
        if heard < self.due():
            raise AssertionError(
                f"both sides wait: {heard} replies of {self.due()} before {self.steps[self.at + 1][0]}"
            )
        self.at += 1
        data = self.steps[self.at][1]
        if how := self._strikes("before"):
            self._broken(how)
            return await self.read(timeout)
        if how := self._strikes("middle"):
            self._broken(how)
            return data[: len(data) // 2]
        self._broken(self._strikes("after"))
        return data

    def taken(self) -> bytes:
        return b""

    async def write(self, data: bytes, timeout: float) -> None:
        if self.deaf:
            raise ConnectionResetError("reset")
        self.heard += self.fuse.part(data)
        self.fuse.check()

    def close(self, last: bytes = b"") -> None:
        self.closed = True


def dialogue(content: bytes, recipients: list[bytes], lmtp: bool = False, pipelined: bool = False) -> list[Step]:
    """What a client says to send one message (dots stuffed by the caller)."""
    hello = b"LHLO me\r\n" if lmtp else b"EHLO me\r\n"
    rcpts = [(f"RCPT{i}", b"RCPT TO:<%s>\r\n" % r, 1) for i, r in enumerate(recipients)]
    group = [("MAIL", b"MAIL FROM:<from@example.org>\r\n", 1), *rcpts, ("DATA", b"DATA\r\n", 1)]
    if pipelined:
        group = [("group", b"".join(data for _, data, _ in group), len(group))]
    return [
        ("EHLO", hello, 1),
        *group,
        ("content", content, 0),
        ("end", b".\r\n", -1 if lmtp else 1),
        ("QUIT", b"QUIT\r\n", 1),
    ]

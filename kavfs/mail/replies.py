"""Replies: what a server says to a command, ours and those of the next hop."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

MAX_LINE = 4096  # of a reply; RFC 5321 says 512
MAX_LINES = 256  # of one reply

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(rb"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")
_CONTROL = bytes(0x3F if (c < 0x20 and c != 9) or c == 0x7F else c for c in range(256))  # controls become "?"


class Reply(NamedTuple):
    """One reply. *enhanced*: the code of RFC 3463, or b"". *lines*: texts, without codes and ends."""

    code: int
    enhanced: bytes
    lines: tuple[bytes, ...]

    @property
    def good(self) -> bool:
        return 200 <= self.code < 300

    @property
    def passing(self) -> bool:
        """The same may succeed later."""
        return 400 <= self.code < 500

    def wire(self) -> bytes:
        start = b"%d" % self.code
        prefix = self.enhanced + b" " if self.enhanced else b""
        texts = self.lines or (b"",)
        return b"".join(
            start + (b"-" if i < len(texts) - 1 else b" ") + prefix + text + b"\r\n" for i, text in enumerate(texts)
        )


def reply(code: int, enhanced: bytes, *lines: bytes) -> Reply:
    return Reply(code, enhanced, lines)


OK = reply(250, b"2.0.0", b"Ok")
DISTURBED = reply(451, b"4.3.0", b"Cannot be done now, try again later")
NO_HOP = reply(451, b"4.4.1", b"Next hop cannot be reached, try again later")
HOP_LOST = reply(451, b"4.4.2", b"Connection to the next hop was lost, try again later")
HOP_STRANGE = reply(451, b"4.5.0", b"Next hop answered what makes no sense, try again later")


class Garbage(Exception):
    """What came is no reply."""


class ReplyReader:
    """Replies out of a stream of bytes that nobody vouches for: memory bounded, controls taken out."""

    def __init__(self) -> None:
        self._rest = b""
        self._code = b""
        self._texts: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[Reply]:
        """All replies that are complete now, those before garbage too. Raises Garbage."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            whole = self._line(line.removesuffix(b"\r"))
            if whole is not None:
                yield whole
        if len(self._rest) > MAX_LINE:
            raise Garbage("a line of a reply does not end")

    def _line(self, line: bytes) -> Reply | None:
        match = _LINE.fullmatch(line)
        if match is None or len(line) > MAX_LINE:
            raise Garbage("what came is no reply")
        code, separator, text = match[1], match[2], match[3] or b""
        if (self._code and code != self._code) or len(self._texts) >= MAX_LINES:
            raise Garbage("a reply of many lines makes no sense")
        self._code = code
        self._texts.append(text.translate(_CONTROL))
        if separator == b"-":
            return None
        texts, self._code, self._texts = self._texts, b"", []
        return _made(int(code), texts)


def _made(code: int, texts: list[bytes]) -> Reply:
    match = _ENHANCED.match(texts[0])
    if match is None or match[1][0] != ord("0") + code // 100:
        return Reply(code, b"", tuple(texts))
    enhanced = match[1]
    return Reply(code, enhanced, tuple(text.removeprefix(enhanced).removeprefix(b" ") for text in texts))


def passed(answer: Reply) -> Reply:
    """A reply of the next hop to MAIL, RCPT or the end of DATA as our client may hear it: 421 would say that we close,
    and what is neither yes nor no is a reason to come again."""
    if answer.code == 421:
        return Reply(451, b"4.3.2", answer.lines)
    if answer.good or answer.code >= 400:
        return answer
    return HOP_STRANGE


def one_for_all(replies: Iterable[Reply]) -> Reply:
    """What a client hears that gets one reply for all recipients: what must come again decides, then what must not.
    A 250 is said only if it is true of each."""
    replies = list(replies)
    for wanted in (4, 5):
        for answer in replies:
            if answer.code // 100 == wanted:
                return answer
    return replies[0] if replies and all(r.good for r in replies) else DISTURBED

"""Milter: a mail server asks us about messages, and does with them what we say, without sockets.

Bytes of the server go in (`receive`), whole messages come out (`next_message`), bytes for the server come out
(`output`, and `verdict` for what becomes of a message). The server keeps the message; what we say are edits of it, so
one that stays as it is keeps every byte, and its signatures.

No way from here to "accept" leads around a verdict: whatever is strange ends the connection, and the server does what
it was told to do without us, which should be to answer 451.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from kavfs.mail import milter_wire as wire
from kavfs.mail.commands import has_controls
from kavfs.mail.envelope import Content, Envelope, Mates, Recipient
from kavfs.mail.fields import HEADER_MAX
from kavfs.mail.milter_edits import Edits, Value, rest_of
from kavfs.mail.milter_wire import SPACE, Strange, frame
from kavfs.mail.relay import APART
from kavfs.mail.replies import DISTURBED, Reply, reply
from kavfs.mail.spool import Spool

TOO_LARGE = reply(552, b"5.3.4", b"Message is too large")
LONG_HEADER = reply(552, b"5.3.4", b"Header is too large")
NO_ROOM = reply(452, b"4.3.1", b"No room for the message now")
TOO_MANY = reply(452, b"4.5.3", b"Too many recipients")

_NAME = re.compile(rb"[^\x00-\x20:\x7f]{1,998}")
_FOLD = re.compile(rb"\r?\n([ \t]?)")
_MAIL_KEYS = (b"SIZE", b"BODY", b"SMTPUTF8", b"RET", b"ENVID")
_RCPT_KEYS = (b"NOTIFY", b"ORCPT")


class MilterLimits(NamedTuple):
    """What a mail server may ask for. 0 of *size*: no limit."""

    size: int = 0  # bytes of a message
    recipients: int = 1000  # of a message; the others hear 452 and come again
    idle: float = 7200.0  # seconds without a byte: a connection lasts as long as the one behind the mail server
    judging: float = 600.0  # seconds for one message
    progress: float = 15.0  # seconds between two signs that we are at it
    writing: float = 60.0  # seconds for a frame to be taken


class MailItem(NamedTuple):
    """A message that is complete. The spool is the receiver's; `verdict` must follow."""

    envelope: Envelope
    spool: Spool
    queue: str  # its name in the mail server's log, if that told us


class Passed(NamedTuple):
    """The message goes on with these edits, *without* recipients by their place in the envelope. *message* has the
    new body."""

    edits: Edits
    message: Content
    without: tuple[int, ...] = ()


Verdict = Passed | Reply | None
"""None: the message is where policy wants it, and the server forgets it."""


class _Open:
    """A message that has begun. *names*: recipients as the server wrote them. *header*: as long as there is no spool.
    *trouble*: why it will be refused when it has ended."""

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        self.recipients: list[Recipient] = []
        self.names: list[bytes] = []
        self.header = bytearray()
        self.spool: Spool | None = None
        self.trouble: Reply | None = None

    def so_far(self) -> Envelope:
        return self.envelope._replace(recipients=tuple(self.recipients))


class MilterSession:
    """One connection. *mates*: recipients who cannot be treated as the others are have to come again."""

    def __init__(self, limits: MilterLimits, spools: Callable[[], Spool], mates: Mates | None = None) -> None:
        self.over = False  # nothing is read any more
        self._limits = limits
        self._spools = spools
        self._mates = mates
        self._input = bytearray()
        self._output = bytearray()
        self._version = 0  # agreed on; 0: not yet
        self._actions = self._steps = 0
        self._client = self._helo = b""
        self._queue = ""
        self._open: _Open | None = None
        self._judged = False  # it waits for its verdict

    # ---- bytes -----------------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """No message has begun."""
        return self._open is None

    def receive(self, data: bytes) -> None:
        if not self.over:
            self._input += data

    def output(self) -> bytes:
        data = bytes(self._output)
        self._output.clear()
        return data

    def close(self) -> None:
        self.over = True
        self._input.clear()
        self._forget()

    def next_message(self) -> MailItem | None:
        """A message that is complete. Raises Strange: the connection must end."""
        while not self.over and not self._judged:
            taken = wire.take_frame(self._input)
            if taken is None:
                return None
            code, data = taken
            handler = _HANDLERS.get(code)
            if handler is None:
                raise Strange(f"command {code!r} is not known")
            if not self._version and code != b"O":
                raise Strange("a command came before what is agreed on")
            item = handler(self, code, data)
            if item is not None:
                return item
        return None

    def _say(self, code: bytes, data: bytes = b"") -> None:
        self._output += frame(code, data)

    def _go_on(self, code: bytes) -> None:
        if not self._steps & wire.UNANSWERED.get(code, 0):
            self._say(wire.CONTINUE)

    def _refuse(self, answer: Reply) -> None:
        self._say(wire.REPLY, wire.written(answer))

    # ---- the connection --------------------------------------------------------------------------------------------

    def _agree(self, _code: bytes, data: bytes) -> None:
        """Only what is offered may be asked for."""
        if len(data) < 12 or not self.idle:
            raise Strange("options make no sense")
        version, actions, steps = struct.unpack_from(">III", data)
        if version < wire.OLDEST:
            raise Strange(f"version {version} of the protocol is too old")
        self._version = min(version, wire.VERSION)
        self._actions, self._steps = actions & wire.ACTIONS, steps & wire.STEPS
        self._say(b"O", struct.pack(">III", self._version, self._actions, self._steps))

    def _connect(self, code: bytes, data: bytes) -> None:
        self._next_client(code, data)
        self._client = wire.client(data)
        self._go_on(code)

    def _next_client(self, _code: bytes, _data: bytes) -> None:
        """The same connection serves another client of the server."""
        self._forget()
        self._client = self._helo = b""

    def _hello(self, code: bytes, data: bytes) -> None:
        name = data.rstrip(b"\0")
        self._helo = b"" if has_controls(name) else name[:255]
        self._go_on(code)

    def _macros(self, _code: bytes, data: bytes) -> None:
        """In pairs; of all these only the name in the queue is of use, for the log."""
        words = data[1:].split(b"\0")
        for name, value in zip(words[::2], words[1::2], strict=False):
            if name in (b"i", b"{i}") and value.isalnum():
                self._queue = value[:32].decode("ascii")

    def _other(self, code: bytes, _data: bytes) -> None:
        self._go_on(code)

    def _abort(self, _code: bytes, _data: bytes) -> None:
        self._forget()

    def _quit(self, _code: bytes, _data: bytes) -> None:
        self.close()

    # ---- the envelope ----------------------------------------------------------------------------------------------

    def _mail(self, _code: bytes, data: bytes) -> None:
        self._forget()
        address, parameters = wire.path(data, _MAIL_KEYS)
        size = dict(parameters).get(b"SIZE", b"")
        if self._limits.size and size.isdigit() and len(size) < 20 and int(size) > self._limits.size:
            self._refuse(TOO_LARGE)
            return
        self._open = _Open(Envelope(address, (), parameters, (), (), self._helo, self._client, b"ESMTP"))
        self._say(wire.CONTINUE)

    def _rcpt(self, _code: bytes, data: bytes) -> None:
        mail = self._within()
        if mail.spool is not None or mail.header:
            raise Strange("a recipient within a message")
        recipient = Recipient(*wire.path(data, _RCPT_KEYS))
        if len(mail.recipients) >= self._limits.recipients:
            self._refuse(TOO_MANY)
        elif mail.recipients and self._mates and not self._mates(mail.so_far(), recipient):
            self._refuse(APART)
        else:
            mail.recipients.append(recipient)
            mail.names.append(data.partition(b"\0")[0])
            self._say(wire.CONTINUE)

    def _within(self) -> _Open:
        if self._open is None:
            raise Strange("a command outside of a message")
        return self._open

    # ---- the content -----------------------------------------------------------------------------------------------

    def _field(self, code: bytes, data: bytes) -> None:
        mail = self._within()
        name, first, value = data.partition(b"\0")
        value, last, rest = value.partition(b"\0")
        if not (first and last) or rest or not _NAME.fullmatch(name) or mail.spool is not None:
            raise Strange("a field of a header makes no sense")
        if len(mail.header) + len(data) > HEADER_MAX:
            mail.trouble = mail.trouble or LONG_HEADER
        if mail.trouble is None:
            # Lines end with LF here. One that does not begin with a blank would be a field of its own for us only.
            folded = _FOLD.sub(lambda line: b"\r\n" + (line[1] or b" "), value)
            mail.header += name + (b":" if self._steps & SPACE else b": ") + folded + b"\r\n"
        self._go_on(code)

    def _body(self, code: bytes, data: bytes) -> None:
        self._content(self._within(), data)
        self._go_on(code)

    def _content(self, mail: _Open, data: bytes) -> None:
        try:
            if mail.spool is None:
                mail.spool = self._spools()
                data = bytes(mail.header) + b"\r\n" + data
                mail.header.clear()
            if self._limits.size and mail.spool.size + len(data) > self._limits.size:
                mail.trouble = mail.trouble or TOO_LARGE
            if mail.trouble is None:
                mail.spool.write(data)
        except OSError:
            mail.trouble = mail.trouble or NO_ROOM

    def _end(self, _code: bytes, data: bytes) -> MailItem | None:
        mail = self._within()
        self._content(mail, data)
        if mail.trouble is not None or mail.spool is None or not mail.recipients:
            self._refuse(mail.trouble or DISTURBED)
            self._forget()
            return None
        spool, mail.spool, self._judged = mail.spool, None, True
        return MailItem(mail.so_far(), spool, self._queue)

    def _forget(self) -> None:
        """There is no message any more."""
        if self._open is not None and self._open.spool is not None:
            self._open.spool.close()
        self._open, self._judged = None, False

    # ---- the verdict -----------------------------------------------------------------------------------------------

    def verdict(self, verdict: Verdict) -> Iterator[bytes]:
        """What the server hears of the message, in pieces; nothing may come between them."""
        try:
            if isinstance(verdict, Reply):
                yield frame(wire.REPLY, wire.written(verdict))
            elif verdict is None:
                yield frame(wire.DISCARD)
            elif _needs(verdict) & ~self._actions:
                yield frame(wire.TEMPFAIL)  # the server cannot do what policy wants
            else:
                yield from self._passing(verdict, self._within().names)
        finally:
            self._forget()

    def _passing(self, passed: Passed, names: list[bytes]) -> Iterator[bytes]:
        edits, out = passed.edits, bytearray()
        for name, number, value in edits.changed:
            out += frame(wire.CHANGE, struct.pack(">I", number) + name + b"\0" + self._value(value) + b"\0")
        for name, value in edits.added:
            out += frame(wire.ADD, name + b"\0" + self._value(value) + b"\0")
        for name, value in edits.inserted:
            text = name + b"\0" + self._value(value) + b"\0"
            old = self._version == wire.OLDEST  # may not know how to insert
            out += frame(wire.ADD, text) if old else frame(wire.INSERT, struct.pack(">I", 0) + text)
        for number in passed.without:
            out += frame(wire.WITHOUT, names[number] + b"\0")
        yield bytes(out)
        try:
            if edits.body is not None:
                yield from wire.body_frames(rest_of(passed.message, edits.body))
        except OSError:
            yield frame(wire.TEMPFAIL)
        else:
            yield frame(wire.CONTINUE)

    def _value(self, value: Value) -> bytes:
        """As it goes over the wire; an empty one deletes the field."""
        if value is None:
            return b""
        plain = value.replace(b"\r\n", b"\n")
        return (plain if self._steps & SPACE else plain.removeprefix(b" ")) or b" "


def _needs(passed: Passed) -> int:
    edits = passed.edits
    return (
        (wire.ADD_FIELDS if edits.added or edits.inserted else 0)
        | (wire.CHANGE_FIELDS if edits.changed else 0)
        | (wire.CHANGE_BODY if edits.body is not None else 0)
        | (wire.DELETE_RECIPIENTS if passed.without else 0)
    )


_HANDLERS: dict[bytes, Callable[[MilterSession, bytes, bytes], MailItem | None]] = {
    b"O": MilterSession._agree,
    b"C": MilterSession._connect,
    b"H": MilterSession._hello,
    b"D": MilterSession._macros,
    b"M": MilterSession._mail,
    b"R": MilterSession._rcpt,
    b"T": MilterSession._other,
    b"U": MilterSession._other,
    b"L": MilterSession._field,
    b"N": MilterSession._other,
    b"B": MilterSession._body,
    b"E": MilterSession._end,
    b"A": MilterSession._abort,
    b"Q": MilterSession._quit,
    b"K": MilterSession._next_client,
}

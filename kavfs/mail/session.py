"""Session: the server's side of SMTP and LMTP, without sockets.

Bytes of the client go in (`receive`), events come out (`next_event`), replies are given (`answer`, `welcome`,
`finish`), bytes for the client come out (`output`). The session knows the dialogue; what MAIL and RCPT are answered is
somebody else's business, and a message is said to be taken only when `finish` says so.

Every command has a slot for its reply; replies leave in the order of commands. MAIL and RCPT may follow each other
before they are answered (PIPELINING), everything else waits until all slots are filled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kavfs.mail import commands, replies
from kavfs.mail.commands import Refused
from kavfs.mail.content import Unstuffer
from kavfs.mail.envelope import Envelope, Parameters, Recipient
from kavfs.mail.replies import Reply, reply
from kavfs.mail.settings import Capabilities, Settings
from kavfs.mail.spool import Spool

_PIPELINED = (b"MAIL", b"RCPT")  # need not wait for the replies to those before


class Slot:
    """The place of one reply. `recipient` is that of RCPT."""

    def __init__(self, verb: bytes, recipient: Recipient | None = None) -> None:
        self.verb = verb
        self.recipient = recipient
        self.reply: Reply | None = None


class Hello(NamedTuple):
    """A client greets; `welcome` says what we can do."""

    extended: bool


class Mail(NamedTuple):
    """`envelope` is without recipients."""

    slot: Slot
    envelope: Envelope


class Rcpt(NamedTuple):
    slot: Slot
    recipient: Recipient


class Ended(NamedTuple):
    """A transaction ended without a message."""


class Message(NamedTuple):
    """A message is complete; the spool is the receiver's from now on, and `finish` says what became of it."""

    envelope: Envelope
    spool: Spool


Event = Hello | Mail | Rcpt | Ended | Message


class Session:
    """One client. *spools* makes a place for a message (it may raise OSError); *trusted*: XCLIENT is allowed."""

    def __init__(
        self, settings: Settings, spools: Callable[[], Spool], client: bytes = b"", trusted: bool = False
    ) -> None:
        self.settings = settings
        self._limits = settings.limits
        self._spools = spools
        self._client = client
        self.trusted = trusted
        self.over = False  # nothing is read any more; the connection ends when the output is written
        self._input = bytearray()
        self._output = bytearray()
        self._slots: deque[Slot] = deque()
        self._busy = False  # an event waits for `welcome` or `finish`
        self._skipping = False  # the rest of a line that was too long
        self._suspicious = False  # DATA was refused: what follows may be content
        self._capabilities: Capabilities = {}
        self._largest = settings.limits.size  # bytes of a message, also as the next hop has it; 0: any
        self._protocol = b""
        self._helo = b""
        self._xforward: Parameters = ()
        self._xclient: Parameters = ()
        self._errors = self._others = 0
        self._envelope: Envelope | None = None
        self._mail_open = False  # MAIL was taken, or may be
        self._recipients: list[Recipient] = []
        self._content: Unstuffer | None = None
        self._spool: Spool | None = None
        self._trouble: Reply | None = None  # why the message will be refused when it has ended
        self._size = 0
        self._greet()

    # ---- bytes -----------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        if not self.over:
            self._input += data

    def output(self) -> bytes:
        """Bytes for the client."""
        data = bytes(self._output)
        self._output.clear()
        return data

    @property
    def idle(self) -> float:
        """Seconds that the client may be silent, or need for a command."""
        return self._limits.idle

    @property
    def within_message(self) -> bool:
        """What comes now is content."""
        return self._content is not None

    @property
    def unread(self) -> bool:
        """Something that the client said was not looked at yet."""
        return bool(self._input)

    @property
    def between(self) -> bool:
        """No transaction is open, and nothing is to be answered."""
        return not (self._mail_open or self._busy or self._slots or self._input or self._output)

    def close(self) -> None:
        """The client is gone, or is not wanted any more."""
        self.over = True
        self._input.clear()
        self._forget()

    def end(self, code: int, enhanced: bytes, text: bytes) -> None:
        """Say this and close."""
        self._say(reply(code, enhanced, text))
        self.close()

    # ---- answers ---------------------------------------------------------------------------------------------------

    def welcome(self, capabilities: Capabilities | None) -> None:
        """The answer to Hello: what is announced; None: there is no next hop now."""
        self._busy = False
        if capabilities is None:
            self.end(421, b"4.3.2", b"Next hop cannot be reached, closing")
            return
        self._largest = int(capabilities.get(b"SIZE", b"") or self._limits.size)
        extended = self._protocol != b"SMTP"
        self._capabilities = dict(capabilities) if extended else {}
        lines = [b" ".join((key, value)).rstrip() for key, value in self._capabilities.items()]
        self._say(reply(250, b"", self.settings.name, *lines))

    def answer(self, slot: Slot, answer: Reply) -> None:
        """The reply to MAIL or RCPT."""
        if slot.verb == b"MAIL":
            self._mail_open = answer.good
        elif slot.recipient is not None and answer.good:
            if self._mail_open:
                self._recipients.append(slot.recipient)
            else:
                answer = reply(503, b"5.5.1", b"MAIL first")
        slot.reply = answer
        self._write_ready()

    def finish(self, answers: Sequence[Reply]) -> None:
        """What became of a message: a reply for each of its recipients, in their order."""
        self._busy = False
        for answer in answers if self.settings.lmtp else (replies.one_for_all(answers),):
            self._say(answer)
        self._forget()
        self._others = 0

    # ---- events ----------------------------------------------------------------------------------------------------

    def next_event(self) -> Event | None:
        """What the client wants next; None: more bytes, or answers, are needed first."""
        while not self.over and not self._busy:
            if self._content is not None:
                if not self._input:
                    return None
                event = self._take_content(self._content)
            else:
                line = self._take_line()
                if line is None:
                    return None
                event = self._take_command(line)
            if event is not None:
                return event
        return None

    def _take_line(self) -> bytes | None:
        """The next line, if it has come wholly and is allowed by now."""
        while True:
            at = self._input.find(b"\n")
            if at < 0 and len(self._input) <= self._limits.line:
                return None
            if self._slots and (bytes(self._input[:4]).upper() not in _PIPELINED or self._skipping):
                return None
            line = bytes(self._input[: at + 1] if at >= 0 else self._input)
            del self._input[: len(line)]
            if not self._skipping and len(line) <= self._limits.line:
                return line
            if not self._skipping:
                self._refuse(reply(500, b"5.5.2", b"Line is too long"))
            self._skipping = at < 0

    def _take_command(self, line: bytes) -> Event | None:
        if not line.endswith(b"\r\n") and not self.settings.normalise:
            self.end(550, b"5.5.2", b"Bare LF received, closing")
            return None
        verb, rest = commands.split(line.rstrip(b"\r\n"))
        handler = _HANDLERS.get(verb)
        try:
            if handler is None:
                self._unknown(verb)
                return None
            self._suspicious = False
            if commands.has_controls(rest):
                raise Refused(500, b"5.5.2", b"Control character in a command")
            return handler(self, verb, rest)
        except Refused as refused:
            self._refuse(refused.reply)
            return None

    def _unknown(self, verb: bytes) -> None:
        """Content or another protocol in the place of commands: then nothing of it may be carried out."""
        if self._suspicious or not verb.isalpha() or verb in (b"GET", b"POST", b"PUT", b"CONNECT"):
            self.end(421, b"4.7.0", b"This is no command, closing")
        else:
            raise Refused(500, b"5.5.2", b"Command is not known")

    # ---- commands --------------------------------------------------------------------------------------------------

    def _hello(self, verb: bytes, rest: bytes) -> Event | None:
        if (verb == b"LHLO") != self.settings.lmtp:
            # Somebody's settings are wrong, and mail is not to be returned to its senders for that.
            raise Refused(451, b"4.3.5", b"Use " + (b"LHLO" if self.settings.lmtp else b"EHLO"))
        self._other()
        self._helo = commands.hello_name(rest)
        self._protocol = {b"LHLO": b"LMTP", b"EHLO": b"ESMTP"}.get(verb, b"SMTP")
        self._forget()
        self._busy = True
        return Hello(verb != b"HELO")

    def _mail(self, verb: bytes, rest: bytes) -> Event:
        if not self._protocol:
            raise Refused(503, b"5.5.1", b"Greet first")
        if self._mail_open:
            raise Refused(503, b"5.5.1", b"MAIL was given")
        sender, parameters = commands.mail_path(rest, self._capabilities)
        if self._limits.size and commands.size(parameters) > self._limits.size:
            raise Refused(552, b"5.3.4", b"Message is too large")
        self._mail_open = True
        self._envelope = Envelope(
            sender, (), parameters, self._xforward, self._xclient, self._helo, self._client, self._protocol
        )
        return Mail(self._slot(verb), self._envelope)

    def _rcpt(self, verb: bytes, rest: bytes) -> Event | None:
        if not self._mail_open or self._envelope is None:
            raise Refused(503, b"5.5.1", b"MAIL first")
        utf8 = (b"SMTPUTF8", b"") in self._envelope.parameters
        recipient = Recipient(*commands.rcpt_path(rest, self._capabilities, utf8))
        waiting = sum(slot.recipient is not None for slot in self._slots)
        if len(self._recipients) + waiting >= self._limits.recipients:
            self._say(reply(452, b"4.5.3", b"Too many recipients"))  # no error of the client's: they come again
            return None
        return Rcpt(self._slot(verb, recipient), recipient)

    def _data(self, _verb: bytes, rest: bytes) -> Event | None:
        try:
            if rest:
                raise Refused(501, b"5.5.4", b"Syntax: DATA")
            if not self._mail_open:
                raise Refused(503, b"5.5.1", b"MAIL first")
            if not self._recipients:
                raise Refused(503 if self.settings.lmtp else 554, b"5.5.1", b"No valid recipients")
            self._spool = self._open_spool()
        except Refused as refused:
            self._suspicious = True
            if self._input:  # DATA is the last of a group: this can only be content
                self.end(refused.reply.code, refused.reply.enhanced, refused.reply.lines[0] + b", closing")
                return None
            raise
        self._content, self._size, self._trouble = Unstuffer(self.settings.normalise), 0, None
        self._say(reply(354, b"", b"End data with <CR><LF>.<CR><LF>"))
        return None

    def _open_spool(self) -> Spool:
        try:
            return self._spools()
        except OSError:
            raise Refused(452, b"4.3.1", b"No room for a message now") from None

    def _rset(self, _verb: bytes, _rest: bytes) -> Event:
        self._other()
        self._forget()
        self._say(replies.OK)
        return Ended()

    def _noop(self, verb: bytes, _rest: bytes) -> None:
        self._other()
        if verb == b"VRFY":
            self._say(reply(252, b"2.0.0", b"Try to send to it"))
        elif verb == b"HELP":
            self._say(reply(214, b"2.0.0", b"See RFC 5321"))
        else:
            self._say(replies.OK)

    def _quit(self, _verb: bytes, _rest: bytes) -> Event:
        self.end(221, b"2.0.0", b"Bye")
        return Ended()

    def _starttls(self, _verb: bytes, _rest: bytes) -> None:
        """Never announced. What stands behind it was meant for after it, or was put there by somebody else."""
        if self._input:
            self.end(421, b"4.7.0", b"Nothing may follow STARTTLS, closing")
        else:
            raise Refused(502, b"5.5.1", b"Command is not offered")

    def _xforwarded(self, verb: bytes, rest: bytes) -> None:
        allowed = self._outside(verb)
        self._xforward = (*self._xforward, *commands.attributes(rest, allowed))[-32:]
        self._say(replies.OK)

    def _xclient_given(self, verb: bytes, rest: bytes) -> None:
        """The client speaks for another one: everything starts anew, from the greeting."""
        allowed = self._outside(verb)
        self._xclient = (*self._xclient, *commands.attributes(rest, allowed))[-32:]
        self._client = dict(self._xclient).get(b"ADDR", self._client)
        self._protocol = self._helo = b""
        self._capabilities = {}
        self._forget()
        self._greet()

    def _outside(self, verb: bytes) -> bytes:
        if verb not in self._capabilities:
            raise Refused(502, b"5.5.1", b"Command is not offered")
        if self._mail_open:
            raise Refused(503, b"5.5.1", b"Not within a mail transaction")
        self._other()
        return self._capabilities[verb]

    # ---- content ---------------------------------------------------------------------------------------------------

    def _take_content(self, content: Unstuffer) -> Event | None:
        data, behind = content.feed(bytes(self._input))
        self._input[:] = behind
        self._keep(data)
        if not content.ended:
            if self._largest and self._size > self._largest + self._limits.excess:
                self.end(421, b"4.3.4", b"Message is far too large, closing")
            return None
        self._content = None
        if content.bare and not self.settings.normalise:
            self._trouble = reply(550, b"5.5.2", b"Bare CR or LF in the message")
        envelope, spool = self._envelope, self._spool
        assert envelope is not None
        assert spool is not None
        if self._trouble is not None:
            self.finish([self._trouble] * len(self._recipients))
            return Ended()
        self._spool, self._busy = None, True
        return Message(envelope._replace(recipients=tuple(self._recipients)), spool)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._largest and self._size > self._largest and self._trouble is None:
            self._trouble = reply(552, b"5.3.4", b"Message is too large")
        if self._trouble is None and self._spool is not None:
            try:
                self._spool.write(data)
            except OSError:
                self._trouble = reply(452, b"4.3.1", b"No room for the message now")

    # ---- replies ---------------------------------------------------------------------------------------------------

    def _greet(self) -> None:
        self._say(reply(220, b"", self.settings.name + (b" LMTP" if self.settings.lmtp else b" ESMTP")))

    def _slot(self, verb: bytes, recipient: Recipient | None = None) -> Slot:
        slot = Slot(verb, recipient)
        self._slots.append(slot)
        return slot

    def _say(self, answer: Reply) -> None:
        self._slot(b"").reply = answer
        self._write_ready()

    def _write_ready(self) -> None:
        while self._slots and (ready := self._slots[0].reply) is not None:
            self._slots.popleft()
            self._output += ready.wire()

    def _refuse(self, answer: Reply) -> None:
        self._say(answer)
        self._errors += 1
        if self._errors > self._limits.errors:
            self.end(421, b"4.7.0", b"Too many errors, closing")

    def _other(self) -> None:
        """One more command that is no mail."""
        self._others += 1
        if self._others > self._limits.commands:
            self.over = True
            raise Refused(421, b"4.7.0", b"Too many commands without mail, closing")

    def _forget(self) -> None:
        """There is no transaction any more."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        self._envelope = self._content = self._trouble = None
        self._mail_open = False
        self._recipients = []
        self._xforward = ()


_HANDLERS: dict[bytes, Callable[[Session, bytes, bytes], Event | None]] = {
    b"HELO": Session._hello,
    b"EHLO": Session._hello,
    b"LHLO": Session._hello,
    b"MAIL": Session._mail,
    b"RCPT": Session._rcpt,
    b"DATA": Session._data,
    b"RSET": Session._rset,
    b"NOOP": Session._noop,
    b"VRFY": Session._noop,
    b"HELP": Session._noop,
    b"QUIT": Session._quit,
    b"STARTTLS": Session._starttls,
    b"XFORWARD": Session._xforwarded,
    b"XCLIENT": Session._xclient_given,
}

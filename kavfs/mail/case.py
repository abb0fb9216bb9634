"""Case: one message for the recipients of one group, what was found in it, and what was done about it.

The judge makes it; keeping, notices, statistics and the log read it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from kavfs.mail.coding import Block
from kavfs.mail.envelope import Envelope
from kavfs.mail.message import Message
from kavfs.mail.parts import Part
from kavfs.mail.rules import Action, Group
from kavfs.mail.spool import Spool
from kavfs.model import Status


class Finding(NamedTuple):
    """One object of a message that is not clean. *name* is safe to show: UTF-8 without control characters."""

    status: Status  # never CLEAN; CURED when *cured* holds what is left of it
    name: str  # of the attachment, or "message" for what belongs to no part
    threats: tuple[str, ...] = ()  # names of signatures
    part: Part | None = None  # None: the message as a whole
    size: int = 0  # bytes, decoded
    why: str = ""  # what an error, a limit or a filter says
    cured: Spool | None = None  # the judge's, who closes it
    block: Block | None = None  # a file in the text of the part: not the part itself


class Case(NamedTuple):
    """*status* is the gravest of the findings, or CLEAN. *action*: what the recipients' copy shows of it."""

    id: str  # of the message with us, in the log: 12 letters and digits
    time: float  # seconds since 1970 at which it had come
    envelope: Envelope
    recipients: tuple[int, ...]  # by place in the envelope
    group: Group
    spool: Spool  # the message as it came
    message: Message | None  # None: it was not looked at (Check=no), or could not be read
    status: Status = Status.CLEAN
    findings: tuple[Finding, ...] = ()
    action: Action = Action.UNCHANGED
    blocked: bool = False  # nothing of it goes to these recipients
    items: tuple[str, ...] = ()  # in quarantine

    def addresses(self) -> tuple[bytes, ...]:
        return tuple(self.envelope.recipients[number].address for number in self.recipients)


Keep = Callable[[Case], tuple[str, ...]]
"""Into quarantine, durably before it returns: names of items. Called in a thread. Raises KavfsError, OSError."""

Tell = Callable[[Case], Awaitable[None]]
"""Send the notices that the rules want. Raises OSError or HopLost only where the administrator's notice carries what
was taken from the recipients and lies nowhere else; all other trouble is logged."""

Record = Callable[[Case], None]
"""Log, statistics, counters: called once for each case when the plan is made. Never raises."""

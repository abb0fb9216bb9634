"""Rules: what an administrator wants to happen to a message, by group and status.

group = rules.group_of(sender, recipient)          the first that both match, else the default one
group.rule(Status.INFECTED).recipient_action       -> Action.REMOVE
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from kavfs.mail.addresses import usual
from kavfs.model import Status


class Action(enum.Enum):
    """What becomes of an object in somebody's copy. CURED stands only in rules for Status.CURED."""

    UNCHANGED = "unchanged"
    REMOVE = "remove"
    CURED = "cured"


class Rule(NamedTuple):
    """What happens for one status."""

    quarantine: bool = False
    admin_notify: bool = True
    admin_action: Action = Action.UNCHANGED
    sender_notify: bool = False
    recipient_notify: bool = True
    recipient_attach_report: bool = True
    recipient_action: Action = Action.REMOVE


RULED = (
    *(Status.INFECTED, Status.CURED, Status.SUSPICIOUS, Status.WARNING),
    *(Status.CORRUPTED, Status.FILTERED, Status.ERROR, Status.PROTECTED),
)
"""The statuses that have a row. What is cured has CURED; what should have been and was not is INFECTED again."""


class Matcher(Protocol):
    """One POSIX extended regular expression, or a mask of a shell."""

    def __call__(self, text: bytes) -> bool: ...


class Filters(NamedTuple):
    """What makes a part Filtered before it is scanned. A size is that of the decoded content, in bytes; None: any."""

    names: Sequence[Matcher] = ()  # of the attachment, in UTF-8, each name that any reader would show
    mime: Sequence[Matcher] = ()  # as its fields say, "application/x-dosexec", in small letters
    types: Sequence[Matcher] = ()  # as the core detects it: Result.format, "pe", "zip"
    size_over: int | None = None
    spare_names: Sequence[Matcher] = ()  # exceptions: a part with such a name, or type, is not filtered
    spare_mime: Sequence[Matcher] = ()


class Group(NamedTuple):
    """*senders*, *recipients*: of addresses without angle brackets, in their usual form; empty: everybody."""

    name: str = "default"
    check: bool = True
    senders: Sequence[Matcher] = ()
    recipients: Sequence[Matcher] = ()
    admin: bytes = b"postmaster@localhost"
    quarantine_path: bytes = b""  # empty: the store that the whole product has
    x_headers: bool = True
    long_header: bool = False  # the form of release 5.6
    filters: Filters = Filters()
    rules: Mapping[Status, Rule] = {}

    def rule(self, status: Status) -> Rule:
        return self.rules.get(status, Rule())

    def matches(self, sender: bytes, recipient: bytes) -> bool:
        return _any(self.senders, sender) and _any(self.recipients, recipient)


class Rules(NamedTuple):
    """*groups* in their order, without the default one."""

    groups: Sequence[Group] = ()
    default: Group = Group()

    def group_of(self, sender: bytes, recipient: bytes) -> Group:
        if not self.groups:
            return self.default
        sender, recipient = usual(sender), usual(recipient)
        return next((group for group in self.groups if group.matches(sender, recipient)), self.default)


def _any(matchers: Sequence[Matcher], text: bytes) -> bool:
    return not matchers or any(matcher(text) for matcher in matchers)

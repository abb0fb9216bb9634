"""Cases: messages that were judged, put together by hand; and a next hop that remembers what it was sent."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

from kavfs.action.cure.pieces import Source
from kavfs.mail.case import Case, Finding
from kavfs.mail.envelope import Envelope, Recipient
from kavfs.mail.hop import HopLost
from kavfs.mail.message import Message
from kavfs.mail.rules import Action, Group, Rule
from kavfs.mail.spool import Spool
from kavfs.model import Status
from tests.support.mailing import letter

SENDER, TO, ADMIN = b"sender@example.org", b"user@example.com", b"admin@example.com"
CONTENT = b"harmful \xff\0 content" * 100
QUIET = Rule(admin_notify=False, recipient_notify=False)


def spool_of(data: bytes) -> Spool:
    spool = Spool()
    spool.write(data)
    return spool


def mail(name: str = "bad.exe", **fields: str) -> bytes:
    made = letter((name, CONTENT))
    for key, value in fields.items():
        del made[key.replace("_", "-")]
        made[key.replace("_", "-")] = value
    return made.as_bytes(policy=email.policy.SMTP)


def group(status: Status = Status.INFECTED, **rule: object) -> Group:
    return Group(admin=ADMIN, rules={status: QUIET._replace(**rule)})  # type: ignore[arg-type]


def case(
    data: bytes = b"",
    of: Group | None = None,
    status: Status = Status.INFECTED,
    *,
    sender: bytes = SENDER,
    to: tuple[Recipient, ...] = (Recipient(TO),),
    threats: tuple[str, ...] = ("Eicar-Test-Signature",),
    name: str = "bad.exe",
    whole: bool = False,
    **more: object,
) -> Case:
    """One finding, in the part called *name*, or in no part."""
    spool = spool_of(data or mail())
    message = Message(Source(spool.fd, 0, spool.size))
    part = next((one for one in message.tree.walk() if name.encode() in one.names()), None)
    finding = Finding(status, name if part else "message", threats, None if whole else part, len(CONTENT))
    made = Case(
        "ABCDEF123456",
        1_700_000_000.0,
        Envelope(sender, to, client=b"192.0.2.7", helo=b"client.example.org", protocol=b"ESMTP"),
        tuple(range(len(to))),
        of or group(status),
        spool,
        message,
        status,
        (finding,),
        Action.REMOVE,
    )
    return made._replace(**more)  # type: ignore[arg-type]


class Hop:
    """Promises sending.Send."""

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken
        self.got: list[tuple[Envelope, bytes]] = []

    async def __call__(self, envelope: Envelope, spool: Spool) -> None:
        if self.broken:
            raise HopLost("gone")
        self.got.append((envelope, b"".join(spool.chunks())))

    def letters(self) -> dict[bytes, EmailMessage]:
        """By whom they are for."""
        return {envelope.recipients[0].address: read(data) for envelope, data in self.got}


def read(data: bytes) -> EmailMessage:
    made = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(made, EmailMessage)
    return made

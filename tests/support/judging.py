"""A judge with everything around it in the same process: the real engine, cures, a quarantine that is a list."""

from __future__ import annotations

import asyncio
import datetime
import email
import email.policy
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from kavfs._native.worker import ObjectScanner
from kavfs.action.cure.refused import Refused
from kavfs.mail import headers
from kavfs.mail.case import Case
from kavfs.mail.envelope import Envelope, Plan, Recipient
from kavfs.mail.judge import Judge
from kavfs.mail.replies import Reply
from kavfs.mail.rules import Action, Group, Matcher, Rule, Rules
from kavfs.mail.spool import Spool
from kavfs.model import ENGINES, Member, Reason, Result, Status, Target, Threat
from kavfs.scan.asked import Begun
from tests.support.curing import cured, zip_of
from tests.support.mailing import letter
from tests.support.objects import EICAR, ready

BASES = headers.Bases(datetime.date(2026, 11, 20), 12345)
SENDER = b"a@example.org"


def plain_rules(**others: Rule) -> dict[Status, Rule]:
    """The rules of an ordinary group; *others* by status in small letters."""
    rules = {status: Rule() for status in Status if status is not Status.CLEAN}
    rules[Status.CURED] = Rule(recipient_action=Action.CURED)
    rules[Status.PROTECTED] = Rule(recipient_action=Action.UNCHANGED)
    return {**rules, **{Status[name.upper()]: rule for name, rule in others.items()}}


def group(name: str = "default", **values: object) -> Group:
    return Group(name, **{"rules": plain_rules(), **values})  # type: ignore[arg-type]


def result_of(fd: int, name: bytes, using: ObjectScanner | None = None) -> Result:
    """The engine's word on what is behind a descriptor."""
    found, notes = (using or ready()).scan(fd)
    threats = [
        Threat(note.name.decode(), Status(note.status), ENGINES[note.engine], note.member, note.offset)
        for note in notes
        if note.name
    ]
    members = [
        Member(note.member, Status(note.status), Reason(note.reasons), note.size, note.is_container)
        for note in notes
        if not note.name
    ]
    return Result(
        name, Status(found.status), Reason(found.reasons), tuple(threats), tuple(members), found.size, found.scanned,
        target=Target(found.target), format=found.format,
    )  # fmt: skip


@dataclass
class Court:
    """A judge and what it has done. *answers*: what scans answer in turn instead of the engine; None: the engine."""

    groups: Sequence[Group] = ()
    default: Group = field(default_factory=group)
    answers: list[Result | str | None] = field(default_factory=list)
    using: ObjectScanner | None = None
    cures: bool = True
    scanned: list[bytes] = field(default_factory=list)  # names
    cases: list[Case] = field(default_factory=list)
    done: list[str] = field(default_factory=list)  # in order: scan, keep, tell, record
    fails: set[str] = field(default_factory=set)  # keep, tell
    gone: int | None = None
    allowed: list[float] = field(default_factory=list)  # seconds of each cure
    settings: dict[str, object] = field(default_factory=dict)

    async def scan(self, fd: int, name: bytes, seconds: float, begun: Begun | None = None) -> Result | str:
        self.scanned.append(name)
        self.done.append("scan")
        if begun:
            begun(time.monotonic())
        answer = self.answers.pop(0) if self.answers else None
        return result_of(fd, name, self.using) if answer is None else answer

    async def cure(self, fd: int, result: Result, seconds: float) -> Spool | str:
        self.allowed.append(seconds)
        try:
            outcome = cured(os.pread(fd, os.fstat(fd).st_size, 0), result.path)
        except Refused as refused:
            return str(refused)
        return spooled(outcome.data)

    def waits(self) -> bool:
        """Whether the client is there; *gone* says after how many scans it has gone."""
        return self.gone is None or self.done.count("scan") < self.gone

    def keep(self, case: Case) -> tuple[str, ...]:
        self.done.append("keep")
        if "keep" in self.fails:
            raise OSError("no space left")
        return ("item",)

    async def tell(self, case: Case) -> None:
        self.done.append("tell")
        if "tell" in self.fails:
            raise OSError("nobody takes it")

    def record(self, case: Case) -> None:
        self.done.append("record")
        self.cases.append(case)

    def judge(self) -> Judge:
        return Judge(
            Rules(self.groups, self.default), self.scan, bases=lambda: BASES, cure=self.cure if self.cures else None,
            keep=self.keep, tell=self.tell, record=self.record, **self.settings,
        )  # type: ignore[arg-type]  # fmt: skip

    def send(self, data: bytes, *to: bytes) -> Outcome:
        """What becomes of a message."""
        self.using = self.using or ready()
        before = len(os.listdir("/proc/self/fd"))
        outcome = asyncio.run(self.sent(data, *to))
        assert len(os.listdir("/proc/self/fd")) == before, "something was not closed"
        return outcome

    async def sent(self, data: bytes, *to: bytes) -> Outcome:
        recipients = tuple(Recipient(address) for address in to or (b"b@example.org",))
        envelope = Envelope(SENDER, recipients, waits=self.waits)
        spool = spooled(data)
        try:
            plan = await self.judge()(envelope, spool)
            assert plan.covers(len(envelope.recipients))
            outcome = outcome_of(plan, envelope, spool)
            plan.close()
        finally:
            spool.close()
        return outcome


@dataclass
class Outcome:
    """*got*: what each recipient gets, by address; *said*: what is answered for those who get nothing."""

    plan: Plan
    got: dict[bytes, bytes]
    said: dict[bytes, Reply]
    same: bool  # the only delivery is the message's own spool

    @property
    def only(self) -> bytes:
        """What all recipients get."""
        (content,) = set(self.got.values())
        return content

    @property
    def codes(self) -> list[int]:
        return [reply.code for reply in self.said.values()]


def outcome_of(plan: Plan, envelope: Envelope, spool: Spool) -> Outcome:
    got = {}
    for delivery in plan.deliveries:
        content = b"".join(delivery.message.chunks())
        assert len(content) == delivery.message.size
        got.update({envelope.recipients[number].address: content for number in delivery.recipients})
    said = {envelope.recipients[number].address: answer for number, answer in plan.settled.items()}
    same = len(plan.deliveries) == 1 and plan.deliveries[0].message is spool
    return Outcome(plan, got, said, same)


def spooled(data: bytes) -> Spool:
    spool = Spool()
    spool.write(data)
    return spool


def changed(of: Group, status: Status, **values: object) -> Group:
    """A group with another rule for a status."""
    return of._replace(rules={**of.rules, status: of.rule(status)._replace(**values)})  # type: ignore[arg-type]


# ---- what people see -------------------------------------------------------------------------------------------------

OURS = re.compile(rb"X-Anti-Virus:[^\r\n]*\r?\n(?:[ \t][^\r\n]*\r?\n)*", re.IGNORECASE)
INFECTED_ZIP = zip_of([("e.com", EICAR), ("fine", b"fine " * 50)])
DAMAGED = zip_of([("a", b"text " * 900)])[:60]


def mail(*attachments: tuple[str, bytes]) -> bytes:
    return letter(*attachments).as_bytes(policy=email.policy.SMTP)


def attached(data: bytes) -> dict[str | None, bytes]:
    """Contents by name; texts of ours have none."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    parts = [part for part in message.walk() if not part.is_multipart()]
    return {part.get_filename(): part.get_payload(decode=True) for part in parts}  # type: ignore[misc]


def words(data: bytes) -> str:
    """Everything that a reader shows as text."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    parts = [part for part in message.walk() if part.get_content_type() == "text/plain"]
    return "\n".join(part.get_payload(decode=True).decode() for part in parts)  # type: ignore[union-attr]


def status_line(data: bytes) -> bytes:
    found = OURS.search(data)
    assert found
    return b" ".join(found[0].split())


def ends(end: bytes) -> Matcher:
    return lambda text: text.endswith(end)


def is_(word: bytes) -> Matcher:
    return lambda text: text == word

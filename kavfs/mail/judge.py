"""Judge: what becomes of a message, for each group of its recipients.

    judge = Judge(rules, core.scan, bases=bases, cure=curer, keep=keep, tell=tell, record=record)
    receiver = Receiver(Line(settings, pool, judge, mates=judge.mates))

The message is scanned once for all groups. Then, for each group: its filters, its rules, quarantine, notices; and the
plan says who gets which copy. Where there is no verdict the recipients hear 451 and nothing is passed on, unless
*pass_unscanned*; so do those of a group whose quarantine or notices fail. What is wrong with the message itself, as a
limit or time that is over, is a finding, and a matter of rules.

Groups are told apart by what they want, not by their names: equal wishes make one copy."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import secrets
import string
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kavfs.action.cure.pieces import Source
from kavfs.errors import KavfsError
from kavfs.mail import headers
from kavfs.mail.case import Case, Finding, Keep, Record, Tell
from kavfs.mail.curing import Cure, with_cures
from kavfs.mail.envelope import Closable, Content, Delivery, Envelope, Plan, Recipient
from kavfs.mail.examining import examined
from kavfs.mail.filtering import filtered
from kavfs.mail.findings import error_of, gravest_of
from kavfs.mail.hop import HopLost
from kavfs.mail.message import Message
from kavfs.mail.replies import DISTURBED, OK, Reply
from kavfs.mail.rules import Action, Group, Rules
from kavfs.mail.scanning import Bounds, Examiner, Scan, Unscanned, apart
from kavfs.mail.spool import Spool
from kavfs.mail.surgery import line_end_of
from kavfs.mail.threads import in_thread
from kavfs.mail.treating import Course, copy_of, course_of, written
from kavfs.model import Status
from kavfs.version import VERSION

log = logging.getLogger(__name__)

LETTERS = string.ascii_uppercase + string.digits
FOLDER = b"/var/tmp"


def _keep_nothing(case: Case) -> tuple[str, ...]:
    raise OSError("there is no quarantine")


async def tell_nobody(case: Case) -> None:
    return None


def _record_nothing(case: Case) -> None:
    return None


class Gone(Exception):
    """Nobody waits for the answer any more: what is put into quarantine or told now would be so again."""


class Judge:
    """A `kavfs.mail.envelope.Judge`. *rules*, *bounds* and *pass_unscanned* may be changed at any time; a message is
    judged by those that it began with. *bases*: the signatures in use. *at_once*: messages, 0 = as many as there are.
    *folder*: for what is written besides spools."""

    def __init__(
        self,
        rules: Rules,
        scan: Scan,
        *,
        bases: Callable[[], headers.Bases],
        cure: Cure | None = None,
        keep: Keep = _keep_nothing,
        tell: Tell = tell_nobody,
        record: Record = _record_nothing,
        bounds: Bounds = Bounds(),  # noqa: B008
        pass_unscanned: bool = False,
        at_once: int = 0,
        spools: Callable[[], Spool] = Spool,
        folder: bytes = FOLDER,
    ) -> None:
        self.rules = rules
        self.bounds = bounds
        self.pass_unscanned = pass_unscanned
        self._scan, self._cure = scan, cure
        self._bases = bases
        self._keep, self._tell, self._record = keep, tell, record
        self._spools, self._folder = spools, folder
        self._room = asyncio.Semaphore(at_once) if at_once else contextlib.nullcontext()

    async def __call__(self, envelope: Envelope, spool: Spool) -> Plan:
        """The plan; what it holds is the caller's to close. Raises OSError where the spool cannot be read."""
        message = Message(Source(spool.fd, 0, spool.size))
        work = _Work(envelope, spool, time.time(), message, new_id())
        groups = grouped(self.rules, envelope)
        async with self._room:
            try:
                await self._examine(work, [group for group, _ in groups if group.check])
                for group, recipients in groups:
                    await self._settle(work, group, recipients)
            except BaseException:
                work.close()
                raise
        return work.plan()

    def mates(self, envelope: Envelope, recipient: Recipient) -> bool:
        """Whether a recipient is treated as those of the envelope are, of whom there is one at least."""
        first = self.rules.group_of(envelope.sender, envelope.recipients[0].address)
        return wishes(first) == wishes(self.rules.group_of(envelope.sender, recipient.address))

    # ---- the message -----------------------------------------------------------------------------------------------

    async def _examine(self, work: _Work, groups: list[Group]) -> None:
        """Once for all groups that want it."""
        if not groups:
            return
        examiner = work.examiner = Examiner(self._scan, self.bounds, self._spools)
        try:
            findings = await examined(work.message, examiner)
            if self._cure is not None and any(_wants_cures(group) for group in groups):
                findings = await with_cures(findings, work.message, examiner, self._cure)
        except Unscanned as error:
            log.error("%s: %s", work.id, error)
            work.unscanned = str(error) or "no verdict"
            work.passable = self.pass_unscanned and not examiner.spoken
            return
        work.findings = findings
        work.held += [one.cured for one in findings if one.cured is not None]

    # ---- one group -------------------------------------------------------------------------------------------------

    async def _settle(self, work: _Work, group: Group, recipients: tuple[int, ...]) -> None:
        """What becomes of the message for some recipients. Trouble is theirs alone."""
        try:
            if not group.check:
                await self._pass(work, group, recipients, None)
            elif work.unscanned:
                if not work.passable:
                    work.say(recipients, DISTURBED)
                    return
                await self._pass(work, group, recipients, error_of(work.unscanned))
            else:
                await self._treat(work, group, recipients)
        except Gone:
            log.info("%s: the client has gone before it was judged", work.id)
            work.say(recipients, DISTURBED)
        except Unscanned as error:
            log.error("%s: %s", work.id, error)
            work.say(recipients, DISTURBED)
        except (KavfsError, OSError, HopLost) as error:
            log.error("%s: not settled for some recipients: %s", work.id, error)
            work.say(recipients, DISTURBED)
        except Exception:  # whatever it is, the message stays where it is
            log.exception("%s: not settled for some recipients", work.id)
            work.say(recipients, DISTURBED)

    async def _pass(self, work: _Work, group: Group, recipients: tuple[int, ...], why: Finding | None) -> None:
        """It was not looked at."""
        case = work.case(group, recipients)._replace(message=None)
        if why is not None:
            case = case._replace(status=why.status, findings=(why,))
        course = Course(field=self._field(work, group, None))
        work.send(recipients, await self._copy(work, course))
        self._record(case)

    async def _treat(self, work: _Work, group: Group, recipients: tuple[int, ...]) -> None:
        size = work.spool.size
        findings = [*work.findings, *await apart(size, lambda: filtered(group.filters, work.message))]
        course, content = await self._made(work, group, self._course(work, group, findings))
        case = work.case(group, recipients)._replace(
            status=gravest_of(course.findings),
            findings=course.findings,
            action=course.action,
            blocked=course.blocked,
        )
        if not work.envelope.waits():
            raise Gone
        if any(group.rule(one.status).quarantine for one in course.findings):
            case = case._replace(items=await in_thread(self._keep, case))
        if findings:
            await self._tell(case)
        if content is None:
            work.say(recipients, OK)
        else:
            work.send(recipients, content)
        self._record(case)

    def _course(self, work: _Work, group: Group, findings: Sequence[Finding]) -> Course:
        return course_of(group, findings, self._field(work, group, gravest_of(findings)))

    def _field(self, work: _Work, group: Group, status: Status | None) -> bytes:
        """What we say in the header; None: it was not looked at."""
        if not group.x_headers:
            return b""
        word = "not checked" if status is None else status.name.lower()
        if group.long_header:
            today = None if status is None else datetime.datetime.fromtimestamp(work.came).date()
            value = headers.long_form(VERSION, self._bases(), today, word)
        else:
            value = headers.short_form(VERSION, self._bases(), word)
        return headers.field(value, line_end_of(work.message.source))

    # ---- copies ----------------------------------------------------------------------------------------------------

    async def _made(self, work: _Work, group: Group, course: Course) -> tuple[Course, Content | None]:
        """What is done after all, and the message that comes of it, if any. Equal courses make it once."""
        key = course.key, group.rule(Status.INFECTED) if course.cleans else None
        if key not in work.copies:
            work.copies[key] = await self._make(work, group, course)
        return work.copies[key]

    async def _make(self, work: _Work, group: Group, course: Course) -> tuple[Course, Content | None]:
        """Where something was taken out because of what a scan found, the copy is scanned again: if it has more than
        what the rules let through, nothing of the message stays."""
        if course.blocked:
            return course, None
        copy = await self._copy(work, course)
        if course.whole or not course.cleans:
            return course, copy
        size = work.spool.size
        spool = await apart(size, lambda: written(copy, self._spools()))
        work.held.append(spool)
        if await self._lets_through(work, course, spool):
            return course, spool
        log.warning("%s: the whole message is removed: it is not clean without what was found in it", work.id)
        whole = self._course(work, group, [not_cured(one) for one in course.findings])._replace(whole=True)
        return whole, None if whole.blocked else await self._copy(work, whole)

    async def _copy(self, work: _Work, course: Course) -> Content:
        """The spool itself where the copy is the same."""
        copy = await apart(work.spool.size, lambda: copy_of(course, work.message, self._folder))
        work.held.append(copy)
        return work.spool if copy.same(work.message.source) else copy

    async def _lets_through(self, work: _Work, course: Course, spool: Spool) -> bool:
        assert work.examiner is not None
        message = Message(Source(spool.fd, 0, spool.size))
        found = await examined(message, work.examiner.again())
        return all(course.lets_through(one) for one in found)


@dataclass
class _Work:
    """One message on its way to a plan."""

    envelope: Envelope
    spool: Spool
    came: float
    message: Message
    id: str
    examiner: Examiner | None = None
    findings: list[Finding] = field(default_factory=list)  # of the scan, for all groups
    unscanned: str = ""  # why there is no verdict
    passable: bool = False  # ... and it may go on nevertheless: not where only what was found could not be looked into
    copies: dict[object, tuple[Course, Content | None]] = field(default_factory=dict)
    held: list[Closable] = field(default_factory=list)
    sent: dict[int, tuple[Content, list[int]]] = field(default_factory=dict)
    settled: dict[int, Reply] = field(default_factory=dict)

    def case(self, group: Group, recipients: tuple[int, ...]) -> Case:
        return Case(self.id, self.came, self.envelope, recipients, group, self.spool, self.message)

    def send(self, recipients: tuple[int, ...], content: Content) -> None:
        self.sent.setdefault(id(content), (content, []))[1].extend(recipients)

    def say(self, recipients: tuple[int, ...], answer: Reply) -> None:
        self.settled.update(dict.fromkeys(recipients, answer))

    def plan(self) -> Plan:
        deliveries = (Delivery(tuple(sorted(numbers)), content) for content, numbers in self.sent.values())
        return Plan(tuple(deliveries), self.settled, tuple(self.held))

    def close(self) -> None:
        for one in self.held:
            one.close()


def grouped(rules: Rules, envelope: Envelope) -> list[tuple[Group, tuple[int, ...]]]:
    """Groups with the recipients that belong to them, by place in the envelope."""
    groups: dict[int, tuple[Group, list[int]]] = {}
    for number, recipient in enumerate(envelope.recipients):
        group = rules.group_of(envelope.sender, recipient.address)
        groups.setdefault(id(group), (group, []))[1].append(number)
    return [(group, tuple(numbers)) for group, numbers in groups.values()]


def wishes(group: Group) -> object:
    """What a group wants for its messages: where it is equal, so is what happens to them."""
    if not group.check:
        return group.x_headers, group.long_header
    return group._replace(name="", senders=(), recipients=(), admin=b"", quarantine_path=b"")


def not_cured(finding: Finding) -> Finding:
    """As it was before the cure."""
    return finding if finding.cured is None else finding._replace(status=Status.INFECTED, cured=None)


def _wants_cures(group: Group) -> bool:
    rule = group.rule(Status.CURED)
    return Action.CURED in (rule.recipient_action, rule.admin_action)


def new_id() -> str:
    """12 letters and digits."""
    return "".join(LETTERS[byte % len(LETTERS)] for byte in secrets.token_bytes(12))

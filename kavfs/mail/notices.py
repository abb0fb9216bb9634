"""Notices: what the administrator, recipients and the sender are told of a message, and the report of a failure that
the sender has asked for.

`wanted` decides who hears of a case; `Notices` writes and sends. None can go round: each has the null sender and says
that a program wrote it, senders are told only where a person may be (answering.py), what was told of one of our notices
is known by its mark (marks.py), and in the end the number in an hour is limited (allowance.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from kavfs.action.cure.pieces import Source, chunks_of
from kavfs.mail import about, composing, failures
from kavfs.mail.allowance import TOLD, Allowance
from kavfs.mail.answering import automatic, unanswerable
from kavfs.mail.case import Case, Finding, Keep
from kavfs.mail.coding import decoded, readings, unpacked
from kavfs.mail.envelope import Envelope, Parameters, Recipient
from kavfs.mail.fields import Header
from kavfs.mail.hop import HopLost
from kavfs.mail.marks import CARRIED, NAME, Marks, found
from kavfs.mail.rules import Action
from kavfs.mail.sending import Send
from kavfs.mail.spool import Spool
from kavfs.mail.templates import Role, Templates, filled
from kavfs.mail.threads import in_thread
from kavfs.model import Status, gravest

log = logging.getLogger(__name__)

WAITING = 256  # notices that are written and not sent yet; what is more is lost
ATTACHED = 20  # objects of one notice; of more the whole message instead
PATIENCE = 30.0  # seconds for what waits when the program ends

_EIGHT = ((b"BODY", b"8BITMIME"),)
_UTF8 = ((b"SMTPUTF8", b""),)


class Manner(NamedTuple):
    """How notices are written. *sender*: NotifyFromAddress; *host*: what we are called."""

    sender: bytes = b"MAILER-DAEMON@localhost"
    host: bytes = b"localhost"
    formats: about.Formats = about.Formats()
    temp: bytes = b"/var/tmp"


class Wanted(NamedTuple):
    """One notice. *failed*: the recipients of a report of a failure; none: it is no such report."""

    role: Role
    address: bytes
    status: Status
    recipients: tuple[bytes, ...]  # those it may name
    failed: tuple[Recipient, ...] = ()
    attached: tuple[Finding, ...] = ()
    sole: bool = False  # it carries what lies nowhere else
    news: bytes = b""  # digest: the same for the same news of the same message, when that comes again


class Made(NamedTuple):
    wanted: Wanted
    envelope: Envelope
    spool: Spool


# ---- who is told -----------------------------------------------------------------------------------------------------


def wanted(case: Case) -> Iterator[Wanted]:
    """What the rules of the case's group, and the sender by DSN, ask for; whether it may go is another question."""
    about_it = _identity(case)
    for one in _wanted(case):
        if one.sole:  # whoever has it must have the very same
            about_it += _content(case)
        who = (one.role.value, one.address.lower(), one.status.name, sorted(one.recipients))
        yield one._replace(news=hashlib.sha256(about_it + repr(who).encode()).digest())


def _identity(case: Case) -> bytes:
    threats = [name for finding in case.findings for name in finding.threats]
    msgid = about.field_of(about.header_of(case), b"message-id")
    return repr((case.envelope.sender, msgid, case.spool.size, threats)).encode("utf-8", "backslashreplace")


def _content(case: Case) -> bytes:
    digest = hashlib.sha256()
    for piece in case.spool.chunks():
        digest.update(piece)
    return digest.digest()


def _wanted(case: Case) -> Iterator[Wanted]:
    rule, everybody = case.group.rule, case.addresses()
    if (status := _gravest(one.status for one in case.findings if rule(one.status).admin_notify)) and case.group.admin:
        shown = tuple(
            one
            for one in case.findings
            if rule(one.status).admin_notify and rule(one.status).admin_action is not Action.REMOVE
        )
        sole = not case.items and any(_lies_nowhere_else(case, one) for one in shown)
        yield Wanted(Role.ADMIN, case.group.admin, status, everybody, attached=shown, sole=sole)
    if status := _gravest(one.status for one in case.findings if rule(one.status).recipient_notify):
        for address in dict.fromkeys(everybody):
            yield Wanted(Role.RECIPIENT, address, status, (address,))
    if case.findings:
        yield from _for_sender(case)


def _for_sender(case: Case) -> Iterator[Wanted]:
    policy = _gravest(one.status for one in case.findings if case.group.rule(one.status).sender_notify)
    status = policy or _gravest(one.status for one in case.findings) or Status.ERROR
    there = [case.envelope.recipients[number] for number in case.recipients]
    told = [one for one in there if failures.asked(one) or (failures.asked(one) is None and policy)]
    if case.blocked and told:
        yield Wanted(Role.SENDER, case.envelope.sender, status, tuple(one.address for one in told), tuple(told))
    elif policy and not case.blocked and any(failures.asked(one) is not False for one in there):
        yield Wanted(Role.SENDER, case.envelope.sender, status, case.addresses())


def _gravest(statuses: Iterable[Status]) -> Status | None:
    there = list(statuses)
    return gravest(there) if there else None


def _lies_nowhere_else(case: Case, finding: Finding) -> bool:
    """Whether the recipients do not get what the administrator gets of it."""
    rule = case.group.rule(finding.status)
    there = Action.UNCHANGED if finding.cured is None else rule.admin_action
    return case.blocked or case.action is Action.REMOVE or rule.recipient_action is not there


class Untold:
    """Promises case.Tell where no mail can be sent: what lies nowhere else then goes to *keep*."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep

    async def __call__(self, case: Case) -> None:
        if any(one.sole for one in _wanted(case)):
            items = await in_thread(self._keep, case)
            log.info("%s: nobody can be told; the message is in quarantine: %s", case.id, ", ".join(items))


# ---- writing and sending ---------------------------------------------------------------------------------------------


class Notices:
    """Promises case.Tell, in one event loop. *counts*: by role and by what became of a notice. *keep*: where a message
    goes of which nobody may be told, though something was taken out of it that lies nowhere else."""

    def __init__(
        self,
        send: Send,
        templates: Templates,
        marks: Marks,
        allowance: Allowance,
        manner: Manner | None = None,
        keep: Keep | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._send = send
        self._keep = keep
        self._templates = templates
        self._marks = marks
        self._allowance = allowance
        self._manner = manner or Manner()
        self._clock = clock
        self._waiting: deque[Made] = deque()
        self._task: asyncio.Task[None] | None = None
        self.counts: Counter[tuple[str, str]] = Counter()

    async def __call__(self, case: Case) -> None:
        asked = await in_thread(list, wanted(case)) if case.findings else []
        if not asked:
            return
        marks, header = await in_thread(_looked_at, case)
        may = [one for one in asked if await self._may_go(case, one, header, marks)]
        may.sort(key=lambda one: not one.sole)  # who waits for an answer waits for that one only
        made = await in_thread(self._written, case, may, marks)
        pairs = deque(zip(may, made, strict=True))
        try:
            while pairs:
                await self._dispatched(*pairs.popleft())
        finally:
            for _, what in pairs:
                if isinstance(what, Made):
                    self._lost(what)

    async def _dispatched(self, one: Wanted, what: Made | Exception) -> None:
        if isinstance(what, Made) and not one.sole:
            self._later(what)
            return
        try:
            if not isinstance(what, Made):
                raise OSError(f"it cannot be written: {what}") from what
            await self._sent(what)
        except (OSError, HopLost) as error:
            self._failed(one, error)
            if one.sole:
                raise

    async def close(self, patience: float = PATIENCE) -> None:
        """What waits is sent, or lost after so many seconds."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=patience)
            self._task.cancel()
            await asyncio.wait([self._task])
        while self._waiting:
            self._lost(self._waiting.popleft())

    async def _may_go(self, case: Case, one: Wanted, header: Header, marks: list[bytes]) -> bool:
        why = self._refused(one, header, marks)
        if why and why != TOLD and one.sole:
            if self._keep is None:
                return True
            items = await in_thread(self._keep, case)
            why += f"; the message is in quarantine: {', '.join(items)}"
        if why:
            self.counts[one.role.value, "suppressed"] += 1
            log.info("%s: notice for %s <%s>: %s", case.id, one.role.value, about.text_of(one.address), why)
        return not why

    def _written(self, case: Case, may: list[Wanted], marks: list[bytes]) -> list[Made | Exception]:
        """In a thread."""
        made: list[Made | Exception] = []
        for one in may:
            try:
                made.append(self._make(case, one, marks))
            except Exception as error:  # whatever a message does to us, it gets on its way
                made.append(error)
        return made

    def _refused(self, one: Wanted, header: Header, marks: list[bytes]) -> str:
        """Why it must not go; empty: it may."""
        if self._marks.ours(marks, one.address):
            return "it would tell of a notice of ours"
        if one.role is Role.SENDER and (why := unanswerable(one.address, header)):
            return why
        if one.role is Role.SENDER and one.address.lower() == self._manner.sender.lower():
            return "that is us"
        if one.role is Role.RECIPIENT and automatic(one.address):
            return "automatic address"
        address = b"" if one.role is Role.ADMIN else one.address
        return self._allowance.refused(one.role.value, address, one.news, self._clock())

    def _make(self, case: Case, one: Wanted, marks: list[bytes]) -> Made:
        manner, template = self._manner, self._templates[one.role, one.status]
        values = about.values(case, one.role, one.status, one.recipients, manner.formats)
        in_subject = {name: value if name != "HEADERS" else "" for name, value in values.items()}
        sender = one.role is Role.SENDER
        head = composing.head(
            manner.sender, one.address, filled(template.subject, in_subject), manner.host, replied=sender
        )
        if sender:
            composing.answers(head, values["MSGID"])
        for mark in [self._marks.make(one.address, self._clock()), *marks[: CARRIED - 1]]:
            head[NAME] = mark.decode("ascii")
        parts = list(_report(case, one, manner) if one.failed else _objects(case, one))
        kind = 'multipart/report; report-type="delivery-status"' if one.failed else "multipart/mixed"
        spool = Spool(manner.temp)
        try:
            composing.write(spool, head, filled(template.text, values), parts, kind)
        except BaseException:
            spool.close()
            raise
        parameters: Parameters = _EIGHT if any(b"8bit" in part.fields for part in parts) else ()
        parameters += () if one.address.isascii() else _UTF8
        return Made(one, Envelope(b"", (Recipient(one.address),), parameters, helo=manner.host), spool)

    def _later(self, made: Made) -> None:
        if len(self._waiting) >= WAITING:
            self._lost(made)
            return
        self._waiting.append(made)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        while self._waiting:
            made = self._waiting.popleft()
            try:
                await self._sent(made)
            except Exception as error:  # whatever it is, the others wait
                self._failed(made.wanted, error)

    async def _sent(self, made: Made) -> None:
        try:
            await self._send(made.envelope, made.spool)
            self.counts[made.wanted.role.value, "sent"] += 1
        finally:
            made.spool.close()

    def _failed(self, one: Wanted, error: Exception) -> None:
        self._allowance.forget(one.news)
        self.counts[one.role.value, "failed"] += 1
        log.warning("notice for %s <%s> cannot be sent: %s", one.role.value, about.text_of(one.address), error)

    def _lost(self, made: Made) -> None:
        self._allowance.forget(made.wanted.news)
        self.counts[made.wanted.role.value, "lost"] += 1
        made.spool.close()


def _looked_at(case: Case) -> tuple[list[bytes], Header]:
    """In a thread. A message that cannot be read here cannot be sent on either, so it comes again."""
    header = about.header_of(case)
    try:
        return found(about.source_of(case)), header
    except OSError:
        return [], header


# ---- what is attached ------------------------------------------------------------------------------------------------


def _objects(case: Case, one: Wanted) -> Iterator[composing.Part]:
    """As AdminAction says: what an object was, or what is left of it. Each once, whatever was found in it."""
    rule = case.group.rule
    cured = [f for f in one.attached if f.cured is not None and rule(f.status).admin_action is Action.CURED]
    first = {(id(f.part), f.block): f for f in one.attached if f not in cured}
    source = about.source_of(case)
    if any(f.part is None for f in first.values()) or len(first) > ATTACHED:
        yield composing.enclosed(source)
        first = {}
    for finding in first.values():
        if finding.block is not None:
            yield composing.attached(finding.name, unpacked(source, finding.block))
        elif finding.part is not None:
            content = decoded(source, finding.part, readings(finding.part)[0])
            yield composing.attached(finding.name, content)
    for finding in cured[:ATTACHED]:
        if finding.cured is not None:
            left = Source(finding.cured.fd, 0, finding.cured.size)
            whole = finding.part is None
            yield composing.enclosed(left) if whole else composing.attached(finding.name, chunks_of([left]))


def _report(case: Case, one: Wanted, manner: Manner) -> Iterator[composing.Part]:
    header = about.header_of(case)
    status = failures.report(case, one.failed, manner.host)
    yield composing.plain([("Content-Type", "message/delivery-status")], [status])
    lines = failures.headers(about.raw_headers(case, header))
    yield composing.plain([("Content-Type", "text/rfc822-headers")], [lines])

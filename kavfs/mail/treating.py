"""Treating: what a group's rules make of a message for its recipients, and the message as they get it.

Of several findings about one part the strictest rule counts. What belongs to no part, or cannot be taken out alone, is
removed with the whole message: a message with the same header and our words then stands in its place. If no rule wants
a report in it, nothing is left, and nothing goes out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kavfs.action.cure.pieces import Pieces, Scratch, Source, chunks_of, size_of
from kavfs.action.cure.refused import Refused
from kavfs.mail.case import Finding
from kavfs.mail.envelope import Content
from kavfs.mail.message import Message
from kavfs.mail.parts import Part
from kavfs.mail.reporting import note, report
from kavfs.mail.rules import Action, Group
from kavfs.mail.spool import Spool, nameless
from kavfs.mail.surgery import Treatment, operated
from kavfs.model import FOUND, Status

CLEANED = (*FOUND, Status.CURED)
ORDER = (Action.UNCHANGED, Action.CURED, Action.REMOVE)


class Course(NamedTuple):
    """What is done for one group. Courses that are the same make the same message."""

    findings: tuple[Finding, ...] = ()
    actions: tuple[Action, ...] = ()  # one for each finding
    told: tuple[bool, ...] = ()  # whether the report in the message speaks of it
    field: bytes = b""  # our own header field, whole, or b""
    whole: bool = False  # nothing of the message stays but its header

    @property
    def action(self) -> Action:
        return Action.REMOVE if self.whole else max(self.actions, key=ORDER.index, default=Action.UNCHANGED)

    @property
    def blocked(self) -> bool:
        """Nothing of it goes to anybody."""
        return self.whole and not any(self.told)

    @property
    def cleans(self) -> bool:
        """Whether it takes out what a scan has found."""
        pairs = zip(self.findings, self.actions, strict=True)
        return any(one.status in CLEANED and action is not Action.UNCHANGED for one, action in pairs)

    def lets_through(self, finding: Finding) -> bool:
        """Whether something may be in the copy: what is harmless, and what the rules leave as it is."""
        if finding.status not in (*FOUND, Status.ERROR):
            return True
        pairs = zip(self.findings, self.actions, strict=True)
        left = [one for one, action in pairs if action is Action.UNCHANGED]
        if not finding.threats:
            return finding.status in {one.status for one in left}
        return set(finding.threats) <= {name for one in left for name in one.threats}

    @property
    def key(self) -> object:
        """The same for courses that make the same message of the same one."""
        about = [(id(one.part), one.block, one.status, one.threats, one.name, one.why) for one in self.findings]
        return tuple(about), self.actions, self.told, self.field, self.whole


class Copy:
    """A message put together from ranges of the one that came, which must stay open, and new bytes."""

    def __init__(self, pieces: Pieces, scratch: int = -1) -> None:
        self._pieces = pieces
        self._scratch = scratch  # descriptor
        self.size = size_of(pieces)

    def chunks(self) -> Iterator[bytes]:
        """The content. Raises OSError."""
        try:
            yield from chunks_of(self._pieces)
        except Refused:
            raise OSError("the spooled message is shorter than it was") from None

    def same(self, source: Source) -> bool:
        """Whether it is the message as it came, byte for byte."""
        return self._pieces == [source]

    def close(self) -> None:
        if self._scratch >= 0:
            os.close(self._scratch)
            self._scratch = -1


def course_of(group: Group, findings: Sequence[Finding], field: bytes) -> Course:
    """What the rules of a group want."""
    actions = tuple(_action(group, finding) for finding in findings)
    told = tuple(group.rule(finding.status).recipient_attach_report for finding in findings)
    whole = any(
        action is Action.REMOVE and one.block is None and (one.part is None or one.part.place == "1")
        for one, action in zip(findings, actions, strict=True)
    )
    return Course(tuple(findings), actions, told, field, whole)


def _action(group: Group, finding: Finding) -> Action:
    action = group.rule(finding.status).recipient_action
    return Action.REMOVE if action is Action.CURED and finding.cured is None else action


def copy_of(course: Course, message: Message, folder: bytes) -> Copy:
    """The message as the recipients of a course get it. *folder*: for what has to be encoded again. Raises OSError."""
    scratch = nameless(folder) if Action.CURED in course.actions and not course.whole else -1
    try:
        treatment = _treatment(course, message)
        return Copy(operated(message.source, message.tree, treatment, Scratch(scratch)), scratch)
    except BaseException:
        if scratch >= 0:
            os.close(scratch)
        raise


def _treatment(course: Course, message: Message) -> Treatment:
    treatment = Treatment()
    if course.field:
        treatment.add_field(course.field)
    pairs = list(zip(course.findings, course.actions, strict=True))
    said = [pair for pair, told in zip(pairs, course.told, strict=True) if told]
    if course.whole:
        treatment.remove(message.tree.root, report([(one, Action.REMOVE) for one, _ in said]))
        return treatment
    _take_out(treatment, [one for one, action in pairs if action is Action.REMOVE])
    gone = {id(one.part) for one, action in pairs if action is Action.REMOVE and one.block is None}
    for one, action in pairs:
        if action is Action.CURED and one.cured is not None and one.part is not None and id(one.part) not in gone:
            treatment.replace(one.part, [Source(one.cured.fd, 0, one.cured.size)])
    if said:
        treatment.report(report(said))
    return treatment


def _take_out(treatment: Treatment, findings: Sequence[Finding]) -> None:
    parts: dict[int, tuple[Part, list[Finding]]] = {}
    for one in findings:
        if one.block is not None:
            treatment.remove_block(one.block, note([one]))
        elif one.part is not None:
            parts.setdefault(id(one.part), (one.part, []))[1].append(one)
    for part, some in parts.values():
        treatment.remove(part, note(some))


def written(copy: Content, spool: Spool) -> Spool:
    """A copy as a file of its own, to be scanned. The spool is closed if that fails."""
    try:
        for chunk in copy.chunks():
            spool.write(chunk)
    except BaseException:
        spool.close()
        raise
    return spool

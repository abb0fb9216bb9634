"""Findings: what a scan says of a message, told by its parts. Nothing is read here but results."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from kavfs.mail.case import Finding
from kavfs.mail.message import Message
from kavfs.mail.parts import Part
from kavfs.model import COMPLETE, FOUND, REASON_WORDS, Reason, Result, Status, gravest, status_of_reasons

NAME_MAX = 100  # characters of a name that are shown
THREATS_MAX = 50  # of one part that are named
WHOLE = "message"
NO_NAME = "attachment"


@dataclass(slots=True)
class Trouble:
    """What is wrong with something."""

    statuses: list[Status] = field(default_factory=list)
    threats: dict[str, None] = field(default_factory=dict)
    reasons: Reason = COMPLETE
    error: str = ""

    @property
    def status(self) -> Status:
        return gravest(self.statuses)

    def add(self, status: Status, threat: str = "", reasons: Reason = COMPLETE, error: str = "") -> None:
        self.statuses.append(status)
        self.reasons |= reasons
        self.error = self.error or error
        if threat and len(self.threats) < THREATS_MAX:
            self.threats[threat] = None

    def join(self, other: Trouble) -> None:
        self.statuses += other.statuses
        self.threats |= other.threats
        self.reasons |= other.reasons
        self.error = self.error or other.error

    @property
    def why(self) -> str:
        return self.error or words_of(self.reasons)


@dataclass(slots=True)
class Suspect:
    """A trouble and the parts that it may be in: several are called the same, none is known to the tree."""

    parts: list[Part]
    trouble: Trouble


def trouble_of(result: Result) -> Trouble:
    """All that a result says, of the object as a whole."""
    trouble = Trouble()
    if result.status is not Status.CLEAN:
        trouble.add(result.status, reasons=result.reasons, error=result.error or "")
    for threat in result.threats:
        trouble.add(threat.status, threat.name)
    return trouble


def suspects_of(message: Message, result: Result) -> tuple[list[Suspect], Trouble]:
    """What a scan of the whole message found in its members, by part; and what belongs to no member."""
    members: dict[bytes, Trouble] = {}
    for line in result.members:
        if line.status is not Status.CLEAN:
            members.setdefault(line.path, Trouble()).add(line.status, reasons=line.reasons)
    for threat in result.threats:
        members.setdefault(threat.member, Trouble()).add(threat.status, threat.name)
    own = members.pop(b"", Trouble())
    suspects: dict[tuple[int, ...], Suspect] = {}
    enclosing = {line.path for line in result.members if line.container and _explained(line.path, members)}
    for path, trouble in members.items():
        if path in enclosing and any(part.children for part in message.parts_called(path)):
            continue  # an enclosed message, of which one part is not clean
        parts = message.parts_called(path)
        key = tuple(id(part) for part in parts)
        suspects.setdefault(key, Suspect(parts, Trouble())).trouble.join(trouble)
    return list(suspects.values()), _rest(result, own, [one.trouble for one in suspects.values()])


def _explained(path: bytes, members: dict[bytes, Trouble]) -> bool:
    """Whether a container is what it is for the sake of what lies in it."""
    trouble, inside = members.get(path, Trouble()), Trouble()
    for other, its in members.items():
        if other.startswith(path + b"/"):
            inside.join(its)
    return inside.status is trouble.status and not trouble.reasons & ~inside.reasons


def _rest(result: Result, own: Trouble, others: list[Trouble]) -> Trouble:
    """Of the message as a whole: without what its members explain, for it holds their bytes as they are."""
    rest = Trouble()
    named = {name for trouble in others for name in trouble.threats}
    if not set(own.threats) <= named:
        rest.join(own)
    told = [status for trouble in others for status in trouble.statuses]
    reasons = result.reasons
    for trouble in others:
        reasons &= ~trouble.reasons
    if reasons:
        rest.add(status_of_reasons(reasons), reasons=reasons, error=result.error or "")
    elif result.status is not Status.CLEAN and result.status not in (*told, *rest.statuses, *own.statuses):
        rest.add(result.status, error=result.error or "")
    return rest


def finding_of(part: Part | None, trouble: Trouble, size: int = 0) -> Finding:
    """*size*: bytes, decoded."""
    status = trouble.status
    why = "" if status in FOUND else trouble.why
    return Finding(status, shown_name(part), tuple(trouble.threats), part, size, why)


def error_of(why: str) -> Finding:
    """The message could not be looked at as it should, which is its own fault."""
    return Finding(Status.ERROR, WHOLE, why=why)


def words_of(reasons: Reason) -> str:
    return ", ".join(words for reason, words in REASON_WORDS.items() if reasons & reason)


def shown_name(part: Part | None) -> str:
    """What people are told that a part is called."""
    if part is None:
        return WHOLE
    return harmless(next(iter(part.names()), b"")) or (WHOLE if part.place == "1" else NO_NAME)


def harmless(name: bytes) -> str:
    """A name in one line: without what moves a cursor, turns the direction of writing, cannot be seen or belongs to a
    page."""
    text = name.decode("utf-8", "replace")[: 4 * NAME_MAX]
    plain = "".join("_" if _hidden(c) or c in '"<>' else c for c in text)
    if len(plain) > NAME_MAX:
        half = NAME_MAX // 2
        plain = plain[:half] + "..." + plain[-half:]
    return " ".join(plain.split())


def _hidden(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def gravest_of(findings: Iterable[Finding]) -> Status:
    return gravest([one.status for one in findings])

"""Lines: one Result as the lines of the product's text, ``<absolute path>[/<member>] WORD [name]``.

Old programs read these lines, so their shape is fixed: one blank between the fields, the verdict or the name last, no
blank in the name. Why an object is Error, Protected or Corrupted stands in parentheses before the word. A container has
a line of its own without a verdict, then one for each member; what concerns the container itself follows on a line of
its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kavfs.model import OUTCOMES, REASON_WORDS, Member, Reason, Result, Status, Threat, status_of_reasons
from kavfs.report.names import shown_name, shown_text

# The letters of report levels that lines of results have. Findings stand at W, because an administrator who asks for
# level 3 without clean objects (-j3 -mn) wants to see them, and consoles count lines with E and F as errors.
FINDING = "W"
FAILURE = "E"
ACTIVITY = "A"

_NONE = Reason(0)


class Line(NamedTuple):
    """One line: which member it is about and what stands behind the path."""

    letter: str
    member: bytes  # b"" = the object itself
    tail: bytes  # b"" = no verdict


class Show(NamedTuple):
    """What the letters of -x and -m switch."""

    ok: bool = True  # N/n
    containers_only: bool = False  # C/c: one line for a container, none for its members
    objects_only: bool = False  # O/o: one line for an object, however many signatures matched


def words_of(reasons: Reason) -> list[str]:
    """The reasons as words, in the order of their bits."""
    return [word for reason, word in REASON_WORDS.items() if reason & reasons]


def lines_of(result: Result, show: Show) -> list[Line]:
    """The lines of *result*; none at all for a clean one that is not to be shown."""
    whole = _Subject(b"", result.status, result.reasons, result.threats, result.error)
    if show.containers_only or not (result.members or any(threat.member for threat in result.threats)):
        return list(_verdict(whole, show))
    members = [line for subject in _members(result) for line in _verdict(subject, show)]
    own = list(_verdict(_container_itself(result), show)) if _has_own_trouble(result) else []
    if not members:
        return own or list(_verdict(whole, show))
    return [Line(_gravest_letter(members), b"", b""), *members, *own]


class _Subject(NamedTuple):
    """Whom a verdict is about: the object, or one of its members."""

    member: bytes
    status: Status
    reasons: Reason
    threats: Sequence[Threat]
    error: str | None = None
    heading: bool = False  # a container inside: its members have spoken for it


def _verdict(subject: _Subject, show: Show) -> Iterator[Line]:
    if subject.heading:
        if show.ok:
            yield Line(ACTIVITY, subject.member, b"")
        return
    if subject.threats:
        for threat in subject.threats[:1] if show.objects_only or show.containers_only else subject.threats:
            acted = subject.status in (Status.CURED, Status.CUREFAILED)
            word = OUTCOMES[subject.status if acted else threat.status].word
            yield Line(FINDING, subject.member, word.encode() + b" " + shown_name(threat.name))
    elif subject.status is not Status.CLEAN:
        letter = FAILURE if subject.status is Status.ERROR else FINDING
        yield Line(letter, subject.member, _with_reasons(subject))
    elif show.ok:
        yield Line(ACTIVITY, subject.member, OUTCOMES[Status.CLEAN].word.encode())


def _with_reasons(subject: _Subject) -> bytes:
    """``(why) WORD``; the text of an error explains the first reason."""
    why = ", ".join(words_of(subject.reasons))
    if subject.error and not subject.error.startswith(why):
        why = f"{why}: {subject.error}"
    elif subject.error:
        why = subject.error  # it begins with the reasons already
    word = OUTCOMES[subject.status].word
    text = f"({shown_text(why)}) {word}" if why else word
    return text.encode("utf-8", "backslashreplace")


def _members(result: Result) -> Iterator[_Subject]:
    """The members in the order in which they were scanned; threats of members that are not listed come last."""
    threats: dict[bytes, list[Threat]] = {}
    for threat in result.threats:
        if threat.member:
            threats.setdefault(threat.member, []).append(threat)
    below = _reasons_below(result.members)
    named: set[bytes] = set()
    for member in result.members:
        own = threats.get(member.path, []) if member.path not in named else []
        if not member.path or (member.path in named and not own and member.status not in (Status.CLEAN, Status.ERROR)):
            continue  # the object itself, or a second member of the same name, for which the first has spoken
        named.add(member.path)
        inside = below.get(member.path)
        heading = inside is not None and not own and not member.reasons & ~inside
        status = member.status if own or inside is None else status_of_reasons(member.reasons)
        yield _Subject(member.path, status, member.reasons, own, heading=heading)
    for path, rest in threats.items():
        if path not in named:
            yield _Subject(path, rest[0].status, _NONE, rest)


def _has_own_trouble(result: Result) -> bool:
    """Whether something is to be said of the container that no line of a member says."""
    told = _NONE
    for member in result.members:
        if member.path:
            told |= member.reasons
    return bool(result.reasons & ~told or result.error or any(not threat.member for threat in result.threats))


def _container_itself(result: Result) -> _Subject:
    threats = [threat for threat in result.threats if not threat.member]
    # The status of the whole comes from a member's threat here, unless there is no threat at all.
    status = status_of_reasons(result.reasons) if result.threats and not threats else result.status
    if status is Status.CLEAN and result.error:
        status = Status.ERROR
    return _Subject(b"", status, result.reasons, threats, result.error)


def _reasons_below(members: Sequence[Member]) -> dict[bytes, Reason]:
    """For each container that has members: the reasons of everything below it, in one pass over the sorted paths."""
    found: dict[bytes, Reason] = {}
    open_ones: list[Member] = []
    for member in sorted((m for m in members if m.path), key=lambda m: m.path + b"/"):
        while open_ones and not member.path.startswith(open_ones[-1].path + b"/"):
            _close(open_ones, found)
        if open_ones:
            found[open_ones[-1].path] = found.get(open_ones[-1].path, _NONE) | member.reasons
        if member.container:
            open_ones.append(member)
    while open_ones:
        _close(open_ones, found)
    return found


def _close(open_ones: list[Member], found: dict[bytes, Reason]) -> None:
    path = open_ones.pop().path
    if open_ones and path in found:
        found[open_ones[-1].path] = found.get(open_ones[-1].path, _NONE) | found[path]


def _gravest_letter(lines: list[Line]) -> str:
    letters = {line.letter for line in lines}
    return next(letter for letter in (FAILURE, FINDING, ACTIVITY) if letter in letters)

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
from kavfs.report.names import shown_name, shown_path, shown_text

# The letters of report levels that lines of results have. Findings stand at W, because an administrator who asks for
# level 3 without clean objects (-j3 -mn) wants to see them, and consoles count lines with E and F as errors.
FINDING = "W"
FAILURE = "E"
ACTIVITY = "A"
LIFE = "I"

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
    if result.allowed:
        return list(_allowed(result, show))
    whole = _Subject(b"", result.status, result.reasons, result.threats, result.error)
    if show.containers_only or not (result.members or any(threat.member for threat in result.threats)):
        return list(_verdict(whole, show))
    members = [line for subject in _members(result) for line in _verdict(subject, show)]
    own = list(_verdict(_container_itself(result), show)) if _has_own_trouble(result) else []
    if not members:
        return own or list(_verdict(whole, show))
    return [Line(_gravest_letter(members), b"", b""), *members, *own]


def _allowed(result: Result, show: Show) -> Iterator[Line]:
    """What was found there and is allowed, whatever is to be shown; then whatever else there is to say."""
    rest = lines_of(result._replace(allowed=""), show._replace(ok=False))
    why = b"(allowed: " + shown_path(" ".join(result.allowed.split()).encode("utf-8", "surrogateescape")) + b")"
    yield Line(LIFE, b"", why if rest else why + b" " + OUTCOMES[Status.CLEAN].word.encode())
    yield from rest


class _Subject(NamedTuple):
    """Whom a verdict is about: the object, or one of its members."""

    member: bytes
    status: Status
    reasons: Reason
    threats: Sequence[Threat]
    error: str | None = None
    heading: bool = False  # a container inside, before its members


def _verdict(subject: _Subject, show: Show) -> Iterator[Line]:
    if subject.heading:
        if show.ok:
            yield Line(ACTIVITY, subject.member, b"")
        return
    if subject.threats:
        told: set[bytes] = set()  # two engines may call it the same
        for threat in subject.threats[:1] if show.objects_only or show.containers_only else subject.threats:
            acted = subject.status in (Status.CURED, Status.CUREFAILED)
            status = subject.status if acted else threat.status
            for word in _words(status, show):
                tail = word.encode() + b" " + shown_name(threat.name)
                if tail not in told:
                    told.add(tail)
                    yield Line(FINDING, subject.member, tail)
    elif subject.status is not Status.CLEAN:
        letter = FAILURE if subject.status is Status.ERROR else FINDING
        yield Line(letter, subject.member, _with_reasons(subject))
    elif show.ok:
        yield Line(ACTIVITY, subject.member, OUTCOMES[Status.CLEAN].word.encode())


def _words(status: Status, show: Show) -> list[str]:
    """What could not be cured is infected still: old clients know that word alone."""
    if status is not Status.CUREFAILED:
        return [OUTCOMES[status].word]
    infected = OUTCOMES[Status.INFECTED].word
    return [infected] if show.objects_only else [infected, OUTCOMES[status].word]


def deed_text(verb: str, done: bool, text: str) -> str:
    """One deed in words."""
    what = verb if done else f"{verb} failed"
    return f"{what}: {text}" if text else what


def deed_lines(result: Result) -> Iterator[tuple[str, bytes]]:
    """What was done about it: letters, and what stands behind the path. No old client takes them for a verdict."""
    for deed in result.deeds:
        text = " ".join(deed_text(*deed).split()).encode("utf-8", "backslashreplace")
        yield FINDING if deed.done else FAILURE, b": " + shown_path(text)


def engine_lines(result: Result) -> Iterator[bytes]:
    """Who found what there: what stands behind the path. No old client takes them for a verdict, and who looks at the
    last word of a line finds the name there too."""
    found = dict.fromkeys((threat.engine, shown_name(threat.name)) for threat in result.threats)
    for engine, name in found:
        yield b": found by " + engine.encode() + b": " + name


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
    """The members in the order in which they were scanned, each container inside before what it holds; threats of
    members that are not listed come last."""
    threats: dict[bytes, list[Threat]] = {}
    for threat in result.threats:
        if threat.member:
            threats.setdefault(threat.member, []).append(threat)
    nesting = _Nesting(result.members)
    named: set[bytes] = set()
    for member in result.members:
        path = member.path
        yield from (_heading(above) for above in nesting.enter(path))
        own = threats.get(path, []) if path not in named else []
        if not path or (path in named and not own and member.status not in (Status.CLEAN, Status.ERROR)):
            continue  # the object itself, or a second member of the same name, for which the first has spoken
        named.add(path)
        inside = nesting.below.get(path)
        if inside is None or own:
            yield _Subject(path, member.status, member.reasons, own)
        elif member.reasons & ~inside:
            yield _Subject(path, status_of_reasons(member.reasons), member.reasons, ())
    for path, rest in threats.items():
        if path not in named:
            yield _Subject(path, rest[0].status, _NONE, rest)


def _heading(path: bytes) -> _Subject:
    return _Subject(path, Status.CLEAN, _NONE, (), heading=True)


def _has_own_trouble(result: Result) -> bool:
    """Whether something is to be said of the container that no line of a member says."""
    told = _NONE
    for member in result.members:
        if member.path:
            told |= member.reasons
    unsaid = result.error and result.error != ", ".join(words_of(result.reasons))  # more than the reasons' words
    return bool(result.reasons & ~told or unsaid or any(not threat.member for threat in result.threats))


def _container_itself(result: Result) -> _Subject:
    threats = [threat for threat in result.threats if not threat.member]
    # The status of the whole comes from a member's threat here, unless there is no threat at all.
    status = status_of_reasons(result.reasons) if result.threats and not threats else result.status
    if status is Status.CLEAN and result.error:
        status = Status.ERROR
    return _Subject(b"", status, result.reasons, threats, result.error)


class _Nesting:
    """Which containers inside hold which members, from one pass over the sorted paths."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.below: dict[bytes, Reason] = {}  # reasons of everything in a container that holds something
        self._above: dict[bytes, bytes] = {}  # the container a member is in
        self._entered: set[bytes] = set()
        self._open: list[bytes] = []
        for member in sorted((m for m in members if m.path), key=lambda m: m.path + b"/"):
            while self._open and not member.path.startswith(self._open[-1] + b"/"):
                self._close()
            if self._open:
                self._above[member.path] = self._open[-1]
                self.below[self._open[-1]] = self.below.get(self._open[-1], _NONE) | member.reasons
            if member.container:
                self._open.append(member.path)
        while self._open:
            self._close()

    def enter(self, path: bytes) -> list[bytes]:
        """The containers around *path* that have not been entered yet, the outermost first."""
        entered: list[bytes] = []
        above = self._above.get(path)
        while above is not None and above not in self._entered:
            self._entered.add(above)
            entered.append(above)
            above = self._above.get(above)
        return entered[::-1]

    def _close(self) -> None:
        path = self._open.pop()
        if self._open and path in self.below:
            self.below[self._open[-1]] = self.below.get(self._open[-1], _NONE) | self.below[path]


def _gravest_letter(lines: list[Line]) -> str:
    letters = {line.letter for line in lines}
    return next(letter for letter in (FAILURE, FINDING, ACTIVITY) if letter in letters)

"""Lines of a database file: the loop that all text readers share, and the tally of what became of each line.

No line is dropped silently: each is taken, a comment, or rejected with its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kavfs._native.match import Conditions, PatternError, SignatureError
from kavfs.record import field, record

READERS = 6
"""Goes up whenever a reader takes lines that it did not take before, or reads them otherwise."""

LEVEL = 216
"""The functionality level that lines are compared with: that of ClamAV 1.4.6."""

OTHER_LEVEL = "for another engine level"
LATER = "not supported yet: "
"""How the reason of a line begins that is right, but of a kind which is not read yet."""

OUTDATED = "an older version of what lies beside it"
"""The reason of a pack that is not read."""

SWITCHED_OFF = "switched off in its own line"


def is_malformed(reason: str) -> bool:
    """Whether no engine could read a line, as opposed to those for another one or for later."""
    return reason not in (OTHER_LEVEL, OUTDATED, SWITCHED_OFF) and not reason.startswith(LATER)


LISTED_MAX = 100_000
"""Rejected lines that are kept one by one; all are counted."""


class Rejected(Exception):
    """This line is not taken; str() is the reason, one of few so that they can be counted."""


class Builder(Protocol):
    """What the readers need of kavfs._native.match.SegmentBuilder."""

    def pattern(self, hex: bytes, offset: bytes, modifiers: bytes) -> int: ...

    def probe(self, text: bytes, own: int) -> int: ...

    def signature(
        self,
        name: bytes,
        line: int,
        target: int,
        patterns: list[int],
        expression: bytes | None,
        min_size: int,
        max_size: int,
        conditions: Conditions | None = None,
    ) -> None: ...


@record
class Tally:
    """What became of the lines of one file."""

    taken: int = 0
    comments: int = 0  # empty ones too
    reasons: dict[str, int] = field(default_factory=dict)
    listed: list[tuple[int, str]] = field(default_factory=list)  # (line number, reason)

    def reject(self, line: int, reason: str) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        if len(self.listed) < LISTED_MAX:
            self.listed.append((line, reason))

    @property
    def malformed(self) -> int:
        """Rejected lines that no engine could read, as opposed to those for another one or for later."""
        return sum(n for why, n in self.reasons.items() if is_malformed(why))


def read_lines(text: bytes, take: Callable[[bytes, int], None], tally: Tally) -> None:
    """Give each line that holds something to *take*, with its number from 1; what that raises is the line's reason."""
    for number, line in enumerate(text.split(b"\n"), 1):
        line = line.rstrip(b"\r")
        if not line or line.startswith(b"#"):
            tally.comments += 1
            continue
        try:
            take(line, number)
        except (Rejected, PatternError, SignatureError) as why:
            tally.reject(number, str(why))
        else:
            tally.taken += 1
    if not text or text.endswith(b"\n"):
        tally.comments -= 1  # what stands behind the last newline is no line


def number(word: bytes, what: str) -> int:
    """A plain decimal number, or nothing, which is 0 to ClamAV; int() alone would take signs, blanks, underscores."""
    if word and (not word.isdigit() or len(word) > 19):
        raise Rejected(f"malformed {what}")
    return int(word or b"0")


def check_level(least: int = 0, most: int = LEVEL) -> None:
    """Reject a line whose range of functionality levels leaves ours out."""
    if not least <= LEVEL <= most:
        raise Rejected(OTHER_LEVEL)


def split_outside_regex(text: bytes, mark: bytes, plain: int) -> list[bytes]:
    """*text* cut at every *mark* that does not stand in a regular expression: behind the first *plain* cuts, what is
    between two slashes without a backslash before them."""
    if b"/" not in text:
        return text.split(mark)
    parts = text.split(mark, plain)
    rest, inside, fields = parts.pop(), False, []
    begin = 0
    for at, byte in enumerate(rest):
        if byte == 0x2F and rest[at - 1 : at] != b"\\":
            inside = not inside
        elif byte == mark[0] and not inside:
            fields.append(rest[begin:at])
            begin = at + 1
    return [*parts, *fields, rest[begin:]]


TARGETS = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12})


def target_type(word: bytes) -> int:
    """The number of a target type that objects can have."""
    target = number(word, "target type")
    if target not in TARGETS:
        raise Rejected("target type without objects")
    return target

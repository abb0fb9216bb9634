"""Lists of patterns: ``.*@example\\.org$,^(a|b)@,*.exe``, commas between them.

Each is a POSIX extended regular expression that is looked for anywhere in the text, as the product has it; one that
begins with ``*``, which no expression does, is a mask of a shell for the whole text. A comma within brackets, braces or
parentheses, or behind a backslash, belongs to the pattern. Capital and small letters are the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from kavfs.patterns.automaton import Automaton
from kavfs.patterns.expressions import read_expression, read_mask


class Pattern:
    """One pattern. *text* is how it is written; *mask*: it is one whatever it begins with. Raises ValueError with words
    that fit behind the name of a key."""

    __slots__ = ("_automaton", "mask", "text")

    def __init__(self, text: str, mask: bool = False) -> None:
        self.text = text
        self.mask = mask or text.startswith("*")
        self._automaton = Automaton(read_mask(text) if self.mask else read_expression(text))

    def __call__(self, text: bytes) -> bool:
        """Whether it fits the text, which is UTF-8; other bytes fit ``.`` and nothing else."""
        return self._automaton.finds(text.decode("utf-8", "surrogateescape"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and (self.text, self.mask) == (other.text, other.mask)

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


def read_patterns(text: str) -> tuple[Pattern, ...]:
    """Raises ValueError."""
    return tuple(Pattern(part) for part in _parts(text))


def read_masks(text: str) -> tuple[Pattern, ...]:
    """Every entry is a mask. Raises ValueError."""
    return tuple(Pattern(part, mask=True) for part in _parts(text, masks=True))


def write_patterns(patterns: tuple[Pattern, ...]) -> str:
    """What is read as these again."""
    return ",".join(pattern.text for pattern in patterns)


def _parts(text: str, masks: bool = False) -> Iterator[str]:
    """Parts between commas that are not within something, without blanks around them; empty ones are left out."""
    at = 0
    while at < len(text):
        while at < len(text) and text[at] in " \t,":
            at += 1
        end = _end(text, at, masks or text.startswith("*", at))
        part = text[at:end]
        bare = part.rstrip(" \t")
        escaped = (len(bare) - len(bare.rstrip("\\"))) % 2
        if part:
            yield part[: len(bare) + (escaped if len(bare) < len(part) else 0)]
        at = end


def _end(text: str, at: int, mask: bool) -> int:
    """Where the pattern that begins at *at* ends."""
    depth, begin = 0, at
    while at < len(text):
        letter = text[at]
        if letter == "," and depth <= 0:
            return at
        if letter == "\\":
            at += 1
        elif letter == "[":
            at = _bracket_end(text, at, begin, "^!" if mask else "^")
        else:
            depth += (letter in "({") - (letter in ")}")
        at += 1
    if depth > 0:
        raise ValueError(f"'{text[begin:]}': ( or {{ is not closed")
    return len(text)


def _bracket_end(text: str, at: int, begin: int, negations: str) -> int:
    """Where the ] stands that closes the [ at *at*: not first, and not that of [:digit:]."""
    at += 1
    at += at < len(text) and text[at] in negations
    at += text.startswith("]", at)
    while at < len(text) and text[at] != "]":
        if text[at] == "[" and text[at + 1 : at + 2] in (":", ".", "="):
            close = text.find(text[at + 1] + "]", at + 2)
            at = close + 1 if close >= 0 else len(text)
        at += 1
    if at >= len(text):
        raise ValueError(f"'{text[begin:]}': [ is not closed")
    return at

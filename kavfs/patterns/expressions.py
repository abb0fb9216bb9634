"""Expressions: POSIX extended regular expressions, and masks of a shell, as trees.

Letters are compared without regard to case: the text that is compared is in small letters already (`folded`). What
POSIX leaves open is refused, for nobody can know what was meant: nothing to repeat, an empty alternative, ``\\d``. Back
references are refused. ``\\w \\W \\s \\S`` are what they are in glibc. Errors are ValueErrors whose words fit behind
the name of a key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

COUNT_MAX = 255  # RE_DUP_MAX
DEPTH_MAX = 50  # of parentheses
REPEATS_MAX = 3  # as in a{2}{3}*

Test = Callable[[str], bool]

_CLASSES: dict[str, Test] = {
    "alpha": str.isalpha,
    "digit": lambda c: "0" <= c <= "9",
    "alnum": str.isalnum,
    "upper": str.isalpha,
    "lower": str.isalpha,
    "space": str.isspace,
    "blank": lambda c: c in " \t",
    "punct": lambda c: c.isprintable() and not c.isalnum() and not c.isspace(),
    "print": str.isprintable,
    "graph": lambda c: c.isprintable() and not c.isspace(),
    "cntrl": lambda c: c < " " or "\x7f" <= c <= "\x9f",
    "xdigit": lambda c: c in "0123456789abcdefABCDEF",
}


def _in_word(c: str) -> bool:
    return c.isalnum() or c == "_"


_LETTERS: dict[str, Test] = {
    "w": _in_word,
    "W": lambda c: not _in_word(c),
    "s": str.isspace,
    "S": lambda c: not c.isspace(),
}


class Letter(NamedTuple):
    """One letter of the text for which *test* is true."""

    test: Test


class Anchor(NamedTuple):
    """The begin (^) or the end ($) of the text."""

    sign: str


class Row(NamedTuple):
    """One behind the other."""

    parts: tuple[Node, ...]


class One(NamedTuple):
    """One of these."""

    parts: tuple[Node, ...]


class Many(NamedTuple):
    """*least* to *most* times; None: any number."""

    part: Node
    least: int
    most: int | None


Node = Letter | Anchor | Row | One | Many
ANY = Letter(lambda c: True)


def folded(letter: str) -> str:
    """The small letter, if there is one."""
    small = letter.lower()
    return small if len(small) == 1 else letter


def read_expression(text: str) -> Node:
    """Of one POSIX extended regular expression."""
    reader = _Reader(text)
    tree = reader.alternatives(0)
    if not reader.ended:
        raise ValueError(f"'{text}': ) without (")
    return tree


def read_mask(text: str) -> Node:
    """Of one mask of a shell, which is compared with the whole text: * ? [...] and a backslash."""
    reader = _Reader(text)
    parts: list[Node] = [Anchor("^")]
    while not reader.ended:
        letter = reader.next()
        if letter == "*":
            parts.append(Many(ANY, 0, None))
        elif letter == "?":
            parts.append(ANY)
        elif letter == "[":
            parts.append(reader.bracket("!^"))
        elif letter == "{":
            raise ValueError(f"'{text}': masks have no {{ }}; write several, with commas between them")
        elif letter == "\\" and reader.ended:
            raise ValueError(f"'{text}': nothing behind the last backslash")
        else:
            parts.append(_same(reader.next() if letter == "\\" else letter))
    return Row((*parts, Anchor("$")))


def _same(letter: str) -> Letter:
    small = folded(letter)
    return Letter(lambda c: c == small)


class _Reader:
    """A place in an expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._at = 0

    @property
    def ended(self) -> bool:
        return self._at >= len(self.text)

    def peek(self) -> str:
        """The next letter; nothing at the end."""
        return self.text[self._at : self._at + 1]

    def next(self) -> str:
        self._at += 1
        return self.text[self._at - 1]

    def wrong(self, why: str) -> ValueError:
        return ValueError(f"'{self.text}': {why}")

    def alternatives(self, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise self.wrong(f"more than {DEPTH_MAX} parentheses in one another")
        parts = [self._row(depth)]
        while self.peek() == "|":
            self.next()
            parts.append(self._row(depth))
        return parts[0] if len(parts) == 1 else One(tuple(parts))

    def _row(self, depth: int) -> Node:
        parts: list[Node] = []
        while not self.ended and self.peek() != "|" and not (self.peek() == ")" and depth):
            parts.append(self._repeated(self._atom(depth)))
        if not parts:
            raise self.wrong("an empty alternative fits everything")
        return parts[0] if len(parts) == 1 else Row(tuple(parts))

    def _atom(self, depth: int) -> Node:
        letter = self.next()
        if letter in "*+?{":
            raise self.wrong(f"there is nothing before {letter} that could be repeated")
        if letter == "(":
            inner = self.alternatives(depth + 1)
            if self.ended:
                raise self.wrong("( is not closed")
            self.next()
            return inner
        if letter == ")":
            raise self.wrong(") without (")
        if letter == "[":
            return self.bracket("^")
        if letter == ".":
            return ANY
        if letter in "^$":
            return Anchor(letter)
        return self._escaped() if letter == "\\" else _same(letter)

    def _escaped(self) -> Node:
        if self.ended:
            raise self.wrong("nothing behind the last backslash")
        letter = self.next()
        if letter in _LETTERS:
            return Letter(_LETTERS[letter])
        if letter.isdigit():
            raise self.wrong(f"\\{letter}: references to what was found before are not understood")
        if letter.isalpha() or letter in "<>`'":
            raise self.wrong(f"\\{letter} is not one of POSIX (write [[:digit:]], [[:space:]] ...)")
        return _same(letter)

    def _repeated(self, part: Node) -> Node:
        times = 0
        while (sign := self.peek()) and sign in "*+?{":
            times += 1
            if times > REPEATS_MAX:
                raise self.wrong(f"more than {REPEATS_MAX} counts behind one another")
            if isinstance(part, Anchor):
                raise self.wrong(f"there is nothing before {sign} that could be repeated")
            self.next()
            least, most = self._count() if sign == "{" else (int(sign == "+"), 1 if sign == "?" else None)
            part = Many(part, least, most)
        return part

    def _count(self) -> tuple[int, int | None]:
        inside, closed, _ = self.text[self._at :].partition("}")
        low, comma, high = inside.partition(",")
        numbers = [word for word in (low, high) if word]
        if not closed or not low or not all(word.isascii() and word.isdigit() and len(word) < 4 for word in numbers):
            raise self.wrong("{ } must hold a count: {2}, {2,} or {2,4}")
        least = int(low)
        most = least if not comma else int(high) if high else None
        if max(int(word) for word in numbers) > COUNT_MAX or (most is not None and most < least):
            raise self.wrong(f"{{{inside}}} is no count from 0 to {COUNT_MAX}")
        self._at += len(inside) + 1
        return least, most

    def bracket(self, negations: str) -> Letter:
        """What stands between [ and ]; a backslash there is a backslash."""
        negated = bool(self.peek()) and self.peek() in negations
        if negated:
            self.next()
        tests: list[Test] = []
        first = True
        while first or self.peek() != "]":
            first = False
            if self.ended:
                raise self.wrong("[ is not closed")
            tests.append(self._item())
        self.next()
        return Letter(_one_of(tests, negated))

    def _item(self) -> Test:
        if self.text.startswith("[:", self._at):
            name = self._named(":")
            if name not in _CLASSES:
                raise self.wrong(f"there is no class [:{name}:]")
            return _CLASSES[name]
        low = self._single()
        if self.peek() != "-" or self.text.startswith("-]", self._at):
            return lambda c: c == low
        self.next()
        if self.ended:
            raise self.wrong("[ is not closed")
        high = self._single()
        if high < low:
            raise self.wrong(f"{low}-{high} is the wrong way round")
        return lambda c: low <= c <= high

    def _single(self) -> str:
        for sign in ".=":
            if self.text.startswith("[" + sign, self._at):
                name = self._named(sign)
                if len(name) != 1:
                    raise self.wrong(f"[{sign}{name}{sign}] is not one letter")
                return name
        return self.next()

    def _named(self, sign: str) -> str:
        end = self.text.find(sign + "]", self._at + 2)
        if end < 0:
            raise self.wrong("[ is not closed")
        name = self.text[self._at + 2 : end]
        self._at = end + 2
        return name


def _one_of(tests: list[Test], negated: bool) -> Test:
    """A letter fits if it does so itself or as a capital letter."""
    return lambda c: any(test(c) or test(c.upper()[:1]) for test in tests) != negated

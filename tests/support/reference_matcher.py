"""A slow matcher that is easy to see to be right: what the tests of the native matcher compare with.

    pattern = Pattern(b"aa??(62|6364){2-4}ee", b"0,8", b"i")
    starts = pattern.starts(data)          distinct places where the last piece begins in a match
    true = holds(b"0&(1|2)>2", counts)     a logical expression over counts

It tries every place, keeps sets of places, and knows nothing of literals, windows or passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
LEFT = frozenset(b" -./<@_")
RIGHT = frozenset(b" \"'-/=>\n\r_")
TOKEN = re.compile(rb"\*|\{[^}]*\}|\[[^]]*\]|!?\([^)]*\)|..", re.DOTALL)

Step = Callable[[bytes, int], set[int]]  # (data, place) -> places behind the step


def fold(byte: int) -> int:
    return byte | 0x20 if 0x41 <= byte <= 0x5A else byte


def byte_step(text: bytes, nocase: bool) -> Step:
    high, low = text.decode().lower()

    def fits(byte: int) -> bool:
        if nocase and "?" not in (high, low):
            return fold(byte) == fold(int(text, 16))
        digits = f"{byte:02x}"
        return high in ("?", digits[0]) and low in ("?", digits[1])

    return lambda data, at: {at + 1} if at < len(data) and fits(data[at]) else set()


def chain(steps: Iterable[Step], data: bytes, places: set[int]) -> set[int]:
    for step in steps:
        places = {end for at in places for end in step(data, at)}
    return places


def choice_step(text: bytes, nocase: bool, wide: bool, negated: bool) -> Step:
    rows = [byte_steps(word, nocase, wide) for word in text.split(b"|")]
    length = len(rows[0])

    def step(data: bytes, at: int) -> set[int]:
        ends = {end for row in rows for end in chain(row, data, {at})}
        if negated:
            return {at + length} if not ends and at + length <= len(data) else set()
        return ends

    return step


def byte_steps(text: bytes, nocase: bool, wide: bool) -> list[Step]:
    steps = []
    for i in range(0, len(text), 2):
        steps.append(byte_step(text[i : i + 2], nocase))
        if wide:
            steps.append(byte_step(b"00", False))
    return steps


def class_step(name: bytes, negated: bool) -> Step:
    def step(data: bytes, at: int) -> set[int]:
        if at >= len(data):
            return set()
        byte, line = data[at], data[at : at + 1] == b"\n" or data[at : at + 2] == b"\r\n"
        found = {b"B": byte in LEFT | RIGHT, b"W": byte not in WORD, b"L": line}[name]
        if found == negated:
            return set()
        return {at + (2 if name == b"L" and not negated and byte == 0x0D else 1)}

    return step


Edge = Callable[[bytes, int], bool]


def left_edge(name: bytes, wide: bool) -> Edge:
    def holds(data: bytes, at: int) -> bool:
        if at == 0:
            return True
        if name == b"W" and wide:
            return at == 1 or not (data[at - 2] in WORD and data[at - 1] == 0)
        return {b"B": data[at - 1] in LEFT, b"L": data[at - 1] == 0x0A, b"W": data[at - 1] not in WORD}[name]

    return holds


def right_edge(name: bytes, wide: bool, negated: bool) -> Edge:
    def there(data: bytes, at: int) -> bool:
        if at == len(data):
            return True
        if name == b"W" and wide and at + 1 < len(data):
            return not (data[at] in WORD and data[at + 1] == 0)
        line = data[at] == 0x0A or data[at : at + 2] == b"\r\n"
        return {b"B": data[at] in RIGHT, b"L": line, b"W": data[at] not in WORD}[name]

    return lambda data, at: there(data, at) != negated


def span(text: bytes) -> tuple[int, int | None]:
    """{n}, {n-m} ... as (least, most); None: no upper end, which ClamAV also takes a 0 for."""
    low, dash, high = text[1:-1].partition(b"-")
    least = int(low or 0)
    most = (int(high) if high else 0) if dash else least
    return least, most or None


class Piece:
    """What stands between two far gaps."""

    def __init__(self, tokens: list[bytes], nocase: bool, wide: bool, word_left: bool, word_right: bool) -> None:
        self.steps: list[Step] = []
        self.edges: list[tuple[int, Edge]] = []  # (0 left or 1 right, condition)
        if word_left:
            self.edges.append((0, left_edge(b"W", wide)))
        if word_right:
            self.edges.append((1, right_edge(b"W", wide, False)))
        for i, token in enumerate(tokens):
            self.take(token, i == 0 and not word_left, i == len(tokens) - 1 and not word_right, nocase, wide)

    def take(self, token: bytes, first: bool, last: bool, nocase: bool, wide: bool) -> None:
        negated, inside = token[:1] == b"!", token.lstrip(b"!")[1:-1]
        if token[:1] in (b"{", b"["):
            self.steps += byte_steps(b"??" * span(token)[0], False, False)
        elif inside in (b"B", b"L", b"W"):
            if last:
                self.edges.append((1, right_edge(inside, wide, negated)))
            elif first and not negated:
                self.edges.append((0, left_edge(inside, wide)))
            else:
                self.steps.append(class_step(inside, negated))
        elif token[-1:] == b")":
            self.steps.append(choice_step(inside, nocase, wide, negated))
        else:
            self.steps += byte_steps(token, nocase, wide)

    def ends(self, data: bytes, start: int) -> set[int]:
        if not all(holds(data, start) for side, holds in self.edges if side == 0):
            return set()
        ends = chain(self.steps, data, {start})
        return {end for end in ends if all(holds(data, end) for side, holds in self.edges if side == 1)}


def near_edge(side: int, text: bytes, bracket: bytes, nocase: bool) -> Edge:
    """aa[n-m] before a piece, or [n-m]aa behind it: one byte somewhere near."""
    step = byte_step(text, nocase)
    least, _, most = bracket[1:-1].partition(b"-")
    reach = range(int(least), int(most or least) + 1)
    if side == 0:
        return lambda data, at: any(at - 1 - far >= 0 and step(data, at - 1 - far) for far in reach)
    return lambda data, at: any(step(data, at + far) for far in reach)


class Form:
    """The ASCII or the wide form of a pattern: pieces, and the gap before each."""

    def __init__(self, text: bytes, nocase: bool, wide: bool, fullword: bool) -> None:
        rows: list[list[bytes]] = [[]]
        self.gaps: list[tuple[int, int | None]] = [(0, 0)]
        for token in TOKEN.findall(text):
            far = token[:1] == b"{" or (token[:1] == b"[" and (wide or fullword))
            least, most = span(token) if far else (0, None)
            if token == b"*" or (far and not (least == most and least < 128)):
                rows.append([])
                self.gaps.append((least, most))
            else:
                rows[-1].append(token)
        self.pieces = []
        for i, row in enumerate(rows):
            near = []
            while not (wide or fullword) and any(token[:1] == b"[" for token in row):
                at = next(k for k, token in enumerate(row) if token[:1] == b"[")
                side = 0 if at == 1 else 1
                near.append((side, near_edge(side, row[0 if side == 0 else at + 1], row[at], nocase)))
                row = row[2:] if side == 0 else row[:at]
            piece = Piece(row, nocase, wide, fullword and i == 0, fullword and i == len(rows) - 1)
            piece.edges += near
            self.pieces.append(piece)

    def starts(self, data: bytes, placed: Callable[[int], bool]) -> set[int]:
        """Where the last piece begins, in every match whose first piece begins at a place that counts."""
        starts = {at for at in range(len(data)) if placed(at) and self.pieces[0].ends(data, at)}
        for before, piece, (least, most) in zip(self.pieces, self.pieces[1:], self.gaps[1:], strict=False):
            ends = {end for at in starts for end in before.ends(data, at)}
            starts = {
                at
                for at in range(len(data))
                if any(end + least <= at and (most is None or at <= end + most) for end in ends)
                and piece.ends(data, at)
            }
        return starts


class Headers(NamedTuple):
    """What offsets of executables count from."""

    entry: int = 0
    sections: tuple[tuple[int, int], ...] = ()  # (beginning, length) in the file


class Pattern:
    """A subsignature: hexadecimal text, offset, modifiers, as in a database."""

    def __init__(
        self, text: bytes, offset: bytes = b"*", modifiers: bytes = b"", headers: Headers | None = None
    ) -> None:
        wide, nocase, fullword = b"w" in modifiers, b"i" in modifiers, b"f" in modifiers
        both = wide and b"a" in modifiers
        self.offset, self.headers = offset, headers
        self.forms = [Form(text, nocase, w, fullword) for w in ([True, False] if both else [wide])]

    def starts(self, data: bytes) -> set[int]:
        return {at for form in self.forms for at in form.starts(data, lambda at: self.placed(at, len(data)))}

    def placed(self, at: int, size: int) -> bool:
        if self.offset == b"*":
            return True
        text, _, shift = self.offset.partition(b",")
        place = self.place(text, size)
        return place is not None and 0 <= place[0] <= at <= sum(place) + int(shift or 0)

    def place(self, text: bytes, size: int) -> tuple[int, int] | None:
        """(first place, how many further ones) without the shift; None: nowhere."""
        if text.isdigit():
            return int(text), 0
        if text.startswith(b"EOF-"):
            return size - int(text[4:]), 0
        if self.headers is None:
            return None
        if text.startswith(b"EP"):
            return self.headers.entry + int(text[2:]), 0
        number, _, behind = text[1:].lstrip(b"E").partition(b"+")
        index = len(self.headers.sections) - 1 if number == b"L" else int(number)
        if not 0 <= index < len(self.headers.sections):
            return None
        begin, length = self.headers.sections[index]
        return (begin, length) if text.startswith(b"SE") else (begin + int(behind), 0)


def holds(expression: bytes, counts: list[int]) -> bool:
    """A logical expression in which only one kind of operator stands in each row."""
    return value(expression.decode(), counts)[0] > 0


def value(text: str, counts: list[int]) -> tuple[int, int, set[int]]:
    """(1 or 0, matches together, subsignatures) of a row."""
    depth, parts, operator = 0, [""], ""
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        if sign in "&|" and depth == 0:
            operator = sign
            parts.append("")
        else:
            parts[-1] += sign
    rows = [term(part, counts) for part in parts]
    if not operator:
        return rows[0]
    true = (all if operator == "&" else any)(row[0] for row in rows)
    return (1, sum(row[1] for row in rows), set().union(*(row[2] for row in rows))) if true else (0, 0, set())


def term(text: str, counts: list[int]) -> tuple[int, int, set[int]]:
    inside, sign, number, different = re.fullmatch(r"(\(.*\)|\d+)(?:([<>=])(\d+)(?:,(\d+))?)?", text).groups()
    if inside.startswith("("):
        row = value(inside[1:-1], counts)
        if not sign:
            return row
    else:
        row = (int(counts[int(inside)] > 0), counts[int(inside)], {int(inside)})
        if not sign:
            return row if row[0] else (0, 0, set())
    many = row[1]
    true = {"<": many < int(number), ">": many > int(number), "=": many == int(number)}[sign]
    if true and inside.startswith("("):
        true = len(row[2]) >= int(different or 0)
        return (1, many, set()) if true else (0, 0, set())
    return (1, many, row[2]) if true else (0, 0, set())

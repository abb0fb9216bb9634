"""Pieces: the bytes that a signature wants and the places where it wants them, subsignature by subsignature.

The patterns in hexadecimal are siggen.py's work; regular expressions, byte comparisons and macros are done here.
"""

from __future__ import annotations

import importlib.util
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice, product
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.support.samples.regexes import Unmakeable, matching

PLANS = 8
TEXTS = (3, 7)  # targets: HTML, text


@cache
def siggen(path: Path) -> ModuleType:
    """The given generator, as a module."""
    spec = importlib.util.spec_from_file_location("siggen", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Place:
    """Where a piece must stand: kind is one of any, at, end, entry, section, inside, last, version."""

    kind: str = "any"
    number: int = 0  # bytes from there
    section: int = 0


@dataclass(frozen=True)
class Piece:
    place: Place
    data: bytes


@dataclass(frozen=True)
class Wish:
    """What a signature wants of a file."""

    name: str
    target: int
    attributes: Mapping[str, str]
    pieces: tuple[Piece, ...]
    kinds: frozenset[str]  # of subsignatures and attributes, for the report

    def changed(self, rng: random.Random) -> Wish:
        """One byte of one piece is another one."""
        i = rng.choice([i for i, piece in enumerate(self.pieces) if piece.data])
        data = bytearray(self.pieces[i].data)
        data[rng.randrange(len(data))] ^= 0x5A
        changed = replace(self.pieces[i], data=bytes(data))
        return replace(self, pieces=(*self.pieces[:i], changed, *self.pieces[i + 1 :]))


PLACES = [
    (r"\*?", lambda m: Place()),
    (r"(\d+)", lambda m: Place("at", int(m[1]))),
    (r"EOF-(\d+)", lambda m: Place("end", int(m[1]))),
    (r"EP([+-]\d+)", lambda m: Place("entry", int(m[1]))),
    (r"S(\d+)\+(\d+)", lambda m: Place("section", int(m[2]), int(m[1]))),
    (r"SE(\d+)", lambda m: Place("inside", 0, int(m[1]))),
    (r"SL\+(\d+)", lambda m: Place("last", int(m[1]))),
    (r"VI", lambda m: Place("version")),
]


def place(text: str) -> Place:
    for pattern, make in PLACES:
        if match := re.fullmatch(pattern, text.split(",")[0]):
            return make(match)
    raise Unmakeable("an offset that the generator cannot read")


def plans(tree: Any) -> Iterator[dict[int, int]]:
    """Ways to make a logical expression true: subsignature -> how often; simplest first."""
    if tree[0] == "n":
        yield {tree[1]: 1}
    elif tree[0] == "&":
        for a, b in islice(product(islice(plans(tree[1]), PLANS), islice(plans(tree[2]), PLANS)), PLANS):
            yield {k: max(a.get(k, 0), b.get(k, 0)) for k in a.keys() | b.keys()}
    elif tree[0] == "|":
        yield from islice(plans(tree[1]), PLANS)
        yield from islice(plans(tree[2]), PLANS)
    else:
        _, inner, sign, count, different = tree
        leaves = list(dict.fromkeys(_leaves(inner)))
        need = count if sign == "=" else count + 1
        if sign == "<" or need == 0:
            if count > 1 or sign != "<":
                yield {}
        elif different > 1:
            yield dict.fromkeys(leaves[:different], -(-need // different))
        else:
            yield from ({leaf: need} for leaf in leaves)


def _leaves(tree: Any) -> list[int]:
    return [tree[1]] if tree[0] == "n" else [x for part in tree[1:] if isinstance(part, tuple) for x in _leaves(part)]


@dataclass
class _Reader:
    """One logical signature, while its pieces are made."""

    tools: ModuleType
    subs: list[str]
    groups: Mapping[int, str]  # of macros: number -> a member's pattern
    fill: bytes
    rng: random.Random

    def kind(self, text: str) -> str:
        if text.startswith("fuzzy_img#"):
            return "fuzzy image"
        if text.startswith("${"):
            return "macro"
        if re.match(r"\d+\([^/]*#[^/]*\)$", text):
            return "byte comparison"
        return "regular expression" if text.count("/") >= 2 else "pattern"

    def expand(self, plan: dict[int, int]) -> dict[int, int]:
        """The plan with what its regular expressions, comparisons and macros want besides."""
        wanted, todo = dict(plan), list(plan)
        while todo:
            number = todo.pop()
            text = self.subs[number]
            more: dict[int, int] = {}
            match self.kind(text):
                case "regular expression":
                    trigger = text.split("/", 1)[0].rpartition(":")[2]
                    more = next(iter(plans(self.tools.Expr(trigger).tree)), {})
                case "byte comparison":
                    more = {int(text.split("(")[0]): 1}
                case "macro":
                    more = {number - 1: 1}
            for k, count in more.items():
                if wanted.get(k, 0) < count:
                    wanted[k] = count
                    todo.append(k)
        return wanted

    def pieces(self, plan: dict[int, int]) -> Iterator[Piece]:
        wanted = self.expand(plan)
        compared = {int(self.subs[k].split("(")[0]): k for k in wanted if self.kind(self.subs[k]) == "byte comparison"}
        for number in sorted(wanted):
            text, kind = self.subs[number], self.kind(self.subs[number])
            if kind in ("byte comparison", "macro"):
                continue  # made with the subsignature that it refers to
            if kind == "fuzzy image":
                raise Unmakeable("an image with a given perceptual hash")
            piece = self.regular_expression(text) if kind == "regular expression" else self.pattern(text)
            if number in compared:
                piece = replace(piece, data=compared_text(piece.data, self.subs[compared[number]]))
            if number + 1 in wanted and self.kind(self.subs[number + 1]) == "macro":
                piece = replace(piece, data=self.macro(piece.data, self.subs[number + 1]))
            yield from [piece] * (1 if piece.place.kind not in ("any", "inside") else wanted[number])

    def pattern(self, text: str) -> Piece:
        body, _, letters = text.partition("::")
        at = ""
        if ":" in body:
            at, body = body.split(":", 1)
        data = self.tools.gen_body(body, letters, self.rng, self.fill)
        if data is None:
            raise Unmakeable("a pattern that siggen cannot read")
        return Piece(place(at), data)

    def regular_expression(self, text: str) -> Piece:
        head, _, rest = text.partition("/")
        expression, _, flags = rest.rpartition("/")
        at = place(head.rpartition(":")[0])
        raw = expression.replace("\\/", "/").encode("latin-1", "replace")
        made, start, _ = matching(raw, flags, self.rng)
        return Piece(at, made if at.kind == "any" else made[start:])

    def macro(self, reference: bytes, text: str) -> bytes:
        """The reference, once more with a member in its distance, and again: ClamAV settles no macro for the first
        match of it, and one only when the next comes."""
        match = re.fullmatch(r"\$\{(\d+)-(\d+)\}(\d+)\$", text)
        if match is None or int(match[3]) not in self.groups:
            raise Unmakeable("a macro of which the group is not known")
        at = max(int(match[1]), len(reference))
        if at > int(match[2]):
            raise Unmakeable("a macro within its own reference")
        member = self.tools.gen_body(self.groups[int(match[3])], "", self.rng, self.fill)
        return reference + b";" + reference + self.fill * (at - len(reference)) + member + b";" + reference


def compared_text(reference: bytes, text: str) -> bytes:
    """The reference with the number behind it that a byte comparison asks for."""
    match = re.fullmatch(r"\d+\((>>|<<)?(\w*)#([hdialbe]+)(\w+)#([<>=])(-?\w+)(?:,.*)?\)", text)
    if match is None or match[1] == "<<":
        raise Unmakeable("a byte comparison with a place before the match")
    _, distance, letters, digits, sign, wanted = match.groups()
    count, value = int(digits, 0), int(wanted, 0) + {"<": -1, ">": 1, "=": 0}[sign]
    at = int(distance or "0", 0)
    if value < 0:
        raise Unmakeable("a byte comparison with a negative number")
    order = "little" if "l" in letters else "big"
    try:
        if "i" in letters:
            number = value.to_bytes(count, order)
        elif "d" in letters or "a" in letters:
            number = b"%0*d" % (count, value)
        else:
            number = value.to_bytes((count + 1) // 2, order).hex().encode()
    except OverflowError:
        raise Unmakeable("a byte comparison with a number that has no room") from None
    if len(number) > count or at < len(reference):
        raise Unmakeable("a byte comparison within its own reference")
    return reference + b"." * (at - len(reference)) + number + b";"


def fields(line: str) -> list[str]:
    """The fields of a logical signature; a semicolon within a regular expression is no end of one."""
    found, within, before = [""], False, ""
    for letter in line:
        if letter == "/" and before != "\\":
            within = not within
        if letter == ";" and not within:
            found.append("")
        else:
            found[-1] += letter
        before = letter
    return found


def wishes(line: str, groups: Mapping[int, str], tools: ModuleType, rng: random.Random) -> Iterator[Wish]:
    """What a line of .ldb or .ndb wants, in several ways where there are several."""
    if ";" not in line:
        name, target, at, body, *_ = line.split(":")
        if at.startswith("$"):
            raise Unmakeable("a member of a macro group")
        fill = b"a" if int(target) in TEXTS else b"\1"
        reader = _Reader(tools, [], groups, fill, rng)
        yield Wish(name, int(target), {}, (Piece(place(at), reader.pattern(body).data),), frozenset({"pattern"}))
        return
    name, described, expression, *subs = fields(line)
    attributes = dict(item.split(":", 1) for item in described.split(",") if ":" in item)
    target = int(attributes.get("Target", "0"))
    reader = _Reader(tools, subs, groups, b"a" if target in TEXTS else b"\1", rng)
    for plan in islice(plans(tools.Expr(expression).tree), PLANS):
        kinds = {reader.kind(subs[k]) for k in reader.expand(plan)} | (attributes.keys() - {"Engine", "Target"})
        yield Wish(name, target, attributes, tuple(reader.pieces(plan)), frozenset(kinds))

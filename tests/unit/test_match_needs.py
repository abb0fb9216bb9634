"""Signatures are brought up only by patterns that they cannot do without. Random ones, over all kinds of patterns, with
regular expressions and byte comparisons, are true exactly where a slow evaluator says so."""

from __future__ import annotations

import random
import re

import pytest

from kavfs._native import match
from kavfs.signatures.ldb import read_ldb
from kavfs.signatures.lines import Tally
from tests.support.matching import DIGEST, image, layer, names
from tests.support.reference_matcher import Pattern, holds

POOL = [  # offset, digits, modifiers, bytes that match
    (b"*", b"6b61767374726f6e67", b"", b"kavstrong"),
    (b"*", b"7365636f6e647374", b"", b"secondst"),
    (b"*", b"78797a", b"", b"xyz"),  # too short for the first pass
    (b"*", b"7170", b"", b"qp"),
    (b"*", b"7777??7676", b"", b"ww.vv"),
    (b"0", b"5141", b"", b"QA"),  # looked at in its one place
    (b"0", b"51419000aabbccdd", b"", b"QA\x90\0\xaa\xbb\xcc\xdd"),
    (b"EOF-4", b"0c0b", b"", b"\x0c\x0b.."),
    (b"3,40", b"636465", b"", b"cde"),
    (b"*", b"4c4c4c", b"i", b"LlL"),
    (b"*", b"61(62|63)6465", b"", b"abde"),
    (b"*", b"6761746564706172{-20}6b6a", b"", b"gatedpar..kj"),  # one piece opens the gate, the other waits
    (b"*", b"6b6a*6761746564706172", b"", b"kj..gatedpar"),
    (b"*", b"4b4b4b4b4b", b"wa", b"K\0K\0K\0K\0K\0"),
]
WHOLE = 11  # from here on patterns have several pieces: where they match is not asked
REFERENCE = [Pattern(digits, offset, modifiers) for offset, digits, modifiers, _ in POOL]
REGEX = [(b"q[px]", b""), (b"Q.*A", b"s"), (b"zz+", b"g"), (b"(a|b)\\1", b"")]
NOISE = b"qpxyzwvkjQAL lKU.\n\0abcde"

Probe = tuple[bytes, int, str, int] | tuple[str, bytes, bytes]  # text, reference, sign, value; or trigger, regex, flags
Signature = tuple[str, list["int | Probe"]]


def expression(rnd: random.Random, count: int, depth: int = 0) -> str:
    if depth > 2 or rnd.random() < 0.35:
        return str(rnd.randrange(count)) + rnd.choice(["", "", "", "", f"{rnd.choice('<>=')}{rnd.randrange(4)}"])
    row = rnd.choice("&&&|").join(expression(rnd, count, depth + 1) for _ in range(rnd.randrange(2, 4)))
    compare = f"{rnd.choice('<>=')}{rnd.randrange(6)}"
    return f"({row})" + rnd.choice(["", "", "", compare, compare + f",{rnd.randrange(1, 4)}"])


def part(rnd: random.Random, before: list[int | Probe]) -> int | Probe:
    own, kind = len(before), rnd.random()
    if own and kind < 0.2:
        return (expression(rnd, own, 1), *rnd.choice(REGEX))
    reference = rnd.randrange(own) if own else 0
    named = before[reference] if own else None
    if kind < 0.3 and isinstance(named, int) and named < WHOLE:
        sign, value, beside = rnd.choice("<>="), rnd.choice(NOISE), rnd.randrange(5)
        return (b"%d(>>%d#ib1#%c%d)" % (reference, beside, sign.encode(), value), beside, sign, value)
    return rnd.randrange(len(POOL))


def signature(rnd: random.Random) -> Signature:
    parts: list[int | Probe] = []
    for _ in range(rnd.randrange(1, 6)):
        parts.append(part(rnd, parts))
    text = expression(rnd, len(parts))
    missing = [str(i) for i in range(len(parts)) if str(i) not in re.findall(r"(?<![<>=,\d])\d+", text)]
    return rnd.choice("&|").join([*missing, f"({text})" if missing else text]), parts


def line(number: int, row: Signature) -> bytes:
    texts = []
    for one in row[1]:
        if isinstance(one, int):
            offset, digits, modifiers, _ = POOL[one]
            texts.append(
                (b"" if offset == b"*" else offset + b":") + digits + (b"::" + modifiers if modifiers else b"")
            )
        elif len(one) == 3:
            texts.append(b"%b/%b/%b" % (one[0].encode(), one[1], one[2]))
        else:
            texts.append(one[0])
    return b"N%d;Engine:81-255,Target:0;%b;%b" % (number, row[0].encode(), b";".join(texts))


def truth(row: Signature, starts: list[list[int]], data: bytes) -> bool:
    """Byte comparisons are decided before regular expressions, and refer to a pattern's last place."""
    counts = [len(starts[one]) if isinstance(one, int) else 0 for one in row[1]]
    for i, one in enumerate(row[1]):
        if isinstance(one, int) or len(one) == 3:
            continue
        text, beside, sign, value = one
        named = row[1][int(text.split(b"(")[0])]
        at = starts[named][-1] + beside if isinstance(named, int) and starts[named] else 0
        if 0 < at < len(data):
            counts[i] = int({"<": data[at] < value, ">": data[at] > value, "=": data[at] == value}[sign])
    for i, one in enumerate(row[1]):
        if not isinstance(one, int) and len(one) == 3 and holds(one[0].encode(), counts):
            many = len(re.findall(one[1], data, re.DOTALL if one[2] == b"s" else 0))
            counts[i] = many if one[2] == b"g" else min(many, 1)
    return holds(row[0].encode(), counts)


def content(rnd: random.Random) -> bytes:
    pieces = [rnd.choice([b"QA", POOL[6][3], b"", b"", b""])]
    for _ in range(rnd.choice([0, 1, 2, 4, 8, 16])):
        pieces += [rnd.choice([b"", b"." * rnd.randrange(60), bytes(rnd.choices(NOISE, k=6))]), rnd.choice(POOL)[3]]
    return b"".join([*pieces, rnd.choice([POOL[7][3], b"", b"", b""])])


def compiled(rows: list[Signature], first: int) -> bytes:
    builder, tally = match.SegmentBuilder(b"%d.ldb" % first, DIGEST, True), Tally()
    read_ldb(b"\n".join(line(first + i, row) for i, row in enumerate(rows)), builder, tally)
    assert tally.listed == []
    return builder.finish()


@pytest.mark.parametrize("seed", range(8))
def test_random_signatures_are_true_where_the_slow_evaluator_says_so(seed: int) -> None:
    rnd = random.Random(f"needs {seed}")
    rows = [signature(rnd) for _ in range(rnd.choice([2, 30, 80]))]
    half = len(rows) // 2
    segments = compiled(rows[:half], 0), compiled(rows[half:], half)
    images = [image(*segments, window=window) for window in (0, 256, 16)]
    for _ in range(12):
        data = content(rnd)
        starts = [sorted(pattern.starts(data)) for pattern in REFERENCE]
        expected = [f"N{i}" for i, row in enumerate(rows) if data and truth(row, starts, data)]
        for scanner in images:
            with layer(data) as fd:
                found = scanner.scan(fd, all_match=True)
            assert found == scanner.scan(data, all_match=True)
            assert names(found) == expected, [
                line(i, row) for i, row in enumerate(rows) if f"N{i}" in {*expected} ^ {*names(found)}
            ]

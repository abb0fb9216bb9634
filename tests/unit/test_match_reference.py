"""The native matcher and the slow one agree on random patterns and random data, whatever the window."""

from __future__ import annotations

import random

import pytest

from kavfs._native import match
from tests.support import headers as executables
from tests.support.matching import image, layer, names, segment
from tests.support.reference_matcher import TOKEN, Headers, Pattern, holds, span

ALPHABET = [b"61", b"62", b"41", b"42", b"00", b"20", b"0a", b"0d", b"7a"]
BYTES = bytes.fromhex("".join(a.decode() for a in ALPHABET))


def random_run(rnd: random.Random) -> bytes:
    return b"".join(rnd.choice(ALPHABET) for _ in range(rnd.choice([2, 2, 3, 4, 5, 9])))


def random_token(rnd: random.Random, plain: bool) -> bytes:
    kind = rnd.randrange(9)
    if kind == 0:
        return b"??"
    if kind == 1:
        return rnd.choice([b"6?", b"?1", b"4?", b"?0"])
    if kind == 2:
        return b"(" + b"|".join(rnd.sample(ALPHABET, rnd.randrange(1, 4))) + b")"
    if kind == 3:
        return b"(" + b"|".join(rnd.choice(ALPHABET) + rnd.choice(ALPHABET) for _ in range(2)) + b")"
    if kind == 4:
        return b"(" + b"|".join([rnd.choice(ALPHABET), random_run(rnd), b"6?" + rnd.choice(ALPHABET)]) + b")"
    if kind == 5 and plain:
        return b"!(" + b"|".join(rnd.sample(ALPHABET, 2)) + b")"
    if kind == 6:
        return b"{%d}" % rnd.randrange(1, 4)
    if kind == 7:
        return rnd.choice([b"(B)", b"(L)", b"(W)"])
    return rnd.choice(ALPHABET)


def random_piece(rnd: random.Random, plain: bool) -> bytes:
    tokens = [random_run(rnd)]
    for _ in range(rnd.randrange(4)):
        tokens.insert(rnd.randrange(len(tokens) + 1), random_token(rnd, plain))
    if plain and rnd.random() < 0.1:
        bracket = rnd.choice([b"[1-3]", b"[0-5]", b"[2-2]"])
        tokens = [rnd.choice(ALPHABET), bracket, *tokens] if rnd.random() < 0.5 else [*tokens, bracket, b"61"]
    return b"".join(tokens)


def random_pattern(rnd: random.Random) -> tuple[bytes, bytes, bytes]:
    modifiers = rnd.choice([b"", b"", b"", b"i", b"w", b"aw", b"f", b"wi", b"fi", b"fw", b"awi"])
    gaps = [b"*", b"{2-9}", b"{-5}", b"{3-}", b"{130}", b"{0-40}", b"{1-150}"]
    text = random_piece(rnd, not modifiers)
    for _ in range(rnd.choice([0, 0, 0, 1, 1, 2])):
        text += rnd.choice(gaps) + random_piece(rnd, not modifiers)
    offset = rnd.choice([b"*"] * 8 + [b"0", b"3,20", b"40,200", b"EOF-30", b"EOF-100,80"])
    return text, offset, modifiers


def noise(rnd: random.Random, length: int) -> bytes:
    weights = [rnd.choice([1, 1, 2, 6]) for _ in BYTES]
    return bytes(rnd.choices(BYTES, weights, k=length))


def instance(rnd: random.Random, pattern: tuple[bytes, bytes, bytes]) -> bytes:
    """Bytes that the pattern probably matches, or nearly."""
    text, _, modifiers = pattern
    wide = b"w" in modifiers and (b"a" not in modifiers or rnd.random() < 0.5)
    out = b""
    for token in TOKEN.findall(text):
        if token[:1] in (b"{", b"[", b"*"):
            least, most = (0, 20) if token == b"*" else span(token)
            out += noise(rnd, rnd.choice([least, most or least + 3]))
            continue
        if token[-1:] == b")":
            word = rnd.choice(token.strip(b"!()").split(b"|"))
            token = {b"B": b"20", b"L": b"0a", b"W": b"0d"}.get(word, word)
        for byte in bytes.fromhex(token.decode().replace("?", rnd.choice("026"))):
            flip = b"i" in modifiers and chr(byte).isalpha() and rnd.random() < 0.5
            out += bytes([byte ^ 0x20 if flip else byte]) + (b"\0" if wide else b"")
    if rnd.random() < 0.2:
        at = rnd.randrange(len(out))
        out = out[:at] + noise(rnd, 1) + out[at + 1 :]
    return out


def random_data(rnd: random.Random, patterns: list[tuple[bytes, bytes, bytes]]) -> bytes:
    if rnd.random() < 0.2:
        return noise(rnd, rnd.choice([0, 1, 17, 60, 200]))
    pieces = [instance(rnd, rnd.choice(patterns)) for _ in range(rnd.randrange(1, 12))]
    return b"".join(noise(rnd, rnd.choice([0, 0, 1, 9, 30])) + piece for piece in pieces)[:900]


def counted(patterns: list[tuple[bytes, bytes, bytes]]) -> bytes:
    """Signatures that tell how often each pattern was found, up to 6 times."""
    rows = []
    for i, pattern in enumerate(patterns):
        rows += [(b"P%d=%d" % (i, n), b"0=%d" % n, pattern) for n in range(1, 6)]
        rows.append((b"P%d=6" % i, b"0>5", pattern))
    return segment(*rows)


def one_length(pattern: tuple[bytes, bytes, bytes]) -> bool:
    """Without choices of several lengths; with them a place of known bytes counts once, however many starts it has."""
    choices = [t.strip(b"!()").split(b"|") for t in TOKEN.findall(pattern[0]) if t[-1:] == b")"]
    return all(len({len(word) for word in words}) == 1 and words != [b"L"] for words in choices)


def taken(rnd: random.Random, count: int) -> list[tuple[bytes, bytes, bytes]]:
    """Random patterns that the matcher takes; what it does not take is what ClamAV does not take either."""
    found = []
    while len(found) < count:
        pattern = random_pattern(rnd)
        try:
            match.SegmentBuilder(b"x", bytes(32)).pattern(*pattern)
        except match.PatternError:
            continue
        found.append(pattern)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_counts_of_random_patterns(seed: int) -> None:
    rnd = random.Random(seed)
    patterns = taken(rnd, 60)
    slow = [Pattern(*pattern) for pattern in patterns]
    part = counted(patterns)
    images = [image(part, window=window) for window in (0, 4096, 64, 16)]
    for _ in range(8):
        data = random_data(rnd, patterns)
        expected = {f"P{i}={min(n, 6)}" for i, p in enumerate(slow) if (n := len(p.starts(data))) and data}
        exact = [f"P{i}=" for i, pattern in enumerate(patterns) if one_length(pattern)]
        for scanner in images:
            with layer(data) as fd:
                from_file, from_memory = scanner.scan(fd, all_match=True), scanner.scan(data, all_match=True)
            assert (from_file.reasons, from_memory.reasons) == (0, 0)
            wrong = set(names(from_file)) ^ expected
            wrong = {w for w in wrong if w.startswith(tuple(exact))} | (
                {w.split("=")[0] + "=" for w in names(from_file)} ^ {w.split("=")[0] + "=" for w in expected}
            )
            assert not wrong, (wrong, [patterns[int(w[1:].split("=")[0])] for w in wrong], data)
            assert from_memory == from_file


def random_expression(rnd: random.Random, depth: int = 0) -> str:
    """One kind of operator in each row, as all real signatures have it."""
    if depth > 2 or rnd.random() < 0.4:
        return str(rnd.randrange(4)) + rnd.choice(["", "", "", f"{rnd.choice('<>=')}{rnd.randrange(4)}"])
    operator = rnd.choice("&|")
    row = operator.join(random_expression(rnd, depth + 1) for _ in range(rnd.randrange(2, 4)))
    compare = f"{rnd.choice('<>=')}{rnd.randrange(8)}"
    return f"({row})" + rnd.choice(["", "", compare, compare + f",{rnd.randrange(1, 4)}"])


@pytest.mark.parametrize("seed", range(4))
def test_random_expressions(seed: int) -> None:
    rnd = random.Random(seed)
    patterns = [b"61626162", b"6363", b"202a??20", b"7a7a7a7a7a"]  # strong ones and weak ones
    bodies = [bytes.fromhex("61626162"), b"cc", b" *x ", b"zzzzz"]
    rows, expressions = [], []
    while len(rows) < 80:
        expression = random_expression(rnd)
        used = sorted({int(c) for c in "".join(w if w.isdigit() else " " for w in _leaves(expression))})
        if used != [0, 1, 2, 3]:
            continue
        rows.append((b"E%d" % len(rows), expression.encode(), *patterns))
        expressions.append(expression)
    scanner = image(segment(*rows))
    for _ in range(60):
        counts = [rnd.choice([0, 0, 1, 2, 5]) for _ in bodies]
        data = b"\x01" + b"|".join(body for body, n in zip(bodies, counts, strict=True) for _ in range(n)) + b"|"
        expected = [f"E{i}" for i, text in enumerate(expressions) if holds(text.encode(), counts)]
        assert names(scanner.scan(data, all_match=True)) == expected, counts


def _leaves(expression: str) -> list[str]:
    """The subsignature numbers of an expression."""
    kept, skip = [], False
    for i, sign in enumerate(expression):
        if sign in "<>=,":
            skip = True
        elif not sign.isdigit():
            skip = False
        elif not skip and (i == 0 or not expression[i - 1].isdigit()):
            kept.append(sign)
    return kept


OFFSETS = """
    EP+0,300 EP-40,200 EP+16,40 S0+0,400 S1+0,90 S2+20,300 S7+0,500 SL+0,400 SL+100,60 SE0 SE1 SE2,30 SE3
""".split()  # noqa: SIM905 - a table


@pytest.mark.parametrize("seed", range(12))
def test_offsets_in_a_random_executable_are_where_the_slow_one_has_them(seed: int) -> None:
    rnd = random.Random(f"executable {seed}")
    bodies = [bytes(rnd.choices(BYTES, k=512)) for _ in range(rnd.randrange(1, 4))]
    entry = rnd.randrange(0x100)
    data = executables.pe(bodies, entry)
    places = Headers(0x400 + entry, tuple((0x400 + 512 * i, 512) for i in range(len(bodies))))
    rows, expected = [], []
    for i in range(60):
        text, _, modifiers = random_pattern(rnd)
        offset = rnd.choice(OFFSETS).encode()
        rows.append((b"%03d" % i, None, (text, offset, modifiers), {"target": 1}))
        if Pattern(text, offset, modifiers, places).starts(data):
            expected.append(f"{i:03d}")
    found = image(segment(*rows), window=rnd.choice([0, 64, 300])).scan(data, all_match=True)
    assert names(found) == expected

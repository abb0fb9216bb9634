"""Hash sets: every line of a database is found again or accounted for, and a damaged table does no harm."""

from __future__ import annotations

import contextlib
import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kavfs._native.basics import MD5, SHA1, SHA256, Built, HashSet

LEVEL = 220
FIELDS, DIGEST, SIZE, NAME, OUTSIDE = 1, 2, 3, 4, 5
HEX = {MD5: 32, SHA1: 40, SHA256: 64}


def build(*lines: bytes | str, level: int = LEVEL) -> Built:
    return HashSet.build(b"\n".join(x if isinstance(x, bytes) else x.encode() for x in lines), level)


def digest(text: str, kind: int = MD5) -> str:
    name = {MD5: "md5", SHA1: "sha1", SHA256: "sha256"}[kind]
    return hashlib.new(name, text.encode()).hexdigest()


def find(built: Built, hexdigest: str, size: int) -> list[tuple[bytes, int]]:
    raw = bytes.fromhex(hexdigest)
    table = HashSet(built.table)
    return {16: lambda: table.find(size, md5=raw), 20: lambda: table.find(size, sha1=raw)}.get(
        len(raw), lambda: table.find(size, sha256=raw)
    )()


@pytest.mark.parametrize("kind", [MD5, SHA1, SHA256])
def test_a_signature_matches_its_digest_and_size_and_nothing_near(kind: int) -> None:
    one = digest("one", kind)
    built = build(f"{one}:544:Some.Virus-1")
    assert find(built, one, 544) == [(b"Some.Virus-1", 1)]
    assert find(built, one, 545) == []
    assert find(built, digest("two", kind), 544) == []
    near = f"{int(one, 16) ^ 1:0{HEX[kind]}x}"
    assert find(built, near, 544) == []


def test_sizes_say_which_digests_are_worth_computing() -> None:
    table = HashSet(build(f"{digest('a')}:10:A", f"{digest('b', SHA256)}:10:B", f"{digest('c', SHA1)}:20:C").table)
    assert table.kinds(10) == MD5 | SHA256
    assert table.kinds(20) == SHA1
    assert table.kinds(11) == 0
    assert table.kinds(0) == 0


def test_a_signature_for_any_size_asks_for_its_digest_always() -> None:
    one = digest("x", SHA256)
    built = build(f"{one}:*:Any:73", f"{digest('y')}:7:Seven")
    table = HashSet(built.table)
    assert table.kinds(12345) == SHA256
    assert table.kinds(7) == SHA256 | MD5
    assert find(built, one, 0) == find(built, one, 1 << 40) == [(b"Any", 1)]


@pytest.mark.parametrize("tail", ["", ":72", ":1:300"])
def test_any_size_needs_the_level_that_knows_it(tail: str) -> None:
    assert build(f"{digest('x')}:*:Any{tail}").rejects == [(1, SIZE)]


def test_several_signatures_come_in_the_order_of_lines() -> None:
    one, two = digest("x"), digest("x", SHA256)
    built = build(f"{two}:*:Any:73", f"{one}:5:First", f"{two}:5:Second", f"{one}:6:Other size", f"{one}:5:First")
    table = HashSet(built.table)
    both = table.find(5, md5=bytes.fromhex(one), sha256=bytes.fromhex(two))
    assert both == [(b"Any", 1), (b"First", 2), (b"Second", 3), (b"First", 5)]


def test_upper_case_and_line_ends_do_not_matter() -> None:
    built = build(f"{digest('a').upper()}:1:A\r", "", "\r", "# comment", f"{digest('b')}:2:B\r")
    assert built.comments == 3
    assert find(built, digest("a"), 1) == [(b"A", 1)]
    assert find(built, digest("b"), 2) == [(b"B", 5)]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("no signature", FIELDS),
        (digest("x"), FIELDS),
        (f"{digest('x')}:1", FIELDS),
        (f"{digest('x')}:1:N:1:2:3", FIELDS),
        (f"{digest('x')}:1:{'n' * 9000}", FIELDS),
        ("::", DIGEST),
        (f"{digest('x')[:-1]}:1:N", DIGEST),
        (f"{digest('x')[:-1]}g:1:N", DIGEST),
        (f" {digest('x')[:-1]}:1:N", DIGEST),
        (f"{digest('x')}:0:N", SIZE),
        (f"{digest('x')}:-1:N", SIZE),
        (f"{digest('x')}:1x:N", SIZE),
        (f"{digest('x')}::N", SIZE),
        (f"{digest('x')}:**:N", SIZE),
        (f"{digest('x')}:99999999999999999999:N", SIZE),
        (f"{digest('x')}:{1 << 61}:N", SIZE),
        (f"{digest('x')}:1:", NAME),
        (f"{digest('x')}:1:{'n' * 1024}", NAME),
        (f"{digest('x')}:1:a\0b", NAME),
        (f"{digest('x')}:1:N:{LEVEL + 1}", OUTSIDE),
        (f"{digest('x')}:1:N:1:{LEVEL - 1}", OUTSIDE),
        (f"{digest('x')}:1:N:old", OUTSIDE),
    ],
)
def test_a_line_that_cannot_be_taken_is_named_with_its_reason(line: str, why: int) -> None:
    built = build(f"{digest('before')}:1:Before", line, f"{digest('after')}:1:After")
    assert built.rejects == [(2, why)]
    assert built.reject_count == 1
    assert find(built, digest("after"), 1) == [(b"After", 3)]


def test_the_range_of_levels_holds_its_ends() -> None:
    line = f"{digest('x')}:1:N:{LEVEL}:{LEVEL}"
    assert build(line).accepted == 1
    assert build(line, level=LEVEL - 1).accepted == build(line, level=LEVEL + 1).accepted == 0


def test_an_empty_database_finds_nothing() -> None:
    for built in (build(b""), build(b"\n\n# nothing\n")):
        table = HashSet(built.table)
        assert len(table) == 0
        assert table.kinds(5) == 0
        assert table.find(5, md5=bytes(16)) == []
        with pytest.raises(IndexError):
            table.at(0)


def test_a_large_set_finds_every_line_and_no_other() -> None:
    draw = random.Random(7)
    rows = [(draw.randbytes((16, 20, 32)[i % 3]), draw.randrange(1, 5000), f"Name-{i}") for i in range(20000)]
    text = "".join(f"{d.hex()}:{size}:{name}\n" for d, size, name in rows)
    built = HashSet.build(text.encode(), LEVEL)
    table = HashSet(built.table)
    assert len(table) == built.accepted == len(rows)
    for i, (d, size, name) in enumerate(rows):
        word = {16: "md5", 20: "sha1", 32: "sha256"}[len(d)]
        assert table.find(size, **{word: d}) == [(name.encode(), i + 1)]
        assert table.find(size + 1, **{word: d}) == []
        assert table.at(i) == (name.encode(), i + 1)
    sizes = {size for _, size, _ in rows}
    assert all((table.kinds(size) != 0) == (size in sizes) for size in range(6000))


def test_the_same_leading_bytes_in_every_digest_are_still_told_apart() -> None:
    rows = [bytes(12) + i.to_bytes(4, "big") for i in range(3000)]
    order = rows[:]
    random.Random(1).shuffle(order)
    table = HashSet(HashSet.build("".join(f"{d.hex()}:9:N{d.hex()}\n" for d in order).encode(), LEVEL).table)
    assert all(table.find(9, md5=d)[0][0] == f"N{d.hex()}".encode() for d in rows)


SAMPLE = "".join(
    f"{digest(str(i), (MD5, SHA1, SHA256)[i % 3])}:{'*' if i % 17 == 0 else i % 40 + 1}:Name.{i}:73\n"
    for i in range(200)
).encode()


def ask_everything(table: HashSet) -> None:
    """Every question; only the answers' kind is of interest, and that there is one."""
    for i in range(-1, 45):
        table.kinds(i % (1 << 64))
    for i in range(200):
        found = find_any(table, i)
        assert all(isinstance(name, bytes) for name, _ in found)
        with contextlib.suppress(IndexError):
            table.at(i)


def find_any(table: HashSet, i: int) -> list[tuple[bytes, int]]:
    raw = [bytes.fromhex(digest(str(i), kind)) for kind in (MD5, SHA1, SHA256)]
    return table.find(i % 40 + 1, md5=raw[0], sha1=raw[1], sha256=raw[2])


def test_every_truncation_is_refused() -> None:
    table = HashSet.build(SAMPLE, LEVEL).table
    for length in (*range(200), *range(200, len(table), 97), len(table) - 1):
        with pytest.raises(ValueError, match="damaged"):
            HashSet(table[:length])
    with pytest.raises(ValueError, match="damaged"):
        HashSet(table + bytes(8))


def test_every_flip_in_the_header_is_refused() -> None:
    table = HashSet.build(SAMPLE, LEVEL).table
    for bit in range(120 * 8):
        damaged = bytearray(table)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="damaged"):
            HashSet(damaged)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(120, 1 << 20), st.integers(0, 255)), min_size=1, max_size=40))
def test_damage_behind_the_header_is_harmless(changes: list[tuple[int, int]]) -> None:
    table = bytearray(HashSet.build(SAMPLE, LEVEL).table)
    for at, byte in changes:
        table[120 + at % (len(table) - 120)] = byte
    ask_everything(HashSet(table))


@pytest.mark.parametrize("fill", [0, 255, 127, 128])
def test_a_table_overwritten_behind_the_header_is_harmless(fill: int) -> None:
    table = bytearray(HashSet.build(SAMPLE, LEVEL).table)
    table[120:] = bytes([fill]) * (len(table) - 120)
    ask_everything(HashSet(table))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from([b":", b"\n", b"\r", b"#", b"*", b"\0", b"9", b"73", b"a" * 32, b"B" * 64, b"\xff"])))
def test_no_text_is_lost_or_does_harm(pieces: list[bytes]) -> None:
    text = b"".join(pieces)
    built = HashSet.build(text, LEVEL)
    lines = text.split(b"\n")
    count = len(lines) - (lines[-1] == b"")
    assert built.accepted + built.comments + built.reject_count == count
    assert len(HashSet(built.table)) == built.accepted


def test_more_rejects_than_are_kept_are_counted() -> None:
    built = HashSet.build(b"x\n" * 100_005, LEVEL)
    assert len(built.rejects) == 100_000
    assert built.reject_count == 100_005

"""Lines: sets of the lines that a segment was made from; compared with sets of Python."""

from __future__ import annotations

import random

import pytest

from kavfs._native import basics, match

KEY = bytes(range(32))


def line(i: int) -> bytes:
    return b"%032x:%d:Some.Name-%d" % (i * 7919, i + 1, i)


def segment(text: bytes) -> bytes:
    return match.build_hash_segment(text, 216, form="hash", database=b"a.hdb", digest=KEY).data


def lines(text: bytes, form: bytes = b"hash") -> basics.Lines:
    return basics.Lines(basics.build_lines(segment(text), text, form))


def text_of(numbers: list[int], end: bytes = b"\n") -> bytes:
    return b"".join(line(i) + end for i in numbers)


@pytest.mark.parametrize("seed", range(60))
def test_differences_are_those_of_sets(seed: int) -> None:
    rng = random.Random(seed)
    most = rng.choice([3, 40, 400, 9000])
    mine = rng.choices(range(most), k=rng.randint(1, most))
    theirs = rng.choices(range(rng.choice([most, 4 * most])), k=rng.choice([1, most // 2 + 1, 2 * most]))
    text = text_of(mine)
    fresh = lines(text).without(lines(text_of(theirs)))
    expected = [i for n, i in enumerate(mine) if i not in set(theirs) and i not in mine[:n]] if most < 9000 else None
    assert len(fresh) == len(set(mine) - set(theirs))
    picked = basics.pick_lines(text, b"hash", fresh)
    assert set(picked.split(b"\n")[:-1]) == {line(i) for i in set(mine) - set(theirs)}
    if expected is not None:
        assert picked == text_of(expected)  # each once, where it stood first


def test_many_times_the_same_line_is_one() -> None:
    text = text_of([5] * 5000 + [6])
    assert len(lines(text)) == 2
    assert basics.pick_lines(text, b"hash", lines(text)) == text_of([5, 6])


def test_line_ends_comments_and_what_is_rejected_make_no_difference() -> None:
    plain = lines(text_of([1, 2]))
    other = b"# comment\r\n\r\nno signature\n" + line(2) + b"\r\n" + line(1)
    assert len(lines(other).without(plain)) == len(plain.without(lines(other))) == 0
    assert len(lines(other)) == 2


def test_another_form_is_another_line() -> None:
    text = text_of([1, 2])
    assert len(lines(text, b"hash").without(lines(text, b"body"))) == 2
    with pytest.raises(ValueError, match="too long"):
        lines(text, b"a form of more than 16 bytes")


def test_a_body_segment_has_lines_too() -> None:
    text = b"bad\nA.B-1:0:*:6162636465666768\n#\nA.B-2:0:*:3132333435363738\n"
    builder = match.SegmentBuilder(b"a.ndb", KEY)
    for row, pattern in ((2, b"6162636465666768"), (4, b"3132333435363738")):
        builder.signature(b"A.B-%d" % row, row, 0, [builder.pattern(pattern)], None)
    found = basics.Lines(basics.build_lines(builder.finish(), text, b"body"))
    assert found.source == KEY
    assert basics.pick_lines(text, b"body", found) == b"A.B-1:0:*:6162636465666768\nA.B-2:0:*:3132333435363738\n"


@pytest.mark.parametrize("other", [b"", b"\n", text_of([1, 2]), text_of([1, 2, 4]), text_of([3, 2, 1]), b"#\n" * 3])
def test_a_text_that_is_not_the_one_is_refused(other: bytes) -> None:
    text = text_of([1, 2, 3])
    with pytest.raises(ValueError, match="not made from"):
        basics.pick_lines(other, b"hash", lines(text))


@pytest.mark.parametrize("other", [b"", b"\n", text_of([1, 2])])
def test_a_part_that_has_more_lines_than_the_text_is_refused(other: bytes) -> None:
    with pytest.raises(ValueError, match="not made from"):
        basics.build_lines(segment(text_of([1, 2, 3])), other, b"hash")


def test_every_damage_is_seen() -> None:
    text = text_of(list(range(50)))
    good = basics.build_lines(segment(text), text, b"hash")
    for at in range(len(good)):
        damaged = bytearray(good)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(ValueError, match="not what was written"):
            basics.Lines(damaged)
    for length in (0, 1, 63, 64, 80, len(good) - 16, len(good) - 1, len(good) + 16):
        with pytest.raises(ValueError, match="not what was written"):
            basics.Lines((good + bytes(16))[:length])


def test_a_part_of_another_kind_has_no_lines() -> None:
    with pytest.raises(ValueError, match="not made from"):
        basics.build_lines(match.build_ignore([b"A.B-1"]), b"A.B-1\n", b"hash")

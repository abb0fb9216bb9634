"""Patterns that wait for the second pass, that are looked at in their one place, and databases for texts: what is found
does not depend on them."""

from __future__ import annotations

import pytest

from tests.support.matching import image, names, segment

WINDOW = 4096
GOOD, GATED = b"a long and telling string", b"another one"
KNOWN = image(
    segment(
        (b"Both", b"0&1", GOOD.hex().encode(), b"78797a"),  # "xyz": a short literal
        (b"Count", b"0&(1>2)", GOOD.hex().encode(), b"717171"),
        (b"Piece", b"0&1", GOOD.hex().encode(), GATED.hex().encode() + b"{-20}6b6a"),
        (b"Alone", None, b"25402521"),  # "%@%!": nothing else to be asked for
        (b"Begin", b"0&1", GOOD.hex().encode(), (b"0b0c", b"3", b"")),
        (b"End", b"0&1", GOOD.hex().encode(), (b"0c0b", b"EOF-4", b"")),
        (b"Not", b"0&(1=0)", GOOD.hex().encode(), b"7a7a7a"),
    ),
    window=WINDOW,
)


def padded(at: int, *pieces: bytes) -> bytes:
    """The pieces one after the other with blanks between them, the first at a place."""
    return b"." * at + b" ".join(pieces) + b"." * 3 * WINDOW


@pytest.mark.parametrize("at", [0, 7, WINDOW - 8, 2 * WINDOW - 26])
@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ((GOOD, b"xyz"), ["Both"]),
        ((b"xyz", GOOD), ["Both"]),
        ((b"xyz",), []),
        ((GOOD, b"qqqqq"), ["Count"]),
        ((GOOD, b"qqqq"), ["Not"]),
        ((GATED, b"kj", GOOD), ["Piece"]),
        ((GATED, GOOD, b"kj"), ["Not"]),
        ((GATED, b"kj"), []),
        ((b"%@%!",), ["Alone"]),
        ((GOOD, b"zzz"), []),
    ],
)
def test_what_waits_is_found(at: int, pieces: tuple[bytes, ...], expected: list[str]) -> None:
    assert names(KNOWN.scan(padded(at, *pieces))) == expected


def test_what_stands_in_one_place_only_counts_there() -> None:
    end = b"\x0c\x0b.."
    assert names(KNOWN.scan(b"...\x0b\x0c" + padded(0, GOOD))) == ["Begin"]
    assert names(KNOWN.scan(b"....\x0b\x0c" + padded(0, GOOD))) == ["Not"]
    assert names(KNOWN.scan(padded(0, GOOD) + end)) == ["End"]
    assert names(KNOWN.scan(padded(0, GOOD) + end + b".")) == ["Not"]
    assert names(KNOWN.scan(b"...\x0b")) == []


@pytest.mark.parametrize("around", [b"", b"Capitals\n", b"\xe4", b"\0", b"\t\r\n"], ids=repr)
def test_a_literal_is_found_among_any_bytes(around: bytes) -> None:
    needles = {b"Plain": b"lower case words", b"Ascii": b"Some\tWords", b"Binary": b"\x01\x02\xfe\xfdword"}
    known = image(segment(*((name, None, text.hex().encode()) for name, text in needles.items())), window=WINDOW)
    for name, text in needles.items():
        for data in (text, around + text, text + around, around * WINDOW + text + around):
            assert names(known.scan(data)) == [name.decode()]


SMALL = [0, 1, 31, 32, 33, 64, 500]  # a layer that lies in one window: what waits is looked for pattern by pattern


@pytest.mark.parametrize("at", SMALL)
@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ((GOOD, b"xyz"), ["Both"]),
        ((b"xyz", GOOD), ["Both"]),
        ((GOOD, b"xy"), ["Not"]),
        ((GOOD, b"qqqqq"), ["Count"]),
        ((GOOD, b"qqqq"), ["Not"]),
        ((GATED, b"kj", GOOD), ["Piece"]),
        ((GATED, b"." * 20 + b"kj", GOOD), ["Not"]),
        ((GATED, GOOD, b"kj"), ["Not"]),
        ((GOOD, b"zzz"), []),
    ],
)
def test_what_waits_is_found_in_a_small_layer(at: int, pieces: tuple[bytes, ...], expected: list[str]) -> None:
    data = b"." * at + b" ".join(pieces)
    assert names(KNOWN.scan(data)) == expected
    assert names(KNOWN.scan(data + b"." * 40)) == expected


FORMAT = b"MAGIC BYTES"
LIKELY = image(
    segment(
        (b"Row", b"0&(1|2)&3", (FORMAT.hex().encode(), b"0", b""), b"6162", b"6364??65", b"(66|67)6869"),
        (b"Wide", b"0&1", (FORMAT.hex().encode(), b"0", b""), (b"7174", b"*", b"aw")),
        (b"Capitals", b"0&(1>1)", (FORMAT.hex().encode(), b"0", b""), (b"4b31", b"*", b"i")),
        (b"Far", b"0&1", (FORMAT.hex().encode(), b"0", b""), b"3031{2-9}3233*3435"),
        (b"Absent", b"0&(1=0)&2", (FORMAT.hex().encode(), b"0", b""), b"2323", b"2424"),
        (b"Rare", b"0&(1|2)", (FORMAT.hex().encode(), b"0", b""), GOOD.hex().encode(), GATED.hex().encode()),
        (b"Either", b"(0|1)&2", (FORMAT.hex().encode(), b"0", b""), GOOD.hex().encode(), GATED.hex().encode()),
        (b"Several", b"(0|1|2)>2,2", (FORMAT.hex().encode(), b"0", b""), GOOD.hex().encode(), GATED.hex().encode()),
    ),
    window=WINDOW,
)


@pytest.mark.parametrize("length", [0, 3 * WINDOW])
@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ((), []),
        ((b"ab", b"fhi"), ["Row"]),
        ((b"cd~e", b"ghi"), ["Row"]),
        ((b"cd~f", b"ghi"), []),
        ((b"ab", b"xhi"), []),
        ((b"qt",), ["Wide"]),
        ((b"q\0t\0",), ["Wide"]),
        ((b"q\0t",), []),
        ((b"k1", b"K1"), ["Capitals"]),
        ((b"K1",), []),
        ((b"01..23", b"45"), ["Far"]),
        ((b"45", b"01..23"), []),
        ((b"01.23", b"45"), []),
        ((b"$$",), ["Absent"]),
        ((b"$$", b"##"), []),
        ((GOOD,), ["Rare"]),
        ((GATED,), ["Either", "Rare"]),
        ((GATED, GOOD), ["Either", "Rare", "Several"]),
        ((GATED, GATED), ["Either", "Rare", "Several"]),
    ],
)
def test_what_many_files_have_in_common_decides_nothing(
    length: int, pieces: tuple[bytes, ...], expected: list[str]
) -> None:
    for blanks in (b"  ", b" " * 61):
        data = FORMAT + blanks + blanks.join(pieces) + blanks
        assert sorted(names(LIKELY.scan(data + b" " * length, all_match=True))) == sorted(expected)


def test_what_waits_may_be_everywhere() -> None:
    body = b"ab" * 1500  # each of them begins a match, and each is looked at
    assert names(LIKELY.scan(FORMAT + body + b"ghi")) == ["Row"]
    assert names(LIKELY.scan(FORMAT + body + b"gh")) == []
    assert names(LIKELY.scan(FORMAT + b"01" * 1900 + b"23..45")) == ["Far"]
    assert names(LIKELY.scan(FORMAT + b"01" * 1900 + b"32..45")) == []

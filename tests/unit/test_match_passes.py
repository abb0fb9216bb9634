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

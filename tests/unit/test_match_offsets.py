"""Offsets that count from an entry point, a section or version information: where they hold, and where just not."""

from __future__ import annotations

import pytest

from tests.support import headers
from tests.support.matching import image, names, segment

ALPHA, BRAVO, CHARLIE = (
    headers.marked(mark, size) for mark, size in [(b"ALPHA", 0x250), (b"BRAVO", 0x180), (b"CHARL", 0x200)]
)
RESOURCES = headers.version({b"CompanyName": b"Kilo", b"Comment": b"none"}, headers.PAGE * 4)

PE = headers.pe([ALPHA, BRAVO, CHARLIE, RESOURCES], entry=0x10, resources=3)
ELF = headers.elf([ALPHA, BRAVO, CHARLIE], entry=0x10)
MACHO = headers.macho([ALPHA, BRAVO, CHARLIE], entry=0x10)
TARGETS = {"pe": (1, PE), "elf": (6, ELF), "macho": (9, MACHO)}


def wide(word: str) -> bytes:
    return word.encode("utf-16-le")


def found(target: int, data: bytes, pattern: bytes, offset: bytes) -> bool:
    return names(image(segment((b"Hit", None, (pattern, offset, b""), {"target": target}))).scan(data)) == ["Hit"]


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize(
    ("word", "offset", "near"),
    [
        (b"ALPHA", b"EP-16", b"EP-15"),
        (b"ALPHA", b"EP-16", b"EP+16"),
        (b"ALPHA", b"EP-20,4", b"EP-20,3"),
        (b"ALPHA", b"S0+0", b"S0+1"),
        (b"ALPHA", b"S0+528", b"S0+527"),
        (b"BRAVO", b"S1+0", b"S0+0"),
        (b"BRAVO", b"S1+300,20", b"S1+300,19"),
        (b"BRAVO", b"SE1", b"SE2"),
        (b"BRAVO", b"SE0", b"S0+0"),  # what begins at a section's end counts as in it
        (b"BRAVO", b"SE1", b"SE9"),
        (b"CHARL", b"S2+448", b"SE0"),
    ],
)
def test_a_pattern_matches_at_its_offset_and_not_beside_it(name, word, offset, near):
    target, data = TARGETS[name]
    assert found(target, data, word.hex().encode(), offset)
    assert not found(target, data, word.hex().encode(), near)


@pytest.mark.parametrize("name", ["elf", "macho"])
def test_the_last_section_is_the_last_that_the_headers_name(name):
    target, data = TARGETS[name]
    assert found(target, data, b"CHARL".hex().encode(), b"SL+0")
    assert found(target, data, b"CHARL".hex().encode(), b"SL+448")
    assert not found(target, data, b"CHARL".hex().encode(), b"SL+447")
    assert not found(target, data, b"BRAVO".hex().encode(), b"SL+0")


def test_version_information_is_where_its_strings_begin():
    for word in ("CompanyName", "Comment"):
        assert found(1, PE, wide(word).hex().encode(), b"VI")
    assert not found(1, PE, wide("ompanyName").hex().encode(), b"VI")
    assert not found(1, PE, wide("Kilo").hex().encode(), b"VI")
    assert not found(1, headers.pe([ALPHA, RESOURCES]), wide("CompanyName").hex().encode(), b"VI")


def test_pieces_behind_the_first_may_lie_anywhere():
    pattern = b"ALPHA".hex().encode() + b"*" + b"BRAVO".hex().encode()
    assert found(1, PE, pattern, b"EP-16")
    assert not found(1, PE, pattern, b"EP-15")


@pytest.mark.parametrize("offset", [b"EP+0", b"EP-16", b"S0+0", b"SL+0", b"SE0", b"VI", b"EOF-64"])
def test_nothing_is_counted_in_a_file_whose_headers_cannot_be_read(offset):
    broken = PE.replace(b"PE\0\0", b"PX\0\0", 1)
    assert not found(1, broken, b"ALPHA".hex().encode(), offset)


def test_the_end_of_a_file_without_headers_is_known_for_any_other_format():
    data = b"\0\1\2" + ALPHA
    assert found(0, data, b"ALPHA".hex().encode(), b"EOF-64")
    assert found(1, PE + ALPHA, b"ALPHA".hex().encode(), b"EOF-64")
    assert not found(0, b"MZ" + bytes(64) + ALPHA, b"ALPHA".hex().encode(), b"EOF-64")


def test_an_empty_number_is_0():
    assert found(1, headers.pe([ALPHA], entry=0), b"ALPHA".hex().encode(), b"EP+")
    assert found(0, b"ALPHA", b"ALPHA".hex().encode(), b"")
    assert not found(0, b" ALPHA", b"ALPHA".hex().encode(), b"")


def test_an_offset_before_the_file_is_nowhere():
    assert not found(1, headers.pe([ALPHA], entry=0), b"ALPHA".hex().encode(), b"EP-1025")
    assert not found(1, headers.pe([ALPHA], entry=0), b"ALPHA".hex().encode(), b"EP-4000000")


@pytest.mark.parametrize("window", [64, 100, 1000])
def test_the_size_of_the_window_does_not_matter(window):
    part = segment(
        (b"Entry", None, (b"ALPHA".hex().encode(), b"EP-16", b""), {"target": 1}),
        (b"Far", None, (b"ALPHA".hex().encode() + b"{1-600}" + b"ALPHA".hex().encode(), b"SE0", b""), {"target": 1}),
    )
    assert names(image(part, window=window).scan(PE, all_match=True)) == ["Entry", "Far"]

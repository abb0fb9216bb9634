"""Pictures: when a signature of what one looks like is asked, and what cannot be answered here."""

from __future__ import annotations

import pytest

from kavfs._native.match import SegmentBuilder
from kavfs.signatures.ldb import read_ldb
from kavfs.signatures.lines import Tally
from tests.support.matching import image, names
from tests.support.pictures import png

PICTURE = png(32, 32, kind=0)


def find(data: bytes, *lines: str) -> list[str]:
    builder, tally = SegmentBuilder(b"a.ldb", bytes(32), True), Tally()
    read_ldb("".join(f"{line}\n" for line in lines).encode(), builder, tally)
    assert tally.reasons == {}
    return names(image(builder.finish()).scan(data, all_match=True))


def test_what_is_no_picture_matches_nothing() -> None:
    any_hash = "P;Target:{};0;fuzzy_img#0000000000000000"
    cut = (PICTURE[:60], PICTURE[:-30], b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0" + bytes(90))
    for data in (b"", b"text", *cut, b"GIF89a"):
        assert find(data, any_hash.format(0), any_hash.format(5)) == []


@pytest.mark.parametrize("digits", ["0" * 15, "0" * 15 + "g", "0" * 17, "0" * 16 + "#1", "0" * 16 + "x"])
def test_hashes_that_are_none_are_rejected(digits: str) -> None:
    builder, tally = SegmentBuilder(b"a.ldb", bytes(32), True), Tally()
    read_ldb(f"P;Target:5;0;fuzzy_img#{digits}\n".encode(), builder, tally)
    assert tally.reasons == {"malformed fuzzy image hash": 1}

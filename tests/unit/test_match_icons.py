"""Icon signatures: groups that logical signatures name, and when an icon counts."""

from __future__ import annotations

import struct

import pytest

from kavfs._native import match
from kavfs.signatures.cdb import Rows
from kavfs.signatures.idb import read_idb
from kavfs.signatures.ldb import read_ldb
from kavfs.signatures.lines import Tally
from tests.support.icons import icon, program_with, shapes
from tests.support.matching import image, names

SQUARE = icon(32, 32, 24, lambda x, y: (255, 0, 0, 255) if x < 16 and y < 16 else (0, 0, 0, 255))
LINE = "Engine:51-255,{},Target:1;0;0:4d5a"

# A red square of 16 in the upper left corner of a black icon of 32, measured by hand: windows of 8 that do not overlap
# and lie wholly in the square begin at 0 and 8; a quarter of the area is coloured, all of it red.
RED = "".join([
    "20",
    "fe80000", "fe80800", "fe80008",  # the square root of 255 to the power of 3 is 4072
    "0001000", "0001008", "0001010",
    "ff0000", "ff0800", "ff0008",
    "001000", "001008", "001010",
    "{edges}", "{even}",
    "64000019",
])  # fmt: skip


def idb(*lines: str) -> bytes:
    rows, tally = Rows(), Tally()
    read_idb("".join(f"{line}\n" for line in lines).encode(), rows, tally)
    assert tally.reasons == {}
    return match.build_listed("icons", b"".join(rows.rows), bytes(rows.text), database=b"a.idb", digest=bytes(32))


def ldb(*attributes: str) -> bytes:
    builder, tally = match.SegmentBuilder(b"a.ldb", bytes(32), True), Tally()
    read_ldb("".join(f"{a};{LINE.format(a)}\n" for a in attributes).encode(), builder, tally)
    assert tally.reasons == {}
    return builder.finish()


def red() -> str:
    """Edges run along the lower and right side of the square, at 15 and 16."""
    return RED.format(edges="800d00800d08800d10", even="000000001000001008")


def find(data: bytes, icons: list[str], *attributes: str, ignored: tuple[bytes, ...] = ()) -> list[str]:
    parts = [idb(*icons)] if icons else []
    if ignored:
        parts.append(match.build_ignore(ignored))
    return sorted(names(image(*parts, ldb(*attributes)).scan(data, all_match=True)))


def test_an_icon_is_found_by_the_groups_that_it_is_in() -> None:
    icons = [f"Some:One:Two:{red()}"]
    data = program_with([SQUARE])
    found = find(
        data, icons, "IconGroup1:One", "IconGroup2:Two", "IconGroup1:One,IconGroup2:Two", "IconGroup1:*",
        "IconGroup1:Two", "IconGroup2:One", "IconGroup1:One,IconGroup2:Three", "IconGroup1:",
    )  # fmt: skip
    assert found == ["IconGroup1:*", "IconGroup1:One", "IconGroup1:One,IconGroup2:Two", "IconGroup2:Two"]


def test_another_icon_is_not_found() -> None:
    icons = [f"Some:One:Two:{red()}"]
    assert find(program_with([icon(32, 32, 24, shapes(3))]), icons, "IconGroup1:One") == []
    assert find(program_with([icon(16, 16, 24, shapes(3)), SQUARE]), icons, "IconGroup1:One") == ["IconGroup1:One"]


def test_a_size_is_compared_with_its_own_size_only() -> None:
    small = red().replace("20", "18", 1).replace("1010", "0f0f")
    assert find(program_with([SQUARE]), [f"Some:One:Two:{small}"], "IconGroup1:One") == []


def test_without_icon_signatures_no_icon_is_right() -> None:
    assert find(program_with([SQUARE]), [], "IconGroup1:*", "IconGroup2:*") == []


def test_libraries_and_what_is_no_program_have_no_icons() -> None:
    icons = [f"Some:One:Two:{red()}"]
    data = bytearray(program_with([SQUARE]))
    flags = struct.unpack_from("<I", data, 60)[0] + 22
    data[flags + 1] |= 0x20  # a DLL
    assert find(bytes(data), icons, "IconGroup1:One") == []
    assert find(b"MZ" + SQUARE, icons, "IconGroup1:One") == []


def test_an_ignored_icon_lifts_a_match() -> None:
    icons, data = [f"Some:One:Two:{red()}"], program_with([SQUARE])
    parts = [idb(*icons), match.build_ignore([b"Some"]), ldb("IconGroup1:One")]
    found = image(*parts).scan(data, all_match=True)
    assert (names(found), bool(found.suppressed)) == ([], True)
    assert find(data, icons, "IconGroup1:One", ignored=(b"Other",)) == ["IconGroup1:One"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("N:A:B:" + red(), None),
        ("N:A:B:" + red().upper(), None),
        ("N:A:" + red(), "wrong number of fields"),
        ("N:A:B:" + red() + ":", "wrong number of fields"),
        ("N:A:B:" + red()[:-1], "wrong length of an icon's hash"),
        ("N:A:B:" + red()[:-1] + "g", "malformed hex"),
        ("N:A:B:21" + red()[2:], "size that no icon has"),
        ("N:A:B:20fe90000" + red()[9:], "spot outside of the icon"),
        ("N:A:B:20fe81d00" + red()[9:], "spot outside of the icon"),
        ("N:A:B:20fe81c00" + red()[9:], None),
        ("N:A:B:" + red()[:-8] + "22222464", "impossible shares of colours"),
        ("N:A:B:" + red()[:-8] + "22222364", None),
        ("N:A:B:" + red()[:-2] + "65", "impossible shares of colours"),
    ],
)
def test_lines(line: str, reason: str | None) -> None:
    rows, tally = Rows(), Tally()
    read_idb(line.encode(), rows, tally)
    assert (next(iter(tally.reasons), None), len(rows.rows)) == (reason, 0 if reason else 1)


def test_rows_that_point_outside_make_no_image() -> None:
    rows, tally = Rows(), Tally()
    read_idb(f"Some:One:Two:{red()}".encode(), rows, tally)
    part = match.build_listed("icons", rows.rows[0], bytes(rows.text)[:-1], database=b"a.idb", digest=bytes(32))
    with pytest.raises(match.ImageDamaged):
        image(part, ldb("IconGroup1:One"))

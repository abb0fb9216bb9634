"""Pictures: when a signature of what one looks like is asked, and what cannot be answered here."""

from __future__ import annotations

import math
from statistics import median

import pytest

from kavfs._native.match import SegmentBuilder
from kavfs.signatures.ldb import read_ldb
from kavfs.signatures.lines import Tally
from tests.support.matching import image, names
from tests.support.pictures import Pixels, bmp, gif, others, png, tiff

PICTURE = png(32, 32, kind=0)


def find(data: bytes, *lines: str) -> list[str]:
    builder, tally = SegmentBuilder(b"a.ldb", bytes(32), True), Tally()
    read_ldb("".join(f"{line}\n" for line in lines).encode(), builder, tally)
    assert tally.reasons == {}
    return names(image(builder.finish()).scan(data, all_match=True))


SIDE = 32
PATTERN = [[255 * (x * x + 3 * y * y + x * y < 900 or 20 < x < y) for x in range(SIDE)] for y in range(SIDE)]


def hash_of(gray: list[list[int]]) -> str:
    """What a picture of 32 by 32 looks like: its lowest frequencies, each above their median or not."""

    def frequencies(line: list[float]) -> list[float]:
        return [sum(v * math.cos(math.pi / SIDE * (i + 0.5) * k) for i, v in enumerate(line)) for k in range(8)]

    across = [frequencies([value / 255 for value in line]) for line in gray]
    down = [frequencies([line[k] for line in across]) for k in range(8)]
    low = [down[u][v] for v in range(8) for u in range(8)]
    return f"{int(''.join(str(int(one > median(low))) for one in low), 2):016x}"


def shown(gray: list[list[int]]) -> Pixels:
    return [[(value, value, value) for value in line] for line in gray]


def looks_like(data: bytes, gray: list[list[int]]) -> bool:
    return find(data, f"P;Target:5;0;fuzzy_img#{hash_of(gray)}") == ["P"]


KINDS = others(shown(PATTERN))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_is_read(kind: str) -> None:
    data, near = KINDS[kind], [line[::-1] for line in PATTERN]
    assert looks_like(data, PATTERN)
    assert not looks_like(data, near)
    assert not looks_like(data[: len(data) // 2], PATTERN)


def test_the_frame_of_a_gif_lies_somewhere_on_its_screen() -> None:
    part = shown([line[:20] for line in PATTERN[:18]])
    lying = [[0] * SIDE for _ in range(SIDE)]
    for y, line in enumerate(PATTERN[:18]):
        lying[y + 7][9:29] = line[:20]
    assert looks_like(gif(part, screen=(SIDE, SIDE), at=(9, 7)), lying)
    wide = [[*line, 255, 0, 255] for line in PATTERN] + [[255] * (SIDE + 3)]
    assert looks_like(gif(shown(wide), screen=(SIDE, SIDE)), PATTERN)
    assert not looks_like(gif(part, screen=(SIDE, SIDE), at=(40, 0)), lying)


@pytest.mark.parametrize("side", [0x10000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_sizes_that_lie(side: int) -> None:
    """Too large to be decoded, or nonsense; the bytes behind are those of a small one."""
    small = shown(PATTERN)
    bitmap, picture = bytearray(bmp(small)), bytearray(tiff(small))
    bitmap[18:22] = side.to_bytes(4, "little")
    at = picture.index((257).to_bytes(2, "little") + b"\3\0\1\0\0\0")
    picture[at + 2 : at + 12] = b"\4\0\1\0\0\0" + side.to_bytes(4, "little")
    for data in (bytes(bitmap), bytes(picture)):
        assert not looks_like(data, PATTERN)
    screen = gif(small)
    assert not looks_like(screen[:6] + b"\xff" * 4 + screen[10:], PATTERN)


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

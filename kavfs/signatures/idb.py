"""Reader of icon signatures: ``Name:Group1:Group2:Hash``, one on each line.

The hash is 124 hexadecimal digits: the side of the icon (10, 18 or 20), three spots each that are coloured, gray (mean
of three digits, place of two and two), bright, dark, full of edges and even (mean and place of two each), then the
shares of red, green and blue and of coloured pixels in per cent.
"""

from __future__ import annotations

import struct

from kavfs.signatures.cdb import Rows
from kavfs.signatures.lines import Rejected, Tally, read_lines

ROW = struct.Struct("=5B3x" + "HBB" * 18 + "7I")  # kav_icon_signature in ext/match/format.h
DIGITS = 124
SIDES = (16, 24, 32)
COLOUR_MAX = 4072
SHARES_MAX = 103  # per cent, rounded each


def read_idb(text: bytes, rows: Rows, tally: Tally) -> None:
    def take(line: bytes, row: int) -> None:
        fields = line.rstrip().split(b":")
        if len(fields) != 4:
            raise Rejected("wrong number of fields")
        name, group1, group2, digits = fields
        side, spots, shares = _read_hash(digits)
        words = [rows.keep(word) for word in (name, group1, group2)]
        groups = (words[1][0], words[2][0], words[1][1], words[2][1])
        rows.rows.append(ROW.pack(side, *shares, *spots, row, *words[0], *groups))

    read_lines(text, take, tally)


def _read_hash(digits: bytes) -> tuple[int, list[int], list[int]]:
    """(side, mean, x, y of each spot, shares)."""
    if len(digits) != DIGITS:
        raise Rejected("wrong length of an icon's hash")
    if not all(digit in b"0123456789abcdefABCDEF" for digit in digits):
        raise Rejected("malformed hex")
    widths = [2, *[3, 2, 2] * 6, *[2, 2, 2] * 12, *[2] * 4]
    numbers, at = [], 0
    for width in widths:
        numbers.append(int(digits[at : at + width], 16))
        at += width
    side, spots, shares = numbers[0], numbers[1:-4], numbers[-4:]
    if side not in SIDES:
        raise Rejected("size that no icon has")
    places = [place for i in range(0, len(spots), 3) for place in spots[i + 1 : i + 3]]
    if max(places) > side - side // 8 or max(spots[:18:3]) > COLOUR_MAX:
        raise Rejected("spot outside of the icon")
    if sum(shares[:3]) > SHARES_MAX or shares[3] > 100:
        raise Rejected("impossible shares of colours")
    return side, spots, shares

"""Readers of database lines against broken lines: what cannot be taken is counted, and nothing worse happens."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from kavfs._native.match import SegmentBuilder, part_is_whole
from kavfs.signatures.ldb import read_ldb
from kavfs.signatures.lines import Tally
from kavfs.signatures.ndb import read_db, read_ndb

LOGICAL = (
    rb"A;Engine:51-255,Target:1,FileSize:10-200,EntryPoint:1-9,NumberOfSections:2-3;(0&1)>1,2|(2=0);EP+1,5:4d5a??(61|62)"
    rb"{2-4}6364;S1+2:aabb*bbcc[1-4]cc;616263646566::iwfa",
    rb"B;Engine:81-255,Target:0,Container:CL_TYPE_ZIP,Intermediates:CL_TYPE_ZIP>CL_TYPE_ANY;0&1&2;646566616263;0/ab+(c|d)"
    rb"[e-f]/isme;1(>>4#he2#>10,<32)",
    rb"C;Engine:51-255,Target:3,FileSize:5-90;0&1;6162636465;${2-9}1$",
)
BODIES = (
    b"N-1:0:*:616263646566??{4-}6768:51:255",
    b"N-2:1:EP-10,4:(61|62|63)!(64|65)(B)4d5a(L)[2-3]90",
    b"N:9:VI:0041",
)
OLDEST = (b"Old=616263646566*676869", b"Other (Clam)=4d5a909090909090")
SPECIAL = rb";:;:;:=/()[]{}<>&|!?*#$,-+0123456789abcdefEPSLVI\^\"" + b"\0\xff\n\r "


def damaged(line: bytes, dice: random.Random) -> bytes:
    data = bytearray(line)
    for _ in range(dice.choice((1, 1, 2, 4, 12))):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(4):
            case 0:
                data[at:at] = bytes([dice.choice(SPECIAL)])
            case 1:
                del data[at : at + dice.choice((1, 1, 3, 20))]
            case 2:
                data[at : at + 1] = bytes([dice.choice(SPECIAL)])
            case _:
                start = dice.randrange(len(data) + 1)
                data[at:at] = data[start : start + dice.randrange(24)] * dice.choice((1, 1, 1, 40))
    return bytes(data)


@pytest.mark.parametrize(
    ("reader", "lines"), [(read_ldb, LOGICAL), (read_ndb, BODIES), (read_db, OLDEST)], ids=["ldb", "ndb", "db"]
)
def test_no_broken_line_harms_a_reader(
    reader: Callable[[bytes, SegmentBuilder, Tally], None], lines: tuple[bytes, ...]
) -> None:
    dice = random.Random(20)
    taken = refused = 0
    for _ in range(40):
        text = b"\n".join(damaged(dice.choice(lines), dice) for _ in range(25))
        builder, tally = SegmentBuilder(b"broken.ldb", bytes(32)), Tally()
        reader(text, builder, tally)
        taken += tally.taken
        refused += sum(tally.reasons.values())
        assert builder.signature_count == tally.taken
        assert part_is_whole(builder.finish())
    assert taken > 20
    assert refused > 50

"""Breaking: a seed changed as parsers do not expect it; the same for the same dice."""

from __future__ import annotations

import random
from collections.abc import Sequence

NUMBERS = (b"\0", b"\xff", b"\0\0", b"\xff\xff", bytes(4), b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff" * 8)
STEPS = (1, 1, 1, 2, 3, 8)
REACHES = (64, 600, 5000, 1 << 30)  # most headers stand at the front or at the end


def broken(seed: bytes, dice: random.Random, words: Sequence[bytes] = ()) -> bytes:
    data = bytearray(seed)
    for _ in range(dice.choice(STEPS)):
        _break(data, dice, words)
    return bytes(data)


def _place(data: bytearray, dice: random.Random) -> int:
    reach = min(len(data), dice.choice(REACHES))
    at = dice.randrange(reach + 1)
    return len(data) - at if dice.random() < 0.4 else at


def _break(data: bytearray, dice: random.Random, words: Sequence[bytes]) -> None:
    at = _place(data, dice)
    match dice.randrange(8):
        case 0 | 1:
            if at < len(data):
                data[at] ^= 1 << dice.randrange(8)
        case 2:
            data[at : at + 1] = bytes([dice.randrange(256)])
        case 3:
            new = dice.choice(NUMBERS)
            data[at : at + len(new)] = new
        case 4:
            del data[at : at + dice.choice((1, 2, 4, 16, 200, 1 << 30))]
        case 5:
            start = _place(data, dice)
            data[at:at] = data[start : start + dice.choice((1, 4, 30, 600))] * dice.choice((1, 1, 1, 20))
        case 6:
            small = int.from_bytes(data[at : at + 4], "little") + dice.choice((-9, -1, 1, 2, 9))
            data[at : at + 4] = (small & 0xFFFFFFFF).to_bytes(4, "little")
        case _:
            new = dice.choice(words) if words else dice.choice(NUMBERS)
            data[at : at + dice.choice((0, 0, len(new)))] = new

"""Icons made by hand, and PE files that hold them."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

from tests.support.executables import ALIGNMENT, DATA, Part, pe

ICON, GROUP = 3, 14
Painter = Callable[[int, int], tuple[int, int, int, int]]  # red, green, blue, alpha of a pixel

PALETTE = [(i * 37 & 255, i * 91 & 255, i * 53 & 255) for i in range(256)]


def shapes(seed: int) -> Painter:
    """A few coloured rectangles on a light ground, as icons are."""
    rng = random.Random(seed)
    boxes = [
        ([rng.randrange(40) for _ in range(4)], tuple(rng.randrange(256) for _ in range(3)), rng.choice([255, 255, 90]))
        for _ in range(9)
    ]

    def paint(x: int, y: int) -> tuple[int, int, int, int]:
        colour, alpha = (230, 230, 235), 255 if (x + y) % 7 else 0
        for (left, top, width, height), fill, opaque in boxes:
            if left <= x % 48 < left + width and top <= y % 48 < top + height:
                colour, alpha = fill, opaque
        return (*colour, alpha)

    return paint


def gray(seed: int) -> Painter:
    """Something without colour."""
    rng = random.Random(seed)
    levels = [rng.randrange(256) for _ in range(64)]
    return lambda x, y: (*[levels[(x // 3 % 8) * 8 + y // 4 % 8]] * 3, 255)


def flat(red: int, green: int, blue: int) -> Painter:
    return lambda x, y: (red, green, blue, 255)


def icon(width: int, height: int, depth: int, paint: Painter, *, header: int = 40, mask: bool = True) -> bytes:
    """A bitmap as it stands in a resource. Up to 8 bits: indices into a palette, by the pixel's brightness."""
    lines = []
    for y in reversed(range(height)):
        bits = 0
        for x in range(width):
            red, green, blue, alpha = paint(x, y)
            if depth == 32:
                value = struct.unpack(">I", bytes([blue, green, red, alpha]))[0]
            elif depth == 24:
                value = blue << 16 | green << 8 | red
            elif depth == 16:
                word = (red >> 3) << 10 | (green >> 3) << 5 | blue >> 3
                value = (word & 255) << 8 | word >> 8
            else:
                value = (red + 3 * green + 5 * blue) % (1 << depth)
            bits = bits << depth | value
        used = width * depth
        lines.append((bits << (-used % 32)).to_bytes((used + 31) // 32 * 4, "big"))
    if mask:
        for y in reversed(range(height)):
            bits = int("".join("0" if paint(x, y)[3] else "1" for x in range(width)), 2)
            lines.append((bits << (-width % 32)).to_bytes((width + 31) // 32 * 4, "big"))
    colours = b"".join(struct.pack("<4B", b, g, r, 0) for r, g, b in PALETTE[: 1 << depth]) if depth <= 8 else b""
    head = struct.pack("<3I2H6I", header, width, 2 * height, 1, depth, 0, 0, 0, 0, 0, 0)
    return head.ljust(header, b"\0") + colours + b"".join(lines)


def resources(at: int, tree: dict[int, dict[int, list[bytes]]]) -> bytes:
    """A section of resources at a relative address: type -> number -> contents by language."""
    directory, entries, contents = 16, 8, b""
    count = sum(len(languages) for numbers in tree.values() for languages in numbers.values())
    names = sum(directory + entries * len(numbers) for numbers in tree.values())
    languages_at = directory + entries * len(tree) + names
    data_at = languages_at + sum(
        directory + entries * len(languages) for numbers in tree.values() for languages in numbers.values()
    )
    contents_at = data_at + 16 * count
    head = [bytes(12) + struct.pack("<HH", 0, len(tree))]
    second, third, leaves = b"", b"", b""
    for kind, numbers in tree.items():
        place = directory + entries * len(tree) + len(second)
        head.append(struct.pack("<II", kind, 1 << 31 | place))
        second += bytes(12) + struct.pack("<HH", 0, len(numbers))
        for number, languages in numbers.items():
            second += struct.pack("<II", number, 1 << 31 | languages_at + len(third))
            third += bytes(12) + struct.pack("<HH", 0, len(languages))
            for language, content in enumerate(languages, 1033):
                third += struct.pack("<II", language, data_at + len(leaves))
                leaves += struct.pack("<4I", at + contents_at + len(contents), len(content), 0, 0)
                contents += content + bytes(-len(content) % 4)
    return b"".join(head) + second + third + leaves + contents


def group(numbers: Sequence[int]) -> bytes:
    """What names the icons of one group; sizes and depths in it say nothing."""
    rows = b"".join(struct.pack("<4BHHIH", 32, 32, 0, 0, 1, 32, 0, number) for number in numbers)
    return struct.pack("<HHH", 0, 1, len(numbers)) + rows


def program(tree: dict[int, dict[int, list[bytes]]], more: bytes = b"") -> bytes:
    """A PE file with these resources."""
    code = Part(b".text", b"\x90" * 64 + more)
    at = ALIGNMENT * 2
    section = resources(at, tree)
    return pe((code, Part(b".rsrc", section, DATA)), directories={2: (at, len(section))})


def program_with(icons: Sequence[bytes], more: bytes = b"") -> bytes:
    """A PE file with one group of icons."""
    numbers = range(1, len(icons) + 1)
    return program({ICON: {n: [icons[n - 1]] for n in numbers}, GROUP: {101: [group(numbers)]}}, more)

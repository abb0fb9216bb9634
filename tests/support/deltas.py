"""Deltas as tests look at them: what an image says is new, by the names of what it would match, and its table."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from kavfs._native import basics, cache, match
from kavfs.ports import Delta
from kavfs.signatures.image import Image, open_image
from tests.support.databases import write

HEAD = struct.Struct("=8sIIQ40x")  # ext/cache/delta.h
ROW = struct.Struct("=16sHHIII8Q")


@dataclass(frozen=True)
class Line:
    """One row of the table: which targets, whether in full, and the names in its hash sets."""

    generation: bytes
    targets: int
    full: bool
    sets: tuple[bytes, ...]

    @property
    def hashes(self) -> set[str]:
        return {name.decode() for data in self.sets for i in range(len(basics.HashSet(data)))
                for name, _ in [basics.HashSet(data).at(i)]}  # fmt: skip


def opened(folder: Path, state: Path, **files: str) -> Image:
    """The image of a folder that holds just these database files."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    write(folder, **files)
    return open_image([folder], state)


def generation(folder: Path, state: Path, **files: str) -> bytes:
    """Make a generation of these files and forget the image."""
    with opened(folder, state, **files) as image:
        return image.generation


def delta_to(image: Image, generation: bytes) -> Delta | None:
    return next((delta for delta in image.deltas if delta.generation == generation), None)


def row_to(image: Image, generation: bytes) -> Line | None:
    return next((row for row in table(image) if row.generation == generation), None)


def names(delta: Delta) -> set[str]:
    """Everything that the delta's image can find, without .UNOFFICIAL."""
    found: set[str] = set()
    for part in delta.parts:
        with mmap.mmap(part.fd, part.length, access=mmap.ACCESS_READ, offset=part.offset) as data:
            if match.part_kind(data) != "group":
                found.update(name.removesuffix(".UNOFFICIAL") for name in list(match.part_names(data)))
    return found


def scan(delta: Delta, data: bytes) -> set[bytes]:
    """What the delta's image finds in some bytes."""
    image = match.Image([(part.fd, part.offset, part.length) for part in delta.parts])
    return {name.removesuffix(b".UNOFFICIAL") for name in image.scan(data, all_match=True).names}


def table(image: Image) -> list[Line]:
    """The rows of the table, everything about their layout checked."""
    data = image.delta_table
    if not data:
        return []
    cache.DeltaTable(data)  # whoever uses it checks it too
    magic, version, count, length = HEAD.unpack_from(data)
    assert (magic, version, length) == (b"KAVDELT\0", 1, len(data))
    rows = []
    for i in range(count):
        generation, targets, zero, flags, sets, zero2, *places = ROW.unpack_from(data, HEAD.size + i * ROW.size)
        assert (zero, zero2) == (0, 0)
        assert places[2 * sets :] == [0] * (8 - 2 * sets)
        stretches = list(zip(places[0 : 2 * sets : 2], places[1 : 2 * sets : 2], strict=True))
        assert all(at % 64 == 0 and at >= HEAD.size + count * ROW.size and at + n <= length for at, n in stretches)
        rows.append(Line(generation, targets, bool(flags & 1), tuple(data[at : at + n] for at, n in stretches)))
    assert [row.generation for row in rows] == sorted(row.generation for row in rows)
    assert [row.generation for row in rows] == [delta.generation for delta in image.deltas]
    return rows

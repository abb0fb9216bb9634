"""Metadata: files that exist only as numbers: what a store is asked about, as many as one likes, made without a disk.

Directories come in chunks. Times, sizes and types of a chunk's files are drawn once from a seed and used again in every
chunk; inodes and places are its own, and these are all that a store finds a file by. Columns of bytes are put into the
packed records at once, so that making ten million files takes a second and not a minute.
"""

from __future__ import annotations

import math
import random
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from kavfs._native import cache

SEED = 20261122
CHUNK = 50_000  # files, about
EVEN = 50  # files in a directory
MOST = 10_000  # in the mixed layout
FACT = struct.Struct(cache.PACKED_FACT)
IDENTITY = struct.Struct("=QQqqq")  # kav_identity
IDENTITY_AT = 24  # of the identity in a packed fact: behind place and file system
FILE_SYSTEM = 7
FS = bytes(range(16))
SECRET = bytes(range(32))
SETTINGS = bytes(16)
DAY = 86400 * 10**9
NEWEST = 1_700_000_000 * 10**9  # nanoseconds since 1970: no file is newer
LAYOUTS = ("even", "mixed")


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory: its numbers, its place in a store, and where its files lie in the chunk."""

    ino: int
    btime_ns: int
    place: bytes
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Chunk:
    directories: list[Directory]
    facts: bytearray  # as Memory.add_many takes them
    identities: memoryview  # as Lookup.count takes them


def chunks(files: int, layout: str) -> Iterator[Chunk]:
    """About *files* files in directories of this layout; the same for the same numbers."""
    rnd = random.Random(SEED)
    facts, identities = _template(rnd, CHUNK + MOST)
    serial = 1
    while files > 0:
        counts = _counts(rnd, min(files, CHUNK), layout)
        total = sum(counts)
        yield _chunk(serial, counts, facts[: total * FACT.size], identities[: total * IDENTITY.size])
        serial += total + len(counts)
        files -= total


def _counts(rnd: random.Random, files: int, layout: str) -> list[int]:
    """How many files each directory of a chunk has."""
    counts, left = [], files
    while left > 0:
        count = EVEN if layout == "even" else round(math.exp(rnd.uniform(0, math.log(MOST))))
        counts.append(min(count, left))
        left -= counts[-1]
    return counts


def _template(rnd: random.Random, count: int) -> tuple[bytearray, bytearray]:
    """Clean, plain facts and their identities; places and inodes are empty."""
    facts = bytearray()
    for _ in range(count):
        target = rnd.choice((0, 1, 3, 6, 7))
        size = round(math.exp(rnd.uniform(math.log(100), math.log(1 << 20))))
        ctime = NEWEST - rnd.randrange(1000 * DAY)
        mtime = ctime - rnd.randrange(DAY)
        numbers = (0, size, mtime, ctime, mtime, 0, 0, 1, 1 << target, 0, target, 0, 0)
        facts += FACT.pack(bytes(16), FILE_SYSTEM, *numbers)
    identities = bytearray(count * IDENTITY.size)
    for column in range(8, IDENTITY.size):
        identities[column :: IDENTITY.size] = facts[IDENTITY_AT + column :: FACT.size]
    return facts, identities


def _chunk(serial: int, counts: list[int], facts: bytearray, identities: bytearray) -> Chunk:
    directories, inodes, places, first = [], array("Q"), bytearray(), 0
    for count in counts:
        place = cache.place(SECRET, FS, serial, NEWEST, SETTINGS)
        directories.append(Directory(serial, NEWEST, place, first, count))
        inodes.extend(range(serial + 1, serial + 1 + count))
        places += place * count
        serial += count + 1
        first += count
    numbers = inodes.tobytes()
    for column in range(8):
        facts[IDENTITY_AT + column :: FACT.size] = numbers[column::8]
        identities[column :: IDENTITY.size] = numbers[column::8]
    for column in range(16):
        facts[column :: FACT.size] = places[column::16]
    return Chunk(directories, facts, memoryview(identities))

"""Stores of facts for tests: a folder with one file, what goes into it, and delta tables."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kavfs._native import basics, cache

SECRET = bytes(range(32))
NOW = b"generation now.."
FS = b"a file system..."
SETTINGS = b"these settings.."
START = 1_700_000_000_000_000_000  # when the scan began, ns
OLD = START - 10**15  # stamps of files that nobody has touched for long
DEVICE = 7

ORDER = {"md5": (1, 16), "sha1": (2, 20), "sha256": (4, 32)}


def identity(ino: int, **changed: int) -> cache.Identity:
    """What the file with this inode number looks like, but for *changed*."""
    return cache.Identity(ino, ino * 10, OLD + ino, OLD + 2 * ino, OLD - ino)._replace(**changed)


def fact(ino: int, *, changed: dict[str, int] | None = None, extra: bytes | None = None, **more: int) -> cache.Fact:
    """A clean, plain file's fact, but for *changed* of its identity and *more*."""
    return cache.Fact(identity(ino, **(changed or {})), extra=extra)._replace(**more)


def layer(size: int, **digests: bytes) -> bytes:
    have = sum(ORDER[name][0] for name in digests)
    body = b"".join(digests[name] for name in ORDER if name in digests)
    return struct.pack("=QBBHI", size, have, 0, 0, 0) + body + bytes(-len(body) % 8)


def extra(*, notes: Sequence[bytes] = (), layers: Sequence[bytes] = (), members: int = 0) -> bytes:
    """An extra: the notes are of any bytes here, a store does not read them."""
    padded = b"".join(note + bytes(-len(note) % 8) for note in notes)
    listed = b"".join(layers)
    length = 32 + len(padded) + len(listed)
    return struct.pack("=6IQ", length, members, len(notes), len(padded), len(layers), len(listed), 0) + padded + listed


@dataclass
class Row:
    """What came new since *generation*."""

    generation: bytes
    targets: int = 0
    full: bool = False
    hashes: Sequence[str] = ()  # each the text of a database of hash signatures


def delta_table(*rows: Row) -> bytes:
    """The table of ext/cache/delta.h."""
    at = 64 + 96 * len(rows)
    lines, sets = b"", b""
    for row in sorted(rows, key=lambda row: row.generation):
        places = b""
        for text in row.hashes:
            sets += bytes(-(at + len(sets)) % 64)
            table = basics.HashSet.build(text.encode(), 216).table
            places += struct.pack("=QQ", at + len(sets), len(table))
            sets += table
        head = struct.pack("=16sHHIII", row.generation, row.targets, 0, row.full, len(row.hashes), 0)
        lines += head + places.ljust(64, b"\0")
    return struct.pack("=8sIIQ40s", b"KAVDELT", 1, len(rows), at + len(sets), b"") + lines + sets


@dataclass
class Store:
    """The file "files" in a folder."""

    folder: Path
    name: str = "files"
    opened: list[int] = field(default_factory=list)

    def place(self, directory: int, settings: bytes = SETTINGS) -> bytes:
        return cache.place(SECRET, FS, directory, 0, settings)

    def memory(self, generation: bytes = NOW, *, settled: bool = True, start: int = START, limit: int = 1 << 30,
               delta: bytes | None = None, journal: bool = False, room: int = 0) -> cache.Memory:  # fmt: skip
        """settled: the clock of the file system has gone on since any stamp."""
        made = cache.Memory(self.open("."), self.name, SECRET, generation, start_ns=start, delta=delta,
                            size_limit=limit, journal=journal, room=room)  # fmt: skip
        if settled:
            made.newest(DEVICE, START)
        return made

    def keep(self, directory: int, facts: Iterable[cache.Fact], generation: bytes = NOW, *, settings: bytes = SETTINGS,
             limit: int = 1 << 30) -> cache.Totals:  # fmt: skip
        """Remember facts of one directory."""
        memory = self.memory(generation, limit=limit)
        for one in facts:
            memory.add(self.place(directory, settings), DEVICE, one)
        memory.flush(last=True)
        return memory.totals()

    def file(self) -> cache.File:
        return cache.File(self.open(self.name), SECRET)

    def read(self, directory: int) -> cache.Record | None:
        return self.file().read(self.place(directory))

    def inodes(self, directory: int) -> list[int]:
        record = self.read(directory)
        return [one.id.ino for one in record.facts] if record else []

    def lookup(self, generation: bytes = NOW, *, settings: Sequence[bytes] = (SETTINGS,), journal: int = -1,
               delta: bytes | None = None) -> cache.Lookup:  # fmt: skip
        table = cache.DeltaTable(delta) if delta else None
        return cache.Lookup(SECRET, generation, settings, file=self.open(self.name), journal=journal, delta=table)

    def open(self, name: str) -> int:
        self.opened.append(os.open(self.folder / name, os.O_RDONLY))
        return self.opened[-1]

    def close(self) -> None:
        for fd in self.opened:
            os.close(fd)

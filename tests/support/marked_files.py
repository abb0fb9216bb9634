"""Marked files: a tree of small files of many types, of which a test knows every layer and every mark in it.

A mark is a word that nothing else contains; signatures name marks. Beside each file with marks others have near misses:
the same word with another last letter.
"""

from __future__ import annotations

import base64
import gzip
import random
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.archives import make_tar, make_zip

EICAR = ("X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*").encode()
FILES, FOLDERS, MARKS = 1000, 25, 150

HEADS: dict[int, list[bytes]] = {  # target type -> how files of it begin
    0: [bytes(range(1, 9)) + b"\xff\xfe\x00\x01"],
    1: [b"MZ\x90\x00" + bytes(56) + b"\x40\x00\x00\x00PE\0\0"],
    2: [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(8)],
    3: [b"<html><head><title>page</title></head>\n", b"<script>\n"],
    5: [b"GIF89a" + bytes(7), b"\x89PNG\r\n\x1a\n" + bytes(4)],
    6: [b"\x7fELF\x02\x01\x01" + bytes(9)],
    7: [b"plain text\n", b"#!/bin/sh\n"],
    10: [b"%PDF-1.4\n"],
}


@dataclass
class Tree:
    """What was written."""

    root: Path
    folders: list[Path] = field(default_factory=list)
    layers: list[list[bytes]] = field(default_factory=list)  # of each file, in any order
    marks: list[bytes] = field(default_factory=list)


class _Maker:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.marks = [self._mark(number) for number in range(MARKS)]
        self.layers: list[bytes] = []  # of the file in hand
        self.earlier: list[bytes] = []  # layers that were made before

    def _mark(self, number: int) -> bytes:
        return f"{''.join(self.rng.choices(string.ascii_lowercase, k=12))}{number:04}".encode()

    def plain(self) -> bytes:
        """A layer that is no container; one of eight has stood elsewhere, so that the object cache knows it."""
        rng = self.rng
        if self.earlier and rng.random() < 0.12:
            return self.seen(rng.choice(self.earlier))
        target = rng.choice([0, 1, 1, 2, 3, 3, 5, 6, 7, 7, 7, 10])
        words = [b"word%d" % rng.randrange(40) for _ in range(rng.choice([3, 8, 30, 150]))]
        for _ in range(rng.choice([0, 0, 1, 1, 1, 2, 3])):
            words.insert(rng.randrange(len(words)), rng.choice(self.marks))
        for _ in range(2):
            mark = rng.choice(self.marks)
            words.insert(rng.randrange(len(words)), mark[:-1] + b"%d" % ((mark[-1] - 47) % 10))
        if rng.random() < 0.01:
            return self.seen(EICAR)
        self.earlier.append(rng.choice(HEADS[target]) + b" ".join(words))
        return self.seen(self.earlier[-1])

    def seen(self, data: bytes) -> bytes:
        self.layers.append(data)
        return data

    def member(self, depth: int) -> bytes:
        if depth < 3 and self.rng.random() < 0.25:
            return self.packed(depth + 1)
        return self.plain()

    def packed(self, depth: int = 0) -> bytes:
        """A container. Its own layer is listed behind those of its members."""
        make = self.rng.choice([self.zipped, self.zipped, self.tarred, self.mailed, self.gzipped])
        return self.seen(make(depth))

    def members(self, depth: int) -> dict[str, bytes]:
        return {f"m{number}.bin": self.member(depth) for number in range(self.rng.randint(1, 4))}

    def zipped(self, depth: int) -> bytes:
        data = make_zip(self.members(depth))
        return data[:-60] if self.rng.random() < 0.06 else data  # damaged: its directory is gone

    def tarred(self, depth: int) -> bytes:
        return gzip.compress(self.seen(make_tar(self.members(depth))), 1, mtime=0)

    def gzipped(self, depth: int) -> bytes:
        return gzip.compress(self.member(depth), 1, mtime=0)

    def mailed(self, depth: int) -> bytes:
        head = b"From: a@example.org\r\nTo: b@example.org\r\nSubject: %s\r\nMIME-Version: 1.0\r\n"
        parts = b"".join(
            b"--x\r\nContent-Type: application/octet-stream; name=%s\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n"
            % (name.encode(), base64.encodebytes(data).replace(b"\n", b"\r\n"))
            for name, data in self.members(depth).items()
        )
        multi = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
        return head % self.rng.choice(self.marks) + multi + parts + b"--x--\r\n"


def make_tree(root: Path, seed: int) -> Tree:
    """1,000 files in 25 folders: 3 of 10 are containers, some are copies of others, some are empty."""
    rng = random.Random(seed)
    maker = _Maker(rng)
    tree = Tree(root, marks=maker.marks)
    made: list[bytes] = []
    for folder in range(FOLDERS):
        tree.folders.append(root / f"d{folder:02}")
        tree.folders[-1].mkdir(parents=True)
    for number in range(FILES):
        maker.layers = []
        kinds: list[Callable[[], bytes]] = [maker.plain] * 14 + [maker.packed] * 6
        draw = rng.random()
        if draw < 0.03 and made:
            data = maker.seen(rng.choice(made))
        else:
            data = maker.seen(b"") if draw > 0.995 else rng.choice(kinds)()
        made.append(data)
        tree.layers.append(maker.layers)
        (tree.folders[number % FOLDERS] / f"f{number:04}").write_bytes(data)
    return tree

"""Warmed: a tree of many small files that kavfs has scanned once, and updates of the signatures it was scanned with.

The scenarios that begin with what is known share it. Its databases are a copy, to which each update adds a file, as an
updater would; nothing is taken back between scenarios, so each round is one more update in a row.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType

from benchmarks import corpus
from benchmarks.corpus import Corpus
from benchmarks.ours import Kavfs

FRESH = 4.0  # seconds: younger files are not remembered
SEED = 20261122
PATTERN = 24  # bytes of a new body signature


class Warmed:
    """The tree, our own copy of the databases, and kavfs with what it remembers."""

    def __init__(self, cache: Path, signatures: Path, threads: int, quick: bool) -> None:
        self.cache, self.signatures, self.threads, self.quick = cache, signatures, threads, quick
        self.first_seconds = 0.0
        self._updates = 0

    def __enter__(self) -> Warmed:
        self.tree: Corpus = corpus.unchanged(self.cache, corpus.QUICK_TREE if self.quick else corpus.TREE)
        age = time.time() - self.tree.folder.stat().st_ctime
        if age < FRESH:
            time.sleep(FRESH - age)
        self.work = Path(tempfile.mkdtemp(prefix="kavfs-warmed-"))
        self.databases = self.work / "databases"
        shutil.copytree(self.signatures, self.databases)
        self.kavfs = Kavfs(self.databases, self.threads).__enter__()
        self.first_seconds = self.kavfs.scan(self.tree).seconds
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kavfs.__exit__(kind, value, trace)
        shutil.rmtree(self.work, ignore_errors=True)

    def scan(self) -> float:
        return self.kavfs.scan(self.tree).seconds

    def update(self, files: dict[str, str]) -> float:
        """Add database files (by what their names end with); the seconds that compiling took, which no scan counts."""
        self._updates += 1
        for kind, text in files.items():
            part = self.work / "part"
            part.write_text(text)
            part.rename(self.databases / f"update-{self._updates:02d}.{kind}")
        return self.kavfs.compile(self.kavfs.state)

    def _random(self) -> random.Random:
        return random.Random(SEED + self._updates)

    def new_bodies(self, count: int, targets: tuple[int, ...]) -> str:
        """Lines of an .ndb file with patterns that no file has, for these target types in turn."""
        rnd = self._random()
        mark = f"Bench.Update{self._updates}"
        return "".join(
            f"{mark}-{i}:{targets[i % len(targets)]}:*:{rnd.randbytes(PATTERN).hex()}\n" for i in range(count)
        )

    def new_digests(self, count: int, length: int, sizes: list[int], there: float) -> tuple[str, set[int]]:
        """Lines of an .hdb or .hsb file (*length* bytes a digest): *there* of them with one of *sizes*, the others with
        sizes that no file of the tree has. The text, and which of *sizes* occur."""
        rnd = self._random()
        mark = f"Bench.Update{self._updates}-{length}"
        used: set[int] = set()
        lines = []
        for i in range(count):
            size = rnd.choice(sizes) if rnd.random() < there else corpus.TREE_LARGEST + 1 + rnd.randrange(1 << 22)
            used.add(size)
            lines.append(f"{rnd.randbytes(length).hex()}:{size}:{mark}-{i}\n")
        return "".join(lines), used & set(sizes)

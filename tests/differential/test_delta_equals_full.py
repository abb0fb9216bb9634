"""Delta equals full: whatever signatures were there before, a scan with stores says what a scan without them says.

A pair is a set A with which files were scanned into the stores, and a set B with which they are scanned again, once
with these stores and once without any. The pairs of a chain share one state folder: B is the A of the next. A scan
visits some of the folders only, so that the stores keep facts of several older generations side by side.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import Mock

import pytest

from kavfs.cache.stores import open_stores
from kavfs.limits import Limits
from kavfs.model import Result, Status, Switch, Totals
from kavfs.options import EVERYTHING, ScanOptions, WalkOptions
from kavfs.ports import Stores
from kavfs.scan import crew
from kavfs.scan.job import Job
from kavfs.signatures.image import Image, open_image
from kavfs.signatures.sources import STARTER
from kavfs.walk import filesystems
from tests.support.fakes import Notebook
from tests.support.marked_files import FILES, Tree, make_tree
from tests.support.rule_sets import RuleSet
from tests.support.threads import ThreadServer

CHANGED = FILES // 10  # verdicts, at least, between A and B
TRIES = 8  # updates until that many have changed
LASTING = {Status.CLEAN, Status.CORRUPTED, Status.ERROR}  # what a store keeps, of what occurs here

Said = tuple[object, ...]


@dataclass(frozen=True)
class Manner:
    """How a chain's scans are made."""

    switches: Switch = EVERYTHING
    limits: Limits = field(default_factory=Limits)
    digests: bool = False  # all digests of all layers are remembered
    objects: int = 8 << 20  # bytes of level 2 of the object cache


MANNERS = {
    "plain": Manner(),
    "members": Manner(EVERYTHING | Switch.ALL_MEMBERS),
    "all matches": Manner(EVERYTHING | Switch.ALL_MATCH),
    "digests": Manner(digests=True, objects=0),
    "limits": Manner(limits=Limits(max_depth=2, max_member_size=1000, max_members=8)),
    "files only": Manner(EVERYTHING | Switch.DIGEST, objects=0),
}


def said(result: Result) -> Said:
    return result.status, result.reasons, result.threats, result.members, result.size, result.member_count


@dataclass
class Scan:
    """What one scan said."""

    verdicts: dict[bytes, Said]
    results: list[Result]
    totals: Totals


class Chain:
    """Two sets of signatures that are updated in turn, and one state folder."""

    def __init__(self, tree: Tree, folder: Path, manner: Manner, seed: int, *, processes: bool = False) -> None:
        self.tree, self.folder, self.manner, self.processes = tree, folder, manner, processes
        self.rng = random.Random(seed)
        self.rules = [RuleSet(tree, random.Random(seed + 1)), RuleSet(tree, random.Random(seed + 2))]
        self.before: dict[bytes, Said] = {}  # what all files were with set A
        self.counts: Counter[str] = Counter()

    def pair(self) -> None:
        """Update until enough has changed, then compare."""
        for _ in range(TRIES):
            number = self.rng.choice([0] * 7 + [1])
            self.rules[number].update()
            with self.open(number) as image:
                full = self.scan(image, self.tree.folders, None)
                if sum(full.verdicts[path] != self.before.get(path) for path in full.verdicts) < CHANGED:
                    continue  # a generation that is skipped
                self.before = full.verdicts
                self.compare(image, full)
            return
        pytest.fail("the generator changes too little")

    def compare(self, image: Image, full: Scan) -> None:
        share = self.rng.choice([0.4, 0.8, 1.0, 1.0])
        folders = self.rng.sample(self.tree.folders, int(share * len(self.tree.folders)))
        with_stores = self.remembering(image, folders)
        assert difference(with_stores.verdicts, full.verdicts) == []
        assert len(with_stores.verdicts) == len(folders) * FILES // len(self.tree.folders)
        self.counts.update(pairs=1, files=with_stores.totals.files, known=with_stores.totals.known)
        self.counts.update(delta=with_stores.totals.delta)
        if self.rng.random() < 0.1:
            self.look_again(image, folders, full)

    def look_again(self, image: Image, folders: list[Path], full: Scan) -> None:
        """The same scan once more, without any delta: what was scanned, or held, stands there for the set of now."""
        again = self.remembering(Plain(image), folders)
        assert difference(again.verdicts, full.verdicts) == []
        scanned = [result.path for result in again.results if is_lasting(result) and not result.cached]
        assert scanned == []
        assert again.totals.delta == 0

    def open(self, number: int) -> Image:
        folder = self.folder / f"set{number}"
        self.rules[number].write(folder)
        with open_stores(self.state, limits=self.manner.limits, switches=self.manner.switches) as opened:
            used = opened.generations
        return open_image([folder, STARTER] if number else [folder], self.state, used=used)

    @property
    def state(self) -> bytes:
        (self.folder / "state").mkdir(exist_ok=True)
        return os.fsencode(self.folder / "state")

    def remembering(self, image: Image | Plain, folders: list[Path]) -> Scan:
        manner = self.manner
        with open_stores(
            self.state, limits=manner.limits, switches=manner.switches, digests=manner.digests, objects=manner.objects
        ) as opened:
            assert opened.notes == ()
            return self.scan(image, folders, opened.stores)

    def scan(self, image: Image | Plain, folders: list[Path], stores: Stores | None) -> Scan:
        jobs = 2 if self.processes else 1
        walk = WalkOptions(tuple(os.fsencode(folder) for folder in folders), threads=jobs)
        options = ScanOptions(walk, self.manner.limits, self.manner.switches, jobs=jobs, page_cache=False)
        book = Notebook()
        server = None if self.processes else ThreadServer()
        try:
            totals = Job(image, options, book, server=server, stores=stores).run()
        finally:
            if server:
                server.join()
        assert book.notes == []
        assert book.skips == []
        return Scan({result.path: said(result) for result in book.results}, book.results, totals)


class Plain:
    """An image without its deltas."""

    deltas = ()
    delta_table = b""

    def __init__(self, image: Image) -> None:
        self.parts, self.generation = image.parts, image.generation


def is_lasting(result: Result) -> bool:
    return result.status in LASTING and not result.threats and not result.suppressed


def difference(found: dict[bytes, Said], full: dict[bytes, Said]) -> list[tuple[bytes, Said, Said]]:
    return [(path, one, full[path]) for path, one in found.items() if one != full[path]]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """One for all: it is only read."""
    return make_tree(tmp_path_factory.mktemp("marked") / "tree", seed=1)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a disk that can be trusted, long after the last change."""
    monkeypatch.setattr(filesystems, "_distrusted", lambda *_: "")
    monkeypatch.setattr(filesystems, "identify", lambda *_: filesystems.FileSystem(b"a file system..."))
    monkeypatch.setattr(crew, "time", Mock(time_ns=lambda: time.time_ns() + 60 * 10**9))
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # no power failure is played here
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGIO, before)


def run(chain: Chain, pairs: int) -> None:
    for _ in range(pairs):
        chain.pair()
    counts = chain.counts
    assert counts["pairs"] == pairs
    assert counts["known"] > counts["files"] / 20  # else nothing was tested
    assert counts["delta"] > counts["files"] / 20


@pytest.mark.parametrize("manner", MANNERS)
def test_a_scan_with_stores_says_what_one_without_says(tree: Tree, tmp_path: Path, manner: str) -> None:
    """6 chains of 50 pairs."""
    run(Chain(tree, tmp_path, MANNERS[manner], seed=100), 50)


def test_the_processes_of_a_scan_say_the_same(tree: Tree, tmp_path: Path) -> None:
    run(Chain(tree, tmp_path, MANNERS["plain"], seed=200, processes=True), 25)


def test_where_digests_are_remembered_new_hashes_open_nothing(tree: Tree, tmp_path: Path) -> None:
    """Of every size that occurs, and of no content: the digests of all layers decide."""
    chain = Chain(tree, tmp_path, MANNERS["digests"], seed=300)
    with chain.open(0) as image:
        first = chain.remembering(image, tree.folders)
    sizes = {len(layer) for file in tree.layers for layer in file if layer}
    digests = ("0" * 32, "0" * 40, "0" * 64)
    lines = tuple(f"{digest}:{size}:Test.None-{size}-{len(digest)}\n" for size in sizes for digest in digests)
    chain.rules[0].lines = {**chain.rules[0].lines, "new.hsb": lines}
    with chain.open(0) as image:
        second = chain.remembering(image, tree.folders)
    assert second.verdicts == first.verdicts
    scanned = {result.path for result in second.results if not result.cached}
    assert scanned == {result.path for result in first.results if result.status is not Status.CLEAN}
    assert second.totals.delta == 0


@pytest.mark.long
@pytest.mark.parametrize("seed", range(33))
@pytest.mark.parametrize("manner", MANNERS)
def test_whatever_the_signatures_were(tmp_path: Path, manner: str, seed: int) -> None:
    """198 chains of 51 pairs, each on a tree of its own."""
    run(Chain(make_tree(tmp_path / "tree", seed), tmp_path, MANNERS[manner], seed=1000 + 7 * seed), 51)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("manner", MANNERS)
def test_the_processes_of_longer_chains_say_the_same(tmp_path: Path, manner: str, seed: int) -> None:
    """12 chains of 25 pairs."""
    tree = make_tree(tmp_path / "tree", 50 + seed)
    run(Chain(tree, tmp_path, MANNERS[manner], seed=2000 + 7 * seed, processes=True), 25)

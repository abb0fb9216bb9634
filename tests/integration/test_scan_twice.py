"""A second scan answers from the stores, and says what the first one said; without anything to scan it has no worker.

On an ext4 of its own: what a test runs on (tmpfs, an overlay) may be no file system that can be trusted."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from kavfs.cache.stores import open_stores
from kavfs.limits import Limits
from kavfs.model import Result, Status, Totals
from kavfs.options import EVERYTHING, ScanOptions, WalkOptions
from kavfs.scan import crew
from kavfs.scan.children import Children
from kavfs.scan.job import Job
from kavfs.signatures.image import open_image
from kavfs.signatures.sources import default_databases
from tests.support.fakes import Notebook
from tests.support.grove import ext4

EICAR = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with ext4(tmp_path) as point:
        yield point


def grow(tree: Path) -> None:
    """Objects of every kind of verdict that needs no damage to the machine."""
    tree.mkdir()
    for folder in range(3):
        (tree / f"d{folder}").mkdir()
        for number in range(40):
            (tree / f"d{folder}" / f"plain {number}").write_bytes(b"text %d %d\n" % (folder, number))
    (tree / "d0" / "empty").touch()
    (tree / "d0" / "two names").write_bytes(b"one inode")
    (tree / "d1" / "of one inode").hardlink_to(tree / "d0" / "two names")
    (tree / os.fsdecode(b"line\nbreak \xff")).write_bytes(b"odd name")
    (tree / "eicar.com").write_text(EICAR)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "clean")
        archive.writestr("b/c.txt", "clean too")
    (tree / "clean.zip").write_bytes(packed.getvalue())
    (tree / "damaged.zip").write_bytes(packed.getvalue()[:-60])
    (tree / "clean.gz").write_bytes(gzip.compress(b"inside"))
    with tarfile.open(tree / "infected.tar", "w") as archive_of:
        member = tarfile.TarInfo("inner/eicar.com")
        member.size = len(EICAR)
        archive_of.addfile(member, io.BytesIO(EICAR.encode()))
    (tree / "large").write_bytes(bytes(3 << 20))


def settle(tree: Path) -> None:
    """Nothing that is the newest on its file system is remembered, so that must be a directory."""
    youngest = max(path.lstat().st_ctime_ns for path in tree.rglob("*"))
    newest = tree / "newest"
    newest.mkdir()
    while newest.stat().st_ctime_ns <= youngest:  # within one tick of the clock
        newest.chmod(0o755)


class Scene:
    """One state folder and one tree, scanned again and again."""

    def __init__(self, tree: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tree, self.state = tree, state
        self.workers = 0
        start = Children.start_worker

        def counted(children: Children) -> None:
            self.workers += 1
            start(children)

        monkeypatch.setattr(Children, "start_worker", counted)
        # What changed in the last three seconds before a scan is not remembered: let every scan begin later.
        monkeypatch.setattr(crew, "time", Mock(time_ns=lambda: time.time_ns() + 60 * 10**9))

    def scan(self, limits: Limits | None = None, wants_clean: bool = True) -> tuple[Notebook, Totals]:
        self.workers = 0
        limits = limits or Limits(max_file_size=2 << 20)
        book = Notebook(wants_clean)
        options = ScanOptions(WalkOptions((os.fsencode(self.tree),)), limits, EVERYTHING, jobs=2)
        image = open_image(default_databases(), os.fsencode(self.state))
        opened = open_stores(os.fsencode(self.state), limits=limits, switches=EVERYTHING)
        try:
            totals = Job(image, options, book, stores=opened.stores).run()
        finally:
            opened.close()
            image.close()
        assert [*opened.notes, *book.notes] == []
        return book, totals


def said(result: Result) -> tuple[object, ...]:
    return result.path, result.status, result.reasons, result.threats, result.size, result.member_count


@pytest.fixture
def scene(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    state = tmp_path / "state"
    state.mkdir()
    grow(disk / "tree")
    settle(disk / "tree")
    return Scene(disk / "tree", state, monkeypatch)


def test_second_scan_says_what_the_first_one_said(scene: Scene) -> None:
    first, totals = scene.scan()
    second, again = scene.scan()
    assert sorted(map(said, second.results)) == sorted(map(said, first.results))
    assert {r.status for r in first.results} >= {Status.CLEAN, Status.INFECTED, Status.ERROR, Status.CORRUPTED}
    assert (again.files, again.bytes, again.statuses) == (totals.files, totals.bytes, totals.statuses)
    assert (again.members, again.reasons, again.entries) == (totals.members, totals.reasons, totals.entries)
    assert totals.known == 0
    infected = [r for r in second.results if r.threats]
    assert again.known == again.files - len(infected)  # these are scanned each time
    assert all(r.cached != bool(r.threats) for r in second.results)


def test_without_anything_to_scan_no_worker_is_started(scene: Scene) -> None:
    for path in ("eicar.com", "infected.tar"):
        (scene.tree / path).unlink()
    scene.scan()
    assert scene.workers
    book, totals = scene.scan()
    assert totals.known == totals.files == len(book.results)
    assert scene.workers == 0
    silent, totals = scene.scan(wants_clean=False)
    assert totals.known == totals.files
    assert {r.status for r in silent.results} == {Status.ERROR, Status.CORRUPTED}
    assert scene.workers == 0


def test_what_changed_is_scanned_and_nothing_else(scene: Scene) -> None:
    scene.scan()
    (scene.tree / "d0" / "plain 1").write_text(EICAR)
    (scene.tree / "d2" / "new").write_bytes(b"new")
    (scene.tree / "d1" / "plain 3").unlink()
    book, totals = scene.scan()
    fresh = {os.path.basename(r.path) for r in book.results if not r.cached}
    assert fresh == {b"plain 1", b"new", b"eicar.com", b"infected.tar"}
    assert book.of(scene.tree / "d0" / "plain 1").status is Status.INFECTED
    assert totals.files == len(book.results)


def test_other_limits_are_other_facts(scene: Scene) -> None:
    scene.scan()
    book, _ = scene.scan(Limits(max_file_size=4 << 20))
    large = book.of(scene.tree / "large")
    assert (large.status, large.cached) == (Status.CLEAN, False)

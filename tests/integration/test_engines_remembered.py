"""What other engines said is used again only where the same engines with the same knowledge would say it again.

On an ext4 of its own, with the real native engine, its stores, and fake engines beside it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from kavfs.cache.journal import name_of
from kavfs.cache.stores import open_stores
from kavfs.engine.choose import knowledge_of
from kavfs.limits import Limits
from kavfs.model import Status, Totals
from kavfs.options import EVERYTHING, NATIVE, EngineUse, ScanOptions, WalkOptions, When
from kavfs.record import replace
from kavfs.scan import crew, roles
from kavfs.scan.forkserver import ForkServer, Role
from kavfs.scan.job import Job
from kavfs.signatures.image import open_image
from kavfs.signatures.sources import STARTER
from tests.support.fakes import Notebook, fake_use, run_fake_engine
from tests.support.grove import ext4

CLAMAV = fake_use("clamav", finds="WORSE")


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    with ext4(tmp_path) as point:
        folder = point / "tree"
        folder.mkdir()
        for number in range(5):
            (folder / f"plain {number}").write_text(f"text {number}")
        (folder / "worse").write_text("WORSE")
        (folder / "part").write_text("E-PART")
        (folder / "fail").write_text("E-FAIL")
        (point / "newest").mkdir()  # nothing that is the newest on its file system is remembered
        while (point / "newest").stat().st_ctime_ns <= (folder / "fail").stat().st_ctime_ns:
            (point / "newest").chmod(0o755)
        yield folder


class Scans:
    def __init__(self, tree: Path, state: Path) -> None:
        self.tree, self.state = tree, os.fsencode(state)

    def __call__(self, *uses: EngineUse) -> tuple[Notebook, Totals]:
        book = Notebook()
        options = ScanOptions(WalkOptions((os.fsencode(self.tree),)), engines=uses, jobs=1)
        server = ForkServer({**roles.roles(), "engine": Role(run_fake_engine)})
        knowledge = knowledge_of(uses)
        opened = open_stores(self.state, limits=Limits(), switches=EVERYTHING, engines=knowledge)
        with open_image((os.fsencode(STARTER),), self.state) as image, opened:
            totals = Job(image, options, book, server=server, stores=opened.stores).run()
        return book, totals


@pytest.fixture
def scan(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scans:
    (tmp_path / "state").mkdir()
    # What changed in the last three seconds before a scan is not remembered: let every scan begin later.
    monkeypatch.setattr(crew, "time", Mock(time_ns=lambda: time.time_ns() + 60 * 10**9))
    return Scans(tree, tmp_path / "state")


def test_the_same_engines_with_the_same_knowledge_are_not_asked_again(scan: Scans) -> None:
    scan(NATIVE, CLAMAV)
    book, totals = scan(NATIVE, CLAMAV)
    assert totals.known == 5  # neither what is infected, nor what was seen in part, nor what has no answer
    assert {os.path.basename(r.path): r.status for r in book.results if not r.cached} == {
        b"worse": Status.INFECTED,
        b"part": Status.ERROR,
        b"fail": Status.ERROR,
    }


@pytest.mark.parametrize(
    "uses",
    [
        (NATIVE,),
        (CLAMAV,),
        (NATIVE, CLAMAV, fake_use("yara", finds="text")),
        (NATIVE, CLAMAV._replace(knowledge="fake clamav 2")),
        (NATIVE, CLAMAV._replace(when=When.ELSEWHERE)),
        (NATIVE, fake_use("clamd", finds="WORSE")),
    ],
    ids=["native alone", "without native", "one more", "newer", "shown less", "another"],
)
def test_other_engines_or_other_knowledge_scan_anew(scan: Scans, uses: tuple[EngineUse, ...]) -> None:
    scan(NATIVE, CLAMAV)
    _, totals = scan(*uses)
    assert totals.known == 0
    _, again = scan(NATIVE, CLAMAV)
    assert again.known == 5  # what was remembered first is still there


def test_what_native_found_clean_does_not_hide_what_another_engine_finds(scan: Scans) -> None:
    """The native engine remembers contents for itself: whoever is asked besides sees the object all the same."""
    scan(NATIVE)
    book, _ = scan(NATIVE, CLAMAV)
    assert book.of(scan.tree / "worse").status is Status.INFECTED


def test_a_journal_belongs_to_the_engines_that_were_asked() -> None:
    options = ScanOptions(WalkOptions((b"/a",)))
    with_more = replace(options, engines=(NATIVE, CLAMAV))
    shown_less = replace(options, engines=(NATIVE, CLAMAV._replace(when=When.ELSEWHERE)))
    newer = replace(options, engines=(NATIVE, CLAMAV._replace(knowledge="fake clamav 2")))
    assert len({name_of(options), name_of(with_more), name_of(shown_less)}) == 3
    assert name_of(newer) == name_of(with_more)  # dropped by place, as facts are: see test_cache_settings

"""What a daemon found on its way into the event store: kept whole, bounded, and tried again when the store fails."""

from __future__ import annotations

import os
import threading

import pytest

from kavfs._native.serve import Peer
from kavfs.daemon import keeping
from kavfs.daemon.keeping import Keeper
from kavfs.daemon.tally import BOUNDS, NOT_OPENED, Tally
from kavfs.daemon.task import Task
from kavfs.model import Result, Status, Threat
from kavfs.report.events import EventStore
from kavfs.report.past import Wanted, findings, notes, scans
from kavfs.report.summary import Signatures
from kavfs.scan.asked import Refusal

ABOUT = Signatures(7, 1.7e9, False, bytes(16))
PATIENCE = 60.0
EVIL = Threat("Evil.One", Status.INFECTED, "native", b"", None)


def kept_paths(path: bytes) -> list[bytes]:
    """What the store at *path* has, of all scans."""
    with EventStore(path, create=False) as store:
        return sorted(f.path for scan in scans(store, Wanted()) for f in findings(store, Wanted(), scan.number))


class Warned:
    """What a keeper warned of."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._event = threading.Event()

    def __call__(self, text: str) -> None:
        self.texts.append(text)
        self._event.set()

    def wait(self) -> None:
        assert self._event.wait(PATIENCE)


def task(uid: int = 33, address: bytes = b"") -> Task:
    return Task(1, 1, None, Peer(7, uid, 7, (), address))


def infected(number: int = 0) -> Result:
    return Result(b"ignored", Status.INFECTED, threats=(EVIL,), size=10, engine="native")


def tell(keeper: Keeper, path: bytes, result: Result, uid: int = 33) -> None:
    keeper.told(task(uid), path, result, 0.01)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(keeping, "GATHER", 0.0)


def test_findings_of_a_run_are_one_row_with_its_totals(tmp_path):
    path = os.fsencode(tmp_path / "events.db")
    warned = Warned()
    keeper = Keeper(path, ABOUT, warned)
    keeper.begin()
    keeper.note("aveserver begins")
    for number in range(1000):
        tell(keeper, b"/srv/%d" % number, infected())
    tell(keeper, b"/srv/fine", Result(b"x", Status.CLEAN, size=5))
    tell(keeper, b"stream", infected())
    keeper.told(task(), b"/srv/none", Refusal.BUSY, 0.0)
    keeper.close()
    with EventStore(path, create=False) as store:
        (scan,) = scans(store, Wanted())
        assert kept_paths(path) == sorted([*(b"/srv/%d" % n for n in range(1000)), b"stream of uid 33"])
        assert "aveserver begins" in str(list(notes(store, scan.number)))
    assert scan.program == "aveserver"
    assert scan.ended is not None
    assert scan.totals is not None
    assert (scan.totals.files, scan.totals.statuses[Status.INFECTED]) == (1002, 1001)
    assert (keeper.kept, keeper.lost, warned.texts) == (1002, 0, [])


def test_store_that_fails_is_told_once_and_tried_again_with_everything_that_is_held(tmp_path):
    folder = tmp_path / "state"
    folder.write_text("no folder")
    warned = Warned()
    keeper = Keeper(os.fsencode(folder / "events.db"), ABOUT, warned, pause=0.01)
    keeper.begin()
    tell(keeper, b"/srv/1", infected())
    warned.wait()
    assert "cannot be used" in keeper.error
    folder.unlink()
    tell(keeper, b"/srv/2", infected())
    keeper.close()
    assert kept_paths(os.fsencode(folder / "events.db")) == [b"/srv/1", b"/srv/2"]
    assert (keeper.lost, len(warned.texts), keeper.error) == (0, 1, "")


def test_no_more_is_held_than_the_bound_and_what_is_left_out_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "HELD_MAX", 5)
    keeper = Keeper(os.fsencode(tmp_path / "events.db"), ABOUT, Warned())
    for number in range(8):  # before it begins, nobody writes
        tell(keeper, b"/srv/%d" % number, infected())
    assert keeper.lost == 3
    keeper.begin()
    keeper.close()
    assert (keeper.kept, keeper.lost) == (5, 3)


def test_end_with_a_store_that_fails_does_not_hang_and_counts(tmp_path):
    (tmp_path / "state").write_text("no folder")
    keeper = Keeper(os.fsencode(tmp_path / "state" / "events.db"), ABOUT, Warned(), pause=PATIENCE)
    keeper.begin()
    tell(keeper, b"/srv/1", infected())
    keeper.close()
    assert (keeper.kept, keeper.lost) == (0, 1)


def test_row_that_is_full_is_followed_by_another(tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "PER_ROW", 400)
    path = os.fsencode(tmp_path / "events.db")
    keeper = Keeper(path, ABOUT, Warned())
    for number in range(1000):
        tell(keeper, b"/srv/%d" % number, infected())
    keeper.begin()
    keeper.close()
    with EventStore(path, create=False) as store:
        assert len(list(scans(store, Wanted()))) == 3
    assert len(kept_paths(path)) == 1000


def test_tally_counts_each_duration_in_its_class():
    tally = Tally()
    for seconds in (0.0, BOUNDS[0], BOUNDS[0] * 1.01, BOUNDS[-1], BOUNDS[-1] + 1):
        tally.told(task(), b"/x", infected(), seconds)
    assert (tally.classes[0], tally.classes[1], tally.classes[-2], tally.classes[-1]) == (2, 1, 1, 1)
    assert tally.answered == 5
    assert tally.detections == {(Status.INFECTED, "native"): 5}


def test_tally_tells_refusals_apart_and_takes_none_for_a_verdict():
    tally = Tally()
    tally.told(task(), b"/x", Refusal.LATE, 1.0)
    tally.told(task(), b"/x", "Permission denied", 0.0)
    assert tally.refusals == {"late": 1, NOT_OPENED: 1}
    assert tally.answered == 0

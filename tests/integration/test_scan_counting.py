"""Counting ahead: how much there is to scan, for progress; never an error and never waited for."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from kavfs.model import Status
from kavfs.options import WalkOptions
from kavfs.scan import job as job_module
from kavfs.scan.job import Job
from kavfs.scan.walks import Walks
from kavfs.walk import mounts
from tests.support.fakes import NoImage, Notebook, fake_server, options

LONGEST = 30.0  # seconds


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(job_module, "COUNT_AFTER", 0.0)


@pytest.fixture
def tree(tmp_path):
    """Files of 30,000 bytes, and an object that keeps the scan going until it is stopped."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "large").write_bytes(b"x" * 20_000)
    (tmp_path / "small").write_bytes(b"x" * 10_000)
    (tmp_path / "link").symlink_to("small")
    return tmp_path


def walkers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if child.name() == "kavfs-walker"]


def test_bytes_that_are_there_are_known_while_the_scan_goes_on(tree):
    (tree / "slow").write_bytes(b"DO-HANG now")
    seen: list[int] = []
    book = Notebook()

    def tick(totals):
        seen.append(totals.expected)
        if totals.expected or time.monotonic() > end:
            job.stop()

    end = time.monotonic() + LONGEST
    job = Job(NoImage(), options(tree), book, server=fake_server(), tick=tick, count=True)
    job.run()
    assert (seen[0], seen[-1]) == (0, 30_011)
    assert walkers() == []


def test_nothing_is_counted_unless_asked_for(tree):
    totals = Job(NoImage(), options(tree), Notebook(), server=fake_server(), tick=lambda totals: None).run()
    assert totals.expected == 0


def test_a_scan_that_is_soon_over_counts_nothing(tree, monkeypatch):
    monkeypatch.setattr(job_module, "COUNT_AFTER", LONGEST)
    totals = Job(NoImage(), options(tree), Notebook(), server=fake_server(), count=True).run()
    assert totals.expected == 0


def fail(setup, fds, image):
    if setup["count_only"]:
        os.kill(os.getpid(), signal.SIGKILL)
    run_walker(setup, fds, image)


def hang(setup, fds, image):
    if setup["count_only"]:
        signal.pause()
    run_walker(setup, fds, image)


def run_walker(setup, fds, image):
    from kavfs.scan import roles

    roles.run_walker(setup, fds, image)


@pytest.mark.parametrize("walker", [fail, hang])
def test_a_count_that_dies_or_never_ends_changes_nothing(tree, walker):
    before = sorted(os.listdir("/proc/self/fd"))
    book = Notebook()
    totals = Job(NoImage(), options(tree), book, server=fake_server(walker=walker), count=True).run()
    assert (totals.expected, totals.statuses, totals.interrupted, book.notes) == (0, {Status.CLEAN: 2}, False, [])
    assert totals.seconds < LONGEST / 3, "nobody waits for it"
    assert sorted(os.listdir("/proc/self/fd")) == before


MOUNTS = b"""1 0 8:1 / / rw - ext4 /dev/a rw
2 1 8:2 / /srv/data rw - ext4 /dev/b rw
3 1 0:5 / /srv/proc rw - proc proc rw
4 1 8:3 / /home rw - ext4 /dev/c rw
5 1 8:4 / /srv/left/out rw - ext4 /dev/d rw
6 1 8:2 / /srv/again rw - ext4 /dev/b rw
"""


def counted_roots(monkeypatch, **how) -> list[str]:
    monkeypatch.setattr(mounts, "read", lambda: mounts.parse(MOUNTS))
    walks = Walks(WalkOptions((), **how))
    walks.add_named((b"/srv",))
    return walks.counting()["roots"]


def test_what_is_mounted_below_is_counted_too_as_it_is_walked(monkeypatch):
    assert set(counted_roots(monkeypatch)) - {"/srv/data", "/srv/again"} == {"/srv", "/srv/left/out"}
    assert len({"/srv/data", "/srv/again"} & set(counted_roots(monkeypatch))) == 1, "one file system, once"
    assert "/srv/left/out" not in counted_roots(monkeypatch, exclude_dirs=(b"/srv/left",))
    assert counted_roots(monkeypatch, one_file_system=True) == ["/srv"]
    assert counted_roots(monkeypatch, recurse=False) == ["/srv"]

"""Clocks: one that ticks coarsely, and one that is set. Neither makes a file look unchanged.

Files are written again and again beside a scan, often within the tick of the clock in which they were read. ext3 is
taken because the kernel gives its files the time of the last tick only; on other file systems it makes an exception for
a file whose times somebody has asked for.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from unittest.mock import Mock

import pytest

from kavfs._native import cache
from kavfs.scan import crew
from tests.support.changes import write
from tests.support.disks import Mounts
from tests.support.stores import DEVICE, NOW, SECRET, Store, fact
from tests.support.truth import Product, content, is_evil, stale
from tests.support.watching import IN_OPEN, Watch

FILES = 200
SIZE = 300
LONGEST = 0.03  # seconds that files are written to during a scan
SECOND = 10**9
DAY = 86400 * SECOND


class Hammer:
    """Writes all files again and again, from when the first of them is opened, for about as long as reading takes."""

    def __init__(self, folder: Path, random: Random) -> None:
        self.random = random
        self.files = [os.fsencode(folder / f"file-{number}") for number in range(FILES)]
        self.ready = threading.Event()
        self.texts = [content(0, evil, SIZE) for evil in (False, True)]
        folder.mkdir()
        for path in self.files:
            write(path, self.texts[0], os.O_CREAT)

    def run(self) -> None:
        with Watch(os.path.dirname(self.files[0]), IN_OPEN) as watch:
            self.ready.set()
            watch.wait()
        until = time.monotonic() + self.random.random() * LONGEST
        while time.monotonic() < until:
            write(self.random.choice(self.files), self.random.choice(self.texts))

    def start(self) -> None:
        """Beside a scan that begins when this returns."""
        self.ready.clear()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        self.ready.wait()

    def once_more(self) -> None:
        """All, at once: in the tick in which the scan has ended."""
        for path in self.files:
            write(path, self.random.choice(self.texts))

    def truth(self) -> list[tuple[bytes, bool]]:
        return [(path, is_evil(path)) for path in self.files]


@pytest.fixture
def coarse(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mounts = Mounts(tmp_path)
    try:
        yield mounts.disk("coarse", "ext3")
    finally:
        mounts.close()


def hammered(product: Product, hammer: Hammer, tries: int) -> list[str]:
    """Stale answers; each file is a try in each scan."""
    wrong: list[str] = []
    for number in range(tries // FILES):
        product.scan(hammer.start)
        hammer.thread.join()
        if number % 2:
            hammer.once_more()
        truth = hammer.truth()
        found, _ = product.scan()
        wrong += stale(found, truth)
    return wrong


@pytest.mark.parametrize("tries", [600, pytest.param(10_000, marks=pytest.mark.long)])
def test_what_is_written_in_the_tick_of_its_scan_is_seen(coarse: Path, tmp_path: Path, tries: int) -> None:
    hammer = Hammer(coarse / "tree", Random(tries))
    assert hammered(Product(tmp_path, coarse / "tree"), hammer, tries) == []


@pytest.mark.parametrize("ahead", [-DAY, -2 * SECOND, 2 * SECOND, DAY], ids=["-1d", "-2s", "+2s", "+1d"])
def test_a_clock_that_was_set_between_writing_and_scanning(
    coarse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """A scan whose clock stands elsewhere than that of the files: what it remembers is true for one whose does not."""
    hammer = Hammer(coarse / "tree", Random(ahead))
    product = Product(tmp_path, coarse / "tree")
    assert stale(product.scan()[0], hammer.truth()) == []
    for offset in (ahead, 0, ahead):
        monkeypatch.setattr(crew, "time", Mock(time_ns=lambda offset=offset: time.time_ns() + offset))
        hammer.once_more()
        assert stale(product.scan()[0], hammer.truth()) == []
        assert stale(product.scan()[0], hammer.truth()) == []


# ---- a clock that is set back during a scan


@contextmanager
def clock_set_back(seconds: int) -> Iterator[None]:
    """For as short as possible: everybody on this machine has the wrong time meanwhile."""
    apart = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.monotonic_ns()
    try:
        time.clock_settime_ns(time.CLOCK_REALTIME, time.monotonic_ns() + apart - seconds * SECOND)
    except PermissionError:
        pytest.skip("this machine does not let us set the clock")
    try:
        yield
    finally:
        time.clock_settime_ns(time.CLOCK_REALTIME, time.monotonic_ns() + apart)


@pytest.mark.long
def test_what_is_written_after_the_clock_was_set_back_is_fresh(tmp_path: Path) -> None:
    """Its date is well before the scan's start, and yet it may be written again in the same tick."""
    store = Store(tmp_path)
    try:
        begun = time.time_ns()
        memory = cache.Memory(store.open("."), "files", SECRET, NOW, start_ns=begun)
        memory.newest(DEVICE, begun)
        old = begun - 60 * SECOND
        with clock_set_back(10):
            stamp = time.time_ns()
            memory.add(store.place(1), DEVICE, fact(1, changed={"ctime_ns": stamp, "mtime_ns": stamp}))
            memory.add(store.place(1), DEVICE, fact(2, changed={"ctime_ns": old, "mtime_ns": old}))
        memory.flush(last=True)
        assert store.inodes(1) == [2]
    finally:
        store.close()

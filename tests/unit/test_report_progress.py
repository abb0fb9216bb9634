"""Progress: one line, not too often, gone before anything else is written."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from kavfs.model import Status, Totals
from kavfs.report import progress
from kavfs.report.output import Output
from kavfs.report.progress import Progress


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def pipe() -> Iterator[tuple[Output, int]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield Output(writer, "stderr", lambda output, error: None), reader
    os.close(reader)
    os.close(writer)


def read(reader: int) -> str:
    try:
        return os.read(reader, 1 << 16).decode()
    except BlockingIOError:
        return ""


def test_one_file_is_one_file(clock: Clock, pipe) -> None:
    line = Progress(pipe[0])
    clock.now += 1
    line.tick(Totals(files=1))
    assert read(pipe[1]).startswith("\r0:00:01  1 file  1 files/s")


def test_it_says_how_far_a_scan_is(clock: Clock, pipe) -> None:
    line = Progress(pipe[0])
    clock.now += 1
    line.tick(Totals(files=1500, bytes=3_000_000, statuses={Status.INFECTED: 2, Status.WARNING: 1}))
    assert read(pipe[1]) == "\r0:00:01  1,500 files  1,500 files/s  3.0 MB/s  found 3\x1b[K"
    clock.now += 3661
    line.tick(Totals(files=1500, bytes=3_000_000, statuses={Status.ERROR: 4}))
    assert read(pipe[1]) == "\r1:01:02  1,500 files  0 files/s  0.0 MB/s  found 0  errors 4\x1b[K"


def test_time_left_is_told_once_it_is_known_how_much_there_is(clock: Clock, pipe) -> None:
    line = Progress(pipe[0])

    def left(seconds: float, done: int, expected: int) -> str:
        clock.now += seconds
        line.tick(Totals(files=9, bytes=done, expected=expected))
        return read(pipe[1]).removesuffix("\x1b[K").partition("left ")[2]

    assert left(60, 0, 0) == ""  # while signatures were loaded
    assert left(10, 1000, 0) == ""
    assert left(11, 2000, 6000) == "0:42"  # the second third begins after 21 seconds
    assert left(0.2, 0, 6000) == ""
    assert left(20.8, 10, 10 + 1000) == "1:10:00"
    assert left(1, 6000, 6000) == ""
    assert left(1, 7000, 6000) == "", "files have grown since"


def test_it_is_drawn_ten_times_a_second_at_most(clock: Clock, pipe) -> None:
    line = Progress(pipe[0])
    drawn = 0
    for _ in range(1000):
        clock.now += 0.001
        line.tick(Totals(files=1))
        drawn += bool(read(pipe[1]))
    assert 1 <= drawn <= 10


def test_it_goes_out_of_the_way(clock: Clock, pipe) -> None:
    line = Progress(pipe[0])
    line.hide()
    assert read(pipe[1]) == ""
    clock.now += 1
    line.tick(Totals())
    read(pipe[1])
    line.hide()
    assert read(pipe[1]) == "\r\x1b[K"
    line.hide()
    assert read(pipe[1]) == ""

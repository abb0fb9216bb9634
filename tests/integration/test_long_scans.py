"""Long scans behave: they pause and go on, end when their time is over, yield to others, and survive being stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from kavfs._native import process
from kavfs.model import Status
from kavfs.scan.job import Job
from kavfs.scan.pace import Pace
from tests.support.fakes import NoImage, Notebook, fake_scan, fake_server, options
from tests.support.passing import let_pass, wait_until

FILES = 600


def grow(folder, files=FILES):
    for number in range(files):
        parent = folder / f"d{number % 7}"
        parent.mkdir(exist_ok=True)
        (parent / f"f{number}").write_bytes(b"EVIL %d" % number if number % 9 == 0 else b"fine")


class Control:
    """A job whose tick does what a test wants at the moment it chooses."""

    def __init__(self, *paths, pace=None, **how):
        self.book = Notebook()
        self.deeds = []
        self.job = Job(
            NoImage(), options(*paths, **how), self.book, server=fake_server(), tick=self._tick, pace=pace or Pace()
        )

    def then(self, holds, deed):
        """When *holds* of the totals, do *deed*, once; deeds follow each other."""
        self.deeds.append((holds, deed))

    def _tick(self, totals):
        if self.deeds and self.deeds[0][0](totals):
            self.deeds.pop(0)[1]()

    def run(self):
        totals = self.job.run()
        assert self.deeds == []
        return totals


class Still:
    """True when nothing has happened for so many ticks."""

    def __init__(self, ticks=8):
        self.ticks, self.files, self.count = ticks, -1, 0

    def __call__(self, totals):
        self.count = self.count + 1 if totals.files == self.files else 0
        self.files = totals.files
        return self.count >= self.ticks


# ---- pause and continue ------------------------------------------------------------------------------------------


def test_a_paused_scan_begins_nothing_and_goes_on_to_the_same_end(tmp_path):
    grow(tmp_path)
    control = Control(tmp_path)
    stood_at = []
    control.then(lambda totals: totals.files > 0, control.job.pause)
    control.then(Still(), lambda: (stood_at.append(len(control.book.results)), control.job.go_on()))
    totals = control.run()
    assert 0 < stood_at[0] < FILES
    assert totals.files == FILES
    assert not totals.interrupted
    assert control.book.verdicts() == fake_scan(tmp_path).verdicts()
    assert control.book.notes == ["the scan is paused; SIGUSR2 continues it", "the scan goes on"]


def test_a_scan_that_is_paused_before_it_begins_does_nothing_until_it_may(tmp_path):
    grow(tmp_path, 20)
    control = Control(tmp_path)
    control.job.pause()
    seen = []
    control.then(Still(), lambda: (seen.append(list(control.book.results)), control.job.go_on()))
    assert control.run().files == 20
    assert seen == [[]]


def test_no_deadline_runs_in_a_pause(tmp_path):
    """Shorter than the pause are the time limit, the walker's patience, and the time that a child has for going."""
    grow(tmp_path)
    control = Control(tmp_path, stall=1.0)
    began = []
    control.then(lambda totals: totals.files > 0, lambda: (began.append(time.monotonic()), control.job.pause()))
    control.then(lambda totals: time.monotonic() - began[0] > 2.0, control.job.go_on)
    totals = control.run()
    assert totals.statuses.keys() == {Status.CLEAN, Status.INFECTED}
    assert totals.worker_deaths == 0


def test_a_paused_scan_can_be_ended(tmp_path):
    grow(tmp_path)
    control = Control(tmp_path)
    control.then(lambda totals: totals.files > 0, control.job.pause)
    control.then(Still(), control.job.stop)
    totals = control.run()
    assert totals.interrupted
    assert not totals.window_ended


COORDINATOR = """
import sys
from kavfs.cli.running import heeding_signals
from kavfs.limits import Limits
from kavfs.scan.job import Job
from tests.support.fakes import NoImage, Notebook, fake_server, options
class Book(Notebook):
    def note(self, text):
        print(text, flush=True)
last = [-1]
def tick(totals):
    if totals.files != last[0]:
        last[0] = totals.files
        print("files", totals.files, flush=True)
book = Book()
scan = options(sys.argv[1], stall=0.5, limits=Limits(time_base=1.0))
job = Job(NoImage(), scan, book, server=fake_server(), tick=tick)
with heeding_signals(job):
    totals = job.run()
words = sorted(status.name for status in totals.statuses)
print("end", totals.files, totals.interrupted, totals.worker_deaths, *words, flush=True)
"""


def start(folder) -> subprocess.Popen[str]:
    """A scan in a process group of its own that has begun. (In a session of its own the group would be an orphan, and
    the kernel does not stop those with SIGTSTP.)"""
    words = [sys.executable, "-c", COORDINATOR, folder]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, process_group=0)
    running.stdout.readline()
    return running


def end_of(running) -> str:
    with running:
        out, _ = running.communicate(timeout=60)
    return out.splitlines()[-1]


def test_signals_pause_a_scan_and_let_it_go_on(tmp_path):
    grow(tmp_path, 4000)
    running = start(tmp_path)
    os.killpg(running.pid, signal.SIGUSR1)  # the whole group, as pkill does: the children must not mind
    while running.stdout.readline() != "the scan is paused; SIGUSR2 continues it\n":
        pass
    os.killpg(running.pid, signal.SIGUSR1)
    os.killpg(running.pid, signal.SIGUSR2)
    while running.stdout.readline() != "the scan goes on\n":
        pass
    assert end_of(running) == "end 4000 False 0 CLEAN INFECTED"


@pytest.mark.parametrize("times", [1, pytest.param(12, marks=pytest.mark.long)])
@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGSTOP])
def test_a_scan_that_was_stopped_as_a_whole_knows_nothing_of_it(tmp_path, number, times):
    """It stands for longer than a walker's patience, the time limit with its grace, and what a child has for going."""
    grow(tmp_path, 4000)
    running = start(tmp_path)
    group = psutil.Process(running.pid)
    for _ in range(times):
        running.stdout.readline()
        os.killpg(running.pid, number)
        everybody = [group, *group.children(recursive=True)]
        wait_until(lambda everybody=everybody: all(stopped(one) for one in everybody))
        let_pass(2.5)
        os.killpg(running.pid, signal.SIGCONT)
    assert end_of(running) == "end 4000 False 0 CLEAN INFECTED"


def stopped(one: psutil.Process) -> bool:
    try:
        return one.status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


# ---- the time window ---------------------------------------------------------------------------------------------


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_a_window_that_is_over_scans_nothing_and_is_no_error(tmp_path):
    grow(tmp_path, 20)
    clock = Clock()
    control = Control(tmp_path, pace=Pace(clock.now, clock=clock))
    totals = control.run()
    assert (totals.files, totals.interrupted, totals.window_ended) == (0, True, True)


def test_a_window_that_ends_in_the_middle_leaves_the_rest(tmp_path):
    grow(tmp_path)
    clock = Clock()
    control = Control(tmp_path, pace=Pace(clock.now + 60, clock=clock))
    control.then(lambda totals: totals.files > 0, lambda: setattr(clock, "now", clock.now + 60))
    totals = control.run()
    assert 0 < totals.files < FILES
    assert totals.files == len(control.book.results)
    assert {result.status for result in control.book.results} <= {Status.CLEAN, Status.INFECTED}
    assert (totals.interrupted, totals.window_ended) == (True, True)


def test_a_scan_that_ends_in_time_says_nothing_of_it(tmp_path):
    grow(tmp_path, 20)
    clock = Clock()
    totals = Control(tmp_path, pace=Pace(clock.now + 60, clock=clock)).run()
    assert (totals.files, totals.interrupted, totals.window_ended) == (20, False, False)


def test_an_object_that_takes_too_long_is_left_for_next_time_when_the_window_ends(tmp_path, monkeypatch):
    (tmp_path / "hangs").write_bytes(b"DO-HANG ")
    monkeypatch.setattr("kavfs.scan.pace.GRACE", 0.3)
    clock = Clock()
    pace = Pace(clock.now + 60, clock=clock)
    control = Control(tmp_path, pace=pace)
    control.then(lambda totals: bool(psutil.Process().children(recursive=True)), lambda: None)
    control.then(Still(), lambda: setattr(clock, "now", clock.now + 60))
    totals = control.run()
    assert (totals.files, totals.statuses, totals.window_ended) == (0, {}, True)


# ---- politeness --------------------------------------------------------------------------------------------------


class Manners(Notebook):
    """Notes the nice value and the I/O class of all children of the scan."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def add(self, result):
        super().add(result)
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it ended between being listed and being looked at
                self.seen[child.name()] = (child.nice(), child.ionice().ioclass)


@pytest.mark.parametrize("polite", [False, True])
def test_walkers_and_workers_of_a_polite_scan_yield_to_everybody(tmp_path, polite):
    grow(tmp_path, 20)
    book = Manners()
    Job(NoImage(), options(tmp_path, polite=polite), book, server=fake_server(), pace=Pace()).run()
    ours = psutil.Process()
    wanted = (19, psutil.IOPRIO_CLASS_IDLE) if polite else (ours.nice(), ours.ionice().ioclass)
    assert {name: manners for name, manners in book.seen.items() if name == "kavfs-worker"} == {"kavfs-worker": wanted}


def test_a_program_can_yield_for_good():
    """In a process of its own."""
    code = "from kavfs.scan.sandbox import yield_to_others as y; y(); import psutil; p = psutil.Process(); "
    code += "print(p.nice(), int(p.ionice().ioclass))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["19", str(int(psutil.IOPRIO_CLASS_IDLE))]
    assert callable(process.idle_io)


def test_a_machine_under_load_is_waited_for(tmp_path, monkeypatch):
    grow(tmp_path, 20)
    load = [9.0]
    monkeypatch.setattr("kavfs.scan.pace.load_average", lambda root: load[0])
    monkeypatch.setattr("kavfs.scan.pace.LOOK", 0.0)
    book = Notebook()
    still = Still()
    seen = []

    def tick(totals):
        if not seen and still(totals):
            seen.append(totals.files)
            load[0] = 0.5

    totals = Job(NoImage(), options(tmp_path, max_load=1.0), book, server=fake_server(), tick=tick).run()
    assert seen == [0]
    assert totals.files == 20

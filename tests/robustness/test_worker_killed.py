"""Processes that die from outside: workers, walkers, the fork server, the coordinator; and signals that end a scan."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys

import psutil
import pytest

from kavfs.errors import SystemFailure
from kavfs.limits import Limits
from kavfs.model import Reason, Status
from kavfs.scan.control import Message
from kavfs.scan.crew import Crew
from kavfs.scan.forkserver import Parts
from kavfs.scan.job import Job
from tests.support.fakes import (
    NoImage,
    Notebook,
    fake_scan,
    fake_server,
    options,
)


def grow(folder, files):
    for number in range(files):
        parent = folder / f"d{number % 20}"
        parent.mkdir(exist_ok=True)
        (parent / f"f{number}").write_bytes(b"EVIL %d" % number if number % 11 == 0 else b"fine %d" % number)


def children_called(name: str) -> list[psutil.Process]:
    """Living processes below us with that name."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.name() == name and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


class Killer(Notebook):
    """A report that kills a worker each time so many more verdicts have come in."""

    def __init__(self, seed: int, deaths: int, most_verdicts: int) -> None:
        super().__init__()
        self.random = random.Random(seed)
        self.deaths, self.most, self.killed = deaths, most_verdicts, 0
        self.wait = self.random.randint(1, most_verdicts)

    def add(self, result):
        super().add(result)
        self.wait -= 1
        if self.wait > 0 or self.killed >= self.deaths:
            return
        self.wait = self.random.randint(1, self.most)
        if workers := children_called("kavfs-worker"):
            self.random.choice(workers).send_signal(signal.SIGKILL)
            self.killed += 1


def kill_while_scanning(folder, seed, deaths, files):
    grow(folder, files)
    undisturbed = fake_scan(folder).verdicts()
    killer = Killer(seed, deaths, most_verdicts=2 * files // deaths - 1)
    totals = Job(NoImage(), options(folder), killer, server=fake_server()).run()
    assert killer.killed >= deaths // 2, "the scan was over too soon to say anything"
    assert totals.files == files
    assert killer.verdicts() == undisturbed


@pytest.mark.parametrize("seed", [1, 2])
def test_verdicts_are_those_of_an_undisturbed_scan_when_workers_are_killed(tmp_path, seed):
    kill_while_scanning(tmp_path, seed, deaths=10, files=1000)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_fifty_killed_workers_change_no_verdict_of_five_thousand_files(tmp_path, seed):
    kill_while_scanning(tmp_path, seed, deaths=50, files=5000)


def test_killed_walker_costs_an_error_for_its_root_and_nothing_else(tmp_path):
    grow(tmp_path, 3000)
    book = Notebook()

    def kill_walker(totals):
        for walker in children_called("kavfs-walker"):
            walker.send_signal(signal.SIGKILL)

    Job(NoImage(), options(tmp_path), book, server=fake_server(), tick=kill_walker).run()
    result = book.of(tmp_path)
    assert (result.status, result.reasons) == (Status.ERROR, Reason.UNREADABLE)
    assert "SIGKILL" in result.error
    assert book.totals.statuses[Status.ERROR] == 1
    assert len(book.results) == book.totals.files + 1


def silent_walker(setup: Message, fds: list[int], parts: Parts) -> None:
    while True:
        signal.pause()


def test_walker_that_makes_no_progress_is_given_up_and_the_scan_ends(tmp_path):
    server = fake_server(walker=silent_walker)
    book = Notebook()
    Job(NoImage(), options(tmp_path, stall=0.2), book, server=server).run()
    assert book.of(tmp_path).error == "file system does not answer"


def walker_that_sends(data: bytes):
    def run(setup: Message, fds: list[int], parts: Parts) -> None:
        os.write(fds[0], data)
        while True:
            signal.pause()

    return run


@pytest.mark.parametrize("data", [b"\0" * 16, b"KBAT", os.urandom(4000), b"KBAT" + b"\xff" * 200])
def test_walker_that_breaks_the_protocol_is_given_up(tmp_path, data):
    book = Notebook()
    Job(NoImage(), options(tmp_path), book, server=fake_server(walker=walker_that_sends(data))).run()
    assert book.of(tmp_path).reasons == Reason.UNREADABLE


def test_workers_that_cannot_start_end_the_scan_with_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"x")

    def broken(setup: Message, fds: list[int], parts: Parts) -> None:
        raise SystemExit(9)

    with pytest.raises(SystemFailure, match="exit status 9"):
        Job(NoImage(), options(tmp_path), Notebook(), server=fake_server(broken)).run()


def test_scan_whose_fork_server_is_killed_ends_with_one_line(tmp_path):
    grow(tmp_path, 500)
    server = fake_server()

    def kill_server(totals):
        os.kill(server.pid, signal.SIGKILL)

    with pytest.raises(SystemFailure, match="fork server is gone"):
        Job(NoImage(), options(tmp_path), Notebook(), server=server, tick=kill_server).run()
    assert children_called("kavfs-worker") == []


COORDINATOR = """
import os, signal, sys
from tests.support.fakes import NoImage, Notebook, fake_server, options
from kavfs.scan.job import Job
job = Job(NoImage(), options(sys.argv[1]), Notebook(), server=fake_server(),
          tick=lambda totals: (print("running", flush=True), None)[1])
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: job.stop())
totals = job.run()
print("interrupted" if totals.interrupted else "done", totals.files, flush=True)
"""


def start_coordinator(folder):
    """A scan in a process of its own, in a group of its own, that has begun and will not end by itself."""
    (folder / "hangs").write_bytes(b"DO-HANG ")
    process = subprocess.Popen(
        [sys.executable, "-c", COORDINATOR, folder], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "running\n"
    return process, psutil.Process(process.pid).children(recursive=True)


def test_nothing_is_left_when_the_coordinator_is_killed(tmp_path):
    process, children = start_coordinator(tmp_path)
    assert len(children) >= 2
    with process:
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_signal_to_the_whole_group_ends_the_scan_with_the_report_of_what_was_done(tmp_path, number):
    grow(tmp_path, 50)
    process, children = start_coordinator(tmp_path)
    with process:
        os.killpg(process.pid, number)
        rest, _ = process.communicate(timeout=10)
    assert rest.splitlines()[-1].split()[0] == "interrupted"
    _, alive = psutil.wait_procs(children, timeout=10)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []


def test_idle_worker_that_dies_is_replaced_when_there_is_work_again(tmp_path):
    (tmp_path / "file").write_bytes(b"EVIL")
    with Crew(NoImage(), options(jobs=1), want_clean=True, server=fake_server()) as crew:
        for _ in range(3):
            crew.submit(os.open(tmp_path / "file", os.O_RDONLY), b"file")
            found = []
            while not crew.done:
                found += [one for one in crew.step() if not isinstance(one, str)]
            assert [result.status for result in found] == [Status.INFECTED]
            (worker,) = children_called("kavfs-worker")
            worker.send_signal(signal.SIGKILL)
            worker.wait(timeout=10)


def test_what_a_worker_may_do_is_next_to_nothing(tmp_path):
    with Crew(NoImage(), options(jobs=1), server=fake_server()) as crew:
        (tmp_path / "file").write_bytes(b"fine")
        crew.submit(os.open(tmp_path / "file", os.O_RDONLY), b"file")
        while not crew.done:
            crew.step()
        (worker,) = children_called("kavfs-worker")
        with open(f"/proc/{worker.pid}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
        for field in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[field], 16) == 0
        assert status["NoNewPrivs"] == "1"
        with open(f"/proc/{worker.pid}/limits") as file:
            bounds = {line[:26].strip(): line[26:].split()[:2] for line in file}
        assert bounds["Max processes"] == bounds["Max core file size"] == ["0", "0"]
        assert bounds["Max file size"] == [str(Limits().spill)] * 2
        if os.geteuid() == 0:
            assert int(status["CapBnd"], 16) == 0
            assert status["Uid"].split()[0] not in ("0",)
            assert status["Groups"].strip() == ""

"""Three scans on one state folder: one is stopped while it writes, one is killed, and the third does not wait."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.grove import Grove, beside_ours, build_shim, ext4
from tests.support.programs import finish

PATIENCE = 0.1  # seconds that a scan may spend waiting for another


@pytest.fixture
def grove(tmp_path: Path) -> Iterator[Grove]:
    with ext4(tmp_path) as disk:
        yield Grove(disk, seed=1)


def holders(lock: Path) -> set[int]:
    """Processes that hold a flock on a file."""
    with open("/proc/locks") as file:
        rows = [line.split() for line in file]
    inode = str(lock.stat().st_ino)
    return {int(row[4]) for row in rows if row[1] == "FLOCK" and row[5].rpartition(":")[2] == inode}


def stopped_while_writing(grove: Grove, shim: Path, log: Path) -> subprocess.Popen[bytes]:
    """A scan that stands still in the middle of a write to the store of files, with its lock."""
    grove.check(grove.scan(env={"LD_PRELOAD": beside_ours(shim), "STORE_FAULT_LOG": str(log)}))
    writes = [line.split()[0] for line in log.read_text().splitlines() if line.endswith(" pwrite")]
    for number in writes:  # some are made before the lock is taken, or to the other store
        shutil.rmtree(grove.state / "cache")
        process = grove.start(
            env={"LD_PRELOAD": beside_ours(shim), "STORE_FAULT_AT": number, "STORE_FAULT_ACTION": "stop"}
        )
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        lock = grove.state / "cache" / "files.lock"
        if lock.exists() and holders(lock) == {process.pid}:
            return process
        process.send_signal(signal.SIGCONT)
        finish(process)
    raise AssertionError("no write to the store of files was met")


def test_scan_beside_one_that_is_stopped_and_one_that_is_killed(grove: Grove, tmp_path: Path) -> None:
    shim, trace = build_shim(tmp_path), tmp_path / "trace"
    stopped = stopped_while_writing(grove, shim, tmp_path / "log")
    try:
        env = {"LD_PRELOAD": beside_ours(shim), "STORE_FAULT_AT": "3", "STORE_FAULT_ACTION": "kill"}
        killed = grove.start(env=env)
        killed.communicate(timeout=60)
        calls = "trace=flock,fcntl,clock_nanosleep,nanosleep"
        third = grove.start(before=("strace", "-f", "-T", "-qq", "-e", calls, "-o", str(trace)))
        grove.check(finish(third))
        assert stopped.poll() is None  # all this while
    finally:
        stopped.send_signal(signal.SIGCONT)
        run = finish(stopped)
    grove.check(run)
    check_waits(trace.read_text())
    grove.change()
    grove.check(grove.scan())
    assert grove.stats().startswith("Cache: ")


def check_waits(trace: str) -> None:
    """No call waits for a lock, and the pauses between tries are within bounds."""
    locks = re.findall(r"flock\(\d+, ([A-Z_|]+)\)", trace)
    assert any("LOCK_EX" in how for how in locks)
    assert all("LOCK_NB" in how or how == "LOCK_UN" for how in locks)
    assert "SETLKW" not in trace
    slept = [float(seconds) for seconds in re.findall(r"nanosleep\(.*?tv_nsec=5000000.*<([\d.]+)>", trace)]
    assert slept, "the third scan did not meet the one that is stopped"
    assert len(slept) * 0.005 < PATIENCE


def test_size_is_bounded_whoever_writes(grove: Grove, tmp_path: Path) -> None:
    """Three at once, again and again, with room for a part of what there is."""
    limit = 1 << 20
    shim = build_shim(tmp_path)
    for round_ in range(3):
        runs = [grove.start("--cache-size", "1MiB") for _ in range(2)]
        env = {"LD_PRELOAD": beside_ours(shim), "STORE_FAULT_AT": str(5 + 20 * round_), "STORE_FAULT_ACTION": "torn"}
        runs.append(grove.start("--cache-size", "1MiB", env=env))
        grove.check(finish(runs[0]))
        grove.check(finish(runs[1]))
        runs[2].communicate(timeout=60)
        assert (grove.state / "cache" / "files").stat().st_size <= limit
        grove.change(40)
    grove.check(grove.scan("--cache-size", "1MiB"))

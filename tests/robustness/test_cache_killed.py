"""kill -9 of any process of a scan with stores, at any moment: the stores open, and nothing is clean that is not.

The tree changes before each scan: files turn bad without a change of size, some without one of mtime."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.grove import Grove, at_some_moment, beside_ours, build_shim, ext4

ROLES = (b"kavfs-forks", b"kavfs-walker", b"kavfs-worker", b"")  # b"" = the coordinator
SPAN = 0.02  # seconds that a scan of this tree takes, once its processes are there


@pytest.fixture
def grove(tmp_path: Path) -> Iterator[Grove]:
    with ext4(tmp_path) as disk:
        yield Grove(disk, seed=1, files=400)


def children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def called(pid: int, name: bytes) -> list[int]:
    """Processes below *pid* with that name."""
    found = []
    for child in children(pid):
        try:
            with open(f"/proc/{child}/comm", "rb") as file:
                found += [child] if file.read().strip() == name else []
        except OSError:
            continue
        found += called(child, name)
    return found


def strike(process: subprocess.Popen[bytes], role: bytes, dice: random.Random) -> bool:
    """Kill one of its processes, a while after it has come to be; False: the scan was over sooner."""
    while process.poll() is None:
        if found := called(process.pid, role or b"kavfs-forks"):
            break
    else:
        return False
    at_some_moment(dice.random() * SPAN)
    if process.poll() is not None:
        return False
    try:
        os.kill(dice.choice(found) if role else process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def scan_and_strike(grove: Grove, role: bytes, dice: random.Random) -> bool:
    process = grove.start()
    struck = strike(process, role, dice)
    out, errors = process.communicate(timeout=60)
    grove.check_part(out)
    assert b"Traceback" not in errors
    if role == b"kavfs-worker" or not struck:
        assert process.returncode == 25
    return struck


def scan_and_die(grove: Grove, shim: Path, dice: random.Random) -> bool:
    """The coordinator is killed in a write to the stores, at times with half of it done."""
    action, number = dice.choice(["kill", "torn"]), str(dice.randint(1, 60))
    env = {"LD_PRELOAD": beside_ours(shim), "STORE_FAULT_AT": number, "STORE_FAULT_ACTION": action}
    process = grove.start(env=env)
    out, _ = process.communicate(timeout=60)
    grove.check_part(out)
    return process.returncode == -signal.SIGKILL


def kill_often(grove: Grove, shim: Path, rounds: int, seed: int) -> None:
    dice = random.Random(seed)
    struck = 0
    for number in range(rounds):
        if number % 3 == 0:
            struck += scan_and_die(grove, shim, dice)
        else:
            struck += scan_and_strike(grove, dice.choice(ROLES), dice)
        grove.change(dice.choice([0, 5, 40]))
        run = grove.scan()
        grove.check(run)
        assert run.errors == ""
        if number % 3 == 0:
            assert grove.stats().startswith("Cache: ")
        grove.change(dice.choice([5, 40]))

    assert struck > rounds / 2, "the scans were over too soon to say anything"
    grove.check(grove.scan())
    assert grove.scan().summary["unchanged"] == sum(not bad for bad in grove.bad.values())


def test_killed_thirty_times(grove: Grove, tmp_path: Path) -> None:
    kill_often(grove, build_shim(tmp_path), 30, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 12))
def test_killed_five_hundred_times(grove: Grove, tmp_path: Path, seed: int) -> None:
    kill_often(grove, build_shim(tmp_path), 50, seed)

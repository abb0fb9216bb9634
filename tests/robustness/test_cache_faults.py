"""A disk that is full or broken under the stores: a warning, right verdicts, and the next scan is as if nothing was."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.grove import Grove, beside_ours, build_shim, ext4

FAULTS = {"full": (errno.ENOSPC, "1"), "broken": (errno.EIO, ""), "full for a moment": (errno.ENOSPC, "")}


@pytest.fixture
def grove(tmp_path: Path) -> Iterator[Grove]:
    with ext4(tmp_path) as disk:
        yield Grove(disk, seed=1, files=200)


def changes(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def try_every(grove: Grove, tmp_path: Path, fault: str, step: int, warm: bool) -> None:
    """Scan with the fault at each change of the stores, and then without."""
    number, last = 1, False
    code, lasting = FAULTS[fault]
    shim, log = build_shim(tmp_path), tmp_path / "log"
    while not last:
        if warm:
            grove.check(grove.scan())
            grove.change(40)
        else:
            shutil.rmtree(grove.state / "cache", ignore_errors=True)
        log.unlink(missing_ok=True)
        env = {"LD_PRELOAD": beside_ours(shim), "STORE_FAULT_AT": str(number), "STORE_FAULT_ACTION": str(code)}
        env |= {"STORE_FAULT_LOG": str(log), **({"STORE_FAULT_ON": lasting} if lasting else {})}
        run = grove.scan(env=env)
        grove.check(run)
        last = changes(log) < number
        check_warnings(log, number, code, [*run.errors.splitlines(), *run.notes])
        grove.check(grove.scan())
        number += step


def check_warnings(log: Path, number: int, code: int, warnings: list[str]) -> None:
    """One, that says why; where the disk is not full but broken, both caches have their own. None is needed where only
    a list, or a file that is to be removed, is what was not written."""
    why = os.strerror(code)
    assert len(warnings) <= (1 if code == errno.ENOSPC else 2), warnings
    assert all(warning.endswith(why) for warning in warnings), warnings
    assert len(set(warnings)) == len(warnings)
    rows = dict(line.split(maxsplit=1) for line in log.read_text().splitlines())
    if rows.get(str(number)) == "pwrite":
        assert len(warnings) == 1
    if str(number) not in rows:
        assert warnings == []


@pytest.mark.parametrize("warm", [False, True], ids=["first scan", "later scan"])
@pytest.mark.parametrize("fault", FAULTS)
def test_some_writes_fail(grove: Grove, tmp_path: Path, fault: str, warm: bool) -> None:
    try_every(grove, tmp_path, fault, 17, warm)


@pytest.mark.long
@pytest.mark.parametrize("warm", [False, True], ids=["first scan", "later scan"])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_write_fails(grove: Grove, tmp_path: Path, fault: str, warm: bool) -> None:
    try_every(grove, tmp_path, fault, 1, warm)


def test_disk_that_is_full(grove: Grove, tmp_path: Path) -> None:
    """A real one: signatures are compiled there, and then nothing fits any more."""
    with ext4(tmp_path, mib=8) as small:
        grove.state = small / "state"
        assert grove.scan("--no-cache").errors == ""
        with open(small / "ballast", "wb") as ballast:
            subprocess.run(["dd", "if=/dev/zero", "bs=4096"], stdout=ballast, stderr=subprocess.DEVNULL, check=False)
        run = grove.scan()
        grove.check(run)
        warnings = [*run.errors.splitlines(), *run.notes]
        history, memory = sorted(warnings, key=lambda text: "history" not in text)  # one for each of what is lost
        assert history.endswith("this scan is not in the history")
        assert memory.endswith("No space left on device")
        (small / "ballast").unlink()
        grove.check(grove.scan())
        assert grove.scan().summary["unchanged"] > 0

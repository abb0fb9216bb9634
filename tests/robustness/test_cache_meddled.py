"""Somebody meddles with the stores while scans run: never a crash, never a wrong clean, and a note where it matters."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest

from tests.support.grove import Grove, at_some_moment, ext4

NAMES = ("files", "objects", "key", "settings.json", "files.lock")


@pytest.fixture
def grove(tmp_path: Path) -> Iterator[Grove]:
    with ext4(tmp_path) as disk:
        made = Grove(disk, seed=1)
        made.check(made.scan())
        yield made


def truncate(path: Path, dice: random.Random) -> None:
    os.truncate(path, dice.randrange(path.stat().st_size + 1))


def overwrite(path: Path, dice: random.Random) -> None:
    with open(path, "r+b") as file:
        for _ in range(50):
            file.seek(dice.randrange(path.stat().st_size + 1))
            file.write(dice.randbytes(dice.choice([1, 8, 64])))


def remove(path: Path, dice: random.Random) -> None:
    path.unlink()


def replace_with_noise(path: Path, dice: random.Random) -> None:
    other = path.with_name("noise")
    other.write_bytes(dice.randbytes(5000))
    other.chmod(0o600)
    other.rename(path)


def replace_with_folder(path: Path, dice: random.Random) -> None:
    path.unlink()
    path.mkdir()


def replace_with_fifo(path: Path, dice: random.Random) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def give_to_all(path: Path, dice: random.Random) -> None:
    path.chmod(0o666)


DEEDS = (truncate, overwrite, remove, replace_with_noise, replace_with_folder, replace_with_fifo, give_to_all)
Deed = Callable[[Path, random.Random], None]


def start_over(grove: Grove) -> None:
    shutil.rmtree(grove.state / "cache")
    grove.check(grove.scan())
    grove.change(20)


def ends_well(grove: Grove, process: subprocess.Popen[bytes]) -> None:
    out, errors = process.communicate(timeout=60)
    assert b"Traceback" not in errors
    assert process.returncode == 25, errors
    grove.check_part(out)


def meddle_before(grove: Grove, deed: Deed, name: str) -> None:
    dice = random.Random(f"{deed.__name__} {name}")
    grove.change(20)
    deed(grove.state / "cache" / name, dice)
    run = grove.scan()
    grove.check(run)
    for warning in (*run.errors.splitlines(), *run.notes):
        assert "cache" in warning or "remembered" in warning
    grove.change(20)
    grove.check(grove.scan())


@pytest.mark.parametrize(("deed", "name"), tuple(zip(DEEDS, cycle(NAMES), strict=False)))
def test_store_is_meddled_with_before_a_scan(grove: Grove, deed: Deed, name: str) -> None:
    meddle_before(grove, deed, name)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("deed", DEEDS)
def test_every_store_is_meddled_with_in_every_way(grove: Grove, deed: Deed, name: str) -> None:
    meddle_before(grove, deed, name)


def meddle_often(grove: Grove, rounds: int, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(rounds):
        process = grove.start()
        at_some_moment(dice.random() * 0.2)
        path = grove.state / "cache" / dice.choice(NAMES)
        if path.exists():
            dice.choice(DEEDS)(path, dice)
        ends_well(grove, process)
        grove.change(20)
        grove.check(grove.scan())
        start_over(grove)


def test_stores_are_meddled_with_during_scans(grove: Grove) -> None:
    meddle_often(grove, 6, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 7))
def test_stores_are_meddled_with_during_many_scans(grove: Grove, seed: int) -> None:
    meddle_often(grove, 100, seed)


def test_folder_that_others_may_write_to_is_refused(grove: Grove) -> None:
    folder = grove.state / "cache"
    for spoil in (lambda: folder.chmod(0o777), lambda: (folder.chmod(0o700), os.chown(folder, 65534, 65534))):
        spoil()
        grove.change(20)
        run = grove.scan()
        grove.check(run)
        (warning,) = [*run.errors.splitlines(), *run.notes]
        assert "no cache, everything is scanned" in warning
        assert run.summary["unchanged"] == 0


def test_folder_goes_while_a_scan_runs(grove: Grove) -> None:
    for moment in (0.0, 0.05, 0.1, 0.15):
        process = grove.start()
        at_some_moment(moment)
        shutil.rmtree(grove.state / "cache", ignore_errors=True)
        ends_well(grove, process)
        grove.change(20)
        grove.check(grove.scan())


def test_store_of_another_version_is_set_aside(grove: Grove) -> None:
    path = grove.state / "cache" / "files"
    with open(path, "r+b") as file:
        file.seek(8)
        file.write(b"\xff\xff\xff\x7f")
    run = grove.scan()
    grove.check(run)
    (warning,) = [*run.errors.splitlines(), *run.notes]
    assert "is damaged, or of another version; it is kept as files.damaged-" in warning
    assert grove.scan().summary["unchanged"] > 0

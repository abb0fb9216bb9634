"""Which file a result is about is the walker's to say: a worker cannot point an action at another one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kavfs._native import dispatch
from kavfs.model import Status
from tests.support import dispatching
from tests.support.acting import scanned
from tests.support.dispatching import DEDUP, Bench, batch, entry, send
from tests.support.fakes import note


@pytest.fixture
def bench():
    with dispatching.bench() as made:
        yield made


def given(bench: Bench, path: Path, names: int = 1) -> None:
    for _ in range(names):
        send(bench.walker, batch(entry(path, flags=DEDUP)), path, 1)
        bench.step()


def test_a_worker_that_points_at_another_file_is_lost(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "given").write_bytes(b"given to it")
    (tmp_path / "other").write_bytes(b"somebody else's")
    given(bench, tmp_path / "given")
    other = os.stat(tmp_path / "other").st_ino
    bench.answer(*bench.work(), note(b"Bad.Thing"), status=Status.INFECTED, notes=1, ino=other)
    bench.step()
    assert bench.kinds() == [dispatch.EV_LOST]


@pytest.mark.parametrize("names", [1, 3])
def test_a_worker_cannot_point_at_another_state_of_its_file(bench: Bench, tmp_path: Path, names: int) -> None:
    path = tmp_path / "given"
    path.write_bytes(b"given to it")
    given(bench, path, names)
    while bench.dispatcher.outstanding:
        lie = {"size": 5, "mtime": 1, "ctime": 1}
        bench.answer(*bench.work(), note(b"Bad.Thing"), status=Status.INFECTED, notes=1, **lie)
        bench.step()
    results = bench.results()
    assert len(results) == names
    assert {result.identity for result in results} == {scanned(path)}
    assert {result.size for result in results} == {path.stat().st_size}

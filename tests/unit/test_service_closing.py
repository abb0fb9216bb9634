"""Closing: what lies on a file system that never answers is closed by others, and whose it is waits alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from kavfs.scan.closing import CROWDED, MOST, Closing
from tests.support import stubborn
from tests.support.passing import wait_until

mounts = pytest.mark.skipif(not stubborn.possible(), reason="needs root and /dev/fuse")


@pytest.fixture
def closing() -> Iterator[Closing]:
    closing = Closing()
    yield closing
    closing.end()


def step_until_closed(closing: Closing, waiting: int = 0) -> None:
    def closed() -> bool:
        closing.step()
        return closing.waiting == waiting

    wait_until(closed)


def held(name: str) -> int:
    """Descriptors of files that end with this name."""
    count = 0
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the listing
            count += os.readlink(f"/proc/self/fd/{fd}").endswith(name)
    return count


def test_what_lies_in_memory_is_closed_at_once(closing: Closing) -> None:
    closing.close(os.memfd_create("here"), "client")
    assert not held("here (deleted)")
    assert closing.waiting == 0


@mounts
def test_a_file_system_that_answers_closes_all_in_their_time(closing: Closing, tmp_path: Path) -> None:
    with stubborn.stubborn(tmp_path / "mount") as place:
        for number in range(3 * CROWDED):
            closing.close(os.open(place / "f", os.O_RDONLY), number % 2)
        assert closing.crowded(0)
        step_until_closed(closing)
        assert not held("/f")
        assert not closing.crowded(0)


@mounts
def test_one_client_is_crowded_and_the_other_served(closing: Closing, tmp_path: Path) -> None:
    heard: list[tuple[object, bool]] = []
    closing.told = lambda client, is_so: heard.append((client, is_so))
    with (
        stubborn.stubborn(tmp_path / "good") as good,
        stubborn.stubborn(tmp_path / "mount", stubborn.FLUSH) as place,
    ):
        for _ in range(CROWDED - 1):
            closing.close(os.open(place / "f", os.O_RDONLY), "stuck")
        assert not closing.crowded("stuck")
        closing.close(os.open(place / "f", os.O_RDONLY), "stuck")
        assert closing.crowded("stuck")
        closing.close(os.open(good / "f", os.O_RDONLY), "other")
        step_until_closed(closing, CROWDED)
        assert heard == [("stuck", True)]
    step_until_closed(closing)  # the file system has gone
    assert heard == [("stuck", True), ("stuck", False)]


@mounts
def test_more_stuck_clients_than_processes(closing: Closing, tmp_path: Path) -> None:
    with stubborn.stubborn(tmp_path / "mount", stubborn.FLUSH) as place:
        for client in range(MOST + 2):
            closing.close(os.open(place / "f", os.O_RDONLY), client)
        closing.step()
        assert closing.waiting == MOST + 2
    step_until_closed(closing)


@mounts
def test_the_end_waits_for_nobody_and_what_comes_later_is_closed_too(tmp_path: Path) -> None:
    closing = Closing()
    with stubborn.stubborn(tmp_path / "mount", stubborn.FLUSH) as place:
        for client in ("one", "one", "two"):
            closing.close(os.open(place / "f", os.O_RDONLY), client)
        closing.end()
        closing.close(os.open(place / "f", os.O_RDONLY), "one")
    wait_until(lambda: not held("/f"))

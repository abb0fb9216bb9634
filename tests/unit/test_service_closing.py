"""Closing: what lies on a file system that never answers is closed by others, and whose it is waits alone."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from kavfs.scan import closing as module
from kavfs.scan.closing import MANY, MOST, STUCK, Closing
from tests.support import stubborn
from tests.support.disks import Mounts
from tests.support.passing import let_pass, wait_until

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
        for number in range(6 * STUCK):
            closing.close(os.open(place / "f", os.O_RDONLY), number % 2)
            assert not closing.crowded(number % 2)
        step_until_closed(closing)
        assert not held("/f")


@mounts
def test_who_hands_over_more_than_can_be_closed_is_crowded_until_it_is(closing: Closing, tmp_path: Path) -> None:
    with stubborn.stubborn(tmp_path / "mount") as place:
        for number in range(MANY):
            assert not closing.crowded("client"), number
            closing.close(os.open(place / "f", os.O_RDONLY), "client")  # nobody steps
        assert closing.crowded("client")
        step_until_closed(closing)
        assert not closing.crowded("client")


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Mounts]:
    disks = Mounts(tmp_path)
    yield disks
    disks.close()


@mounts
@pytest.mark.parametrize("kind", ["tmpfs", "ext4", "overlay"])
def test_what_lies_on_this_machine_is_closed_at_once(closing: Closing, disks: Mounts, kind: str) -> None:
    """Also where the mount came after the service had begun."""
    if kind == "tmpfs":
        place = disks.mount("mount", "-t", "tmpfs", "tmpfs")
    else:
        place = (
            disks.disk("mount")
            if kind == "ext4"
            else disks.overlay("mount", disks.mount("below", "-t", "tmpfs", "tmpfs"))
        )
    (place / "f").write_bytes(b"here")
    closing.close(os.open(place / "f", os.O_RDONLY), "client")
    assert not held("mount/f")
    assert closing.waiting == 0


@mounts
@pytest.mark.parametrize("kind", ["ext4", "fuse"])
def test_what_is_mounted_while_no_descriptor_is_left(
    closing: Closing, disks: Mounts, tmp_path: Path, kind: str
) -> None:
    """Then, too, what lies on this machine is closed at once, and nothing else."""
    with stubborn.stubborn(tmp_path / "stubborn") as stubborn_place:
        place = disks.disk("mount")
        (place / "f").write_bytes(b"here")
        one = os.open((place if kind == "ext4" else stubborn_place) / "f", os.O_RDONLY)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))
        try:
            closing.close(one, "client")
            assert closing.waiting == (kind == "fuse")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        step_until_closed(closing)
        assert not held("/f")


@mounts
def test_one_client_is_crowded_and_the_other_served(
    closing: Closing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[object, bool]] = []
    closing.told = lambda client, is_so: heard.append((client, is_so))
    monkeypatch.setattr(module, "LONG", 0.1)
    with (
        stubborn.stubborn(tmp_path / "good") as good,
        stubborn.stubborn(tmp_path / "mount", stubborn.FLUSH) as place,
    ):
        for _ in range(STUCK - 1):
            closing.close(os.open(place / "f", os.O_RDONLY), "stuck")
        let_pass(0.2)
        closing.step()
        assert not closing.crowded("stuck")
        closing.close(os.open(place / "f", os.O_RDONLY), "stuck")
        assert closing.crowded("stuck")
        closing.close(os.open(good / "f", os.O_RDONLY), "other")
        step_until_closed(closing, STUCK)
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

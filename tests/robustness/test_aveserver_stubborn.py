"""aveserver beside file systems that do not answer: who names what lies there waits, and nobody else."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pytest

from kavfs.daemon import listing
from kavfs.daemon.listing import Lister
from kavfs.scan.closing import STUCK
from tests.support import daemon, passer, stubborn

mounts = pytest.mark.skipif(not stubborn.possible(), reason="needs root and /dev/fuse")


def wait_for(place: Path, operation: int) -> None:
    log = place.with_name(place.name + ".log")
    daemon.wait_until(lambda: str(operation) in log.read_text().split())


@mounts
def test_a_folder_that_cannot_be_listed_holds_up_nobody(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"nothing")
    with (
        daemon.running(tmp_path) as server,  # the last to go: its thread does not end before the mount does
        stubborn.stubborn(tmp_path / "mount", stubborn.READDIR) as place,
        socket.socket(socket.AF_UNIX) as sock,
    ):
        sock.connect(str(tmp_path / "clamd"))
        sock.sendall(f"nCONTSCAN {place}/d\n".encode())
        wait_for(place, stubborn.READDIR)
        assert server.ask(b"nPING\n") == b"PONG\n"
        assert server.ask(f"nCONTSCAN {tmp_path}/good\n".encode()) == f"{tmp_path}/good: OK\n".encode()


@mounts
def test_a_passed_file_whose_size_is_not_told_holds_up_nobody(tmp_path: Path) -> None:
    with (
        daemon.running(tmp_path, "DrainTime=1\n") as server,
        stubborn.stubborn(tmp_path / "mount", stubborn.GETATTR) as place,
        socket.socket(socket.AF_UNIX) as sock,
    ):
        sock.connect(str(tmp_path / "clamd"))
        fd = os.open(place / "f", os.O_RDONLY)  # open() would ask for the size itself
        socket.send_fds(sock, [b"nFILDES\nx"], [fd])
        wait_for(place, stubborn.GETATTR)
        assert server.ask(b"nPING\n") == b"PONG\n"
        os.close(fd)


@contextmanager
def unclosable(folder: Path, times: int) -> Iterator[IO[bytes]]:
    """A file that takes as long to close as its mount lasts is passed so many times; the answers."""
    with ExitStack() as later:
        place = later.enter_context(stubborn.stubborn(folder / "mount", stubborn.FLUSH))
        with passer.passed(folder / "clamd", place / "f", times) as answers:
            yield answers
            later.close()


def pass_good(folder: Path) -> bytes:
    """What is said of a file that can be closed."""
    with open(folder / "good", "rb") as file, socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(folder / "clamd"))
        sock.settimeout(daemon.PATIENCE)
        socket.send_fds(sock, [b"nFILDES\nx"], [file.fileno()])
        return sock.recv(200)


@mounts
def test_files_that_cannot_be_closed_hold_up_nobody(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"nothing")
    with daemon.running(tmp_path, "RequestTimeout=2s\n") as server, unclosable(tmp_path, 3) as answers:
        assert all(answers.readline().endswith(b" ERROR\n") for _ in range(3))
        assert pass_good(tmp_path) == b"fd[10]: OK\n"
        answer = f"{tmp_path}/good: OK\n".encode()
        assert server.ask(f"nSCAN {tmp_path}/good\n".encode()) == answer
        (tmp_path / "db" / "two.ndb").write_text("Other:0:*:41424344454647\n")
        server.ask(b"nRELOAD\n")  # no program that it begins closes them either
        server.wait_for(b"signatures are changed")
        assert server.ask(f"nSCAN {tmp_path}/good\n".encode()) == answer


@mounts
def test_a_service_ends_and_the_next_begins_while_a_file_cannot_be_closed(tmp_path: Path) -> None:
    with daemon.running(tmp_path, "RequestTimeout=2s\nDrainTime=1\n") as server, unclosable(tmp_path, 2) as answers:
        assert answers.readline().endswith(b" ERROR\n")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(daemon.PATIENCE) == 0
        with daemon.running(tmp_path) as other:
            assert other.ask(b"nPING\n") == b"PONG\n"


@mounts
def test_from_who_has_many_files_that_cannot_be_closed_no_more_are_taken(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"nothing")
    with daemon.running(tmp_path, "RequestTimeout=1s\n") as server:
        with unclosable(tmp_path, STUCK) as answers:
            assert all(answers.readline().endswith(b" ERROR\n") for _ in range(STUCK))
            daemon.wait_until(lambda: pass_good(tmp_path) == b"fd[10]: Too many requests are waiting ERROR\n")
            assert b"Too many requests" in server.ask(f"nSCAN {tmp_path}/good\n".encode())
            assert server.ask(b"nPING\n") == b"PONG\n"
        daemon.wait_until(lambda: pass_good(tmp_path) == b"fd[10]: OK\n")


def run(folder: Path, clients: list[object], seconds: float = 30.0) -> list[list[bytes] | int]:
    """What each client hears of *folder*; the first answers come first."""
    heard: list[list[bytes] | int] = []

    async def ask() -> None:
        all_there = asyncio.Event()
        lister = Lister(seconds=seconds)

        def done(what: list[bytes] | int) -> None:
            heard.append(what)
            if len(heard) == len(clients):
                all_there.set()

        for client in clients:
            lister.read(client, os.open(folder, os.O_RDONLY | os.O_DIRECTORY), done)
        await asyncio.wait_for(all_there.wait(), daemon.PATIENCE)
        lister.close()

    asyncio.run(ask())
    return heard


def test_names_of_a_folder_are_told_to_all_who_ask(tmp_path: Path) -> None:
    for name in (b"b", b"a", b"\xff\n"):
        (tmp_path / os.fsdecode(name)).touch()
    before = len(os.listdir("/proc/self/fd"))
    asked: list[object] = [0] * 3 * listing.EACH
    assert run(tmp_path, asked) == [[b"\xff\n", b"b", b"a"]] * len(asked)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_folder_with_too_many_names_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "NAMES_MAX", 2)
    for name in "abc":
        (tmp_path / name).touch()
    assert run(tmp_path, [0]) == [errno.EOVERFLOW]


@mounts
def test_who_has_waited_too_long_is_told_so_and_others_are_not_behind_him(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    heard: list[tuple[str, list[bytes] | int]] = []

    async def ask(stuck: Path) -> None:
        late, quick = asyncio.Event(), asyncio.Event()
        lister = Lister(seconds=0.5)

        def told_late(what: list[bytes] | int) -> None:
            heard.append(("stuck", what))
            if len(heard) > 2 * listing.EACH:
                late.set()

        def told(what: list[bytes] | int) -> None:
            heard.append(("other", what))
            quick.set()

        for _ in range(2 * listing.EACH):
            lister.read("stuck", os.open(stuck, os.O_RDONLY | os.O_DIRECTORY), told_late)
        lister.read("other", os.open(folder, os.O_RDONLY | os.O_DIRECTORY), told)
        await asyncio.wait_for(quick.wait(), daemon.PATIENCE)
        assert len(heard) == 1
        await asyncio.wait_for(late.wait(), daemon.PATIENCE)
        lister.close()

    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").touch()
    with stubborn.stubborn(tmp_path / "mount", stubborn.READDIR) as place:
        asyncio.run(ask(place / "d"))
    assert heard == [("other", [b"a"]), *[("stuck", errno.ETIMEDOUT)] * 2 * listing.EACH]

"""A server in clamd's place that lies, stutters, hangs up or says nothing makes no object clean and names none."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kavfs.engine import clamd
from kavfs.engine.contract import Budget, EngineFailed, EngineMissing, Finding
from kavfs.limits import Limits
from kavfs.model import COMPLETE, Reason, Status
from kavfs.options import EnginePlaces, EngineUse
from kavfs.scan.job import Job
from tests.support.clamd import FakeClamd, says
from tests.support.engines import scan_setup
from tests.support.fakes import NoImage, Notebook, options

Answer = Callable[[socket.socket], None]
CONTENT = bytes(range(256)) * 5000


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    return path


@contextmanager
def engine(tmp_path: Path, answer: Answer, takes: int | None = None) -> Iterator[tuple[clamd.ClamdEngine, FakeClamd]]:
    with FakeClamd(tmp_path / "socket", answer, takes=takes) as server:
        offer = clamd.offer(EnginePlaces(clamd=os.fspath(server.path)))
        yield clamd.make({**scan_setup(tmp_path), **offer.setup}), server


def scan(one: clamd.ClamdEngine, path: Path, seconds: float = 20.0) -> Finding:
    fd = os.open(path, os.O_RDONLY)
    try:
        return one.scan(fd, os.fstat(fd).st_size, Budget(seconds))
    finally:
        os.close(fd)


def piecemeal(text: bytes) -> Answer:
    def answer(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        for byte in text:
            connection.sendall(bytes([byte]))

    return answer


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_the_whole_object_arrives_and_ok_is_clean(tmp_path: Path, content: Path) -> None:
    with engine(tmp_path, says(b"stream: OK\n")) as (one, server):
        finding = scan(one, content)
        assert (finding.threats, finding.reasons, finding.scanned) == ((), COMPLETE, len(CONTENT))
        assert server.streams == [CONTENT]


@pytest.mark.parametrize("name", ["Win.Test-1", "Name: with colon", "a OK", "ERROR", "FOUND"])
def test_an_answer_in_pieces_is_one_answer(tmp_path: Path, content: Path, name: str) -> None:
    with engine(tmp_path, piecemeal(f"stream: {name} FOUND\n".encode())) as (one, _):
        assert [(t.name, t.status, t.engine) for t in scan(one, content).threats] == [(name, Status.INFECTED, "clamd")]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\n",
        b"stream: OK",  # half of it
        b"stream: O",
        b"stream: Win.Te",
        b"stream: Win.Test FOUND",
        b"stream: FOUND\n",
        b"stream:  FOUND\n",
        b"stream: OK\nstream: OK\n",
        b"stream: OK\nstream: Win.Test FOUND\n",
        b"OK\n",
        b"other: OK\n",
        b"stream: ok\n",
        b"stream: OK \n",
        b"stream: OK\r\n",
        b"stream: CLEAN\n",
        b"stream: Name\0 FOUND\n",
        b"stream: \x1b[2JName FOUND\n",
        b"stream: \xff\xfe FOUND\n",
        b"stream: N\nFOUND\n",
        b"stream: Something went wrong. ERROR\n",
        b"COMMAND READ TIMED OUT ERROR\n",
        b"UNKNOWN COMMAND\n",
        b"\0" * 100,
        b"\xff" * 100_000,
        b"stream: " + b"A" * 100_000 + b" FOUND\n",
    ],
    ids=lambda answer: repr(answer[:40]),
)
def test_what_is_no_answer_makes_nothing_clean_and_names_nothing(tmp_path: Path, content: Path, answer: bytes) -> None:
    with engine(tmp_path, says(answer)) as (one, _), pytest.raises(EngineFailed):
        scan(one, content)


@pytest.mark.parametrize("takes", [1, 100_000, 1_000_000])
@pytest.mark.parametrize("answer", [b"", b"stream: OK\n", b"stream: O"])
def test_who_hangs_up_before_the_end_has_seen_a_part(tmp_path: Path, content: Path, takes: int, answer: bytes) -> None:
    with engine(tmp_path, says(answer), takes) as (one, _), pytest.raises(EngineFailed):
        scan(one, content)


def test_a_reset_is_no_answer(tmp_path: Path, content: Path) -> None:
    with engine(tmp_path, reset, 10) as (one, _), pytest.raises(EngineFailed):
        scan(one, content)


@pytest.mark.parametrize("takes", [1, 300_000, None])
def test_a_stream_that_is_too_large_for_it_is_partial(tmp_path: Path, content: Path, takes: int | None) -> None:
    with engine(tmp_path, says(b"INSTREAM size limit exceeded. ERROR\n"), takes) as (one, _):
        finding = scan(one, content)
        assert (finding.threats, finding.reasons) == ((), Reason.SIZE)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Heuristics.Limits.Exceeded.MaxFileSize", Reason.SIZE),
        ("Heuristics.Limits.Exceeded.MaxScanTime", Reason.TIME),
        ("Heuristics.Limits.Exceeded.EmailHeaders", Reason.MEMBERS),
        ("Heuristics.Limits.Exceeded", Reason.MEMBERS),
        ("Heuristics.Encrypted.PDF", Reason.ENCRYPTED),
    ],
)
def test_its_names_for_limits_are_reasons(tmp_path: Path, content: Path, name: str, reason: Reason) -> None:
    with engine(tmp_path, says(f"stream: {name} FOUND\n".encode())) as (one, _):
        finding = scan(one, content)
        assert (finding.threats, finding.reasons) == ((), reason)


@pytest.mark.parametrize("takes", [1, None], ids=["takes nothing", "answers nothing"])
def test_who_is_silent_costs_the_time_of_the_object(tmp_path: Path, content: Path, takes: int | None) -> None:
    content.write_bytes(CONTENT * 4)  # more than sockets hold
    done = threading.Event()

    def wait(connection: socket.socket) -> None:
        done.wait(20)

    with engine(tmp_path, wait, takes) as (one, _):
        finding = scan(one, content, seconds=0.3)
        done.set()
        assert (finding.threats, finding.reasons) == ((), Reason.TIME)


def test_who_drips_costs_no_more_than_that(tmp_path: Path, content: Path) -> None:
    done = threading.Event()

    def drip(connection: socket.socket) -> None:
        while not done.wait(0.01):
            connection.sendall(b"s")

    with engine(tmp_path, drip) as (one, _):
        try:
            assert scan(one, content, seconds=0.3).reasons == Reason.TIME
        finally:
            done.set()


def test_a_server_that_goes_away_is_no_answer(tmp_path: Path, content: Path) -> None:
    with engine(tmp_path, says(b"stream: OK\n")) as (one, _):
        assert scan(one, content).reasons == COMPLETE
    with pytest.raises(EngineFailed, match="no connection"):
        scan(one, content)


@pytest.mark.parametrize("version", [b"", b"garbage\n", b"ClamAV 1.4", b"ClamAV \x1b[2J\n", b"\xff" * 9000])
def test_who_does_not_say_what_it_is_takes_no_part(tmp_path: Path, version: bytes) -> None:
    with (
        FakeClamd(tmp_path / "socket", says(b""), version=version) as server,
        pytest.raises(EngineMissing, match=r"socket: no answer"),
    ):
        clamd.offer(EnginePlaces(clamd=os.fspath(server.path)))


def test_the_scan_reports_error_and_goes_on(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "one").write_bytes(b"one")
    (tree / "two").write_bytes(b"two")
    with FakeClamd(tmp_path / "socket", says(b"stream: Win.Te")) as server:
        offer = clamd.offer(EnginePlaces(clamd=os.fspath(server.path)))
        use = EngineUse("clamd", knowledge=offer.knowledge, setup=offer.setup, jobs=1, memory=1 << 30, start_seconds=20)
        book = Notebook()
        Job(NoImage(), options(tree, engines=(use,), limits=Limits()), book).run()
    assert [(r.status, r.reasons, r.error) for r in book.results] == [
        (Status.ERROR, Reason.ENGINE, "engine failed: clamd")
    ] * 2

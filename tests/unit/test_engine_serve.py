"""The serve loop of other engines: what it makes of findings, failures, budgets and identities."""

from __future__ import annotations

import hashlib
import mmap
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kavfs._native import dispatch
from kavfs.engine.contract import Budget, EngineFailed, Finding
from kavfs.engine.serve import Server, seconds_for
from kavfs.limits import Limits
from kavfs.model import Reason, Result, Status, Switch, Threat
from kavfs.scan.children import make_slot
from tests.support import dispatching
from tests.support.dispatching import batch, entry, send
from tests.support.fakes import LAST, RESULT_MAGIC, RESULTS, WORK, WORK_MAGIC

YARA = 3
Scan = Callable[[int, int, Budget], Finding]


class Said:
    """An engine that says what it is told."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan

    def begin(self) -> None: ...

    def close(self) -> None: ...


@contextmanager
def slot_of() -> Iterator[mmap.mmap]:
    fd = make_slot()
    with mmap.mmap(fd, 64) as slot:
        yield slot
    os.close(fd)


def serve(path: Path, scan: Scan, limits: Limits | None = None, switches: Switch = Switch(0)) -> Result:  # noqa: B008
    """The dispatcher's verdict on what a server with this engine says of one file."""
    with dispatching.bench(classes={YARA: (1, 1, 0)}) as bench, slot_of() as slot:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        slot_fd = make_slot()
        bench.dispatcher.add_worker(9, ours.detach(), slot_fd, YARA)
        os.close(slot_fd)
        theirs.send(RESULTS.pack(RESULT_MAGIC, 0, 0, LAST, 0))
        server = Server(theirs, slot, "yara", Said(scan), limits or Limits(), switches)
        thread = threading.Thread(target=server.serve)
        thread.start()
        send(bench.walker, batch(entry(path)), path, 1)
        while not bench.results():
            bench.dispatcher.step(-1, 5000)
            bench.events += bench.dispatcher.events()
        assert dispatch.EV_LOST not in bench.kinds()
        result = bench.results()[0]
        bench.dispatcher.close()
        thread.join()
        theirs.close()
        return result


def threat(name: str, status: Status = Status.INFECTED, member: bytes = b"", offset: int | None = None) -> Threat:
    return Threat(name, status, "yara", member, offset)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "x").write_bytes(b"some bytes")
    return tmp_path / "x"


def test_a_finding_arrives_as_it_was_said(path: Path) -> None:
    found = threat("Rule", Status.SUSPICIOUS, b"a/b", 3)
    result = serve(path, lambda fd, size, budget: Finding((found,), members=2, scanned=99))
    assert (result.status, result.threats, result.engine) == (Status.SUSPICIOUS, (found,), "yara")
    assert (result.size, result.scanned, result.member_count) == (10, 99, 2)


def test_the_engine_gets_the_object_from_its_beginning_and_its_size(path: Path) -> None:
    seen: list[tuple[bytes, int]] = []

    def scan(fd: int, size: int, budget: Budget) -> Finding:
        seen.append((os.read(fd, 100), size))
        return Finding()

    assert serve(path, scan).status is Status.CLEAN
    assert seen == [(b"some bytes", 10)]


@pytest.mark.parametrize(
    ("reasons", "status"),
    [
        (Reason.SIZE, Status.ERROR),
        (Reason.ENCRYPTED, Status.PROTECTED),
        (Reason.DAMAGED | Reason.ENCRYPTED, Status.CORRUPTED),
    ],
)
def test_partial_is_never_clean(path: Path, reasons: Reason, status: Status) -> None:
    result = serve(path, lambda fd, size, budget: Finding(reasons=reasons))
    assert (result.status, result.reasons) == (status, reasons)


@pytest.mark.parametrize(("error", "reason"), [(EngineFailed(), Reason.ENGINE), (OSError(5, "x"), Reason.UNREADABLE)])
def test_what_is_raised_for_one_object_is_its_reason(path: Path, error: Exception, reason: Reason) -> None:
    def scan(fd: int, size: int, budget: Budget) -> Finding:
        raise error

    result = serve(path, scan)
    assert (result.status, result.reasons) == (Status.ERROR, reason)


def test_names_that_would_break_the_wire_do_not(path: Path) -> None:
    odd = [threat("nul\0nul"), threat(""), threat("x" * 9000), threat("line\nbreak"), threat("\udcff\u2028")]
    result = serve(path, lambda fd, size, budget: Finding(tuple(odd)))
    names = [one.name for one in result.threats]
    assert names[:2] == ["nul_nul", "unnamed"]
    assert len(names) == 5
    assert names[2] == "x" * 4096
    assert result.status is Status.INFECTED


def test_what_is_larger_than_the_limit_is_not_shown_to_the_engine(path: Path) -> None:
    def scan(fd: int, size: int, budget: Budget) -> Finding:
        raise AssertionError

    result = serve(path, scan, Limits(max_file_size=9))
    assert (result.status, result.reasons) == (Status.ERROR, Reason.SIZE)
    assert serve(path, lambda fd, size, budget: Finding(), Limits(max_file_size=10)).status is Status.CLEAN


def test_a_file_that_changes_while_it_is_looked_at_is_not_clean(path: Path) -> None:
    def scan(fd: int, size: int, budget: Budget) -> Finding:
        path.write_bytes(b"other bytes")
        return Finding()

    result = serve(path, scan)
    assert (result.status, result.reasons) == (Status.ERROR, Reason.CHANGED)


def test_the_digest_is_there_when_it_was_asked_for(path: Path) -> None:
    found = serve(path, lambda fd, size, budget: Finding(), switches=Switch.DIGEST)
    assert found.sha256 == hashlib.sha256(b"some bytes").digest()
    assert serve(path, lambda fd, size, budget: Finding()).sha256 is None


def test_the_budget_is_that_of_the_limits(path: Path) -> None:
    left: list[float] = []

    def scan(fd: int, size: int, budget: Budget) -> Finding:
        left.append(budget.left)
        budget.tell(5)
        return Finding()

    serve(path, scan, Limits(time_base=7.0, time_rate=5))
    assert 7 < left[0] <= 9
    assert seconds_for(100, Limits(time_base=7.0, time_rate=0)) == 7.0
    assert Budget(-1.0).left == 0.0


@pytest.mark.parametrize(
    "frame",
    [b"", b"short", WORK.pack(1, 1, 7), WORK.pack(WORK_MAGIC, 2, 7), WORK.pack(WORK_MAGIC, 1, 7), b"\xff" * 600],
)
def test_what_is_no_work_ends_the_worker(frame: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, slot_of() as slot, open(__file__, "rb") as file:
        socket.send_fds(ours, [frame], [file.fileno()])
        server = Server(theirs, slot, "yara", Said(lambda fd, size, budget: Finding()), Limits(), Switch(0))
        if frame:
            with pytest.raises(OSError, match="no coordinator"):
                server.serve()
        else:
            server.serve()

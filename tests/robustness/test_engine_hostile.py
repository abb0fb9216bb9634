"""A worker of another engine that was taken over: real processes, with every deed of the fake worker in its place."""

from __future__ import annotations

import mmap
import socket
from pathlib import Path

import pytest

from kavfs.limits import Limits
from kavfs.model import Reason, Status
from kavfs.options import NATIVE
from kavfs.scan import roles
from kavfs.scan.control import Message
from kavfs.scan.forkserver import ForkServer, Parts, Role
from kavfs.scan.job import Job
from tests.support.fakes import DEEDS, FakeEngine, NoImage, Notebook, fake_use, options, serve

SLOW = {b"DO-HANG", b"DO-SPIN", b"DO-CLOSE"}  # end by their budget; one of them is enough
HARMLESS = {b"DO-KILL", b"DO-TWICE"}  # half the blame; a first answer that is a verdict: test_worker_killed, _hostile


def run_honest_native(setup: Message, fds: list[int], parts: Parts) -> None:
    """Says of everything that it is clean."""
    setup["engine"], setup["own"] = "native", {"name": "native", "finds": "nothing at all"}
    setup["memory"], setup["spill"] = 1 << 30, 0
    roles.serve_engine(FakeEngine, setup, fds[:2])  # type: ignore[arg-type]


def run_hostile_engine(setup: Message, fds: list[int], parts: Parts) -> None:
    """Speaks in the name of the native engine, and does what the bytes of an object say."""
    socket_fd, slot_fd = fds
    roles.enter_engine(setup)
    with socket.socket(fileno=socket_fd) as sock, mmap.mmap(slot_fd, 64) as slot:
        roles.greet(socket_fd)
        serve(sock, slot)


@pytest.mark.parametrize("deed", [*sorted(DEEDS.keys() - SLOW - HARMLESS), b"DO-HANG", b"EVIL"])
def test_its_object_is_an_error_and_all_others_have_their_verdict(tmp_path: Path, deed: bytes) -> None:
    for number in range(3):
        (tmp_path / f"plain {number}").write_bytes(b"plain %d" % number)
    (tmp_path / "bad").write_bytes(deed + b" ")
    book = Notebook()
    server = ForkServer(
        {
            "walker": Role(roles.run_walker),
            "worker": Role(run_honest_native, takes_image=True),
            "engine": Role(run_hostile_engine),
        }
    )
    asked = options(
        tmp_path, engines=(NATIVE, fake_use("clamav")), jobs=1, limits=Limits(time_base=0.5, time_rate=1 << 30)
    )
    Job(NoImage(), asked, book, server=server).run()  # type: ignore[arg-type]
    bad = book.of(tmp_path / "bad")
    assert (bad.status, bad.reasons, bad.threats) == (Status.ERROR, Reason.WORKER, ())
    assert bad.error is not None
    assert bad.error.startswith("scanning process died: clamav: ")
    assert [book.of(tmp_path / f"plain {number}").status for number in range(3)] == [Status.CLEAN] * 3
    assert any("a clamav process was lost and is replaced" in note for note in book.notes)

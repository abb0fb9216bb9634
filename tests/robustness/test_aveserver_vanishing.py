"""aveserver: clients that vanish in the wrong moment, and the end of the service, cost nobody an answer."""

from __future__ import annotations

import os
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import daemon
from tests.support.objects import EICAR

STREAM = struct.pack("!I", 1) + b"a" + struct.pack("!I", 0)


@contextmanager
def stopped(process: int) -> Iterator[None]:
    """What is sent meanwhile is read in one step."""
    os.kill(process, signal.SIGSTOP)
    os.waitid(os.P_PID, process, os.WSTOPPED | os.WNOWAIT)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def connect(server: daemon.Daemon, where: str) -> socket.socket:
    """Accepted, and known to be: its greeting is there, or another's that came after it."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(daemon.PATIENCE)
    sock.connect(str(server.folder / where))
    server.ask(b"nPING\n") if where == "clamd" else server.ask(b"QUIT\r\n", where)
    return sock


@pytest.mark.parametrize(
    ("where", "wish"),
    [
        ("clamd", b"nSCAN /etc/passwd\n"),
        ("clamd", b"zINSTREAM\0" + STREAM),
        ("clamd", b"nFILDES\nx"),
        ("clamd", b"nSHUTDOWN\n"),
        ("clamd", b"x" * 10_000),
        ("ave", b"SCAN b /etc/passwd\r\n"),
    ],
)
def test_who_comes_behind_one_that_vanished_has_an_answer(tmp_path: Path, where: str, wish: bytes) -> None:
    (tmp_path / "bad").write_bytes(EICAR)
    mine = f"nSCAN {tmp_path}/bad\n" if where == "clamd" else f"SCAN b {tmp_path}/bad\r\nQUIT\r\n"
    with daemon.running(tmp_path) as server:
        server.ask(mine.encode(), where)  # so that processes and sockets of the service itself are there
        first, second = connect(server, where), connect(server, where)
        held = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        with stopped(server.process.pid):
            first.sendall(wish)
            first.close()
            second.sendall(mine.encode())
        with second:
            assert b"Test.Eicar" in daemon.talk(second, b"")
        daemon.wait_until(lambda: len(os.listdir(f"/proc/{server.process.pid}/fd")) <= held)
        assert server.stop() == 0
    assert b"Traceback" not in server.said
    assert b"Error" not in server.said


def test_a_verdict_for_a_session_that_was_cut_off_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(os.urandom(1 << 20) * 20)
    with daemon.running(tmp_path) as server:
        cut = connect(server, "clamd")
        cut.sendall(f"zIDSESSION\0zSCAN {tmp_path}/long\0zNONSENSE\0".encode())
        assert b"Command invalid" in cut.recv(4096)
        assert server.ask(f"nSCAN {tmp_path}/long\n".encode()) == f"{tmp_path}/long: OK\n".encode()
        cut.close()
        assert server.stop() == 0
    assert b"Error" not in server.said


def test_a_tree_that_is_being_scanned_when_the_service_ends_is_answered(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(40):
        (tree / f"{number:02}").write_bytes(os.urandom(1 << 16) * 256)
    (tree / "00").write_bytes(EICAR)
    with daemon.running(tmp_path, "DrainTime=1\n") as server:
        with connect(server, "clamd") as sock:
            sock.sendall(f"nCONTSCAN {tree}\n".encode())
            server.wait_for(b"path=" + os.fsencode(tree / "00"))
            server.process.send_signal(signal.SIGTERM)
            answer = daemon.talk(sock, b"")
        assert b"00: Test.Eicar.UNOFFICIAL FOUND\n" in answer
        assert server.process.wait(daemon.PATIENCE) == 0
    assert answer.endswith((b" FOUND\n", b"The server is going down ERROR\n"))

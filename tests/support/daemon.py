"""A real aveserver as a process of its own, on sockets in a folder of the test, and clients that say one thing."""

from __future__ import annotations

import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.kavscanner import CHECKOUT
from tests.support.objects import EICAR

PATIENCE = 60.0
PROGRAM = "from kavfs.cli.aveserver import main; main()"


def command(*words: object) -> list[str]:
    return [sys.executable, "-c", PROGRAM, *map(str, words)]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(CHECKOUT), **more}


@dataclass
class Daemon:
    """Running; its sockets are ``ave`` and ``clamd`` in *folder*."""

    folder: Path
    process: subprocess.Popen[bytes]
    said: bytes = b""  # what it has written on standard error so far

    def ask(self, data: bytes, where: str = "clamd") -> bytes:
        """Everything that is answered to *data* until the connection ends."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.folder / where))
            return talk(sock, data)

    def wait_for(self, text: bytes) -> bytes:
        """Standard error until *text* is in it."""
        assert self.process.stderr is not None
        end = time.monotonic() + PATIENCE
        while text not in self.said:
            ready, _, _ = select.select([self.process.stderr], [], [], end - time.monotonic())
            data = os.read(self.process.stderr.fileno(), 65536) if ready else b""
            assert data, (text, self.said, self.process.poll())
            self.said += data
        return self.said

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        _, rest = self.process.communicate(timeout=PATIENCE)
        self.said += rest
        return self.process.returncode


def talk(sock: socket.socket | ssl.SSLSocket, data: bytes) -> bytes:
    """Send, and read to the end."""
    sock.settimeout(PATIENCE)
    sock.sendall(data)
    answer = b""
    while part := sock.recv(65536):
        answer += part
    return answer


def databases(folder: Path) -> Path:
    """A folder with one signature, of EICAR."""
    place = folder / "db"
    place.mkdir(exist_ok=True)
    (place / "one.ndb").write_text(f"Test.Eicar:0:*:{EICAR.hex()}\n")
    return place


def configuration(folder: Path, text: str = "") -> Path:
    """A file with everything in *folder*, and *text* behind it. Sections of *text* are its own."""
    path = folder / "kavfs.conf"
    path.write_text(
        f"[path]\nBasesPath={databases(folder)}\nLocalSocketPath={folder}/ave\n"
        f"[aveserver.path]\nClamdSocketPath={folder}/clamd\nStatePath={folder}/state\n"
        f"[aveserver.options]\nJobs=1\n{text}"
    )
    return path


@contextmanager
def running(
    folder: Path,
    text: str = "",
    words: tuple[object, ...] = ("--foreground",),
    variables: Mapping[str, str] | None = None,
) -> Iterator[Daemon]:
    """In the foreground, listening. *text*: more of the configuration, first keys of [aveserver.options]."""
    started = command("-c", configuration(folder, text), *words)
    process = subprocess.Popen(started, stderr=subprocess.PIPE, env=environment(**(variables or {})))
    daemon = Daemon(folder, process)
    try:
        daemon.wait_for(b"ready")
        yield daemon
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


@dataclass
class Background:
    """In the background; its parent has ended."""

    folder: Path
    pid: int

    def ask(self, data: bytes, where: str = "clamd") -> bytes:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.folder / where))
            return talk(sock, data)


@contextmanager
def background(folder: Path, text: str) -> Iterator[Background]:
    """As an init script starts it; told to end, and gone, behind this."""
    path = configuration(folder, text)
    path.write_text(path.read_text().replace("[path]\n", f"[path]\nAVSpidPATH={folder}/aveserver.pid\n"))
    done = subprocess.run(command("-c", path), capture_output=True, env=environment(), timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    pid = int((folder / "aveserver.pid").read_text())
    watched = os.pidfd_open(pid)
    try:
        yield Background(folder, pid)
    finally:
        signal.pidfd_send_signal(watched, signal.SIGTERM)
        assert select.select([watched], [], [], PATIENCE)[0], "it does not end"
        os.close(watched)


def wait_until(what: Callable[[], object]) -> None:
    """For what gives no event that a test could wait for."""
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port

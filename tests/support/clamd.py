"""clamd: the real server from its package on a socket of the test's own, and one that answers what a test wants."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CLAMD = shutil.which("clamd")
READY = 60.0  # seconds

Answer = Callable[[socket.socket], None]


@contextmanager
def real_clamd(folder: Path, databases: Path, *, stream_max: str = "1M", more: str = "") -> Iterator[tuple[Path, str]]:
    """The path of its socket, and its address on TCP. *more*: lines of its configuration."""
    assert CLAMD is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = folder / "clamd.sock"
    settings = folder / "clamd.conf"
    settings.write_text(
        f"LocalSocket {path}\nLocalSocketMode 666\nTCPSocket {port}\nTCPAddr 127.0.0.1\nDatabaseDirectory {databases}\n"
        f"TemporaryDirectory {folder}\nForeground yes\nStreamMaxLength {stream_max}\nAlertExceedsMax yes\n"
        f"MaxThreads 4\nDisableCache yes\n{more}"
    )
    words = [CLAMD, "--config-file", str(settings)]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        _wait(path, server)
        yield path, f"127.0.0.1:{port}"
    finally:
        server.kill()
        server.communicate()


def _wait(path: Path, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + READY
    while time.monotonic() < end:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(5)
            with suppress(OSError):
                asking.connect(os.fspath(path))
                asking.sendall(b"nPING\n")
                if asking.recv(10) == b"PONG\n":
                    return
        assert server.poll() is None, server.communicate()[0]
        time.sleep(0.05)  # it has no other sign
    raise AssertionError("clamd did not start")


class FakeClamd:
    """Takes a whole stream (unless told otherwise) and then does what *answer* does with the connection."""

    VERSION = b"ClamAV 1.4.6/99/today\n"

    def __init__(self, path: Path, answer: Answer, *, takes: int | None = None, version: bytes = VERSION) -> None:
        """*takes*: bytes after which it answers, None = all."""
        self.path = path
        self.streams: list[bytes] = []
        self._answer, self._takes, self._version = answer, takes, version
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(os.fspath(path))
        self._socket.listen(8)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> FakeClamd:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with suppress(OSError), socket.socket(socket.AF_UNIX) as wake:
            wake.connect(os.fspath(self.path))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            connection, _ = self._socket.accept()
            with connection, suppress(OSError):
                connection.settimeout(20)
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        command = self._line(connection)
        if command == b"nVERSION\n":
            connection.sendall(self._version)
        elif command == b"nINSTREAM\n":
            self.streams.append(self._stream(connection))
            self._answer(connection)

    def _line(self, connection: socket.socket) -> bytes:
        line = b""
        while not line.endswith(b"\n") and (byte := connection.recv(1)):
            line += byte
        return line

    def _stream(self, connection: socket.socket) -> bytes:
        data = b""
        with connection.makefile("rb") as file:
            while (head := file.read(4)) and (length := struct.unpack("!L", head)[0]):
                data += file.read(length)
                if self._takes is not None and len(data) >= self._takes:
                    break
        return data


def says(text: bytes) -> Answer:
    return lambda connection: connection.sendall(text)

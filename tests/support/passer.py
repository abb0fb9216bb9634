"""Passer: a client of clamd's protocol, as a process of its own, that passes one file in several connections at once.

Who holds a descriptor of a file system that never answers can neither close it nor begin a program: so no test does it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

PATIENCE = 60.0


@contextmanager
def passed(where: Path, file: Path, times: int) -> Iterator[IO[bytes]]:
    """It has passed *file* to the socket *where*; each answer is a line of what comes. It is to go behind the file
    system, which is what it waits for in its end."""
    words = [sys.executable, "-m", "tests.support.passer", str(where), str(file), str(times)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"passed\n"
        yield process.stdout
        process.kill()


def _pass(where: str, file: str, times: int) -> None:
    with ExitStack() as open_ones:
        socks = []
        for _ in range(times):
            socks.append(open_ones.enter_context(socket.socket(socket.AF_UNIX)))
            socks[-1].connect(where)
            socks[-1].settimeout(PATIENCE)
            socket.send_fds(socks[-1], [b"nFILDES\nx"], [os.open(file, os.O_RDONLY)])
        os.write(1, b"passed\n")
        for sock in socks:
            os.write(1, sock.recv(1000))
        os.read(0, 1)


if __name__ == "__main__":
    _pass(sys.argv[1], sys.argv[2], int(sys.argv[3]))

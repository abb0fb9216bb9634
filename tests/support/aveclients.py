"""aveclient as it is installed, and servers that play what a test wants to it."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.kavscanner import CHECKOUT, LONGEST, Run

SOURCES = sorted((CHECKOUT / "ext/aveclient").glob("*.c"))
SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer")
HARDENED = ("-O2", "-D_FORTIFY_SOURCE=2", "-fstack-protector-strong")

Play = Callable[["Conversation"], None]


def build(target: Path, *flags: str) -> Path:
    """The program, compiled by itself: with the flags that it is installed with, or others."""
    subprocess.run(["gcc", "-std=gnu11", *(flags or HARDENED), *SOURCES, "-o", target], check=True, timeout=LONGEST)
    return target


def call(program: Path, *words: str | bytes | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> Run:
    """Run to the end; a program that hangs fails the test."""
    done = subprocess.run(
        [program, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LONGEST,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "ASAN_OPTIONS": "detect_leaks=1", **(env or {})},
        check=False,
    )
    assert b"Sanitizer" not in done.stderr, done.stderr.decode(errors="replace")
    return Run(done.returncode, done.stdout, done.stderr)


class Conversation:
    """The server's end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.lines: list[bytes] = []  # that came
        self._rest = b""

    def say(self, *lines: bytes) -> None:
        self.socket.sendall(b"".join(line + b"\r\n" for line in lines))

    def hear(self) -> bytes | None:
        """The next line without its end; None: there is none any more."""
        while b"\n" not in self._rest:
            piece = self.socket.recv(1 << 16)
            if not piece:
                return None
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        self.lines.append(line.removesuffix(b"\r"))
        return self.lines[-1]


@contextmanager
def playing(path: Path, play: Play) -> Iterator[list[Conversation]]:
    """A server at *path* that has one conversation at a time; gives those that it had, whole when the block is left."""
    had: list[Conversation] = []

    def serve(listener: socket.socket) -> None:
        while True:
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(LONGEST)
                if over.is_set():
                    return
                had.append(Conversation(sock))
                try:
                    play(had[-1])
                except (BrokenPipeError, ConnectionResetError):
                    continue  # the client has heard enough

    over = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        listener.listen(5)
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield had
        finally:
            over.set()
            with socket.socket(socket.AF_UNIX) as last:
                last.connect(os.fspath(path))
            thread.join(LONGEST)
            path.unlink()


def answering(answers: dict[bytes, Sequence[bytes]], greeting: bytes = b"201 ready") -> Play:
    """A server that answers each file by the end of its name."""

    def play(talk: Conversation) -> None:
        talk.say(greeting)
        while line := talk.hear():
            if line.upper() == b"QUIT":
                talk.say(b"200 Bye")
                return
            for end, lines in answers.items():
                if line.endswith(end):
                    talk.say(*lines)

    return play


def once(content: bytes, *, end: bool = True) -> Play:
    """A server that greets, hears one request, sends *content* and then ends the connection, or waits for the client
    to do it."""

    def play(talk: Conversation) -> None:
        talk.say(b"201 ready")
        talk.hear()
        talk.socket.sendall(content)
        while not end and talk.hear() is not None:
            pass

    return play

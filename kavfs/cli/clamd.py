"""clamd: a running daemon of ClamAV, asked over its socket for verdicts on the same files, to compare.

    place = find_clamd() or Place.of("/run/clamav/clamd.ctl")
    place.ping()
    place.stream(data)      "OK", "FOUND" or "ERROR"

INSTREAM is used: the daemon needs no right to read the files, and it works over both kinds of socket. What it answers
is read as far as 4 KiB and never trusted further.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from kavfs.errors import UsageError

CONFIGURATIONS = (b"/etc/clamav/clamd.conf", b"/etc/clamd.d/scan.conf", b"/etc/clamd.conf")
SOCKETS = (b"/run/clamav/clamd.ctl", b"/run/clamd.scan/clamd.sock", b"/run/clamav/clamd.sock")
PIECE = 1 << 18  # bytes sent at a time
ANSWER = 4096  # bytes of an answer that are read
PATIENCE = 120.0  # seconds


@dataclass(frozen=True)
class Place:
    """Where a clamd listens: the path of a socket, or a host and a port."""

    path: bytes = b""
    host: str = ""
    port: int = 0

    @classmethod
    def of(cls, text: str) -> Place:
        """A path, or HOST:PORT. Raises UsageError."""
        host, colon, port = text.rpartition(":")
        if "/" in text or not colon:
            return cls(path=os.path.abspath(os.fsencode(text)))
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise UsageError(f"{text}: neither the path of a socket nor HOST:PORT")
        return cls(host=host.strip("[]"), port=int(port))

    def __str__(self) -> str:
        return os.fsdecode(self.path) if self.path else f"{self.host}:{self.port}"

    def ping(self) -> None:
        """Raises OSError when nobody is there, or somebody else."""
        with self._connect() as link:
            link.sendall(b"zPING\0")
            if _answer(link) != b"PONG":
                raise OSError("it does not answer as a clamd does")

    def stream(self, data: bytes) -> str:
        """The verdict on *data*: OK, FOUND or ERROR (also where it refuses data of that size). Raises OSError."""
        with self._connect() as link:
            try:
                link.sendall(b"zINSTREAM\0")
                for at in range(0, len(data), PIECE):
                    piece = data[at : at + PIECE]
                    link.sendall(struct.pack("!I", len(piece)))
                    link.sendall(piece)
                link.sendall(bytes(4))
            except (BrokenPipeError, ConnectionResetError):
                return "ERROR"  # it has closed the socket: more than its StreamMaxLength
            word = _answer(link).rpartition(b" ")[2]
            return word.decode() if word in (b"OK", b"FOUND") else "ERROR"

    def _connect(self) -> socket.socket:
        if not self.path:
            return socket.create_connection((self.host, self.port), PATIENCE)
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            link.settimeout(PATIENCE)
            link.connect(self.path)
        except BaseException:
            link.close()
            raise
        return link


def find_clamd() -> Place | None:
    """Where clamd's own configuration says that it listens, or the usual socket; None when there is none."""
    for place in _candidates():
        try:
            place.ping()
        except OSError:
            continue
        return place
    return None


def _candidates() -> Iterator[Place]:
    for path in CONFIGURATIONS:
        yield from _configured(path)
    yield from (Place(path=path) for path in SOCKETS)


def _configured(path: bytes) -> Iterator[Place]:
    try:
        with open(path, "rb") as file:
            lines = [line.split(None, 1) for line in file.read(1 << 20).splitlines()]
    except OSError:
        return
    words = {line[0]: line[1] for line in lines if len(line) == 2}
    if local := words.get(b"LocalSocket", b"").strip():
        yield Place(path=local)
    port = words.get(b"TCPSocket", b"").strip()
    if port.isdigit():
        yield Place(host=words.get(b"TCPAddr", b"127.0.0.1").strip().decode("latin-1"), port=int(port))


def _answer(link: socket.socket) -> bytes:
    """What comes until a NUL, the end, or 4 KiB."""
    answer = b""
    while b"\0" not in answer and len(answer) < ANSWER:
        piece = link.recv(ANSWER)
        if not piece:
            break
        answer += piece
    return answer.partition(b"\0")[0].strip()

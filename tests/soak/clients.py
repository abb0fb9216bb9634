"""Clients of a soak: most ask as they should and compare each answer, the others do what no client should.

Each has its own numbers, so that a run can be made again. What is wrong is noted in Tally.wrong, never raised.
"""

from __future__ import annotations

import contextlib
import io
import random
import socket
import struct
import threading
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.daemons import EICAR_NAME, MARKS
from tests.support.programs import EICAR

PATIENCE = 60.0
LINES = 8  # requests of one session, at most
SIZE = 4000
FIXED = 60  # objects that are asked for again and again
THREATS = ((EICAR, EICAR_NAME), (MARKS[0], "Mark.One.UNOFFICIAL"), (MARKS[1], "Mark.Two.UNOFFICIAL"))


@dataclass(frozen=True)
class Object:
    """*threat*: what it is called, or ""."""

    path: Path
    content: bytes
    threat: str


@dataclass
class Tally:
    """What all clients have done together."""

    asked: int = 0  # good requests
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, kind: str, asked: int) -> None:
        with self.lock:
            self.asked += asked
            self.kinds[kind] += 1

    def blame(self, text: str) -> None:
        with self.lock:
            self.wrong.append(text)


def packed(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", content)
    return out.getvalue()


def make(rnd: random.Random, path: Path) -> Object:
    """Plain or packed, clean or not, unlike any other."""
    threat, name = rnd.choice(THREATS) if rnd.random() < 0.3 else (b"", "")
    text = rnd.randbytes(16).hex().encode() + b" words " * rnd.randrange(1, SIZE // 7)
    at = rnd.randrange(len(text))
    content = text[:at] + b"\n" + threat + b"\n" + text[at:]
    return Object(path, packed(content) if rnd.random() < 0.3 else content, name)


def objects(folder: Path, seed: int) -> list[Object]:
    folder.mkdir()
    made = [make(random.Random(f"{seed} {number}"), folder / f"{number:03}") for number in range(FIXED)]
    for one in made:
        one.path.write_bytes(one.content)
    return made


class Client:
    """One thread's worth. *ave*, *clamd*: sockets."""

    def __init__(self, ave: Path, clamd: Path, fixed: list[Object], seed: str, tally: Tally) -> None:
        self._ave, self._clamd, self._fixed, self._tally = str(ave), str(clamd), fixed, tally
        self._random = random.Random(seed)
        self._ways: list[tuple[int, str, Callable[[], int]]] = [
            (30, "path", self._path),
            (25, "stream", self._stream),
            (15, "session", self._session),
            (15, "lines", self._lines),
            (5, "new", self._new),
            (4, "garbage", self._garbage),
            (3, "half a request", self._half),
            (3, "gone before the answer", self._vanish),
        ]
        self._weights = [weight for weight, _, _ in self._ways]

    def run(self, until: Callable[[], bool]) -> None:
        while not until():
            _, kind, way = self._random.choices(self._ways, self._weights)[0]
            asked = 0
            try:
                asked = way()
            except OSError as error:  # a good request too must be answered
                self._tally.blame(f"{kind}: {error!r}")
            self._tally.count(kind, asked)

    # ---- good ones -------------------------------------------------------------------------------------------------

    def _path(self) -> int:
        one = self._random.choice(self._fixed)
        self._check("path", self._ask(b"zSCAN %s\0" % bytes(one.path)), clamd_says(str(one.path), one))
        return 1

    def _stream(self) -> int:
        one = self._random.choice(self._fixed)
        self._check("stream", self._ask(*stream(one.content)), clamd_says("stream", one))
        return 1

    def _new(self) -> int:
        one = make(self._random, Path("new"))
        self._check("new", self._ask(*stream(one.content)), clamd_says("stream", one))
        return 1

    def _session(self) -> int:
        """Answers come in any order, with numbers."""
        some = self._random.choices(self._fixed, k=self._random.randint(1, LINES))
        pieces = [b"zIDSESSION\0", *(piece for one in some for piece in stream(one.content)), b"zEND\0"]
        told = self._ask(*pieces).split(b"\0")
        wanted = [b"%d: %s" % (number, clamd_says("stream", one)[:-1]) for number, one in enumerate(some, 1)]
        self._check("session", b"\0".join(sorted(told[:-1])), b"\0".join(sorted(wanted)))
        return len(some)

    def _lines(self) -> int:
        """Of the aveserver protocol, all sent at once."""
        some = self._random.choices(self._fixed, k=self._random.randint(1, LINES))
        with connect(self._ave) as sock:
            sock.sendall(b"".join(b"SCAN b %s\r\n" % bytes(one.path) for one in some) + b"QUIT\r\n")
            greeting, _, told = read(sock).partition(b"\r\n")
        self._check("greeting", greeting[:4], b"201 ")
        self._check("lines", told, b"".join(ave_says(one) for one in some) + b"200 Bye\r\n")
        return len(some)

    def _ask(self, *pieces: bytes) -> bytes:
        with connect(self._clamd) as sock:
            sock.sendall(b"".join(pieces))
            return read(sock)

    def _check(self, kind: str, told: bytes, wanted: bytes) -> None:
        if told != wanted:
            self._tally.blame(f"{kind}: {told[:300]!r} instead of {wanted[:300]!r}")

    # ---- others ----------------------------------------------------------------------------------------------------

    def _garbage(self) -> int:
        with contextlib.suppress(OSError), connect(self._random.choice((self._ave, self._clamd))) as sock:
            sock.sendall(self._random.randbytes(self._random.randrange(1, 3000)))
            sock.shutdown(socket.SHUT_WR)
            read(sock)
        return 0

    def _half(self) -> int:
        """Says the beginning of something and that nothing more will come."""
        one = self._random.choice(self._fixed)
        whole = self._random.choice((b"".join(stream(one.content)), b"zSCAN " + bytes(one.path), b"nIDSESSION\nnSC"))
        with contextlib.suppress(OSError), connect(self._clamd) as sock:
            sock.sendall(whole[: self._random.randrange(1, len(whole))])
            sock.shutdown(socket.SHUT_WR)
            read(sock)
        return 0

    def _vanish(self) -> int:
        one = make(self._random, Path("new"))
        with contextlib.suppress(OSError), connect(self._clamd) as sock:
            sock.sendall(b"".join(stream(one.content)))
        return 0


def connect(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE)
    sock.connect(path)
    return sock


def read(sock: socket.socket) -> bytes:
    told = b""
    while part := sock.recv(1 << 16):
        told += part
    return told


def stream(content: bytes) -> tuple[bytes, ...]:
    return b"zINSTREAM\0", struct.pack(">I", len(content)), content, bytes(4)


def clamd_says(shown: str, one: Object) -> bytes:
    return f"{shown}: {one.threat + ' FOUND' if one.threat else 'OK'}\0".encode()


def ave_says(one: Object) -> bytes:
    if not one.threat:
        return b"220 File is clean\r\n"
    return f"322-{one.threat} {one.path}\r\n230 File is infected\r\n".encode()

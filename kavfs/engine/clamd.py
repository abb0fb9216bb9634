"""The engine clamd: a server of ClamAV, over a UNIX socket or TCP, asked through pyclamd.

The worker reads an object's bytes, sends them (INSTREAM) and reads one line; it looks into neither. pyclamd takes an
end without an answer for "nothing found", half a line for a whole one, an unknown answer for none; it may send half a
piece, and falls over errors that look different. So it is given a socket that does not do that (Line): it sends all or
fails, and hands over an answer only when that is complete and has one of the forms that the server uses. Everything
else is no answer, and the object an Error.

What clamd itself leaves out it says only where its configuration has ``AlertExceedsMax yes``; and nobody can tell from
outside which databases it has besides the official ones: so what it says holds for one scan (Offer.lasting).
"""

from __future__ import annotations

import os
import re
import socket
import stat
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

from kavfs.engine.contract import Budget, EngineFailed, EngineMissing, Finding, Offer, Setup
from kavfs.engine.limitnames import reason_of_name
from kavfs.model import Reason, Threat, status_of_name
from kavfs.options import EnginePlaces

NAME = "clamd"
PACKAGE = "pyclamd"
USUAL = ("/run/clamav/clamd.ctl", "/run/clamd.scan/clamd.sock", "/run/clamav/clamd.sock", "127.0.0.1:3310")
SECONDS_TO_GREET = 10.0
PIECE = 256 << 10  # bytes that are sent at once
LINE_MAX = 8192  # bytes of an answer

OK = b"stream: OK\n"
TOO_LARGE = b"INSTREAM size limit exceeded. ERROR\n"
FOUND = re.compile(rb"stream: ([!-~](?:[ -~]*[!-~])?) FOUND\n")
FAILED = re.compile(rb"[ -~]* ERROR\n")
VERSION = re.compile(rb"ClamAV [ -~]{1,200}\n")

Address = tuple[int, str | tuple[str, int]]  # family and what connect() takes


class TooLate(Exception):
    """The object's time is over."""


class Stream(Protocol):
    """Where pyclamd reads an object."""

    def read(self, length: int) -> bytes: ...


class Client(Protocol):
    """What is used of pyclamd's class."""

    clamd_socket: Line

    def version(self) -> str: ...
    def scan_stream(self, stream: Stream, chunk_size: int) -> dict[str, tuple[str, str]] | None: ...


def offer(places: EnginePlaces) -> Offer:
    if find_spec(PACKAGE) is None:
        raise EngineMissing(f"the Python package {PACKAGE} is not installed")
    family, address = _address(places.clamd or _usual())
    try:
        version = _ask_version((family, address))
    except (EngineFailed, TooLate) as error:
        raise EngineMissing(f"{_shown(address)}: {error}") from None
    return Offer(
        knowledge=f"clamd {version}",
        lasting=False,
        setup={"family": int(family), "address": address},
        jobs=0,
        resident=80 << 20,
        start_seconds=30,
    )


def _usual() -> str:
    """The first socket that is where packages put it."""
    for place in USUAL:
        if place[0] == "/" and os.path.exists(place) and stat.S_ISSOCK(os.stat(place).st_mode):
            return place
    return USUAL[-1]


def _address(text: str) -> Address:
    """A host's name is looked up here: workers cannot."""
    if text.startswith("/"):
        return socket.AF_UNIX, text
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise EngineMissing(f"'{text}' is neither the path of a socket nor HOST:PORT")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        raise EngineMissing(f"{text}: {error.strerror}") from None
    family, _, _, _, address = found[0]
    return family, (str(address[0]), int(address[1]))


def _shown(address: str | tuple[str, int]) -> str:
    return address if isinstance(address, str) else f"{address[0]}:{address[1]}"


def _ask_version(address: Address) -> str:
    line = Line(address, Budget(SECONDS_TO_GREET), version=True)
    try:
        return _client(line).version()
    finally:
        line.close()


def make(setup: Setup) -> ClamdEngine:
    import_module(PACKAGE)  # while paths can be opened
    address = setup["address"]
    return ClamdEngine((setup["family"], address if isinstance(address, str) else (address[0], address[1])))


class ClamdEngine:
    folder = b""

    def __init__(self, address: Address) -> None:
        self._address = address

    def begin(self) -> None:
        """The server ends a connection with its answer: there is one for each object."""

    def scan(self, fd: int, size: int, budget: Budget) -> Finding:
        line = Line(self._address, budget)
        source = Source(fd, size, budget, line)
        try:
            _client(line).scan_stream(source, PIECE)
        except TooLate:
            return Finding(reasons=Reason.TIME, scanned=source.done)
        except ValueError:  # pyclamd's name for TOO_LARGE
            return Finding(reasons=Reason.SIZE, scanned=source.done)
        finally:
            line.close()
        return _finding(line.answer, source.done)

    def close(self) -> None: ...


def _finding(answer: bytes, sent: int) -> Finding:
    """What an answer means that Line let through."""
    if answer == OK:
        return Finding(scanned=sent)
    found = FOUND.fullmatch(answer)
    if not found:
        raise EngineFailed("no answer")
    name = found[1].decode("ascii")
    if reason := reason_of_name(name):
        return Finding(reasons=reason, scanned=sent)
    return Finding((Threat(name, status_of_name(name), NAME),), scanned=sent)


def _client(line: Line) -> Client:
    """pyclamd, without its own connecting (which it does once in vain, and only over IPv4)."""
    kind = import_module(PACKAGE).ClamdUnixSocket
    client: Client = kind.__new__(kind)
    client.clamd_socket = line
    vars(client)["_init_socket"] = line.connect
    return client


class Source:
    """An object as pyclamd reads it. OSError: it cannot be read."""

    def __init__(self, fd: int, size: int, budget: Budget, line: Line) -> None:
        self._line = line
        self._fd = fd
        self._left = size
        self._budget = budget
        self.done = 0

    def read(self, length: int) -> bytes:
        if self._budget.left <= 0:
            raise TooLate
        if self._line.refused:
            return b""
        piece = os.pread(self._fd, min(length, self._left), self.done)
        self._left -= len(piece)
        self.done += len(piece)
        self._budget.tell(self.done)
        return piece


class Line:
    """Stands where pyclamd has its socket. Every failure is EngineFailed or TooLate, which pyclamd lets through."""

    def __init__(self, address: Address, budget: Budget, *, version: bool = False) -> None:
        self._family, self._address = address
        self._budget = budget
        self._version = version
        self._socket: socket.socket | None = None
        self.refused = False  # the server has hung up before it had everything
        self.answer = b""

    def connect(self) -> None:
        self._socket = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            self._timed().connect(self._address)
        except TimeoutError:
            raise TooLate("no connection in time") from None
        except OSError as error:
            self.close()
            raise EngineFailed(f"no connection: {error.strerror or error}") from None

    def send(self, data: bytes) -> int:
        """All of it; nothing any more once the server has answered."""
        if self.refused:
            return len(data)
        try:
            self._timed().sendall(data)
        except TimeoutError:
            raise TooLate("the server takes nothing") from None
        except OSError:  # it has hung up; what it said before can still be read
            self.refused = True
        return len(data)

    def recv(self, length: int) -> bytes:
        """The whole answer, then b"" for its end."""
        if self.answer:
            return b""
        answer = self._read()
        if FAILED.fullmatch(answer) and answer != TOO_LARGE:
            raise EngineFailed(answer.decode("ascii").strip())
        if not self._is_known(answer):
            raise EngineFailed("no answer" if not answer else f"no answer that is known: {answer[:60]!r}")
        self.answer = answer
        return answer

    def _is_known(self, answer: bytes) -> bool:
        if self._version:
            return VERSION.fullmatch(answer) is not None
        if answer == OK:
            return not self.refused  # else it has seen a part
        return answer == TOO_LARGE or FOUND.fullmatch(answer) is not None

    def _read(self) -> bytes:
        """To the end of the connection."""
        answer = b""
        while len(answer) <= LINE_MAX:
            try:
                piece = self._timed().recv(LINE_MAX)
            except TimeoutError:
                raise TooLate("no answer in time") from None
            except OSError as error:
                if answer:
                    break
                raise EngineFailed(f"no answer: {error.strerror or error}") from None
            if not piece:
                break
            answer += piece
        return answer

    def _timed(self) -> socket.socket:
        """The socket, for as long as the object's time lasts."""
        if self._socket is None:
            raise EngineFailed("no connection")
        left = self._budget.left
        if left <= 0:
            raise TooLate("time is over")
        self._socket.settimeout(left)
        return self._socket

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

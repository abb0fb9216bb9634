r"""Statistics: a line for each message, for programs that count them: AVStatistics.

    Time TAB Size TAB Sender TAB Recipients TAB Status TAB VirusList TAB IP TAB Message-ID LF

Time is YYYY-MM-DD HH:MM:SS, local; lists have commas between their values; a comma, a control character or a backslash
in a value is written \xNN or as C has it, so nothing in a message begins a field or a line. The target is a file, or
with HOST:PORT, unix:PATH or the path of a socket that is there, a stream socket. What cannot be written is lost and
counted; nobody waits for it.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import socket
import stat
import threading
import time
from contextlib import suppress

from kavfs.mail.about import FIELD_MAX, field_of, header_of, threats_of
from kavfs.mail.case import Case
from kavfs.report.names import shown_path

log = logging.getLogger(__name__)

WAITING = 1000  # lines for a socket; more are lost
CONNECT = 5.0  # seconds
PAUSE = 10.0  # seconds before a socket that could not be reached is tried again, and trouble is told again
VALUE_MAX = 1000  # bytes of one value

_TCP = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]]+)):([0-9]{1,5})")


def line_of(case: Case) -> bytes:
    """One line, with its end."""
    statuses = list(dict.fromkeys(one.status.name.lower() for one in case.findings))
    fields = (
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(case.time)).encode("ascii"),
        b"%d" % case.spool.size,
        _value(case.envelope.sender),
        b",".join(map(_value, case.addresses())),
        ",".join(statuses or [case.status.name.lower()]).encode("ascii"),
        b",".join(_value(name.encode("utf-8", "backslashreplace")) for name in threats_of(case.findings)),
        _value(case.envelope.origin),
        _value(field_of(header_of(case), b"message-id")[:FIELD_MAX]),
    )
    return b"\t".join(fields) + b"\n"


def _value(raw: bytes) -> bytes:
    return shown_path(raw[:VALUE_MAX]).replace(b",", b"\\x2c")


class Statistics:
    """*target* as AVStatistics has it. `write` never raises and never waits for a socket. *lost*: lines."""

    def __init__(self, target: str, mode: int = 0o640) -> None:
        self.lost = 0
        self._said = -PAUSE
        self._writer = _File(os.fsencode(target), mode) if _place(target) is None else _Socket(target)

    def write(self, case: Case) -> None:
        try:
            line = line_of(case)
            if not self._writer.write(line):
                self.lost += 1
        except Exception as error:  # mail goes on
            self.lost += 1
            if time.monotonic() - self._said >= PAUSE:
                self._said = time.monotonic()
                log.warning("statistics: %s", error)

    def close(self, patience: float = CONNECT) -> None:
        """What waits is written, or lost after so many seconds."""
        self.lost += self._writer.close(patience)


def _place(target: str) -> tuple[int, object] | None:
    """Family and address of a socket; None: a file."""
    if target.startswith("unix:"):
        return socket.AF_UNIX, target[5:]
    if match := _TCP.fullmatch(target):
        return socket.AF_INET6 if match[1] else socket.AF_INET, (match[1] or match[2], int(match[3]))
    with suppress(OSError):
        if stat.S_ISSOCK(os.stat(target).st_mode):
            return socket.AF_UNIX, target
    return None


class _File:
    """Opened when it is first needed, and again when it was moved away."""

    def __init__(self, path: bytes, mode: int) -> None:
        self._path = path
        self._mode = mode
        self._fd = -1

    def write(self, line: bytes) -> bool:
        """In one call: lines of several processes do not mix."""
        if self._moved():
            self.close(0)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            self._fd = os.open(self._path, flags, self._mode)
        return os.write(self._fd, line) == len(line)

    def _moved(self) -> bool:
        if self._fd < 0:
            return True
        try:
            there = os.stat(self._path, follow_symlinks=False)
        except OSError:
            return True
        here = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def close(self, patience: float) -> int:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        return 0


class _Socket:
    """A thread of its own writes, so that a stalled reader stalls nobody else."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._lines: queue.Queue[bytes | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None
        self._sock: socket.socket | None = None
        self._quiet_until = 0.0
        self._closing = threading.Event()
        self._gone = 0  # lines that the thread could not write

    def write(self, line: bytes) -> bool:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="statistics", daemon=True)
            self._thread.start()
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            return False
        return True

    def close(self, patience: float) -> int:
        if self._thread is not None:
            self._closing.set()
            with suppress(queue.Full):
                self._lines.put_nowait(None)
            self._thread.join(patience)
            if self._sock is not None:
                with suppress(OSError):
                    self._sock.shutdown(socket.SHUT_RDWR)
            self._thread = None
        return self._gone

    def _work(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._send(line)
            except OSError as error:
                self._gone += 1
                self._drop()
                if time.monotonic() >= self._quiet_until:
                    log.warning("statistics: %s: %s", self._target, error)
                self._quiet_until = time.monotonic() + PAUSE
        self._drop()

    def _send(self, line: bytes) -> None:
        if self._sock is None:
            if time.monotonic() < self._quiet_until and not self._closing.is_set():
                raise OSError("not reachable")
            self._sock = self._connect()
        self._sock.sendall(line)

    def _connect(self) -> socket.socket:
        place = _place(self._target)
        if place is None:
            raise OSError("there is no socket")
        family, address = place
        if family == socket.AF_UNIX:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            try:
                sock.settimeout(CONNECT)
                sock.connect(address)  # type: ignore[arg-type]
            except BaseException:
                sock.close()
                raise
            return sock
        return socket.create_connection(address, CONNECT)  # type: ignore[arg-type]

    def _drop(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

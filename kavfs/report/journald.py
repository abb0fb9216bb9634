"""journald: a sink and a report for the lines of a scan with their fields (kavscanner -o journald).

An entry is a datagram of ``NAME=value`` lines; a value that is not one line of text has its length before it, so that
no name of a file can make a field. What does not fit into a datagram goes as a sealed file in memory.

    journalctl -t kavscanner KAVFS_STATUS=infected -o verbose
    journalctl MESSAGE_ID=5f6d1c0e8a7b4c55b8b8f3d2a1c90e11
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Iterable

from kavfs.model import Result, Totals
from kavfs.report.lines import Show
from kavfs.report.sinks import LEVELS
from kavfs.report.summary import Signatures
from kavfs.report.text import TextReport

SOCKET = "/run/systemd/journal/socket"

PRIORITIES = {"F": 2, "E": 3, "W": 4, "I": 5, "A": 6, "D": 7}  # crit, err, warning, notice, info, debug

# What journald calls a message of one kind, for programs that look for it. Never changed once they are out.
FINDING = "5f6d1c0e8a7b4c55b8b8f3d2a1c90e11"
PARTIAL = "c2f0a9d4467e4a13a0d51f9be7c35d22"
CLEAN = "0b8e7c52f1d64b6c93e2a4f67d18bc33"
MESSAGE = "9a41d6b37c0f4e8f8e5b2c7d6f3a1044"
BEGIN = "e7350f1b2d9c4d07b6a84c1e9f52d755"
END = "41c9b8e06f7a4327a5d3e8b1c0f49666"

PATIENCE = 10.0  # seconds that a journal which takes nothing may hold a scan up, once

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL

Fields = list[tuple[str, bytes]]


class JournalSink:
    """The journal. ``about`` are the fields of the lines that come next; *lost* is told once when it takes no more."""

    raw = False

    def __init__(self, program: str, level: int, lost: Callable[[str], None], path: str = SOCKET) -> None:
        """Raises OSError when there is no journal."""
        self._level = level
        self._lost = lost
        self._failed = False
        self._fixed: Fields = [
            ("SYSLOG_IDENTIFIER", program.encode()),
            ("SYSLOG_FACILITY", b"1"),
            ("SYSLOG_PID", b"%d" % os.getpid()),
        ]
        self.kind = MESSAGE
        self.about: Fields = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(PATIENCE)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def wants(self, letter: str) -> bool:
        return LEVELS[letter] <= self._level

    def line(self, letter: str, text: bytes) -> None:
        if self.wants(letter):
            self._send(letter, text)

    def lines(self, letter: str, text: bytes) -> None:
        for line in text.splitlines():
            self.line(letter, line)

    def banner(self, text: bytes) -> None:
        self._send("I", text)

    def close(self) -> None:
        self._socket.close()

    def _send(self, letter: str, text: bytes) -> None:
        if self._failed:
            return
        head = [("MESSAGE", text), ("PRIORITY", b"%d" % PRIORITIES[letter]), ("MESSAGE_ID", self.kind.encode())]
        data = b"".join(field(name, value) for name, value in (*head, *self._fixed, *self.about))
        try:
            try:
                self._socket.send(data)
            except OSError as error:
                if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                    raise
                self._send_file(data)
        except OSError as error:
            self._failed = True
            why = "it takes nothing" if isinstance(error, TimeoutError) else error.strerror or str(error)
            self._lost(f"cannot write to the journal: {why}")

    def _send_file(self, data: bytes) -> None:
        fd = os.memfd_create("kavfs-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))
            self._socket.sendmsg([b""], [rights])
        finally:
            os.close(fd)


def field(name: str, value: bytes) -> bytes:
    """One field of an entry. *name* is ours: capital letters, digits, underscores."""
    if b"\n" in value:
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


class JournalReport(TextReport):
    """A text report whose lines have the fields of what they are about. Promises ports.Report."""

    def __init__(self, sink: JournalSink, show: Show, signatures: Signatures, roots: tuple[bytes, ...] = ()) -> None:
        self._journal = sink
        sink.kind = BEGIN
        sink.about = [("KAVFS_GENERATION", signatures.generation.hex().encode())]
        super().__init__(sink, show, signatures, roots)
        self._plain()

    def add(self, result: Result) -> None:
        self._journal.about = fields_of(result)
        if result.threats or result.allowed:
            self._journal.kind = FINDING
        else:
            self._journal.kind = PARTIAL if result.reasons or result.error else CLEAN
        super().add(result)
        self._plain()

    def known(self, directory: bytes, names: bytes, sizes: bytes) -> None:
        self._journal.kind = CLEAN
        super().known(directory, names, sizes)
        self._plain()

    def listed(self, paths: bytes, results: Callable[[], Iterable[Result]]) -> None:
        self._journal.kind = CLEAN
        super().listed(paths, results)
        self._plain()

    def finish(self, totals: Totals) -> None:
        self._journal.kind = END
        counts = [(f"KAVFS_{status.name}", b"%d" % n) for status, n in totals.statuses.items() if n]
        self._journal.about = [("KAVFS_FILES", b"%d" % totals.files), ("KAVFS_BYTES", b"%d" % totals.bytes), *counts]
        super().finish(totals)

    def _plain(self) -> None:
        self._journal.kind, self._journal.about = MESSAGE, []


def fields_of(result: Result) -> Fields:
    """The fields of an object; a name that occurs twice is a list to journald."""
    fields: Fields = [
        ("KAVFS_PATH", result.path),
        ("KAVFS_STATUS", result.status.name.lower().encode()),
        ("KAVFS_SIZE", b"%d" % result.size),
        ("KAVFS_ENGINE", result.engine.encode()),
    ]
    names = dict.fromkeys(threat.name for threat in result.threats)
    fields += [("KAVFS_THREAT", name.encode("utf-8", "backslashreplace")) for name in list(names)[:100]]
    fields += [
        ("KAVFS_REASON", reason.name.lower().encode())
        for reason in type(result.reasons)
        if reason & result.reasons and reason.name
    ]
    if result.sha256:
        fields.append(("KAVFS_SHA256", result.sha256.hex().encode()))
    for deed in result.deeds:
        fields.append(("KAVFS_DEED" if deed.done else "KAVFS_FAILED", deed.verb.encode()))
    return fields

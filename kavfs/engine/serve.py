"""Serve: the life of a worker of another engine: receive descriptors, ask the engine, answer (ext/common/kav.h).

    with mmap.mmap(slot_fd, SLOT_BYTES) as slot:
        Server(sock, slot, "clamd", engine, limits).serve()

It does what ext/worker does for the native engine, and no more: nothing of a path, nothing kept between objects. What
an engine raises for one object is a reason of that object; everything else ends the process, and the coordinator sees
to the rest.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import socket
import stat
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress

from kavfs.engine.contract import Budget, Engine, EngineFailed, Finding
from kavfs.limits import Limits
from kavfs.model import ENGINE_NUMBERS, Reason, Status, Switch, Target, Threat, gravest, status_of_reasons

WORK = struct.Struct("=IIQ")  # kav_work_header
ITEM_BYTES = 8  # kav_work_item
HEADER = struct.Struct("=IIQII")  # kav_result_header
RESULT = struct.Struct("=IBBHIIQQIIQQ32sqqQQHHIII")  # kav_result
NOTE = struct.Struct("=IIQQIBBBB")  # kav_note
BEAT = struct.Struct("=QQQQII")  # kav_slot: beat, batch, bytes, total, index, state

WORK_MAGIC, RESULT_MAGIC = 0x4B52574B, 0x5345524B
LAST = MORE = 1
SHA256, STABLE = 1 << 1, 1 << 4
IDLE, BUSY, SENDING = 0, 1, 2
BATCH_FILES = 64
NO_OFFSET = 2**64 - 1
WORK_MAX = WORK.size + BATCH_FILES * ITEM_BYTES
NOTES_MAX = 64 << 10  # bytes of them in one message
THREATS_MAX = 10_000  # of one object
NAME_MAX = 4096  # bytes of a name or a member's path


class Server:
    """Answers batches until the other end closes."""

    def __init__(
        self, sock: socket.socket, slot: mmap.mmap, name: str, engine: Engine, limits: Limits, switches: Switch
    ) -> None:
        self._sock = sock
        self._slot = slot
        self._number = ENGINE_NUMBERS[name]
        self._engine = engine
        self._limits = limits
        self._digest = bool(switches & Switch.DIGEST)
        self._beat = self._total = 0

    def serve(self) -> None:
        """Until the other end closes. OSError for a message that no coordinator of ours sends."""
        with suppress(BrokenPipeError, ConnectionResetError):  # it closed while we had something to say
            while self._serve_batch():
                pass

    def _serve_batch(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self._sock, WORK_MAX, BATCH_FILES)
        if not data:
            return False
        magic, count, batch = WORK.unpack_from(data.ljust(WORK.size, b"\0"))
        if magic != WORK_MAGIC or not 0 < count == len(fds) or len(data) != WORK.size + count * ITEM_BYTES:
            raise OSError(0, "a message that no coordinator sends")
        for index, fd in enumerate(fds):
            self._tell(batch, index, BUSY)
            self._answer(batch, index, fd)
            os.close(fd)
            self._total += 1
        self._tell(batch, 0, IDLE)
        self._sock.send(HEADER.pack(RESULT_MAGIC, 0, batch, LAST, 0))
        return True

    def _tell(self, batch: int, index: int, state: int, handled: int = 0) -> None:
        self._beat += 1
        BEAT.pack_into(self._slot, 0, self._beat, batch, handled, self._total, index, state)

    def _answer(self, batch: int, index: int, fd: int) -> None:
        """Ask the engine and send its verdict, notes that do not fit into one message ahead of it."""
        try:
            before = os.fstat(fd)
        except OSError:
            self._send(batch, _record(index, None, Status.ERROR, Reason.UNREADABLE, 0, Finding(), b"", 0, b""), b"")
            return
        budget = Budget(
            seconds_for(before.st_size, self._limits), lambda handled: self._tell(batch, index, BUSY, handled)
        )
        finding = self._ask(fd, before, budget)
        reasons, flags = finding.reasons, STABLE
        if _identity(os.fstat(fd)) != _identity(before):
            reasons, flags = reasons | Reason.CHANGED, 0
        statuses = [threat.status for threat in finding.threats]
        status = gravest([*statuses, status_of_reasons(reasons)])
        sha256 = _sha256(fd) if self._digest and flags and not reasons else b""
        flags |= SHA256 if sha256 else 0
        *ahead, (notes, count) = _pieces(finding.threats[:THREATS_MAX], self._number)
        self._tell(batch, index, SENDING)
        for piece, number in ahead:
            record = _record(index, before, Status.CLEAN, Reason(0), MORE, Finding(), piece, number, b"")
            self._send(batch, record, piece)
        self._send(batch, _record(index, before, status, reasons, flags, finding, notes, count, sha256), notes)

    def _ask(self, fd: int, before: os.stat_result, budget: Budget) -> Finding:
        limit = self._limits.max_file_size
        if not stat.S_ISREG(before.st_mode):
            return Finding(reasons=Reason.UNREADABLE, scanned=0)
        if limit and before.st_size > limit:
            return Finding(reasons=Reason.SIZE, scanned=0)
        try:
            os.lseek(fd, 0, os.SEEK_SET)
            return self._engine.scan(fd, before.st_size, budget)
        except EngineFailed:
            return Finding(reasons=Reason.ENGINE, scanned=0)
        except MemoryError:
            return Finding(reasons=Reason.MEMORY, scanned=0)
        except OSError:
            return Finding(reasons=Reason.UNREADABLE, scanned=0)

    def _send(self, batch: int, record: bytes, notes: bytes) -> None:
        self._sock.send(HEADER.pack(RESULT_MAGIC, 1, batch, 0, len(notes)) + record + notes)


def seconds_for(size: int, limits: Limits) -> float:
    """The soft time budget of an object."""
    return limits.time_base + (size / limits.time_rate if limits.time_rate else 0.0)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _sha256(fd: int) -> bytes:
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        with open(fd, "rb", closefd=False) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return b""


def _record(
    index: int,
    identity: os.stat_result | None,
    status: Status,
    reasons: Reason,
    flags: int,
    finding: Finding,
    notes: bytes,
    count: int,
    sha256: bytes,
) -> bytes:
    size = identity.st_size if identity else 0
    scanned = size if finding.scanned is None else finding.scanned
    dev = os.major(identity.st_dev) << 32 | os.minor(identity.st_dev) if identity else 0
    times = (identity.st_mtime_ns, identity.st_ctime_ns) if identity else (0, 0)
    ino = identity.st_ino if identity else 0
    return RESULT.pack(
        index, status, Target.ANY, 0, reasons, flags, size, scanned, finding.members, count, 0, len(notes),
        sha256 or bytes(32), *times, dev, ino, 0, 0, 0, 0, 0,
    )  # fmt: skip


def _pieces(threats: Iterable[Threat], engine: int) -> Iterator[tuple[bytes, int]]:
    """Notes in stretches that fit into a message each; one at least."""
    notes, count = bytearray(), 0
    for threat in threats:
        raw = _note(threat, engine)
        if len(notes) + len(raw) > NOTES_MAX:
            yield bytes(notes), count
            notes, count = bytearray(), 0
        notes += raw
        count += 1
    yield bytes(notes), count


def _note(threat: Threat, engine: int) -> bytes:
    """No NUL, whatever the engine says: it would end this worker, and the finding with it."""
    name = (threat.name.encode("utf-8", "backslashreplace").replace(b"\0", b"_") or b"unnamed")[:NAME_MAX]
    member = threat.member.replace(b"\0", b"_")[:NAME_MAX]
    offset = NO_OFFSET if threat.offset is None else threat.offset
    text = name + member
    return NOTE.pack(len(name), len(member), offset, 0, 0, threat.status, engine, 0, 0) + text + bytes(-len(text) % 8)

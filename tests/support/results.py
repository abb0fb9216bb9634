"""The coordinator's side of a worker's socket, in Python.

The layout is that of ext/common/kav.h, written out a second time on purpose: a test that decoded with the code under
test would agree with any mistake.
"""

from __future__ import annotations

import array
import os
import socket
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field

WORK_MAGIC, RESULT_MAGIC = 0x4B52574B, 0x5345524B
WORK = struct.Struct("=IIQ")
HEADER = struct.Struct("=IIQII")
RECORD = struct.Struct("=IBBHIIQQIIQQ32sqqQQ16x")
NOTE = struct.Struct("=IIQQIBBBB")
SLOT = struct.Struct("=QQQQII24x")
MESSAGE_MAX = 160 << 10
RECORDS_MAX = 64
LAST, MORE = 1, 1
IDLE, BUSY, SENDING = 0, 1, 2


@dataclass
class Line:
    """One note."""

    name: bytes
    member: bytes
    status: int
    reasons: int


@dataclass
class Answer:
    """What became of one object, all its records together."""

    status: int
    reasons: int
    flags: int
    size: int
    members: int
    ino: int
    notes: list[Line] = field(default_factory=list)
    records: int = 1


@dataclass
class Batch:
    """All messages that answer one batch."""

    number: int
    answers: dict[int, Answer]
    messages: int


def file_with(data: bytes) -> int:
    """The descriptor of a nameless file that holds *data*."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return os.dup(file.fileno())


def send(sock: socket.socket, fds: Sequence[int], batch: int = 1, header: bytes | None = None) -> None:
    """Send work; the descriptors stay the caller's."""
    content = WORK.pack(WORK_MAGIC, len(fds), batch) + bytes(8 * len(fds)) if header is None else header
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([content], ancillary)


def receive(sock: socket.socket) -> Batch:
    """Read messages until the last one of a batch, checking everything that the header file promises."""
    answers: dict[int, Answer] = {}
    pending: dict[int, list[Line]] = {}
    records: dict[int, int] = {}
    messages = 0
    while True:
        message = sock.recv(MESSAGE_MAX + 1)
        assert message, "the worker has gone"
        messages += 1
        magic, count, number, flags, payload_len = HEADER.unpack_from(message)
        assert magic == RESULT_MAGIC
        assert count <= RECORDS_MAX
        start = HEADER.size + count * RECORD.size
        assert len(message) == start + payload_len <= MESSAGE_MAX
        at = 0
        for i in range(count):
            fields = RECORD.unpack_from(message, HEADER.size + i * RECORD.size)
            index, status, _, _, reasons, kinds, size, _, members, notes, offset, length, *rest = fields
            assert offset == at
            at += length
            assert index not in answers
            pending.setdefault(index, []).extend(_notes(message[start + offset : start + offset + length], notes))
            records[index] = records.get(index, 0) + 1
            if not kinds & MORE:
                answers[index] = Answer(
                    status, reasons, kinds, size, members, rest[-1], pending.pop(index), records.pop(index)
                )
        assert at == payload_len
        if flags & LAST:
            assert not pending
            return Batch(number, answers, messages)
        assert count


def _notes(part: bytes, count: int) -> list[Line]:
    lines = []
    at = 0
    for _ in range(count):
        name_len, member_len, _, _, reasons, status, _, _, reserved = NOTE.unpack_from(part, at)
        at += NOTE.size
        text = part[at : at + name_len + member_len]
        assert len(text) == name_len + member_len
        assert b"\0" not in text
        assert reserved == 0
        lines.append(Line(text[:name_len], text[name_len:], status, reasons))
        at += (len(text) + 7) & ~7
    assert at == len(part)
    return lines

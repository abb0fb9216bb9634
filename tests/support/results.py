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
ITEM = struct.Struct("=II")
HEADER = struct.Struct("=IIQII")
RECORD = struct.Struct("=IBBHIIQQIIQQ32sqqQQHHIII")
NOTE = struct.Struct("=IIQQIBBBB")
SLOT = struct.Struct("=QQQQII24x")
SLOT_KNOWN = struct.Struct("=48xQ8x")
LAYER = struct.Struct("=QBBHI")
LEARNED = 48
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
class Layer:
    """One layer of an object: which digests are there, and they."""

    size: int
    have: int
    target: int
    digests: bytes


@dataclass
class Answer:
    """What became of one object, all its records together."""

    status: int
    reasons: int
    flags: int
    size: int
    members: int
    ino: int
    views: int
    depth: int
    layers: list[Layer]
    learned: list[bytes]
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


def send(
    sock: socket.socket, fds: Sequence[int], batch: int = 1, header: bytes | None = None, deltas: Sequence[int] = ()
) -> None:
    """Send work; the descriptors stay the caller's. *deltas*: of each object, 0 = in full, as without them."""
    items = b"".join(ITEM.pack(row, 0) for row in deltas or [0] * len(fds))
    content = WORK.pack(WORK_MAGIC, len(fds), batch) + items if header is None else header
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
            *_, ino, views, depth, layers, layers_len, learned = rest
            assert offset == at
            at += length
            assert index not in answers
            part = message[start + offset : start + offset + length]
            behind = layers_len + learned * LEARNED
            lines, more = part[: len(part) - behind], part[len(part) - behind :]
            pending.setdefault(index, []).extend(_notes(lines, notes))
            records[index] = records.get(index, 0) + 1
            if not kinds & MORE:
                lists = _layers(more[:layers_len], layers), _learned(more[layers_len:])
                facts = (status, reasons, kinds, size, members, ino, views, depth)
                answers[index] = Answer(*facts, *lists, pending.pop(index), records.pop(index))
            else:
                assert not behind
        assert at == payload_len
        if flags & LAST:
            assert not pending
            return Batch(number, answers, messages)
        assert count


def _layers(part: bytes, count: int) -> list[Layer]:
    layers = []
    at = 0
    for _ in range(count):
        size, have, target, *zeros = LAYER.unpack_from(part, at)
        assert zeros == [0, 0]
        at += LAYER.size
        length = sum(size for bit, size in ((1, 16), (2, 20), (4, 32)) if have & bit)
        layers.append(Layer(size, have, target, part[at : at + length]))
        at += (length + 7) & ~7
    assert at == len(part)
    return layers


def _learned(part: bytes) -> list[bytes]:
    return [part[at : at + LEARNED] for at in range(0, len(part), LEARNED)]


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

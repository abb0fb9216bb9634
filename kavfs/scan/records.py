"""Records: from the wire to the words of ``model``, and nothing else.

The dispatcher has checked every length, range and name before a record comes here, so that decoding cannot fail.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from kavfs._native.dispatch import format_name
from kavfs.model import (
    ENGINES,
    REASON_WORDS,
    Entry,
    Identity,
    Member,
    Reason,
    Result,
    Status,
    Target,
    Threat,
)

_ENTRY = struct.Struct("=QQQqqqIIIIIIiBBH24x")  # kav_entry
_RESULT = struct.Struct("=IBBHIIQQIIQQ32sqqQQ16x")  # kav_result
_REPLAY = struct.Struct("=4xII4x104x")  # kav_replay_header
_NOTE = struct.Struct("=IIQQIBBBB")  # kav_note

NO_OFFSET = 2**64 - 1

F_SHA256 = 1 << 1
F_CONTAINER = 1 << 2
F_SUPPRESSED = 1 << 3
F_CACHED = 1 << 8

# Looked up, because calling an enumeration for each object costs more than everything else here.
_STATUSES = {int(status): status for status in Status}
_TARGETS = {int(target): target for target in Target}
_reason = cache(Reason)

FLAG_DIR = 1 << 1
FLAG_ROOT = 1 << 2


class Known(NamedTuple):
    """Files of one directory that are unchanged, clean, complete and plain, as ports.Report.known takes them."""

    directory: bytes
    names: bytes
    sizes: bytes
    engine: str = "native"

    def results(self) -> Iterator[Result]:
        """One for each."""
        for name, size in zip(self.names[:-1].split(b"\0"), memoryview(self.sizes).cast("Q"), strict=True):
            yield Result(self.directory + name, Status.CLEAN, size=size, scanned=size, engine=self.engine, cached=True)


class Listed(NamedTuple):
    """Files that are unchanged, they and all their members clean, as ports.Report.listed takes them."""

    paths: bytes
    data: bytes  # kav_replay_header records with what follows them
    engine: str = "native"

    def results(self) -> Iterator[Result]:
        """One for each."""
        at = 0
        while at < len(self.data):
            path_len, notes_len = _REPLAY.unpack_from(self.data, at)
            at += _REPLAY.size
            path_at = at + _RESULT.size
            notes_at = path_at + ((path_len + 7) & ~7)
            end = notes_at + notes_len
            told = self.data[at:path_at] + self.data[notes_at:end]
            yield result(self.data[path_at : path_at + path_len], told, b"", self.engine)
            at = end


class Met(NamedTuple):
    """What a walker met that is no file to scan."""

    path: bytes
    kind: Entry
    error: int  # errno
    dev: int
    ino: int
    root: bool


def met(path: bytes, data: bytes) -> Met:
    """From a kav_entry."""
    dev, ino, *_, error, kind, flags, _ = _ENTRY.unpack(data)
    return Met(path, Entry(kind), error, dev, ino, bool(flags & FLAG_ROOT))


def result(path: bytes, data: bytes, text: bytes, engine: str = "native") -> Result:
    """From a kav_result with its notes behind it; *text* says why when the coordinator gave the verdict. *engine* is
    the first that was asked: where nothing was found, it speaks for all."""
    fields = _RESULT.unpack_from(data)
    _, status, target, number, bits, flags, size, scanned, members, notes, _, _, sha256, mtime, ctime, dev, ino = fields
    threats: list[Threat] = []
    lines: list[Member] = []
    for note in _notes(data, notes):
        if isinstance(note, Threat):
            threats.append(note)
        else:
            lines.append(note)
    reasons = _reason(bits)
    outcome = _STATUSES[status]
    return Result(
        path=path,
        status=outcome,
        reasons=reasons,
        threats=tuple(threats),
        members=tuple(lines),
        size=size,
        scanned=scanned,
        member_count=members,
        target=_TARGETS[target],
        format=format_name(number),
        sha256=sha256 if flags & F_SHA256 else None,
        engine=next((threat.engine for threat in threats if threat.status is outcome), engine),
        error=error_text(outcome, reasons, text.decode("utf-8", "backslashreplace")),
        container=bool(flags & F_CONTAINER),
        suppressed=bool(flags & F_SUPPRESSED),
        cached=bool(flags & F_CACHED),
        identity=Identity(dev, ino, size, mtime, ctime) if ino else None,
    )


def unreadable(path: bytes, text: str) -> Result:
    """The verdict on what could not be listed, opened or reached."""
    return Result(path, Status.ERROR, Reason.UNREADABLE, error=text)


def unreadable_entry(entry: Met) -> Result:
    """The verdict on an entry of kind ERROR."""
    return unreadable(entry.path, os.strerror(entry.error))


def error_text(status: Status, reasons: Reason, text: str) -> str | None:
    """What stands behind ERROR on a line of output."""
    if status is not Status.ERROR:
        return None
    words = ", ".join(word for reason, word in REASON_WORDS.items() if reason in reasons)
    return f"{words}: {text}" if text and words else text or words


def _notes(data: bytes, count: int) -> Iterator[Threat | Member]:
    at = _RESULT.size
    for _ in range(count):
        name_len, member_len, offset, size, bits, status, engine, container, _ = _NOTE.unpack_from(data, at)
        at += _NOTE.size
        name = data[at : at + name_len]
        member = data[at + name_len : at + name_len + member_len]
        at += (name_len + member_len + 7) & ~7
        if name:
            where = None if offset == NO_OFFSET else offset
            yield Threat(name.decode("utf-8", "backslashreplace"), _STATUSES[status], ENGINES[engine], member, where)
        else:
            yield Member(member, _STATUSES[status], _reason(bits), size, bool(container))

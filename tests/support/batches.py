"""Batches in Python: the walker's messages read back, for tests.

The layout is that of ext/common/kav.h, written out a second time on purpose: a test that decoded with the code under
test would agree with any mistake.
"""

from __future__ import annotations

import array
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from kavfs.model import Entry

MAGIC = 0x5441424B
HEADER = struct.Struct("=IIII")
ENTRY = struct.Struct("=QQQqqqIIIIIIiBBH16sII")
KNOWN_MAGIC, REPLAY_MAGIC, RENEW_MAGIC, GONE_MAGIC = 0x4F4E4B4B, 0x4C50524B, 0x4E45524B, 0x4E4F474B
KNOWN = struct.Struct("=IIIIQQ8x")
REPLAY = struct.Struct("=IIII")  # then an entry, then a result
RESULT = struct.Struct("=IBBHIIQQIIQQ32sqqQQHHIII")
MESSAGE_MAX = 160 << 10
FILES_MAX = 64
DEDUP, DIR, ROOT, KEEP, COLD = 1, 2, 4, 8, 16


@dataclass(frozen=True)
class Met:
    """One entry as the coordinator gets it."""

    kind: Entry
    path: bytes
    flags: int = 0
    error: int = 0
    size: int = 0
    dev: tuple[int, int] = (0, 0)
    ino: int = 0
    mode: int = 0
    nlink: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    btime_ns: int = 0
    place: bytes = bytes(16)
    delta: int = 0
    content: bytes | None = None  # what was read through the descriptor, if the reader was asked to


@dataclass
class Batch:
    """One message; the descriptors belong to the holder. Of a message that is none of entries, only what it says."""

    entries: list[Met]
    fds: list[int]
    blob_len: int
    length: int
    known: list[Known] = field(default_factory=list)
    replayed: list[Replay] = field(default_factory=list)
    renewed: list[bytes] = field(default_factory=list)  # places
    gone: list[tuple[bytes, int]] = field(default_factory=list)  # place, inode

    def close(self) -> None:
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()


@dataclass(frozen=True)
class Known:
    """Files that need no scan. *names* is empty where nobody asked for them."""

    directory: bytes
    names: tuple[bytes, ...]
    sizes: tuple[int, ...]
    files: int
    bytes: int


@dataclass(frozen=True)
class Replay:
    """A verdict out of a store."""

    met: Met
    status: int
    reasons: int
    flags: int
    members: int
    scanned: int
    sha256: bytes
    notes: bytes


class BadBatch(Exception):
    """The message breaks the rules of kav.h."""


def decode(message: bytes, fds: list[int]) -> Batch:
    """Take a message apart, checking everything the header file promises."""
    if struct.unpack_from("=I", message)[0] != MAGIC:
        _demand(not fds and len(message) <= MESSAGE_MAX, "message")
        return _decode_unscanned(message)
    magic, count, blob_len, fd_count = HEADER.unpack_from(message)
    blob_off = HEADER.size + count * ENTRY.size
    _demand(magic == MAGIC, "magic")
    _demand(1 <= count <= FILES_MAX, "count")
    _demand(len(message) == blob_off + blob_len <= MESSAGE_MAX, "length")
    _demand(len(fds) == fd_count, "descriptors")
    entries = [_entry(message, i, message[blob_off:]) for i in range(count)]
    _demand(sum(e.kind is Entry.FILE for e in entries) == fd_count, "descriptors of files")
    return Batch(entries, fds, blob_len, len(message))


def _decode_unscanned(message: bytes) -> Batch:
    batch = Batch([], [], 0, len(message))
    magic = struct.unpack_from("=I", message)[0]
    if magic == KNOWN_MAGIC:
        batch.known.append(_known(message))
    elif magic == REPLAY_MAGIC:
        at = 0
        while at < len(message):
            replay, at = _replay(message, at)
            batch.replayed.append(replay)
    elif magic == RENEW_MAGIC:
        count = struct.unpack_from("=I", message, 4)[0]
        _demand(count > 0 and len(message) == 8 + 16 * count, "length of a renewal")
        batch.renewed += [message[8 + 16 * i :][:16] for i in range(count)]
    else:
        _demand(magic == GONE_MAGIC, "magic")
        count, place = struct.unpack_from("=I16s", message, 4)
        _demand(count > 0 and len(message) == 24 + 8 * count, "length of what is gone")
        batch.gone += [(place, ino) for ino in struct.unpack_from(f"={count}Q", message, 24)]
    return batch


def _known(message: bytes) -> Known:
    _, dir_len, names_len, count, files, size = KNOWN.unpack_from(message)
    rest = message[KNOWN.size :]
    _demand(len(rest) == 8 * count + dir_len + names_len, "length of known files")
    _demand(count in (0, files) and files > 0, "names of known files")
    sizes = struct.unpack_from(f"={count}Q", rest)
    directory, names = rest[8 * count :][:dir_len], rest[8 * count + dir_len :].split(b"\0")
    _demand(names.pop() == b"" and len(names) == count and b"" not in names, "names")
    _demand(not count or sum(sizes) == size, "sizes")
    return Known(directory, tuple(names), sizes, files, size)


def _replay(message: bytes, start: int) -> tuple[Replay, int]:
    """One that begins at *start*, and where it ends."""
    magic, path_len, notes_len, reserved = REPLAY.unpack_from(message, start)
    fields = ENTRY.unpack_from(message, start + REPLAY.size)
    at = start + REPLAY.size + ENTRY.size
    result = RESULT.unpack_from(message, at)
    at += RESULT.size
    notes_at = at + -(-path_len // 8) * 8
    end = notes_at + notes_len
    _demand(magic == REPLAY_MAGIC and reserved == 0 and notes_len % 8 == 0 and end <= len(message), "replay")
    _demand(not any(message[at + path_len : notes_at]) and not any(fields[8:13]), "zeros")
    index, status, _, _, reasons, flags, size, scanned, members, _, off, length, sha256 = result[:13]
    _demand((index, off, length, size) == (0, 0, notes_len, fields[2]), "result")
    _demand(result[13:17] == (fields[3], fields[4], fields[0], fields[1]), "identity")
    met = Met(Entry.FILE, message[at : at + path_len], fields[14], 0, size, ino=fields[1], place=fields[16])
    return Replay(met, status, reasons, flags, members, scanned, sha256, message[notes_at:end]), end


def _demand(holds: bool, what: str) -> None:
    if not holds:
        raise BadBatch(what)


def _entry(message: bytes, index: int, blob: bytes) -> Met:
    fields = ENTRY.unpack_from(message, HEADER.size + index * ENTRY.size)
    dev, ino, size, mtime_ns, ctime_ns, btime_ns, mode, nlink = fields[:8]
    dir_off, dir_len, name_off, name_len, error, kind, flags, reserved, where, delta, reserved2 = fields[8:]
    _demand(dir_off + dir_len <= len(blob) and name_off + name_len <= len(blob), "offset")
    _demand(dir_len + name_len <= 64 << 10 and name_len > 0, "path length")
    _demand(reserved == 0 and reserved2 == 0, "reserved")
    _demand((error != 0) == (kind == Entry.ERROR), "error")
    directory, name = blob[dir_off : dir_off + dir_len], blob[name_off : name_off + name_len]
    _demand(directory == b"" or directory.endswith(b"/"), "directory")
    _demand(b"\0" not in directory + name, "NUL")
    return Met(
        kind=Entry(kind),
        path=directory + name,
        flags=flags,
        error=error,
        size=size,
        dev=(dev >> 32, dev & 0xFFFFFFFF),
        ino=ino,
        mode=mode,
        nlink=nlink,
        mtime_ns=mtime_ns,
        ctime_ns=ctime_ns,
        btime_ns=btime_ns,
        place=where,
        delta=delta,
    )


def receive(sock: socket.socket) -> Batch | None:
    """The next batch; None at the end."""
    fds = array.array("i")
    room = socket.CMSG_SPACE((FILES_MAX + 1) * fds.itemsize)
    message, ancillary, flags, _ = sock.recvmsg(MESSAGE_MAX + 1, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, data in ancillary:
        _demand((level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS), "ancillary")
        fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    if not message:
        return None
    try:
        _demand(not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC), "truncated")
        return decode(message, list(fds))
    except BadBatch:
        for fd in fds:
            os.close(fd)
        raise


def batches(sock: socket.socket) -> Iterator[Batch]:
    """Batches to the end; the descriptors of each are closed when the next is asked for."""
    while (batch := receive(sock)) is not None:
        try:
            yield batch
        finally:
            batch.close()


def pair() -> tuple[socket.socket, socket.socket]:
    """(reader, writer)"""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


@dataclass
class Collected:
    """Everything a walk sent."""

    entries: list[Met] = field(default_factory=list)
    batches: list[tuple[int, int, int]] = field(default_factory=list)  # entries, bytes of files, length of the message
    replays: list[int] = field(default_factory=list)  # how many in each message of them
    known: list[Known] = field(default_factory=list)
    replayed: list[Replay] = field(default_factory=list)
    renewed: list[bytes] = field(default_factory=list)
    gone: list[tuple[bytes, int]] = field(default_factory=list)

    def known_paths(self) -> list[bytes]:
        """Of known files that were sent by name."""
        return [known.directory + name for known in self.known for name in known.names]

    def known_files(self) -> int:
        return sum(known.files for known in self.known)

    def paths(self, kind: Entry) -> set[bytes]:
        return {e.path for e in self.entries if e.kind is kind}

    def kinds(self) -> dict[bytes, Entry]:
        """Path to kind; fails when a path was sent twice."""
        kinds = {e.path: e.kind for e in self.entries}
        if len(kinds) != len(self.entries):
            raise AssertionError("a path was sent twice")
        return kinds

    def one(self, path: bytes) -> Met:
        (entry,) = [e for e in self.entries if e.path == path]
        return entry


def collect(
    walk: Callable[[int], None], read: bool = False, look: Callable[[Batch], None] = lambda batch: None
) -> Collected:
    """Run *walk*, a function of the socket to send to, in a thread, and take what it sends; its exception is raised
    here. *read*: read every file through its descriptor; *look* is called with every batch."""
    reader, writer = pair()
    raised: list[BaseException] = []

    def run() -> None:
        try:
            walk(writer.fileno())
        except BaseException as error:
            raised.append(error)
        finally:
            writer.close()

    collected = Collected()
    thread = threading.Thread(target=run)
    thread.start()
    try:
        with reader:
            for batch in batches(reader):
                look(batch)
                _take(collected, batch, read)
    finally:
        thread.join()
    if raised:
        raise raised[0]
    return collected


def _take(collected: Collected, batch: Batch, read: bool) -> None:
    fds = iter(batch.fds)
    for entry in batch.entries:
        fd = next(fds) if entry.kind is Entry.FILE else -1
        content = os.pread(fd, 1 << 20, 0) if read and fd >= 0 else None
        collected.entries.append(replace(entry, content=content))
    collected.known += batch.known
    collected.replayed += batch.replayed
    if batch.replayed:
        collected.replays.append(len(batch.replayed))
    collected.renewed += batch.renewed
    collected.gone += batch.gone
    if not batch.entries:
        return
    size = sum(e.size for e in batch.entries if e.kind is Entry.FILE)
    collected.batches.append((len(batch.entries), size, batch.length))

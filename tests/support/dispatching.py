"""A dispatcher between one walker and one worker that are sockets of the test, and the frames that both may send."""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from kavfs._native import dispatch
from kavfs.model import Entry, Result
from kavfs.scan import records
from kavfs.scan.children import make_slot
from tests.support.fakes import LAST, RESULT_MAGIC, RESULTS, STABLE, WORK

HEADER = struct.Struct("=IIII")
ENTRY = struct.Struct("=QQQqqqIIIIIIiBBH16sII")
RESULT = struct.Struct("=IBBHIIQQIIQQ32sqqQQHHIII")
BATCH_MAGIC = 0x5441424B
KNOWN_MAGIC, REPLAY_MAGIC, RENEW_MAGIC, GONE_MAGIC = 0x4F4E4B4B, 0x4C50524B, 0x4E45524B, 0x4E4F474B
KNOWN, REPLAY, RENEW, GONE = (struct.Struct(text) for text in ("=IIIIQQ8x", "=IIII", "=II", "=II16s"))
CACHED = 1 << 8
DEDUP, KEEP, COLD = 1 << 0, 1 << 3, 1 << 4
PLACE = b"a directory here"


@dataclass
class Bench:
    """A dispatcher between one walker and one worker that are sockets of ours."""

    dispatcher: dispatch.Dispatcher
    walker: socket.socket
    worker: socket.socket
    walker_slot: int
    worker_slot: int
    events: list[dispatch.Event] = field(default_factory=list)

    def step(self) -> None:
        for _ in range(3):  # a greeting, a batch, the end of a socket may each take a round
            self.dispatcher.step(-1, 0)
            self.events += self.dispatcher.events()

    def kinds(self) -> list[int]:
        return [event[0] for event in self.events]

    def results(self) -> list[Result]:
        found: list[Result] = []
        for kind, _, path, data, text in self.events:
            if kind == dispatch.EV_RESULT:
                found.append(records.result(path, data, text))
            elif kind == dispatch.EV_LISTED:
                found += records.Listed(text, data).results()
        return found

    def work(self) -> tuple[int, list[int]]:
        """What the worker was given: batch and descriptors."""
        data, fds, _, _ = socket.recv_fds(self.worker, 64, 64)
        _, count, batch = WORK.unpack_from(data)
        assert count == len(fds)
        return batch, fds

    def answer(self, batch: int, fds: list[int], parts: bytes = b"", **changes: int) -> None:
        """All clean, unless told otherwise; *parts* are the payload of each."""
        rows = b"".join(
            record(index, fd, payload_off=index * len(parts), payload_len=len(parts), **changes)
            for index, fd in enumerate(fds)
        )
        self.worker.send(
            RESULTS.pack(RESULT_MAGIC, len(fds), batch, LAST, len(parts) * len(fds)) + rows + parts * len(fds)
        )
        for fd in fds:
            os.close(fd)

    def take_in_hand(self, batch: int, index: int) -> None:
        """The worker shows which object of its work it is at."""
        os.pwrite(self.worker_slot, struct.pack("=QQQ8xII", 1, batch, 0, index, 1), 0)

    def replace_worker(self, number: int) -> None:
        """Another worker in the place of one that is gone; it greets."""
        slot = make_slot()
        ours, self.worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.dispatcher.add_worker(number, ours.detach(), slot)
        os.close(slot)
        self.worker.send(RESULTS.pack(RESULT_MAGIC, 0, 0, LAST, 0))


def record(index: int, fd: int, **changes: int) -> bytes:
    """A kav_result about an open file: clean, held still, nothing else said."""
    st = os.fstat(fd)
    values = {
        "status": 0, "target": 0, "format": 0, "reasons": 0, "flags": STABLE, "size": st.st_size, "members": 0,
        "notes": 0, "payload_off": 0, "payload_len": 0, "mtime": st.st_mtime_ns, "ctime": st.st_ctime_ns,
        "dev": os.major(st.st_dev) << 32 | os.minor(st.st_dev), "ino": st.st_ino,
        "views": 1, "depth": 0, "layers": 0, "layers_len": 0, "learned": 0,
    } | changes  # fmt: skip
    return RESULT.pack(
        index, values["status"], values["target"], values["format"], values["reasons"], values["flags"],
        values["size"], st.st_size, values["members"], values["notes"], values["payload_off"], values["payload_len"],
        bytes(32), values["mtime"], values["ctime"], values["dev"], values["ino"], values["views"], values["depth"],
        values["layers"], values["layers_len"], values["learned"],
    )  # fmt: skip


@contextmanager
def bench(
    *, want_clean: bool = True, classes: dict[int, tuple[int, int, int]] | None = None, all_match: bool = False
) -> Iterator[Bench]:
    """With one native worker, whatever *classes* there are."""
    made = dispatch.Dispatcher(
        max_unpacked=1, time_base_ms=60000, time_rate=1, grace_ms=0, stall_ms=60000, fd_budget=400,
        classes=classes or {0: (1, 1, 0)}, want_clean=want_clean, all_match=all_match,
    )  # fmt: skip
    slots = [make_slot(), make_slot()]
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
    made.add_walker(1, pairs[0][0].detach(), slots[0])
    made.add_worker(2, pairs[1][0].detach(), slots[1])
    with pairs[0][1] as walker, pairs[1][1] as worker:
        worker.send(RESULTS.pack(RESULT_MAGIC, 0, 0, LAST, 0))
        one = Bench(made, walker, worker, slots[0], slots[1])
        try:
            yield one
        finally:
            one.worker.close()
            made.close()
            for slot in slots:
                os.close(slot)


def entry(
    path: os.PathLike[str] | None = None, name: tuple[int, int] = (0, 4), place: bytes = bytes(16), **changes: int
) -> bytes:
    """A file entry whose name is name[1] bytes at name[0] of the blob; identity that of *path*."""
    st = os.stat(path) if path else None
    values = {
        "dev": os.major(st.st_dev) << 32 | os.minor(st.st_dev) if st else 0,
        "ino": st.st_ino if st else 0,
        "size": st.st_size if st else 0,
        "ctime": st.st_ctime_ns if st else 0,
        "mtime": st.st_mtime_ns if st else 0,
        "mode": stat.S_IFREG | 0o644,
        "dir_off": 0, "dir_len": 0, "error": 0, "kind": Entry.FILE, "flags": 0, "reserved": 0,
        "delta": 0, "reserved2": 0, "btime": 0,
    } | changes  # fmt: skip
    return ENTRY.pack(
        values["dev"], values["ino"], values["size"], values["mtime"], values["ctime"], values["btime"],
        values["mode"], 1,
        values["dir_off"], values["dir_len"], *name, values["error"], values["kind"], values["flags"],
        values["reserved"], place, values["delta"], values["reserved2"],
    )  # fmt: skip


def batch(*entries: bytes, blob: bytes = b"name", fds: int | None = None, **changes: int) -> bytes:
    count = changes.get("count", len(entries))
    fds = len(entries) if fds is None else fds
    return (
        HEADER.pack(changes.get("magic", BATCH_MAGIC), count, changes.get("blob_len", len(blob)), fds)
        + b"".join(entries)
        + blob
    )


def send(sock: socket.socket, frame: bytes, path: os.PathLike[str], count: int) -> None:
    fds = [os.open(path, os.O_RDONLY) for _ in range(count)]
    if fds:
        socket.send_fds(sock, [frame], fds)
    else:
        sock.send(frame)
    for fd in fds:
        os.close(fd)


def known(
    names: bytes = b"a\0b\0",
    sizes: tuple[int, ...] = (1, 2),
    directory: bytes = b"/d/",
    rest: bytes = b"",
    **changes: int,
) -> bytes:
    """Unchanged files."""
    values = {
        "dir_len": len(directory), "names_len": len(names), "named": len(sizes), "files": len(sizes),
        "bytes": sum(sizes),
    } | changes  # fmt: skip
    head = KNOWN.pack(
        KNOWN_MAGIC, values["dir_len"], values["names_len"], values["named"], values["files"], values["bytes"]
    )
    return head + struct.pack(f"={len(sizes)}Q", *sizes) + directory + names + rest


def replay(
    path: os.PathLike[str], name: bytes = b"/d/box", notes: bytes = b"", rest: bytes = b"", **changes: int
) -> bytes:
    """An unchanged file with the verdict that it had."""
    values = {"path_len": len(name), "notes_len": len(notes), "reserved": 0, "kind": Entry.FILE} | changes
    head = REPLAY.pack(REPLAY_MAGIC, values.pop("path_len"), values.pop("notes_len"), values.pop("reserved"))
    about = entry(path, name=(0, 0), kind=values.pop("kind"))
    fd = os.open(path, os.O_RDONLY)
    values["notes"] = values.pop("said", 0)  # how many notes
    result = record(0, fd, **({"payload_len": len(notes), "flags": STABLE | CACHED} | values))
    os.close(fd)
    return head + about + result + name + bytes(-len(name) % 8) + notes + rest


def renew(*places: bytes, count: int | None = None) -> bytes:
    return RENEW.pack(RENEW_MAGIC, len(places) if count is None else count) + b"".join(places)


def gone(place: bytes, *inodes: int, count: int | None = None) -> bytes:
    head = GONE.pack(GONE_MAGIC, len(inodes) if count is None else count, place)
    return head + struct.pack(f"={len(inodes)}Q", *inodes)

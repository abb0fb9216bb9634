"""The dispatcher alone, with both ends of its sockets in the hands of the test: every field of every frame."""

from __future__ import annotations

import os
import random
import socket
import stat
import struct
from dataclasses import dataclass, field

import pytest

from kavfs._native import dispatch
from kavfs.model import Entry, Reason, Status
from kavfs.scan import records
from kavfs.scan.children import make_slot
from tests.support.fakes import LAST, MORE, RESULT, RESULT_MAGIC, RESULTS, STABLE, WORK, note

HEADER = struct.Struct("=IIII")
ENTRY = struct.Struct("=QQQqqqIIIIIIiBBH24x")
BATCH_MAGIC = 0x5441424B
DEDUP = 1


@dataclass
class Bench:
    """A dispatcher between one walker and one worker that are sockets of ours."""

    dispatcher: dispatch.Dispatcher
    walker: socket.socket
    worker: socket.socket
    events: list[dispatch.Event] = field(default_factory=list)

    def step(self) -> None:
        for _ in range(3):  # a greeting, a batch, the end of a socket may each take a round
            self.dispatcher.step(-1, 0)
            self.events += self.dispatcher.events()

    def kinds(self) -> list[int]:
        return [event[0] for event in self.events]

    def results(self) -> list:
        return [records.result(path, data, text) for kind, _, path, data, text in self.events if kind == 1]

    def work(self) -> tuple[int, list[int]]:
        """What the worker was given: batch and descriptors."""
        data, fds, _, _ = socket.recv_fds(self.worker, 64, 64)
        _, count, batch = WORK.unpack_from(data)
        assert count == len(fds)
        return batch, fds

    def answer(self, batch: int, fds: list[int]) -> None:
        """All clean."""
        rows = b"".join(record(index, fd) for index, fd in enumerate(fds))
        self.worker.send(RESULTS.pack(RESULT_MAGIC, len(fds), batch, LAST, 0) + rows)
        for fd in fds:
            os.close(fd)


def record(index: int, fd: int) -> bytes:
    st = os.fstat(fd)
    dev = os.major(st.st_dev) << 32 | os.minor(st.st_dev)
    return RESULT.pack(
        index, 0, 0, 0, 0, STABLE, st.st_size, st.st_size, 0, 0, 0, 0, bytes(32), st.st_mtime_ns, st.st_ctime_ns, dev,
        st.st_ino,
    )  # fmt: skip


@pytest.fixture
def bench():
    made = dispatch.Dispatcher(
        max_unpacked=1, time_base_ms=60000, time_rate=1, grace_ms=0, stall_ms=60000, fd_budget=400, workers_max=1,
        want_clean=True,
    )  # fmt: skip
    slot = make_slot()
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
    made.add_walker(1, pairs[0][0].detach(), slot)
    made.add_worker(2, pairs[1][0].detach(), slot)
    os.close(slot)
    with pairs[0][1] as walker, pairs[1][1] as worker:
        worker.send(RESULTS.pack(RESULT_MAGIC, 0, 0, LAST, 0))
        yield Bench(made, walker, worker)
        made.close()


def entry(path: os.PathLike[str] | None = None, name: tuple[int, int] = (0, 4), **changes: int) -> bytes:
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
    } | changes  # fmt: skip
    return ENTRY.pack(
        values["dev"], values["ino"], values["size"], values["mtime"], values["ctime"], 0, values["mode"], 1,
        values["dir_off"], values["dir_len"], *name, values["error"], values["kind"], values["flags"],
        values["reserved"],
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


WRONG_FRAMES = {
    "empty header": (b"\0" * 3, 0),
    "wrong magic": (batch(entry(), magic=1), 1),
    "no entries": (batch(count=0, fds=0), 0),
    "too many entries": (batch(*[entry()] * 65, fds=65), 64),
    "count beyond the message": (batch(entry(), count=64), 1),
    "giant count": (batch(entry(), count=0xFFFFFFFF), 1),
    "blob length beyond the message": (batch(entry(), blob_len=0xFFFFFFFF), 1),
    "name beyond the blob": (batch(entry(name=(1, 4))), 1),
    "name far beyond the blob": (batch(entry(name=(0xFFFFFFFF, 0xFFFFFFFF))), 1),
    "directory beyond the blob": (batch(entry(dir_off=4, dir_len=1)), 1),
    "path of nothing": (batch(entry(name=(0, 0))), 1),
    "NUL in a name": (batch(entry(), blob=b"na\0e"), 1),
    "path too long": (batch(entry(dir_len=40000, name=(0, 40000)), blob=b"x" * 40000), 1),
    "unknown kind": (batch(entry(kind=10)), 1),
    "unknown flag": (batch(entry(flags=1 << 5)), 1),
    "reserved bytes": (batch(entry(reserved=1)), 1),
    "directory as file": (batch(entry(mode=stat.S_IFDIR)), 1),
    "file with an error": (batch(entry(error=2)), 1),
    "error without one": (batch(entry(kind=Entry.ERROR), fds=0), 0),
    "giant error": (batch(entry(kind=Entry.ERROR, error=1 << 30), fds=0), 0),
    "fewer descriptors than files": (batch(entry()), 0),
    "more descriptors than files": (batch(entry()), 2),
    "descriptors for what is no file": (batch(entry(kind=Entry.SPECIAL), fds=0), 1),
    "descriptor flood": (batch(entry()), 100),
    "message too long": (b"KBAT" * 41000, 0),
}


@pytest.mark.parametrize("name", WRONG_FRAMES)
def test_frame_with_one_wrong_field_ends_the_walker_and_leaks_nothing(bench, name):
    frame, count = WRONG_FRAMES[name]
    before = len(os.listdir("/proc/self/fd"))
    send(bench.walker, frame, __file__, count)
    bench.step()
    assert bench.kinds() == [dispatch.EV_STALLED]
    assert len(os.listdir("/proc/self/fd")) == before - 1  # the walker's socket
    assert bench.dispatcher.outstanding == 0
    assert bench.dispatcher.step(-1, 0) & dispatch.DONE


def test_right_frame_goes_all_the_way(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    send(bench.walker, batch(entry(path, dir_len=4, name=(4, 1)), blob=b"/tmpx"), path, 1)
    bench.step()
    bench.answer(*bench.work())
    bench.step()
    (result,) = bench.results()
    assert (result.path, result.status, result.size) == (b"/tmpx", Status.CLEAN, 3)
    assert bench.dispatcher.outstanding == 0


def test_no_walker_is_read_while_the_worker_has_enough(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    frame = batch(*[entry(path)] * 64)
    bench.walker.setblocking(False)
    sent = 0
    for _ in range(100):
        try:
            send(bench.walker, frame, path, 64)
            sent += 1
        except BlockingIOError:
            break
        bench.step()
    else:
        pytest.fail("the dispatcher takes whatever comes")
    assert bench.dispatcher.outstanding <= 64 * 3
    bench.walker.setblocking(True)
    while bench.dispatcher.outstanding:
        bench.answer(*bench.work())
        bench.step()
    assert len(bench.results()) == 64 * sent


def test_second_path_waits_for_the_verdict_of_the_first(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    one = batch(entry(path, flags=DEDUP))
    for _ in range(3):
        send(bench.walker, one, path, 1)
        bench.step()
    bench.answer(*bench.work())
    bench.step()
    assert len(bench.results()) == 3
    send(bench.walker, one, path, 1)
    bench.step()
    assert len(bench.results()) == 4
    assert bench.dispatcher.outstanding == 0


def test_inode_that_changed_in_between_is_scanned_again(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    for ctime in (1, 2):
        send(bench.walker, batch(entry(path, flags=DEDUP, ctime=ctime)), path, 1)
        bench.step()
        bench.answer(*bench.work())
        bench.step()
    assert len(bench.results()) == 2


def test_what_a_dead_worker_leaves_is_given_to_the_next(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    send(bench.walker, batch(*[entry(path)] * 10), path, 10)
    bench.step()
    bench.worker.close()
    bench.step()
    assert bench.kinds() == [dispatch.EV_LOST]
    assert bench.dispatcher.retire(2, b"gone", False)
    slot = make_slot()
    ours, bench.worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    bench.dispatcher.add_worker(3, ours.detach(), slot)
    os.close(slot)
    bench.worker.send(RESULTS.pack(RESULT_MAGIC, 0, 0, LAST, 0))
    bench.step()
    while bench.dispatcher.outstanding:
        bench.answer(*bench.work())
        bench.step()
    assert [result.status for result in bench.results()] == [Status.CLEAN] * 10
    bench.worker.close()


def test_unknown_worker_cannot_be_retired(bench):
    with pytest.raises(FileNotFoundError):
        bench.dispatcher.retire(99, b"", False)


def test_worker_that_does_not_greet_is_refused(bench):
    slot = make_slot()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    bench.dispatcher.add_worker(3, ours.detach(), slot)
    os.close(slot)
    with theirs:
        theirs.send(b"hello")
        bench.step()
    assert [event[:2] for event in bench.events] == [(dispatch.EV_LOST, 3)]
    assert not bench.dispatcher.retire(3, b"", False)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_frames_never_cost_more_than_their_sender(bench, tmp_path, seed):
    """Bytes of right frames are changed at random; whatever happens, descriptors and counts come out even."""
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    dice = random.Random(seed)
    before = len(os.listdir("/proc/self/fd"))
    right = batch(entry(path), entry(path, flags=DEDUP), entry(path, kind=Entry.SYMLINK), fds=2)
    taken = 0
    while dispatch.EV_STALLED not in bench.kinds() and taken < 200:
        frame = bytearray(right)
        for _ in range(dice.randint(0, 2)):
            frame[dice.randrange(len(frame))] = dice.randrange(256)
        send(bench.walker, bytes(frame), path, 2)
        bench.step()
        taken += 1
        while bench.dispatcher.outstanding:
            batch_number, fds = bench.work()
            bench.worker.send(RESULTS.pack(RESULT_MAGIC, len(fds), batch_number, LAST, 0) + answers(fds))
            for fd in fds:
                os.close(fd)
            bench.step()
            if dispatch.EV_LOST in bench.kinds():
                return  # identity was damaged, so that our honest answer is for another inode
    assert len(os.listdir("/proc/self/fd")) == before - (dispatch.EV_STALLED in bench.kinds())


def answers(fds: list[int]) -> bytes:
    return b"".join(record(index, fd) for index, fd in enumerate(fds))


def test_text_of_an_error_is_kept_with_its_reason(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    bench.dispatcher.submit(os.open(path, os.O_RDONLY), b"x", 7)
    for number in (2, 3):
        bench.step()
        bench.work()
        bench.worker.close()
        bench.step()
        bench.dispatcher.retire(number, b"fell over", False)
        slot = make_slot()
        ours, bench.worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        bench.dispatcher.add_worker(number + 1, ours.detach(), slot)
        os.close(slot)
        bench.worker.send(RESULTS.pack(RESULT_MAGIC, 0, 0, LAST, 0))
    bench.step()
    (result,) = bench.results()
    assert (result.reasons, result.error) == (Reason.WORKER, "scanning process died: fell over")
    bench.worker.close()


def test_worker_that_cannot_ask_a_descriptor_says_error_without_an_identity(bench, tmp_path):
    """fstat fails where a file server is gone. Nothing but an Error is believed without an identity."""
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    send(bench.walker, batch(entry(path)), path, 1)
    bench.step()
    number, _ = bench.work()
    nothing = RESULT.pack(0, Status.ERROR, 0, 0, Reason.UNREADABLE, 0, 0, 0, 0, 0, 0, 0, bytes(32), 0, 0, 0, 0)
    bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, LAST, 0) + nothing)
    bench.step()
    (result,) = bench.results()
    assert (result.status, result.reasons) == (Status.ERROR, Reason.UNREADABLE)

    send(bench.walker, batch(entry(path)), path, 1)
    bench.step()
    number, _ = bench.work()
    clean = RESULT.pack(0, Status.CLEAN, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, bytes(32), 0, 0, 0, 0)
    bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, LAST, 0) + clean)
    bench.step()
    assert bench.kinds()[-1] == dispatch.EV_LOST


def test_notes_of_one_object_end_before_those_of_the_next_begin(bench, tmp_path):
    """What a worker can make us keep is the notes of one object and not those of a batch."""
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    send(bench.walker, batch(entry(path), entry(path)), path, 2)
    bench.step()
    number, fds = bench.work()
    line = note(b"", b"inside", 0)
    for index in (0, 0, 1):
        assert bench.kinds() == []
        more = RESULT.pack(index, 0, 0, 0, 0, MORE, 0, 0, 0, 1, 0, len(line), bytes(32), 0, 0, 0, 0)
        bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, 0, len(line)) + more + line)
        bench.step()
    assert bench.kinds() == [dispatch.EV_LOST]
    for fd in fds:
        os.close(fd)


def answer_with_notes(bench, size: int) -> None:
    """Infected, with a note of about *size* bytes for each message that can hold one."""
    number, (fd,) = bench.work()
    step = 100_000
    for left in range(size, 0, -step):
        line = note(b"Name", b"m" * min(left, step))
        more = RESULT.pack(0, 0, 0, 0, 0, MORE, 0, 0, 0, 1, 0, len(line), bytes(32), 0, 0, 0, 0)
        bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, 0, len(line)) + more + line)
        bench.step()
    infected = bytearray(record(0, fd))
    infected[4] = Status.INFECTED
    bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, LAST, 0) + infected)
    bench.step()
    os.close(fd)


def test_verdict_too_large_to_keep_is_found_anew_for_the_next_path(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    one = batch(entry(path, flags=DEDUP))
    send(bench.walker, one, path, 1)
    bench.step()
    answer_with_notes(bench, 2 << 20)
    send(bench.walker, one, path, 1)
    bench.step()
    assert bench.dispatcher.outstanding == 1  # at the worker
    answer_with_notes(bench, 1 << 19)  # this one is kept
    send(bench.walker, one, path, 1)
    bench.step()
    assert bench.dispatcher.outstanding == 0
    first, *others = bench.results()
    assert [result.status for result in (first, *others)] == [Status.INFECTED] * 3
    assert len(first.threats) > len(others[0].threats) == len(others[1].threats)


def test_paths_that_wait_for_a_verdict_too_large_to_keep_all_get_it(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    for _ in range(3):
        send(bench.walker, batch(entry(path, flags=DEDUP)), path, 1)
        bench.step()
    answer_with_notes(bench, 2 << 20)
    assert [len(result.threats) for result in bench.results()] == [(2 << 20) // 100_000 + 1] * 3
    assert bench.dispatcher.outstanding == 0


@pytest.mark.parametrize("together", [True, False], ids=["one message", "two messages"])
def test_last_record_is_not_better_than_the_notes_that_went_ahead(bench, tmp_path, together):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    send(bench.walker, batch(entry(path)), path, 1)
    bench.step()
    number, (fd,) = bench.work()
    line = note(b"Name")
    more = RESULT.pack(0, 0, 0, 0, 0, MORE, 0, 0, 0, 1, 0, len(line), bytes(32), 0, 0, 0, 0)
    clean = bytearray(record(0, fd))
    if together:
        clean[40:48] = len(line).to_bytes(8, "little")  # where its notes would be
        bench.worker.send(RESULTS.pack(RESULT_MAGIC, 2, number, LAST, len(line)) + more + clean + line)
    else:
        bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, 0, len(line)) + more + line)
        bench.step()
        assert bench.kinds() == []
        bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, LAST, 0) + clean)
    bench.step()
    os.close(fd)
    assert [(event[0], event[-1]) for event in bench.events] == [(dispatch.EV_LOST, b"status better than its notes")]


def test_what_a_refused_worker_said_does_not_bind_the_next(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    send(bench.walker, batch(entry(path)), path, 1)
    bench.step()
    number, (fd,) = bench.work()
    os.close(fd)
    line = note(b"Name")
    more = RESULT.pack(0, 0, 0, 0, 0, MORE, 0, 0, 0, 1, 0, len(line), bytes(32), 0, 0, 0, 0)
    bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, 0, len(line)) + more + line)
    bench.step()
    bench.worker.close()
    bench.step()
    assert bench.dispatcher.retire(2, b"gone", False)
    slot = make_slot()
    ours, bench.worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    bench.dispatcher.add_worker(3, ours.detach(), slot)
    os.close(slot)
    bench.worker.send(RESULTS.pack(RESULT_MAGIC, 0, 0, LAST, 0))
    bench.step()
    bench.answer(*bench.work())
    bench.step()
    assert [result.status for result in bench.results()] == [Status.CLEAN]
    bench.worker.close()

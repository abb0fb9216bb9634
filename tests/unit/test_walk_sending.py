"""Walk: batches, the slot, back-pressure, and ends before the end."""

from __future__ import annotations

import mmap
import os
import resource
import select
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kavfs._native.walk import Stop, walk
from kavfs.model import Entry
from tests.support.batches import ENTRY, batches, collect, pair, receive
from tests.support.trees import File, Sparse, build

SLOT = struct.Struct("=QQQQII24x")
IDLE, BUSY, SENDING = 0, 1, 2
MIB = 1 << 20


class Slot:
    """A kav_slot in memory of its own."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 64)

    def __getattr__(self, name: str) -> int:
        fields = dict(zip(("beat", "batch", "bytes", "total", "index", "state"), SLOT.unpack(self.memory), strict=True))
        return fields[name]


class Running:
    """A walk in a thread; its error, if any, is told by finish()."""

    def __init__(self, job: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self._job = job
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._job()
        except Exception as error:
            self.error = error

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def finish(self) -> BaseException | None:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.error


def narrow_pair() -> tuple[socket.socket, socket.socket]:
    """As pair(), but full after a few batches."""
    reader, writer = pair()
    writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 << 10)
    return reader, writer


def files(count: int) -> dict[bytes | str, File]:
    return {f"f{i}": File(b"x") for i in range(count)}


def wait_until(holds: Callable[[], bool]) -> None:
    """For what no descriptor tells: a state in shared memory."""
    turns = threading.Event()
    for _ in range(3000):
        if holds():
            return
        turns.wait(0.01)
    raise AssertionError("it did not come to that")


def test_batches_are_closed_at_64_entries(tmp_path: Path) -> None:
    root = build(tmp_path, files(150))
    sent = collect(lambda fd: walk(fd, [root]))
    assert [count for count, _, _ in sent.batches] == [64, 64, 22]


def test_batches_are_closed_at_8_mib_of_files(tmp_path: Path) -> None:
    root = build(tmp_path, {f"f{i}": Sparse(3 * MIB) for i in range(7)})
    assert [count for count, _, _ in collect(lambda fd: walk(fd, [root])).batches] == [3, 3, 1]
    huge = build(tmp_path / "huge", {f"f{i}": Sparse((1 << 43) - 1) for i in range(3)})
    assert [count for count, _, _ in collect(lambda fd: walk(fd, [huge])).batches] == [1, 1, 1]


def test_a_batch_takes_entries_of_several_directories(tmp_path: Path) -> None:
    root = build(tmp_path, {f"d{i}": files(2) for i in range(20)})
    sent = collect(lambda fd: walk(fd, [root]))
    assert [count for count, _, _ in sent.batches] == [40]


def test_a_directory_path_is_stored_once(tmp_path: Path) -> None:
    root = build(tmp_path, {"d" * 200: files(60)})
    ((count, _, length),) = collect(lambda fd: walk(fd, [root])).batches
    assert count == 60
    assert length < 16 + 60 * ENTRY.size + len(root) + 202 + 60 * 4


def test_messages_stay_within_their_limit_with_long_paths(tmp_path: Path) -> None:
    """64 entries of 64 directories with paths of 4 KB would be 256 KB."""
    root = build(tmp_path, {})
    here = root
    for _ in range(15):
        here += b"/" + b"n" * 250
        os.mkdir(here)
    for i in range(64):
        os.mkdir(here + b"/%d" % i)
        os.close(os.open(here + b"/%d/f" % i, os.O_CREAT | os.O_WRONLY))
    sent = collect(lambda fd: walk(fd, [root]))  # the decoder checks every length
    assert len(sent.entries) == 64
    assert len(sent.batches) > 1


def test_the_slot_tells_what_was_done(tmp_path: Path) -> None:
    root = build(tmp_path, {"a": files(10), "b": {"c": files(5)}, "big": Sparse(MIB)})
    slot = Slot()
    collect(lambda fd: walk(fd, [root], slot=slot.memory, threads=2))
    assert (slot.total, slot.index, slot.state) == (10 + 5 + 1 + 3, 4, IDLE)
    assert slot.beat >= slot.total


def test_counting_opens_and_sends_nothing(tmp_path: Path) -> None:
    root = build(tmp_path, {"a": {"big": Sparse(MIB)}, "small": b"123", "closed": File(b"1234", mode=0)})
    slot = Slot()
    walk(-1, [root], slot=slot.memory, count_only=True)
    assert (slot.total, slot.index, slot.bytes) == (4, 2, MIB + 3 + 4)


@pytest.mark.parametrize("threads", [1, 4])
def test_a_slow_reader_holds_the_walk_and_loses_nothing(tmp_path: Path, threads: int) -> None:
    """The walker fills the socket, says that it waits for the reader, and does not go on until it reads."""
    root = build(tmp_path, {f"d{i}": files(250) for i in range(4)})
    slot, (reader, writer) = Slot(), narrow_pair()
    with reader, writer:
        walking = Running(lambda: walk(writer.fileno(), [root], slot=slot.memory, threads=threads))
        wait_until(lambda: slot.state == SENDING)
        wait_until(lambda: held(writer))
        seen = slot.total
        assert seen < 1000
        assert walking.alive
        met = []
        while len(met) < 1000:
            batch = receive(reader)
            assert batch is not None
            met += [e.path for e in batch.entries]
            batch.close()
        assert walking.finish() is None
    assert len(set(met)) == 1000
    assert slot.state == IDLE


def held(writer: socket.socket) -> bool:
    """Whether nothing more goes into the socket."""
    return not select.select([], [writer], [], 0)[1]


@pytest.mark.parametrize("threads", [1, 4])
def test_when_nobody_reads_any_more_the_walk_ends(tmp_path: Path, threads: int) -> None:
    root = build(tmp_path, {f"d{i}": files(250) for i in range(4)})
    slot, (reader, writer) = Slot(), narrow_pair()
    before = set(os.listdir("/proc/self/fd"))
    with writer:
        walking = Running(lambda: walk(writer.fileno(), [root], slot=slot.memory, threads=threads))
        wait_until(lambda: slot.state == SENDING)
        reader.close()
        assert isinstance(walking.finish(), BrokenPipeError)
        assert set(os.listdir("/proc/self/fd")) < before


def test_a_socket_that_is_none_ends_the_walk(tmp_path: Path) -> None:
    root = build(tmp_path, files(3))
    with open(os.devnull, "wb") as sink, pytest.raises(OSError, match="non-socket"):
        walk(sink.fileno(), [root])
    with pytest.raises(OSError, match="Invalid argument"):
        walk(-1, [root])


def test_a_walk_can_be_stopped_while_it_waits(tmp_path: Path) -> None:
    root = build(tmp_path, {f"d{i}": files(250) for i in range(4)})
    stop, slot, (reader, writer) = Stop(), Slot(), narrow_pair()
    with reader, writer:
        walking = Running(lambda: walk(writer.fileno(), [root], slot=slot.memory, threads=2, stop=stop))
        wait_until(lambda: slot.state == SENDING)
        stop.set()
        assert walking.finish() is None
        assert stop.is_set
    assert slot.total < 1000


def test_a_walk_stopped_before_it_begins_does_nothing(tmp_path: Path) -> None:
    stop = Stop()
    stop.set()
    root = build(tmp_path, files(3))
    assert collect(lambda fd: walk(fd, [root], stop=stop)).entries == []


def test_few_file_descriptors_do_not_lose_a_file(tmp_path: Path) -> None:
    """With less room than one batch wants, batches are sent as they are."""
    root = build(tmp_path, {f"d{i}": files(100) for i in range(3)})
    reader, writer = pair()
    met: list[Entry] = []

    def drain() -> None:
        for batch in batches(reader):
            met.extend(e.kind for e in batch.entries)

    draining = Running(drain)
    highest = max(int(fd) for fd in os.listdir("/proc/self/fd"))
    if (child := os.fork()) == 0:  # as walkers do it, with a table of descriptors of its own
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 100, highest + 100))
            walk(writer.fileno(), [root])
        except BaseException:
            os._exit(1)
        os._exit(0)
    writer.close()
    error = draining.finish()
    reader.close()
    assert (os.waitpid(child, 0)[1], error) == (0, None)
    assert len(met) == 300

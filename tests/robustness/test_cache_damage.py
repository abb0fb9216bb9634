"""Damaged stores: whatever happens to the bytes, nothing is believed that was not written, and nothing crashes."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs._native import cache
from tests.support.stores import DEVICE, FS, NOW, START, Store, extra, fact, identity

DIRECTORIES = range(1, 41)
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.close()


def told(directory: int, ino: int) -> bytes | None:
    """The extra that a file of these tests has: it says whose it is."""
    return extra(notes=[b"%d of %d" % (ino, directory)] * 3) if ino % 3 == 0 else None


def fill(store: Store) -> None:
    memory = store.memory()
    for directory in DIRECTORIES:
        for ino in range(1, directory + 1):
            flags = cache.CONTAINER if ino % 3 == 0 else 0
            one = fact(ino, changed={"size": directory}, extra=told(directory, ino), flags=flags)
            memory.add(store.place(directory), DEVICE, one)
    memory.flush(last=True)


def check(store: Store) -> int:
    """Every answer is one that was written; how many there were."""
    with contextlib.suppress(cache.DamagedStore):
        store.file()
    lookup, known = store.lookup(), 0
    for directory in DIRECTORIES:
        lookup.dir(FS, directory, 0)
        for ino in range(1, directory + 1):
            answer, found, _ = lookup.file(identity(ino)._replace(size=directory))
            if answer == cache.ANSWER_UNKNOWN:
                continue
            assert found
            assert found.extra == told(directory, ino)
            assert answer == (cache.ANSWER_REPLAY if ino % 3 == 0 else cache.ANSWER_PLAIN)
            assert lookup.file(identity(ino)._replace(size=directory + 1))[0] == cache.ANSWER_UNKNOWN
            known += 1
    store.close()
    store.opened.clear()
    return known


def damaged(good: bytes, seed: int) -> bytes:
    """One damage of some kind, mostly where bytes matter."""
    rnd = random.Random(seed)
    bad = bytearray(good)
    index_end = len(good) - 80_000
    at = rnd.choice([rnd.randrange(2200), rnd.randrange(4096, index_end), rnd.randrange(index_end, len(good))])
    kind = seed % 5
    if kind < 2:
        bad[at] ^= 1 << rnd.randrange(8)
    elif kind == 2:
        del bad[at:]
    elif kind == 3:
        block = rnd.choice([16, 64, 512, 4096])
        a, b = (rnd.randrange(len(good) // block) * block for _ in range(2))
        bad[a : a + block], bad[b : b + block] = bad[b : b + block], bad[a : a + block]
    else:
        bad[at : at + 512] = rnd.choice([bytes(512), rnd.randbytes(512), good[:512]])
    return bytes(bad)


def damage_and_look(store: Store, seeds: range) -> None:
    fill(store)
    path = store.folder / "files"
    good = path.read_bytes()
    all_known = sum(DIRECTORIES)
    assert check(store) == all_known
    seen = []
    for seed in seeds:
        path.write_bytes(damaged(good, seed))
        seen.append(check(store))
        if seed % 10 == 0:  # a writer on top of the damage
            try:
                store.keep(3, [fact(1, changed={"size": 3})])
            except cache.DamagedStore:
                continue
            seen.append(check(store))
    assert max(seen) == all_known  # damage where nothing stands
    assert min(seen) == 0


def test_damages_never_give_a_fact_that_was_not_written(store: Store) -> None:
    damage_and_look(store, range(600))


@pytest.mark.long
def test_ten_thousand_damages_never_give_a_fact_that_was_not_written(store: Store) -> None:
    damage_and_look(store, range(1000, 11_000))


def test_every_byte_of_a_small_record_is_guarded(store: Store) -> None:
    store.keep(1, [fact(3, changed={"size": 1}, extra=told(1, 3), flags=cache.CONTAINER)])
    path = store.folder / "files"
    good = path.read_bytes()
    start = good.rindex(store.place(1)) - 8
    length = 48 + 16 + 56 + (8 if told(1, 3) else 0) + len(told(1, 3) or b"")
    for at in range(start, start + length):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        lookup = store.lookup()
        lookup.dir(FS, 1, 0)
        assert lookup.file(identity(3)._replace(size=1))[0] == cache.ANSWER_UNKNOWN
        store.close()
        store.opened.clear()


# ---- several processes

WRITER = """
import sys
from pathlib import Path
from tests.support.stores import DEVICE, Store, fact
store = Store(Path(sys.argv[1]))
round = 0
while True:
    memory = store.memory(limit=4 << 20)
    for directory in range(1, 41):
        for ino in range(1, 60):
            memory.add(store.place(directory * 100 + round % 20), DEVICE, fact(ino, changed={"size": directory}))
    try:
        memory.flush()
    except BlockingIOError:
        pass
    assert memory.totals().error == 0
    store.close()
    store.opened.clear()
    round += 1
    print(round, flush=True)
"""


def started(store: Store, code: str = WRITER) -> subprocess.Popen[str]:
    environment = dict(os.environ, PYTHONPATH=str(CHECKOUT))
    command = [sys.executable, "-c", code, str(store.folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=CHECKOUT)


def ended(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


def rounds(process: subprocess.Popen[str], count: int) -> None:
    """Wait until a writer has said that so many more rounds are done; its end is a failure."""
    assert process.stdout
    for _ in range(count):
        assert process.stdout.readline().strip().isdigit()


def look_everywhere(store: Store) -> int:
    lookup, known = store.lookup(), 0
    for directory in range(1, 41):
        for turn in range(20):
            lookup.dir(FS, directory * 100 + turn, 0)
            for ino in (1, 30, 59):
                known += lookup.file(identity(ino)._replace(size=directory))[0] == cache.ANSWER_PLAIN
                assert lookup.file(identity(ino)._replace(size=directory % 40 + 1))[0] == cache.ANSWER_UNKNOWN
    store.close()
    store.opened.clear()
    return known


def test_two_writers_and_a_reader_at_once(store: Store) -> None:
    store.keep(1, [fact(1)])
    writers = [started(store), started(store)]
    try:
        for _ in range(10):
            for writer in writers:
                rounds(writer, 3)
            look_everywhere(store)
            assert sum(p.stat().st_size for p in store.folder.iterdir()) <= 9 << 20
        assert look_everywhere(store) > 500
    finally:
        for writer in writers:
            ended(writer)


HOLDER = """
import fcntl, os, signal, sys
lock = open(sys.argv[1] + "/files.lock", "rb")
fcntl.flock(lock, fcntl.LOCK_EX)
print(1, flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_stopped_writer_stops_nobody(store: Store) -> None:
    store.keep(1, [fact(1)])
    stopped = started(store, HOLDER)
    try:
        rounds(stopped, 1)
        os.waitid(os.P_PID, stopped.pid, os.WSTOPPED | os.WNOWAIT)
        other = started(store)
        try:
            rounds(other, 20)  # each gives up at once and goes on
        finally:
            ended(other)
        assert store.inodes(1) == [1]
        assert store.read(100) is None
    finally:
        ended(stopped)
    store.keep(2, [fact(2)])  # the lock went with its holder
    assert store.inodes(2) == [2]


def kill_in_the_middle(store: Store, times: int) -> None:
    store.keep(1, [fact(1)])
    rnd = random.Random(1)
    for _ in range(times):
        writer = started(store)
        try:
            rounds(writer, 1 + rnd.randrange(4))
            pauses = rnd.randrange(2000)
            for _ in range(pauses):
                os.getpid()
        finally:
            os.kill(writer.pid, signal.SIGKILL)
            ended(writer)
        look_everywhere(store)
        store.keep(1, [fact(1)])
        assert store.inodes(1) == [1]
    assert sum(p.stat().st_size for p in store.folder.iterdir()) <= 9 << 20


def test_a_writer_killed_in_the_middle_leaves_a_store_that_works(store: Store) -> None:
    kill_in_the_middle(store, 12)


@pytest.mark.long
def test_two_hundred_killed_writers_leave_a_store_that_works(store: Store) -> None:
    kill_in_the_middle(store, 200)


# ---- no room


def write_within(store: Store, room: int) -> int:
    """A child that may write files of so many bytes only; its exit code: the errno that made its memory deaf."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
            code = 0
            try:
                memory = store.memory()
                for directory in range(100, 200):
                    for ino in range(1, 20):
                        memory.add(store.place(directory), DEVICE, fact(ino))
                memory.flush(last=True)
            except OSError as error:
                code = error.errno or 255
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_no_room_at_any_write_makes_it_deaf_and_harms_nothing(store: Store) -> None:
    fill(store)
    good = (store.folder / "files").read_bytes()
    outcomes = set()
    for room in range(0, len(good) + 140_000, 4_999):
        (store.folder / "files").write_bytes(good)
        outcomes.add(write_within(store, room))
        assert check(store) == sum(DIRECTORIES)
        assert not (store.folder / "files.new").exists()
    assert outcomes == {0, 27}  # EFBIG


def test_no_room_to_make_the_file_leaves_none(store: Store) -> None:
    outcomes = set()
    for room in (0, 10, 4096, 60_000, 69_632, 80_000, 1 << 20):
        outcomes.add(write_within(store, room))
        path = store.folder / "files"
        if path.exists():
            store.file()
            path.unlink()
        assert not (store.folder / "files.new").exists()
    assert outcomes == {0, 27}


def test_a_deaf_memory_takes_facts_and_forgets_them(store: Store) -> None:
    store.keep(1, [fact(1)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    memory = store.memory()
    memory.add(store.place(2), DEVICE, fact(2))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            memory.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    memory.add(store.place(3), DEVICE, fact(3))
    assert not memory.due()
    with pytest.raises(OSError, match="too large"):
        memory.flush(last=True)
    assert memory.totals().error == 27
    assert memory.totals().dropped == 2
    assert store.inodes(1) == [1]


def test_what_is_pending_when_the_memory_ends_is_forgotten(store: Store) -> None:
    memory = cache.Memory(store.open("."), "files", bytes(range(32)), NOW, start_ns=START)
    memory.add(store.place(1), DEVICE, fact(1, extra=told(1, 3)))
    del memory
    assert store.read(1) is None

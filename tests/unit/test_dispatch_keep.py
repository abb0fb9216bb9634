"""What the dispatcher remembers of verdicts, and what not: each rule with a hit and a near miss."""

from __future__ import annotations

import ctypes
import os
import struct
import time

import pytest

from kavfs._native import cache
from kavfs._native.worker import ObjectCache
from kavfs.model import Reason, Status
from tests.support import dispatching
from tests.support.dispatching import CACHED, COLD, DEDUP, KEEP, PLACE, batch, entry, gone, renew, send
from tests.support.fakes import MORE, RESULT_MAGIC, RESULTS, STABLE, note

SECRET, OBJECTS_SECRET, NOW = b"s" * 32, b"o" * 32, b"generation now.."
CONTAINER, SUPPRESSED, UNOPENED, LAYERS, DELTA = 1 << 2, 1 << 3, 1 << 5, 1 << 6, 1 << 7
OTHER_PLACE = b"another director"
EXTRA = struct.Struct("=IIIIIIQ")  # kav_extra


@pytest.fixture
def bench(tmp_path):
    with dispatching.bench() as made:
        made.folder = os.open(tmp_path, os.O_RDONLY)
        yield made
        os.close(made.folder)


def keep_in(bench, journal: str = "", files: bool = True, objects: int = -1, start: int | None = None) -> None:
    """Begin to remember; the scan is said to begin so late that no file is too fresh."""
    late = time.time_ns() + 3600 * 10**9
    bench.dispatcher.set_stores(
        folder=bench.folder, journal=journal, files=files, secret=SECRET, objects_secret=OBJECTS_SECRET,
        generation=NOW, delta=b"", size_limit=1 << 30, start_ns=late if start is None else start,
        objects_memory=objects, objects_file=-1,
    )  # fmt: skip
    os.pwrite(bench.walker_slot, struct.pack("=q", late), 40)  # kav_slot.newest


def kept(bench, name: str = "files", place: bytes = PLACE) -> list[cache.Fact]:
    bench.dispatcher.finish()
    fd = os.open(name, os.O_RDONLY, dir_fd=bench.folder)
    try:
        record = cache.File(fd, SECRET).read(place)
        return record.facts if record else []
    finally:
        os.close(fd)


def verdict(
    bench, path, parts: bytes = b"", *, entry_flags: int = KEEP, place: bytes = PLACE, ahead: bytes = b"", **said
):
    """A walker finds *path* and a worker says of it what is *said*; *ahead* are notes of a message before."""
    about = {key: said.pop(key) for key in ("delta", "entry_ctime") if key in said}
    if "entry_ctime" in about:
        about["ctime"] = about.pop("entry_ctime")
    send(bench.walker, batch(entry(path, flags=entry_flags, place=place, **about)), path, 1)
    bench.step()
    number, fds = bench.work()
    if ahead:
        more = dispatching.record(0, fds[0], flags=MORE, notes=1, payload_len=len(ahead))
        bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, 0, len(ahead)) + more + ahead)
    bench.answer(number, fds, parts, **said)
    bench.step()
    assert len(bench.results()) == 1
    bench.events.clear()


@pytest.fixture
def path(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    return tmp_path / "x"


def identity(path) -> tuple[int, ...]:
    st = os.stat(path)
    return st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns, 0  # entry() says 0 for the birth time


def test_plain_clean_file_is_remembered_without_an_extra(bench, path):
    keep_in(bench)
    verdict(bench, path, flags=STABLE | LAYERS, views=0b10000001, target=7, format=2)
    (fact,) = kept(bench)
    assert fact == cache.Fact(cache.Identity(*identity(path)), views=0b10000001, target=7, format=2, generation=0)


LAYER = struct.pack("=QBBHI", 3, 0, 7, 0, 0)
TWO_LAYERS = LAYER + struct.pack("=QBBHI", 9, 1, 7, 0, 0) + b"d" * 16
MEMBER = note(b"", b"inside", 0)
DAMAGED = note(b"", b"inside", int(Status.CORRUPTED))
ALLOWED = {
    "clean": {},
    "an answer from the object cache": {"flags": STABLE | CACHED},
    "scanned against the delta": {"flags": STABLE | DELTA, "delta": 1},
    "container": {"flags": STABLE | CONTAINER, "members": 4},
    "unopened": {"flags": STABLE | UNOPENED},
    "encrypted": {"status": Status.PROTECTED, "reasons": Reason.ENCRYPTED},
    "damaged": {"status": Status.CORRUPTED, "reasons": Reason.DAMAGED | Reason.ENCRYPTED},
    "too large": {"status": Status.ERROR, "reasons": Reason.SIZE},
    "nested too deep": {"status": Status.ERROR, "reasons": Reason.DEPTH | Reason.MEMBERS | Reason.BYTES},
    "unknown method": {"status": Status.ERROR, "reasons": Reason.METHOD},
    "members are named": {"flags": STABLE | CONTAINER, "parts": MEMBER, "notes": 1},
    "members were named before": {"flags": STABLE | CONTAINER, "ahead": MEMBER},
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_the_same_bytes_give_again_is_remembered(bench, path, name):
    keep_in(bench)
    said = {"flags": STABLE} | ALLOWED[name]
    verdict(bench, path, said.get("parts", b""), **{key: value for key, value in said.items() if key != "parts"})
    (fact,) = kept(bench)
    assert (fact.status, fact.reasons) == (said.get("status", 0), said.get("reasons", 0))
    assert bool(fact.flags & cache.CONTAINER) == bool(said["flags"] & CONTAINER)
    assert bool(fact.flags & cache.UNOPENED) == bool(said["flags"] & UNOPENED)
    assert not fact.flags & cache.JOURNAL


THREAT = note(b"Bad.Thing")
INFECTED = {"status": Status.INFECTED, "parts": THREAT, "notes": 1}
SOFT = {"status": Status.WARNING, "parts": note(b"PUA.Thing", status=2), "notes": 1}
REFUSED = {
    "did not hold still": {"flags": 0},
    "an exception lifted a match": {"flags": STABLE | SUPPRESSED},
    "infected": INFECTED,
    "unwanted software": SOFT,
    "suspicious": {"status": Status.SUSPICIOUS, "parts": note(b"Heuristics.Thing", status=3), "notes": 1},
    "a threat went ahead": {"status": Status.INFECTED, "ahead": THREAT},
    "infected without a name": {"status": Status.INFECTED},
    "worse than its reasons": {"status": Status.CORRUPTED},
    "time limit": {"status": Status.ERROR, "reasons": Reason.TIME},
    "unreadable": {"status": Status.ERROR, "reasons": Reason.UNREADABLE},
    "changed": {"status": Status.ERROR, "reasons": Reason.CHANGED},
    "match table full": {"status": Status.ERROR, "reasons": Reason.MATCH},
    "memory": {"status": Status.ERROR, "reasons": Reason.MEMORY},
    "one lasting and one passing reason": {"status": Status.ERROR, "reasons": Reason.SIZE | Reason.TIME},
    "another size was read": {"size": 4},
    "another mtime was read": {"mtime": 1},
    "another ctime was read": {"ctime": 1},
    "the walker saw another ctime": {"entry_ctime": 1},
    "no place": {"place": bytes(16)},
    "not to be kept": {"entry_flags": 0},
    "notes beyond what a store takes": {"flags": STABLE | CONTAINER, "ahead": note(b"", b"m" * 66000, 0)},
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_be_otherwise_tomorrow_is_not_remembered(bench, path, name):
    keep_in(bench)
    said = dict(REFUSED[name])
    verdict(bench, path, said.pop("parts", b""), **said)
    assert kept(bench, place=REFUSED[name].get("place", PLACE)) == []


JOURNALED = ["infected", "unwanted software", "a threat went ahead", "an exception lifted a match", "not to be kept"]
NOT_JOURNALED = ["time limit", "unreadable", "changed", "did not hold still", "another size was read", "no place"]


@pytest.mark.parametrize("name", JOURNALED + NOT_JOURNALED)
def test_journal_has_every_verdict_that_need_not_be_reached_twice(bench, path, name):
    keep_in(bench, "journal-1")
    said = dict(REFUSED[name])
    verdict(bench, path, said.pop("parts", b""), **said)
    facts = kept(bench, "journal-1", REFUSED[name].get("place", PLACE))
    assert len(facts) == (name in JOURNALED)
    for fact in facts:
        assert fact.flags & cache.JOURNAL
        assert fact.status == said.get("status", Status.CLEAN)
        if fact.status:
            assert b"Thing" in fact.extra
    assert kept(bench) == []


def test_layers_are_remembered_behind_the_notes(bench, path):
    keep_in(bench)
    parts = MEMBER + TWO_LAYERS
    flags = STABLE | LAYERS | CONTAINER
    verdict(bench, path, parts, flags=flags, notes=1, layers=2, layers_len=len(TWO_LAYERS), members=1)
    (fact,) = kept(bench)
    assert fact.flags == cache.CONTAINER | cache.LAYERS | cache.INSIDE
    length, members, notes, notes_len, layers, layers_len, scanned = EXTRA.unpack_from(fact.extra)
    assert (members, notes, notes_len, layers, layers_len) == (1, 1, len(MEMBER), 2, len(TWO_LAYERS))
    assert (length, scanned) == (len(fact.extra), 3)
    assert fact.extra[EXTRA.size :] == parts


def test_layer_that_is_only_the_file_itself_costs_nothing(bench, path):
    keep_in(bench)
    verdict(bench, path, LAYER, flags=STABLE | LAYERS, layers=1, layers_len=len(LAYER))
    (fact,) = kept(bench)
    assert (fact.extra, fact.flags) == (None, 0)


def test_digest_of_a_plain_file_is_remembered(bench, path):
    keep_in(bench)
    one = struct.pack("=QBBHI", 3, 4, 7, 0, 0) + b"d" * 32
    verdict(bench, path, one, flags=STABLE | LAYERS, layers=1, layers_len=len(one))
    (fact,) = kept(bench)
    assert fact.extra[EXTRA.size :] == one
    assert fact.flags == cache.LAYERS


def test_list_of_layers_that_is_not_complete_is_left_out(bench, path):
    keep_in(bench)
    verdict(bench, path, TWO_LAYERS, flags=STABLE | CONTAINER, layers=2, layers_len=len(TWO_LAYERS))
    (fact,) = kept(bench)
    assert fact.flags == cache.CONTAINER | cache.INSIDE
    assert len(fact.extra) == EXTRA.size


@pytest.mark.parametrize("flags", [STABLE, STABLE | LAYERS], ids=["incomplete", "no room"])
def test_a_document_whose_layers_are_not_remembered_says_that_there_are_some(bench, path, flags):
    keep_in(bench)
    many = (struct.pack("=QBBHI", 9, 7, 7, 0, 0) + b"d" * 72) * 1024
    verdict(bench, path, many, flags=flags, layers=1024, layers_len=len(many))
    (fact,) = kept(bench)
    assert fact.flags == cache.INSIDE


def test_layers_for_which_there_is_no_room_are_left_out_and_the_verdict_stays(bench, path):
    keep_in(bench)
    many = (struct.pack("=QBBHI", 9, 7, 7, 0, 0) + b"d" * 72) * 1024
    verdict(bench, path, many, flags=STABLE | LAYERS | CONTAINER, layers=1024, layers_len=len(many))
    (fact,) = kept(bench)
    assert fact.flags == cache.CONTAINER | cache.INSIDE
    assert len(fact.extra) == EXTRA.size


@pytest.mark.parametrize("late", [False, True], ids=["while it is scanned", "after its verdict"])
def test_each_name_of_an_inode_is_remembered_at_its_own_place(bench, path, late):
    keep_in(bench)
    said = {"flags": STABLE | LAYERS | CONTAINER, "layers": 2, "layers_len": len(TWO_LAYERS)}
    places = (PLACE, OTHER_PLACE)
    for place in places:
        send(bench.walker, batch(entry(path, flags=KEEP | DEDUP, place=place)), path, 1)
        bench.step()
        if late == (place is PLACE):
            bench.answer(*bench.work(), TWO_LAYERS, **said)
            bench.step()
    assert len(bench.results()) == 2
    first, second = (kept(bench, place=place) for place in places)
    assert first == second
    assert len(first) == 1
    assert first[0].extra.endswith(TWO_LAYERS)


def test_walker_has_gone_inodes_forgotten(bench, path):
    keep_in(bench)
    verdict(bench, path)
    assert len(kept(bench)) == 1
    bench.walker.send(gone(PLACE, 1, os.stat(path).st_ino))
    bench.step()
    assert kept(bench) == []


def test_renewal_is_taken(bench, path):
    keep_in(bench)
    verdict(bench, path)
    bench.walker.send(renew(PLACE, OTHER_PLACE))
    bench.step()
    assert len(kept(bench)) == 1
    assert bench.kinds() == []


def test_file_that_is_too_fresh_is_not_remembered(bench, path):
    keep_in(bench)
    os.chmod(path, 0o600)  # its stamp is no older than the one that was seen when the stores were opened
    os.pwrite(bench.walker_slot, struct.pack("=q", os.stat(path).st_ctime_ns), 40)
    verdict(bench, path)
    assert kept(bench) == []


def test_file_that_is_older_than_the_newest_stamp_of_its_file_system_is(bench, path):
    keep_in(bench)
    os.pwrite(bench.walker_slot, struct.pack("=q", os.stat(path).st_ctime_ns + 1), 40)
    verdict(bench, path)
    assert len(kept(bench)) == 1


def test_the_stores_own_file_system_gives_a_stamp_of_now(bench, path):
    """The newest file of a tree that rests is remembered where the stores lie on the same file system."""
    keep_in(bench)
    os.pwrite(bench.walker_slot, bytes(8), 40)  # the walker has seen nothing newer than the epoch
    verdict(bench, path)
    assert len(kept(bench)) == 1


def test_object_whose_workers_died_is_not_remembered(bench, path):
    keep_in(bench, "journal-1")
    send(bench.walker, batch(entry(path, flags=KEEP, place=PLACE)), path, 1)
    for number in (2, 3):
        bench.step()
        _, fds = bench.work()
        for fd in fds:
            os.close(fd)
        bench.worker.close()
        bench.step()
        bench.dispatcher.retire(number, b"fell over", False)
        bench.replace_worker(number + 1)
    bench.step()
    assert bench.results()[0].reasons == Reason.WORKER
    assert kept(bench) == kept(bench, "journal-1") == []


def test_store_that_cannot_be_opened_is_said_and_nothing_else(bench, path, tmp_path):
    (tmp_path / "files").write_bytes(b"x" * 5000)
    with pytest.raises(OSError, match="Invalid argument"):
        keep_in(bench)
    verdict(bench, path)
    bench.dispatcher.finish()
    assert (tmp_path / "files").read_bytes() == b"x" * 5000


def test_page_cache_of_a_cold_file_is_given_back(bench, tmp_path):
    """What was there before the scan stays there: a file that is not marked keeps its pages."""
    asked = []
    for name, flags in (("cold", COLD), ("warm", 0)):
        path = tmp_path / name
        path.write_bytes(bytes(1 << 20))
        fd = os.open(path, os.O_RDWR)
        os.fsync(fd)
        os.pread(fd, 1 << 20, 0)
        verdict(bench, path, entry_flags=flags)
        asked.append(cached_pages(fd))
        os.close(fd)
    assert asked[0] == 0
    assert asked[1] > 0


def cached_pages(fd: int) -> int:
    """cachestat(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    whole, answer = (ctypes.c_uint64 * 2)(0, 0), (ctypes.c_uint64 * 5)()
    if libc.syscall(451, fd, ctypes.byref(whole), ctypes.byref(answer), 0):
        pytest.skip(f"cachestat: {os.strerror(ctypes.get_errno())}")
    return answer[0]


# ---- what workers learn of contents


OBJECT, TABLE = b"key of an object", 512


@pytest.fixture
def objects():
    fd = os.memfd_create("objects", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, TABLE)
    yield fd
    os.close(fd)


def learned(reread: int) -> bytes:
    return struct.pack("=16sQQIHHBBBBI", OBJECT, 3, 3, 0, 0, 1, 0, 0, reread, 0, 0)


def held(objects: int, secret: bytes = OBJECTS_SECRET) -> bytes | None:
    return ObjectCache(secret, memory=objects, memory_len=TABLE).find(OBJECT)


def test_what_was_read_more_than_once_is_learned_where_nobody_could_write(bench, path, objects):
    keep_in(bench, objects=objects)
    verdict(bench, path, learned(1), learned=1)
    assert held(objects) == learned(0)


@pytest.mark.parametrize("why", ["somebody may write to it", "changed just now", "changed before it was read"])
def test_what_was_read_more_than_once_may_have_shown_two_contents(bench, path, objects, why):
    keep_in(bench, objects=objects, start=time.time_ns() if why == "changed just now" else None)
    before = {"entry_ctime": 5} if why == "changed before it was read" else {}
    flags = 0 if why == "somebody may write to it" else KEEP
    verdict(bench, path, learned(1), entry_flags=flags, learned=1, **before)
    assert held(objects) is None
    verdict(bench, path, learned(0), entry_flags=flags, learned=1, **before)
    assert held(objects) == learned(0)


def test_the_object_cache_has_a_key_of_its_own(bench, path, objects):
    keep_in(bench, objects=objects)
    verdict(bench, path, learned(0), learned=1)
    assert held(objects, SECRET) is None
    assert held(objects) is not None

"""The object cache: what was found clean and complete is not matched again, and nothing else."""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import random
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs._native.worker import ObjectCache, ObjectScanner
from kavfs.limits import Limits
from kavfs.model import Reason, Status, Switch
from kavfs.options import EVERYTHING
from kavfs.signatures.image import Image
from tests.support.archives import make_tar, make_zip
from tests.support.databases import body
from tests.support.objects import EICAR, found_in, image, image_of, parts
from tests.support.objects import NEAR_MISS as NEAR

SECRET, CONTEXT = bytes(range(32)), bytes(16)
LENGTH = 512 * 64
RECORD, LEARNED = 64, 48
F_CONTAINER, F_SUPPRESSED, F_LAYERS, F_CACHED = 4, 8, 1 << 6, 1 << 8
SMALL = 4096  # a layer of fewer bytes is not looked up, unless it is a container
TEXT = b"plain words that nobody minds\n" * 200
NEAR_MISS = NEAR + bytes(SMALL)


class Cache:
    """Both levels, their writer, and scanners that read them."""

    def __init__(self, level1: bool = True, level2: bool = False) -> None:
        self.memory = os.memfd_create("objects", os.MFD_ALLOW_SEALING) if level1 else -1
        self.file = os.memfd_create("objects-file") if level2 else -1
        for fd in (self.memory, self.file):
            if fd >= 0:
                os.ftruncate(fd, LENGTH)
        self.lengths = {"memory_len": LENGTH if level1 else 0, "file_len": LENGTH if level2 else 0}
        self.writer = ObjectCache(SECRET, memory=self.memory, file=self.file, writable=True, **self.lengths)

    def scanner(
        self,
        limits: Limits | None = None,
        switches: Switch = EVERYTHING,
        of: Image | None = None,
        context: bytes = CONTEXT,
        secret: bytes = SECRET,
    ) -> ObjectScanner:
        memory, file = self.lengths["memory_len"], self.lengths["file_len"]
        objects = (self.memory, memory, self.file, file, secret, context)
        return ObjectScanner(parts(of or image()), limits or Limits(), int(switches), -1, (), objects)

    def learn(self, data: bytes, using: ObjectScanner | None = None):
        """Scan and remember, as the coordinator does."""
        found = found_in(data, using or self.scanner())
        for learned in found.learned:
            self.writer.put(learned)
        self.writer.flush()
        return found

    def close(self) -> None:
        for fd in (self.memory, self.file):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def cache() -> Iterator[Cache]:
    made = Cache()
    yield made
    made.close()


@pytest.fixture
def disk() -> Iterator[Cache]:
    made = Cache(level1=False, level2=True)
    yield made
    made.close()


def same(cached, first) -> None:
    names = ("status", "target", "format", "reasons", "size", "scanned", "members", "views", "depth")
    assert [getattr(cached, name) for name in names] == [getattr(first, name) for name in names]


@pytest.mark.parametrize("levels", [(True, False), (False, True), (True, True)])
def test_the_same_bytes_are_answered_as_before(levels: tuple[bool, bool]) -> None:
    cache = Cache(*levels)
    first = cache.learn(TEXT)
    assert (first.known, first.flags & F_CACHED, len(first.learned)) == (0, 0, 1)
    again = found_in(TEXT, cache.scanner())
    assert (again.known, again.flags & (F_CACHED | F_LAYERS), again.learned) == (1, F_CACHED | F_LAYERS, [])
    same(again, first)
    cache.close()


def test_of_a_known_page_the_list_of_layers_is_not_complete(cache: Cache) -> None:
    page = b"<html><body>" + TEXT + b"</body></html>"
    first = cache.learn(page)
    assert len(first.layers) > 1  # its forms, which have digests of their own
    assert first.flags & F_LAYERS
    again = found_in(page, cache.scanner())
    assert (again.known, again.flags & (F_CACHED | F_LAYERS)) == (1, F_CACHED)
    same(again, first)


@pytest.mark.parametrize(
    "other",
    [TEXT[:-1] + b"!", TEXT + b"x", TEXT[:-1], b"P" + TEXT[1:], b"#!/bin/sh\n" + TEXT],
    ids=["last byte", "longer", "shorter", "first byte", "other type"],
)
def test_a_near_miss_is_scanned(cache: Cache, other: bytes) -> None:
    cache.learn(TEXT)
    assert found_in(other, cache.scanner()).known == 0


def test_another_context_or_secret_is_scanned(cache: Cache) -> None:
    cache.learn(TEXT)
    for bit in range(128):
        context = (1 << bit).to_bytes(16, "little")
        assert found_in(TEXT, cache.scanner(context=context)).known == 0
    assert found_in(TEXT, cache.scanner(secret=bytes(32))).known == 0


def test_a_known_member_is_compared_with_what_its_container_says(cache: Cache, tmp_path: Path) -> None:
    rules = image_of(
        tmp_path, {"a.cdb": r"Said.Name-1:*:*:\.bad$:*:*:*:*:*:*" + "\n", "b.ndb": body("B-1", "some marker")}
    )
    assert cache.learn(make_zip({"a.good": TEXT}), cache.scanner(of=rules)).status == Status.CLEAN
    found = found_in(make_zip({"a.bad": TEXT}), cache.scanner(of=rules))
    assert (found.known, found.status) == (1, Status.INFECTED)
    assert cache.learn(make_zip({"a.bad": TEXT}), cache.scanner(of=rules)).status == Status.INFECTED
    assert found_in(make_zip({"a.bad": TEXT}), cache.scanner(of=rules)).status == Status.INFECTED


def test_members_are_known_wherever_they_stand(cache: Cache) -> None:
    cache.learn(make_zip({"a": TEXT, "b": NEAR_MISS}))
    found = found_in(make_tar({"x": NEAR_MISS, "y": EICAR, "z": TEXT}), cache.scanner())
    assert (found.known, found.status) == (2, Status.INFECTED)
    assert found_in(TEXT, cache.scanner()).flags & F_CACHED


def test_where_a_signature_asks_for_the_container_each_is_an_answer_of_its_own(cache: Cache, tmp_path: Path) -> None:
    line = f"Hit;Engine:81-255,Container:CL_TYPE_ZIP,Target:0;0;{b'that nobody'.hex()}\n"
    using = cache.scanner(of=image_of(tmp_path, {"a.ldb": line}))
    for data in (TEXT, make_tar({"a": TEXT})):
        assert cache.learn(data, using).status == Status.CLEAN
        assert found_in(data, using).flags & F_CACHED
    assert found_in(make_zip({"a": TEXT}), using).status == Status.INFECTED


@pytest.mark.parametrize("size", [SMALL, 200 << 10, 300 << 10, 700_001, 3 << 20])
def test_of_every_size(cache: Cache, size: int) -> None:
    data = random.Random(size).randbytes(size)
    first = cache.learn(data)
    again = found_in(data, cache.scanner())
    assert again.known == 1
    same(again, first)
    for at in (0, size // 2, size - 1):
        other = bytearray(data)
        other[at] ^= 1
        assert found_in(bytes(other), cache.scanner()).known == 0


def test_what_is_matched_as_fast_as_looked_up_is_not_looked_up(cache: Cache) -> None:
    for data in (TEXT[: SMALL - 1], b""):
        assert cache.learn(data).learned == []
        assert found_in(data, cache.scanner()).known == 0
    small = make_zip({"a": TEXT[:100]})
    assert len(small) < SMALL
    assert len(cache.learn(small).learned) == 1
    assert found_in(small, cache.scanner()).known == 1


def test_the_file_has_only_what_costs_more_than_a_read_from_it() -> None:
    cache = Cache(level1=True, level2=True)
    cheap, costly, packed = TEXT, random.Random(1).randbytes(64 << 10), make_zip({"a": TEXT})
    for data in (cheap, costly, packed):
        cache.learn(data)
    table = os.pread(cache.file, LENGTH, 0)
    assert sum(any(table[at : at + RECORD]) for at in range(0, LENGTH, RECORD)) == 2
    cache.close()


def test_what_is_infected_or_partial_is_never_learned(cache: Cache) -> None:
    assert cache.learn(EICAR).learned == []
    bad = cache.learn(make_zip({"bad": EICAR, "good": TEXT}))
    assert len(bad.learned) == 1  # the good one
    deep = make_zip({"inner.zip": make_zip({"words": TEXT})})
    for limits in (Limits(max_depth=1), Limits(max_members=1), Limits(max_unpacked=100)):
        found = cache.learn(deep, cache.scanner(limits))
        assert found.reasons
        assert found_in(deep, cache.scanner(limits)).flags & F_CACHED == 0


def test_a_container_is_answered_with_all_that_it_costs(cache: Cache) -> None:
    data = make_zip({"a": TEXT, "b": NEAR_MISS, "empty": b""})
    first = cache.learn(data)
    again = found_in(data, cache.scanner())
    assert again.flags & (F_CACHED | F_CONTAINER | F_LAYERS) == F_CACHED | F_CONTAINER
    same(again, first)


def test_a_container_in_a_container_is_told_of_as_before(cache: Cache) -> None:
    """The outer one has a line about the inner one, so that only the inner one can be answered as a whole."""
    data = make_tar({"inner.zip": make_zip({"a": TEXT, "b": NEAR_MISS}), "beside": TEXT})
    first = cache.learn(data)
    again = found_in(data, cache.scanner())
    assert (again.flags & F_CACHED, again.known) == (0, 2)
    same(again, first)
    assert lines(data, cache.scanner()) == lines(data, cache.scanner(context=b"x" * 16))


def lines(data: bytes, using: ObjectScanner) -> list[tuple]:
    fd = os.memfd_create("object")
    os.write(fd, data)
    notes = using.scan(fd)[1]
    os.close(fd)
    return notes


BUDGETS = [
    Limits(max_members=3),
    Limits(max_members=4),
    Limits(max_members=5),
    Limits(max_unpacked=3 * len(TEXT)),
    Limits(max_unpacked=5 * len(TEXT)),
    Limits(max_depth=1),
    Limits(max_depth=2),
]


@pytest.mark.parametrize("limits", BUDGETS)
def test_a_limit_shows_with_the_cache_as_without(cache: Cache, limits: Limits) -> None:
    """The context stays the same here, as if settings were no part of it: the budget alone must be enough."""
    inner = make_zip({"a": TEXT, "b": TEXT + b"."})
    cache.learn(inner)
    cache.learn(TEXT)
    data = make_tar({"one": TEXT, "two.zip": inner, "three.zip": inner})
    with_cache = found_in(data, cache.scanner(limits))
    without = found_in(data, cache.scanner(limits, context=b"y" * 16))
    same(with_cache, without)
    assert lines(data, cache.scanner(limits)) == lines(data, cache.scanner(limits, context=b"y" * 16))


def test_what_an_exception_could_name_is_always_looked_at(cache: Cache, tmp_path: Path) -> None:
    words = "words that a signature names"
    data = f"here are {words}".encode()
    fine = f"{hashlib.sha256(data).hexdigest()}:{len(data)}:Test.Fine:73\n"
    with_exception = image_of(tmp_path, {"test.ndb": body("Test.Words", words), "own.sfp": fine})
    found = cache.learn(data, cache.scanner(of=with_exception))
    assert (found.status, found.flags & F_SUPPRESSED, found.learned) == (Status.CLEAN, F_SUPPRESSED, [])
    packed = cache.learn(make_zip({"a": data, "b": TEXT}), cache.scanner(of=with_exception))
    assert (packed.flags & F_SUPPRESSED, len(packed.learned)) == (F_SUPPRESSED, 1)
    ignored = image_of(tmp_path, {"test.ndb": body("Test.Words", words), "own.ign2": "Test.Words\n"})
    assert cache.learn(data, cache.scanner(of=ignored)).learned == []


def test_digests_and_members_that_are_wanted_are_not_left_out(cache: Cache) -> None:
    packed = make_zip({"a": TEXT, "b": TEXT + b"."})
    cache.learn(TEXT)
    cache.learn(packed)
    digest = found_in(TEXT, cache.scanner(switches=EVERYTHING | Switch.DIGEST))
    assert (digest.known, digest.sha256) == (0, hashlib.sha256(TEXT).digest())
    layers = found_in(packed, cache.scanner(switches=EVERYTHING | Switch.ALL_DIGESTS))
    assert (layers.known, len(layers.layers)) == (0, 3)
    switches = EVERYTHING | Switch.ALL_MEMBERS
    assert [note.member for note in lines(packed, cache.scanner(switches=switches))] == [b"a", b"b"]


def test_what_a_switch_keeps_closed_is_not_learned(cache: Cache) -> None:
    closed = cache.learn(make_tar({"inner.zip": make_zip({"a": TEXT})}), cache.scanner(switches=EVERYTHING))
    assert closed.learned
    found = cache.learn(make_zip({"a": b"other words"}), cache.scanner(switches=EVERYTHING & ~Switch.ARCHIVES))
    assert found.learned == []


@pytest.mark.parametrize("level", ["memory", "file"])
def test_a_record_with_any_byte_damaged_is_a_miss(level: str) -> None:
    cache = Cache(level == "memory", level == "file")
    (learned,) = cache.learn(TEXT).learned
    fd = cache.memory if level == "memory" else cache.file
    table = os.pread(fd, LENGTH, 0)
    at = table.index(learned)
    assert at % RECORD == 0
    for offset in range(RECORD):
        copy = bytearray(table)
        copy[at + offset] ^= 1 << offset % 8
        assert reader_of(bytes(copy)).find(learned[:16]) is None
    assert reader_of(table).find(learned[:16]) == learned
    cache.close()


def reader_of(table: bytes) -> ObjectCache:
    memory = os.memfd_create("copy", os.MFD_ALLOW_SEALING)
    os.write(memory, table)
    fcntl_seal(memory)
    made = ObjectCache(SECRET, memory=memory, memory_len=len(table))
    os.close(memory)
    return made


def fcntl_seal(fd: int) -> None:
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)


def test_a_file_cut_under_its_readers_is_a_miss_and_is_not_made_longer(disk: Cache) -> None:
    disk.learn(TEXT)
    using = disk.scanner()
    assert found_in(TEXT, using).known == 1
    os.ftruncate(disk.file, 100)
    assert found_in(TEXT, using).known == 0
    disk.learn(TEXT)
    assert os.fstat(disk.file).st_size == 100


def test_a_full_bucket_gives_up_a_record_and_no_more(cache: Cache) -> None:
    put = []
    for number in range(200):
        key = bytes(8) + struct.pack("=Q", number + 1)  # all of one bucket
        put.append(key + number.to_bytes(32, "little"))
        cache.writer.put(put[-1])
    there = [record for record in put if cache.writer.find(record[:16])]
    assert len(there) == 8
    assert put[-1] in there
    assert all(cache.writer.find(record[:16]) == record for record in there)


def test_the_writer_seals_the_memory_against_all_others(cache: Cache) -> None:
    with pytest.raises(PermissionError):
        os.pwrite(cache.memory, b"x", 0)
    with pytest.raises(PermissionError):
        mmap.mmap(cache.memory, LENGTH)
    with pytest.raises(PermissionError):
        os.ftruncate(cache.memory, 0)
    with pytest.raises(PermissionError):
        ObjectCache(SECRET, memory=cache.memory, memory_len=LENGTH, writable=True)


@pytest.mark.parametrize("length", [0, 100, 511, LENGTH + 512, 1 << 60])
def test_memory_of_an_impossible_length_is_refused(cache: Cache, length: int) -> None:
    with pytest.raises(OSError, match="Invalid"):
        ObjectCache(SECRET, memory=cache.memory, memory_len=length)


def test_memory_that_could_be_cut_away_is_refused() -> None:
    fd = os.memfd_create("unsealed")
    os.ftruncate(fd, LENGTH)
    with pytest.raises(OSError, match="Invalid"):
        ObjectCache(SECRET, memory=fd, memory_len=LENGTH)
    os.close(fd)


def test_a_reader_puts_nothing(cache: Cache) -> None:
    reader = ObjectCache(SECRET, memory=cache.memory, memory_len=LENGTH)
    reader.put(b"k" * 16 + bytes(32))
    reader.flush()
    assert cache.writer.find(b"k" * 16) is None


READER = """
import sys
from kavfs._native.worker import ObjectCache
fd, length = int(sys.argv[1]), int(sys.argv[2])
cache = ObjectCache(bytes(range(32)), memory=fd, memory_len=length)
print("ready", flush=True)
seen = 0
while seen < 20000:
    for number in range(100):
        key = number.to_bytes(16, "big")
        record = cache.find(key)
        if record is not None:
            assert record[:16] == key and len(set(record[16:40])) == 1, record
            seen += 1
"""


def test_another_process_sees_whole_records_while_they_are_written(cache: Cache) -> None:
    words = [sys.executable, "-c", READER, str(cache.memory), str(LENGTH)]
    with subprocess.Popen(words, pass_fds=[cache.memory], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        turn = 0
        while child.poll() is None:
            for number in range(100):
                cache.writer.put(number.to_bytes(16, "big") + bytes([turn % 256]) * 24 + bytes(8))
            turn += 1
    assert child.returncode == 0


def test_what_is_cut_at_the_size_limit_teaches_nothing(cache: Cache) -> None:
    found = cache.learn(TEXT, cache.scanner(Limits(max_file_size=100)))
    assert (found.reasons, found.learned) == (Reason.SIZE, [])


def test_a_file_that_changes_while_it_is_read_teaches_nothing(cache: Cache, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(make_tar({"words": TEXT}) + bytes(16 << 20))
    done = threading.Event()

    def touch() -> None:
        while not done.is_set():
            os.utime(path, ns=(0, random.getrandbits(60)))

    thread = threading.Thread(target=touch)
    thread.start()
    with path.open("rb") as file:
        found, _ = cache.scanner().scan(file.fileno())
    done.set()
    thread.join()
    assert (found.reasons, found.learned) == (Reason.CHANGED, [])


def rereads(found) -> list[int]:
    return [struct.unpack_from("=H", learned, 42)[0] for learned in found.learned]


def test_only_of_a_large_file_the_bytes_are_read_more_than_once(cache: Cache, tmp_path: Path) -> None:
    """Members are ours alone; of the file itself somebody else must vouch that it held still."""
    path = tmp_path / "file"
    for size, expected in ((200 << 10, [0, 0, 0]), (300 << 10, [0, 0, 1, 1])):
        path.write_bytes(make_zip({"a": TEXT, "b": random.Random(size).randbytes(size)}))
        with path.open("rb") as file:
            found, _ = cache.scanner().scan(file.fileno())
        assert rereads(found) == expected

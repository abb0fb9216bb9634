"""The cache file itself: growth, rewriting in place, making it anew, its limit, who may read it."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from kavfs._native import cache
from tests.support.stores import DEVICE, SECRET, Store, extra, fact, identity

OLDER = b"generation older"
HEADER, TALLY = 4096, 512


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.close()


def size(store: Store) -> int:
    return os.stat(store.folder / "files").st_size


def keep_directories(store: Store, directories: Iterable[int], files: int, *, limit: int = 1 << 30) -> None:
    """Plain files in many directories: inode numbers 1 .. files in each."""
    memory = store.memory(limit=limit)
    rest = [(i, *identity(i), *([0] * 8)) for i in range(1, files + 1)]
    for directory in directories:
        place = store.place(directory)
        memory.add_many(b"".join(struct.pack(cache.PACKED_FACT, place, DEVICE, *one[1:]) for one in rest))
    memory.flush(last=True)
    assert memory.totals().error == 0


def damage(store: Store, at: int, length: int = 1) -> None:
    with open(store.folder / "files", "r+b") as file:
        file.seek(at)
        old = file.read(length)
        file.seek(at)
        file.write(bytes(b ^ 0xFF for b in old))


def test_files_are_for_their_owner_only(store: Store) -> None:
    store.keep(1, [fact(1)])
    assert {p.name: p.stat().st_mode & 0o777 for p in store.folder.iterdir()} == {"files": 0o600, "files.lock": 0o600}


def test_sums_are_what_was_written(store: Store) -> None:
    store.keep(1, [fact(i) for i in range(5)])
    store.keep(2, [fact(i) for i in range(3)])
    stats = store.file().stats()
    assert (stats.records, stats.facts, stats.size) == (2, 8, size(store))
    assert stats.live + HEADER + stats.slots * 16 <= stats.size + 64


def test_a_record_of_the_same_length_is_written_in_place(store: Store) -> None:
    store.keep(1, [fact(i) for i in range(50)])
    before = size(store)
    for n in range(20):
        store.keep(1, [fact(7, changed={"size": n})])
    assert size(store) == before
    assert store.file().stats().garbage == 0


def test_a_record_that_grew_moves_and_leaves_garbage(store: Store) -> None:
    store.keep(1, [fact(i) for i in range(50)])
    store.keep(1, [fact(i) for i in range(50, 100)])
    stats = store.file().stats()
    assert stats.garbage >= 50 * 56
    assert (stats.records, stats.facts) == (1, 100)
    assert store.inodes(1) == list(range(100))


def test_the_index_grows_with_the_directories(store: Store) -> None:
    keep_directories(store, range(10_000), 1)
    stats = store.file().stats()
    assert stats.slots > 10_000 / 0.7
    assert (stats.records, stats.facts) == (10_000, 10_000)
    file = store.file()
    assert all(file.read(store.place(i)) for i in range(10_000))
    assert file.read(store.place(10_000)) is None


def test_a_reader_goes_on_with_the_file_that_it_opened(store: Store) -> None:
    store.keep(1, [fact(1)])
    before = store.file()
    damage(store, TALLY + 8)  # so that the file is made anew
    store.keep(9, [fact(1)])
    assert before.read(store.place(1))
    assert before.read(store.place(9)) is None
    assert store.inodes(9) == store.inodes(1) == [1]


def test_a_reader_goes_on_with_the_index_that_it_opened(store: Store) -> None:
    store.keep(1, [fact(1)])
    store.keep(2, [fact(1)])
    before = store.file()
    keep_directories(store, range(10, 30_000), 1)
    assert store.file().stats().slots >= 8 * before.stats().slots
    store.keep(1, [fact(1), fact(2)])  # has moved since
    store.keep(9, [fact(1)])
    assert before.read(store.place(1))
    assert before.read(store.place(2))
    assert before.read(store.place(9)) is None
    assert store.inodes(1) == [1, 2]
    assert store.inodes(9) == [1]


def test_a_writer_goes_on_with_the_index_that_another_made(store: Store) -> None:
    one, other, rest = store.memory(), store.memory(), fact(1)
    for round in range(4):
        for memory, first in (one, round * 10_000), (other, round * 10_000 + 5000):
            for directory in range(first, first + 5000):
                memory.add(store.place(directory), DEVICE, rest)
            memory.flush()
    file = store.file()
    assert all(file.read(store.place(directory)) for directory in range(40_000))
    assert file.stats().records == 40_000


def test_an_index_that_was_lost_with_the_power_is_empty_and_made_anew(store: Store) -> None:
    keep_directories(store, range(100), 1)
    length = size(store)
    keep_directories(store, range(100, 20_000), 1)
    assert store.file().stats().slots > 4096
    os.truncate(store.folder / "files", length)
    assert store.read(1) is None
    store.keep(2, [fact(2)])
    assert store.inodes(2) == [2]
    assert store.file().stats().records == 1


def test_garbage_is_left_behind_when_it_is_the_most(store: Store) -> None:
    long = extra(notes=[b"x" * 60_000])
    for grown in range(1, 60):
        store.keep(1, [fact(i, extra=long) for i in range(1, grown % 8 + 1)])
        store.keep(grown + 1, [fact(1, extra=long), fact(2)])
        store.keep(grown + 1, [fact(3, extra=long)])
    stats = store.file().stats()
    assert stats.size < 2 * stats.live + (9 << 20)
    assert all(store.inodes(grown + 1) == [1, 2, 3] for grown in range(1, 60))


def test_the_size_limit_holds_and_the_oldest_go_first(store: Store) -> None:
    limit = 1 << 20
    for batch in range(30):
        keep_directories(store, range(batch * 30, batch * 30 + 30), 50, limit=limit)
        assert size(store) <= limit
    file = store.file()
    known = [file.read(store.place(i)) is not None for i in range(900)]
    assert all(known[-90:])
    assert not any(known[:300])
    assert 150 < sum(known) < 400
    assert file.stats().facts == 50 * sum(known)


def test_parts_do_not_outlive_the_directory_that_leads_to_them(store: Store) -> None:
    limit = 4 << 20
    for batch in range(40):
        store.keep(1, [fact(batch * 400 + i) for i in range(400)], limit=limit)
        keep_directories(store, range(batch * 80 + 10, batch * 80 + 90), 50, limit=limit)
    lookup = store.lookup()
    lookup.dir(b"a file system...", 1, 0)
    newest = [lookup.file(identity(35 * 400 + i))[0] for i in range(5 * 400)]
    assert newest.count(cache.ANSWER_PLAIN) == 5 * 400


def test_a_limit_without_room_keeps_nothing_and_harms_nothing(store: Store) -> None:
    totals = store.keep(1, [fact(1)], limit=1000)
    assert (totals.dropped, totals.error) == (1, 0)
    assert store.read(1) is None


def test_generations_in_use_are_known(store: Store) -> None:
    store.keep(1, [fact(1)], OLDER)
    keep_directories(store, [2], 5)
    found = store.file().generations()
    assert set(found) == {OLDER, b"generation now.."}
    assert all(used > 0 for used in found.values())


def test_a_generation_that_no_record_has_is_forgotten_when_the_file_is_made_anew(store: Store) -> None:
    store.keep(1, [fact(1)], OLDER)
    store.keep(2, [fact(1)], b"another........."[:16])
    store.keep(1, [fact(1)])
    damage(store, TALLY + 8)
    store.keep(3, [fact(1)])
    assert set(store.file().generations()) == {b"generation now..", b"another........."[:16]}


def test_of_many_generations_those_used_last_are_listed(store: Store) -> None:
    names = [bytes([i]) * 16 for i in range(100)]
    for i, name in enumerate(names):
        store.keep(i, [fact(1)], name)
    assert len(store.file().generations()) == 64


def test_damaged_sums_are_made_anew_by_the_next_writer(store: Store) -> None:
    store.keep(1, [fact(1), fact(2)])
    damage(store, TALLY + 8)
    with pytest.raises(OSError, match=os.strerror(errno.EILSEQ)):
        store.file().stats()
    assert store.inodes(1) == [1, 2]
    store.keep(2, [fact(3)])
    stats = store.file().stats()
    assert (stats.records, stats.facts) == (2, 3)
    assert store.inodes(1) == [1, 2]


@pytest.mark.parametrize("at", [0, 8, 16, 24, 32, 56])
def test_a_damaged_beginning_is_told_from_a_good_one(store: Store, at: int) -> None:
    store.keep(1, [fact(1)])
    damage(store, at)
    with pytest.raises(cache.DamagedStore):
        store.file()


def test_a_file_that_was_cut_before_its_records_is_damaged(store: Store) -> None:
    store.keep(1, [fact(1)])
    os.truncate(store.folder / "files", HEADER + 100)
    with pytest.raises(cache.DamagedStore):
        store.file()


def test_what_a_killed_writer_left_is_not_overwritten(store: Store) -> None:
    store.keep(1, [fact(1)])
    with open(store.folder / "files", "r+b") as file:  # the sums of before, as if the last ones were never written
        file.seek(TALLY)
        sums = file.read(HEADER - TALLY)
    store.keep(2, [fact(2)])
    with open(store.folder / "files", "r+b") as file:
        file.seek(TALLY)
        file.write(sums)
    store.keep(3, [fact(3)])
    assert [store.inodes(i) for i in (1, 2, 3)] == [[1], [2], [3]]


def test_a_file_that_was_made_huge_is_made_anew_in_no_time(store: Store) -> None:
    """Only what holds records is read, though the file seems to have a million times as much."""
    keep_directories(store, range(10), 3)
    os.truncate(store.folder / "files", 8 << 40)
    keep_directories(store, range(10, 12), 3)
    assert size(store) < 1 << 20
    assert all(store.inodes(directory) for directory in range(12))


def test_the_seals_are_keyed(store: Store) -> None:
    store.keep(1, [fact(1)])
    with pytest.raises(cache.DamagedStore):
        cache.File(store.open("files"), SECRET[::-1])


def test_a_slot_that_leads_to_another_record_finds_nothing(store: Store) -> None:
    store.keep(1, [fact(1)])
    store.keep(2, [fact(2)])
    path = store.folder / "files"
    good = bytearray(path.read_bytes())
    first, second = (good.index(store.place(directory)[:8], HEADER) + 8 for directory in (1, 2))
    good[first : first + 8] = good[second : second + 8]
    path.write_bytes(good)
    assert store.read(1) is None
    assert store.inodes(2) == [2]

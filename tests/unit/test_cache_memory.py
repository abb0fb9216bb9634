"""Remembering: what may be remembered at all, and how it is put together with what is there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs._native import cache
from kavfs.model import Status
from tests.support.stores import DEVICE, NOW, OLD, START, Row, Store, delta_table, extra, fact, identity

SECOND = 10**9
OLDER, OLDEST = b"generation older", b"generation first"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.close()


def stamped(ino: int, **stamps: int) -> cache.Fact:
    return fact(ino, changed=stamps)


# ---- freshness


@pytest.mark.parametrize("stamp", ["mtime_ns", "ctime_ns"])
def test_what_changed_shortly_before_the_scan_is_not_remembered(store: Store, stamp: str) -> None:
    edge = START - 3 * SECOND
    totals = store.keep(
        1, [stamped(1, **{stamp: edge}), stamped(2, **{stamp: edge - 1}), stamped(3, **{stamp: START * 2})]
    )
    assert store.inodes(1) == [2]
    assert (totals.kept, totals.dropped) == (1, 2)


def test_a_file_waits_until_the_clock_of_its_file_system_has_gone_on(store: Store) -> None:
    memory = store.memory(settled=False)
    memory.newest(DEVICE, OLD)
    memory.newest(DEVICE + 1, START)
    memory.add(store.place(1), DEVICE, stamped(1, ctime_ns=OLD - 1, mtime_ns=0))
    memory.add(store.place(1), DEVICE, stamped(2, ctime_ns=OLD, mtime_ns=0))
    memory.flush()
    assert store.inodes(1) == [1]
    assert memory.totals().held == 1
    memory.newest(DEVICE, OLD + 1)
    memory.flush()
    assert store.inodes(1) == [1, 2]


def test_what_still_waits_at_the_end_is_forgotten(store: Store) -> None:
    memory = store.memory(settled=False)
    memory.add(store.place(1), DEVICE, fact(1))
    memory.flush()
    memory.flush(last=True)
    assert store.inodes(1) == []
    assert memory.totals().dropped == 1


def test_a_journal_knows_no_freshness(store: Store) -> None:
    journal = store.memory(settled=False, journal=True)
    journal.add(store.place(1), DEVICE, stamped(1, ctime_ns=START * 2))
    journal.flush()
    record = store.read(1)
    assert record
    assert record.facts[0].flags == cache.JOURNAL


# ---- merging


def test_a_new_fact_replaces_that_of_the_same_inode(store: Store) -> None:
    store.keep(1, [fact(1), fact(2), fact(3)])
    store.keep(1, [fact(4), stamped(2, size=999), fact(0)])
    record = store.read(1)
    assert record
    assert [(one.id.ino, one.id.size) for one in record.facts] == [(0, 0), (1, 10), (2, 999), (3, 30), (4, 40)]


def test_of_two_facts_of_an_inode_the_later_stays(store: Store) -> None:
    store.keep(1, [stamped(2, size=1), stamped(1, size=2), stamped(2, size=3)])
    record = store.read(1)
    assert record
    assert [one.id.size for one in record.facts] == [2, 3]


def test_extras_come_back_as_they_were(store: Store) -> None:
    first, second = extra(notes=[b"first note"], members=3), extra(notes=[b"second" * 100])
    store.keep(1, [fact(1, extra=first, flags=cache.CONTAINER), fact(2)])
    store.keep(1, [fact(3, extra=second)])
    record = store.read(1)
    assert record
    assert [one.extra for one in record.facts] == [first, None, second]


def test_an_extra_that_is_too_long_is_not_kept_nor_is_its_fact(store: Store) -> None:
    longest = extra(notes=[bytes((64 << 10) - 32)])
    store.keep(1, [fact(1, extra=longest)])
    assert store.inodes(1) == [1]
    with pytest.raises(ValueError, match="extra"):
        store.keep(1, [fact(2, extra=extra(notes=[bytes(64 << 10)]))])


def test_gone_inodes_are_removed(store: Store) -> None:
    store.keep(1, [fact(i) for i in range(10)])
    memory = store.memory()
    memory.gone(store.place(1), [3, 5, 99])
    memory.gone(store.place(2), [3])
    memory.add(store.place(1), DEVICE, fact(5))
    memory.flush(last=True)
    assert store.inodes(1) == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_a_record_holds_four_generations_and_loses_the_oldest(store: Store) -> None:
    names = [bytes([i]) * 16 for i in range(1, 6)]
    for ino, name in enumerate(names):
        store.keep(1, [fact(ino)], name)
    record = store.read(1)
    assert record
    assert {record.generations[one.generation]: one.id.ino for one in record.facts} == dict(
        zip(names[1:], range(1, 5), strict=True)
    )


def test_a_generation_written_again_is_no_longer_the_oldest(store: Store) -> None:
    names = [bytes([i]) * 16 for i in (1, 2, 3, 1, 4, 5)]
    for ino, name in enumerate(names):
        store.keep(1, [fact(ino)], name)
    assert store.inodes(1) == [0, 2, 3, 4, 5]


# ---- renewal


def renewed(store: Store, delta: bytes) -> dict[int, bytes]:
    memory = store.memory(delta=delta)
    memory.renew(store.place(1))
    memory.flush(last=True)
    record = store.read(1)
    assert record
    return {one.id.ino: record.generations[one.generation] for one in record.facts}


def test_renewal_gives_all_facts_that_hold_the_generation_of_now(store: Store) -> None:
    store.keep(1, [fact(1, views=2, extra=extra(notes=[b"n"])), fact(2, views=4)], OLDER)
    assert renewed(store, delta_table(Row(OLDER))) == {1: NOW, 2: NOW}
    record = store.read(1)
    assert record
    assert record.facts[0].extra == extra(notes=[b"n"])


def test_renewal_leaves_what_the_delta_concerns(store: Store) -> None:
    store.keep(1, [fact(1, views=2), fact(2, views=4), fact(3, views=4, status=Status.PROTECTED, reasons=32)], OLDER)
    assert renewed(store, delta_table(Row(OLDER, targets=2))) == {1: OLDER, 2: NOW, 3: OLDER}


def test_renewal_goes_over_several_generations(store: Store) -> None:
    store.keep(1, [fact(1)], OLDEST)
    store.keep(1, [fact(2)], OLDER)
    assert renewed(store, delta_table(Row(OLDER), Row(OLDEST, full=True))) == {1: OLDEST, 2: NOW}


def test_renewal_without_a_delta_changes_nothing(store: Store) -> None:
    store.keep(1, [fact(1)], OLDER)
    memory = store.memory()
    memory.renew(store.place(1))
    memory.renew(store.place(2))
    memory.flush(last=True)
    assert memory.totals().renewed == 0
    record = store.read(1)
    assert record
    assert record.generations[record.facts[0].generation] == OLDER


def test_renewal_and_facts_of_one_directory_in_one_flush(store: Store) -> None:
    store.keep(1, [fact(1, views=4), fact(2, views=2)], OLDER)
    memory = store.memory(delta=delta_table(Row(OLDER, targets=2)))
    memory.add(store.place(1), DEVICE, fact(2, views=2))
    memory.renew(store.place(1))
    memory.flush(last=True)
    record = store.read(1)
    assert record
    assert {record.generations[one.generation] for one in record.facts} == {NOW}


# ---- bounds and trouble


def test_a_full_buffer_loses_the_oldest_facts(store: Store) -> None:
    memory = store.memory(room=100)
    for ino in range(1000):
        memory.add(store.place(1), DEVICE, fact(ino))
    memory.flush(last=True)
    kept = store.inodes(1)
    assert len(kept) >= 70
    assert kept == list(range(1000 - len(kept), 1000))
    assert memory.totals().dropped == 1000 - len(kept)


def test_a_flush_is_due_when_the_buffer_is_half_full(store: Store) -> None:
    memory = store.memory(room=100)
    for ino in range(49):
        memory.add(store.place(1), DEVICE, fact(ino))
    assert not memory.due()
    memory.add(store.place(1), DEVICE, fact(49))
    assert memory.due()
    memory.flush()
    assert not memory.due()


def test_while_another_process_writes_nothing_is_lost(store: Store) -> None:
    memory = store.memory()
    memory.add(store.place(1), DEVICE, fact(1))
    with open(store.folder / "files.lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for last in (False, True):
            with pytest.raises(BlockingIOError):
                memory.flush(last=last)
        other = store.memory()  # opening does not wait either
    memory.flush(last=True)
    assert store.inodes(1) == [1]
    other.add(store.place(1), DEVICE, fact(2))
    other.flush()
    assert store.inodes(1) == [1, 2]


def test_a_file_that_is_first_made_while_another_process_holds_the_lock(store: Store) -> None:
    with open(store.folder / "files.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        memory = store.memory()
        memory.add(store.place(1), DEVICE, fact(1))
        assert not (store.folder / "files").exists()
    memory.flush()
    assert store.inodes(1) == [1]


def test_a_writer_notices_that_the_file_was_replaced(store: Store) -> None:
    memory = store.memory()
    os.unlink(store.folder / "files")
    store.keep(1, [fact(1)])
    memory.add(store.place(1), DEVICE, fact(2))
    memory.flush()
    assert store.inodes(1) == [1, 2]


@pytest.mark.parametrize("content", [b"", b"x" * 9000, b"KAVCACH\0\2\0\0\0" + bytes(9000), b"KAVCACH\0\1\0\0\0"])
def test_a_file_that_is_not_ours_is_reported_and_left_alone(store: Store, content: bytes) -> None:
    (store.folder / "files").write_bytes(content)
    with pytest.raises(cache.DamagedStore):
        store.memory()
    assert (store.folder / "files").read_bytes() == content


def test_a_link_is_not_followed(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_bytes(b"")
    (store.folder / "files").symlink_to(target)
    with pytest.raises(cache.DamagedStore):
        store.memory()
    assert target.read_bytes() == b""


def test_another_secret_does_not_open_the_file(store: Store) -> None:
    store.keep(1, [fact(1)])
    with pytest.raises(cache.DamagedStore):
        cache.Memory(store.open("."), "files", bytes(32), NOW, start_ns=START)


def test_a_folder_that_is_gone_is_an_error(store: Store, tmp_path: Path) -> None:
    inner = Store(tmp_path / "inner")
    inner.folder.mkdir()
    fd = inner.open(".")
    inner.folder.rmdir()
    with pytest.raises(FileNotFoundError):
        cache.Memory(fd, "files", bytes(32), NOW, start_ns=START)
    inner.close()


def test_the_differing_fields_are_named() -> None:
    changes = {"ino": "inode", "size": "size", "mtime_ns": "mtime", "ctime_ns": "ctime", "btime_ns": "birth time"}
    for name, word in changes.items():
        assert cache.differs(identity(5), identity(5)._replace(**{name: 1})) == (word,)
    assert cache.differs(identity(5), identity(5)) == ()

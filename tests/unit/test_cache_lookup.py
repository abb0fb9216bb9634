"""Looking up: what a walker is told about each file, hit and near miss."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs._native import cache
from kavfs.model import Reason, Status
from tests.support.stores import (
    DEVICE,
    FS,
    NOW,
    SECRET,
    SETTINGS,
    START,
    Row,
    Store,
    delta_table,
    extra,
    fact,
    identity,
    layer,
)

OLDER = b"generation older"
WIDER = b"wider settings.."
UNKNOWN, PLAIN, REPLAY, DELTA = (
    cache.ANSWER_UNKNOWN,
    cache.ANSWER_PLAIN,
    cache.ANSWER_REPLAY,
    cache.ANSWER_DELTA,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.close()


def begun(store: Store, directory: int = 1, **more: object) -> cache.Lookup:
    lookup = store.lookup(**more)  # type: ignore[arg-type]
    lookup.dir(FS, directory, 0)
    return lookup


def test_an_unchanged_file_is_known(store: Store) -> None:
    store.keep(1, [fact(i) for i in range(100)])
    lookup = begun(store)
    assert [lookup.file(identity(i))[0] for i in (50, 0, 99, 51, 100)] == [PLAIN] * 4 + [UNKNOWN]


@pytest.mark.parametrize("field", cache.Identity._fields)
@pytest.mark.parametrize("by", [1, -1, 1 << 40])
def test_each_field_of_the_identity_counts(store: Store, field: str, by: int) -> None:
    store.keep(1, [fact(50)])
    changed = identity(50)._replace(**{field: getattr(identity(50), field) + by})
    assert begun(store).file(changed)[0] == UNKNOWN
    assert begun(store).file(identity(50))[0] == PLAIN


def test_a_file_is_known_in_its_directory_only(store: Store) -> None:
    store.keep(1, [fact(1)])
    lookup = store.lookup()
    for fs, directory, born in ((FS, 2, 0), (FS, 1, 1), (bytes(16), 1, 0)):
        lookup.dir(fs, directory, born)
        assert lookup.file(identity(1))[0] == UNKNOWN
    assert lookup.dir(FS, 1, 0) == store.place(1)
    assert lookup.file(identity(1))[0] == PLAIN


@pytest.mark.parametrize(
    "more",
    [
        {"status": Status.PROTECTED, "reasons": Reason.ENCRYPTED},
        {"status": Status.ERROR, "reasons": Reason.SIZE},
        {"flags": cache.CONTAINER},
        {"flags": cache.UNOPENED},
    ],
)
def test_what_is_more_than_plain_is_replayed(store: Store, more: dict[str, int]) -> None:
    kept = fact(1, extra=extra(notes=[b"a note"], members=4), format=9, **more)
    store.keep(1, [kept, fact(2, **more)])
    lookup = begun(store)
    assert lookup.file(identity(1)) == (REPLAY, kept, 0)
    assert lookup.file(identity(2))[0] == REPLAY


def test_the_delta_decides_over_older_generations(store: Store) -> None:
    store.keep(1, [fact(1, views=2), fact(2, views=4), fact(3, status=Status.PROTECTED, reasons=32)], OLDER)
    lookup = begun(store, delta=delta_table(Row(b"\0" * 16), Row(OLDER, targets=2)))
    answers = [lookup.file(identity(i)) for i in (1, 2, 3)]
    assert [answer[0] for answer in answers] == [DELTA, PLAIN, UNKNOWN]
    assert answers[0][2] == 1
    assert begun(store).file(identity(2))[0] == UNKNOWN


def test_remembered_digests_are_read_when_they_decide(store: Store) -> None:
    remembered = extra(layers=[layer(10, md5=bytes(range(16)))])
    store.keep(1, [fact(1, extra=remembered), fact(2, extra=None)], OLDER)
    new = delta_table(Row(OLDER, hashes=[f"{'00' * 16}:10:A\n{'00' * 16}:20:B\n"]))
    lookup = begun(store, delta=new)
    assert [lookup.file(identity(i))[0] for i in (1, 2)] == [PLAIN, DELTA]


def test_renewal_is_asked_for_when_an_older_fact_holds(store: Store) -> None:
    store.keep(1, [fact(1), fact(2, views=2)], OLDER)
    new = delta_table(Row(OLDER, targets=2))
    lookup = begun(store, delta=new)
    lookup.file(identity(2))
    assert not lookup.end().renew
    lookup.dir(FS, 1, 0)
    lookup.file(identity(1))
    assert lookup.end().renew
    memory = store.memory(delta=new)
    memory.renew(store.place(1))
    memory.flush(last=True)
    lookup.dir(FS, 1, 0)
    assert lookup.file(identity(1))[0] == PLAIN
    assert not lookup.end().renew


@pytest.mark.parametrize(
    ("more", "answer"),
    [
        ({}, PLAIN),
        ({"flags": cache.CONTAINER}, REPLAY),
        ({"flags": cache.UNOPENED}, UNKNOWN),
        ({"status": Status.ERROR, "reasons": Reason.SIZE}, UNKNOWN),
    ],
)
def test_other_settings_lend_complete_verdicts_only(store: Store, more: dict[str, int], answer: int) -> None:
    store.keep(1, [fact(1, **more)], settings=WIDER)
    assert begun(store).file(identity(1))[0] == UNKNOWN
    assert begun(store, settings=(SETTINGS, WIDER)).file(identity(1))[0] == answer


def test_an_own_verdict_comes_before_that_of_other_settings(store: Store) -> None:
    store.keep(1, [fact(1, status=Status.PROTECTED, reasons=Reason.ENCRYPTED)])
    store.keep(1, [fact(1)], settings=WIDER)
    assert begun(store, settings=(SETTINGS, WIDER)).file(identity(1))[0] == REPLAY
    assert begun(store, settings=(WIDER, SETTINGS)).file(identity(1))[0] == PLAIN


# ---- journal


def journal_of(store: Store, *facts: cache.Fact, generation: bytes = NOW) -> Store:
    journal = Store(store.folder, "journal")
    memory = journal.memory(generation, journal=True)
    for one in facts:
        memory.add(journal.place(1), DEVICE, one)
    memory.flush(last=True)
    return journal


def test_a_journal_replays_whatever_had_its_verdict(store: Store) -> None:
    infected = fact(1, status=Status.INFECTED, extra=extra(notes=[b"Eicar"]))
    store.keep(1, [fact(1)])
    journal = journal_of(store, infected, fact(2))
    lookup = begun(store, journal=journal.open("journal"))
    answer, found, _ = lookup.file(identity(1))
    assert (answer, found and found.extra) == (REPLAY, infected.extra)
    assert lookup.file(identity(2))[0] == PLAIN
    assert lookup.file(identity(2)._replace(size=1))[0] == UNKNOWN
    journal.close()


def test_a_journal_holds_for_its_generation_only(store: Store) -> None:
    store.keep(9, [fact(9)])
    journal = journal_of(store, fact(1), generation=OLDER)
    lookup = begun(store, journal=journal.open("journal"), delta=delta_table(Row(OLDER)))
    assert lookup.file(identity(1))[0] == UNKNOWN
    journal.close()


def test_a_journal_is_no_store_and_a_store_no_journal(store: Store) -> None:
    store.keep(1, [fact(1)])
    journal = journal_of(store, fact(2))
    swapped = cache.Lookup(SECRET, NOW, [SETTINGS], file=journal.open("journal"), journal=store.open("files"))
    swapped.dir(FS, 1, 0)
    assert [swapped.file(identity(i))[0] for i in (1, 2)] == [UNKNOWN, UNKNOWN]
    journal.close()


def test_what_the_journal_answers_is_not_gone_from_the_store(store: Store) -> None:
    store.keep(1, [fact(i) for i in range(80)])
    journal = journal_of(store, *(fact(i) for i in range(80)))
    lookup = begun(store, journal=journal.open("journal"))
    assert {lookup.file(identity(i))[0] for i in range(80)} == {PLAIN}
    assert lookup.end().gone == []
    journal.close()


# ---- gone


def test_what_was_not_asked_for_is_told_when_it_is_more_than_an_eighth(store: Store) -> None:
    store.keep(1, [fact(i) for i in range(80)])
    lookup = begun(store)
    for i in range(10, 80):
        lookup.file(identity(i))
    assert lookup.end().gone == []
    lookup.dir(FS, 1, 0)
    for i in range(11, 80):
        lookup.file(identity(i)._replace(size=1))  # changed, but there
    assert lookup.end().gone == list(range(11))


def test_of_a_directory_that_is_not_remembered_nothing_is_gone(store: Store) -> None:
    store.keep(1, [fact(1)])
    assert begun(store, 2).end() == cache.Rest(False, [])


# ---- large directories


def packed(place: bytes, inodes: range) -> bytes:
    return b"".join(struct.pack(cache.PACKED_FACT, place, DEVICE, *identity(i), *([0] * 8)) for i in inodes)


@pytest.mark.parametrize("count", [8192, 8193, 40_000, 300_000])
def test_every_file_of_a_large_directory_is_known(store: Store, count: int) -> None:
    memory = store.memory()
    memory.add_many(packed(store.place(1), range(count)))
    memory.flush(last=True)
    record = store.read(1)
    assert record
    assert record.split == (count > 8192)
    lookup = begun(store)
    asked = b"".join(struct.pack("=QQqqq", *identity(i)) for i in range(count + 500))
    assert lookup.count(asked) == (500, count, 0, 0)
    assert lookup.end() == cache.Rest(False, [])
    near = identity(count - 1)._replace(ctime_ns=START)
    assert lookup.file(near)[0] == UNKNOWN


def test_a_large_directory_is_known_to_journal_and_store_at_once(store: Store) -> None:
    """The journal has the first half, the store the second: neither hides what the other knows."""
    journal = Store(store.folder, "journal")
    for memory, half in ((store.memory(), range(2000, 4000)), (journal.memory(journal=True), range(2000))):
        memory.add_many(packed(store.place(1), half))
        memory.flush(last=True)
    lookup = begun(store, journal=journal.open("journal"))
    assert {lookup.file(identity(i))[0] for i in range(4000)} == {PLAIN}
    journal.close()


def test_a_large_directory_is_changed_and_renewed_in_its_parts(store: Store) -> None:
    memory = store.memory(OLDER)
    memory.add_many(packed(store.place(1), range(30_000)))
    memory.flush(last=True)
    new = delta_table(Row(OLDER, targets=2))
    memory = store.memory(delta=new)
    memory.add(store.place(1), DEVICE, fact(7, changed={"size": 5}))
    memory.gone(store.place(1), [8])
    memory.renew(store.place(1))
    memory.flush(last=True)
    lookup = begun(store)  # without a delta: what is known is of the generation of now
    assert lookup.file(identity(7)._replace(size=5))[0] == PLAIN
    assert [lookup.file(identity(i))[0] for i in (7, 8)] == [UNKNOWN, UNKNOWN]
    assert {lookup.file(identity(i))[0] for i in range(9, 30_000)} == {PLAIN}


def test_a_directory_with_much_to_tell_is_split_too(store: Store) -> None:
    long = extra(notes=[b"x" * 60_000])
    facts = [fact(i, flags=cache.CONTAINER, extra=long) for i in range(40)]
    store.keep(1, facts)
    lookup = begun(store)
    assert [lookup.file(identity(i)) for i in range(40)] == [(REPLAY, one, 0) for one in facts]


def test_a_store_that_is_not_there_knows_nothing() -> None:
    lookup = cache.Lookup(SECRET, NOW, [SETTINGS])
    assert lookup.dir(FS, 1, 0) == cache.place(SECRET, FS, 1, 0, SETTINGS)
    assert lookup.file(identity(1)) == (UNKNOWN, None, 0)
    assert lookup.end() == cache.Rest(False, [])

"""A worker that was taken over by what it read: refused, replaced, and every file accounted for."""

from __future__ import annotations

import pytest

from kavfs.limits import Limits
from kavfs.model import Reason, Status
from tests.support.fakes import DEEDS, fake_scan

NEIGHBOURS = 70  # more than a batch


def tree(folder, *hostile: bytes):
    for number in range(NEIGHBOURS):
        (folder / f"neighbour{number:03}").write_bytes(b"EVIL" if number % 7 == 0 else b"fine %d" % number)
    for number, word in enumerate(hostile):
        (folder / f"neighbour{number:03}-hostile").write_bytes(word + b" come what may")


def assert_neighbours_fine(book, folder):
    for number in range(NEIGHBOURS):
        expected = Status.INFECTED if number % 7 == 0 else Status.CLEAN
        assert book.of(folder / f"neighbour{number:03}").status is expected


SLOW = {b"DO-HANG", b"DO-SPIN", b"DO-CLOSE"}  # cost the patience of the watchdog
TRUE_AT_FIRST = {b"DO-TWICE"}  # the first answer is as good as any
NEVER_TRUE = sorted(set(DEEDS) - SLOW - TRUE_AT_FIRST)


@pytest.mark.parametrize("word", NEVER_TRUE, ids=lambda word: word.decode())
def test_object_whose_worker_breaks_the_protocol_is_an_error(tmp_path, word):
    tree(tmp_path, word)
    book = fake_scan(tmp_path)
    result = book.of(tmp_path / "neighbour000-hostile")
    assert result.status is Status.ERROR
    assert result.reasons == Reason.WORKER
    assert len(book.results) == book.totals.files == NEIGHBOURS + 1
    assert_neighbours_fine(book, tmp_path)
    assert book.totals.worker_deaths >= 2
    assert len(book.notes) == book.totals.worker_deaths


@pytest.mark.parametrize("word", sorted(SLOW), ids=lambda word: word.decode())
def test_object_whose_worker_does_not_answer_is_an_error_after_its_time(tmp_path, word):
    tree(tmp_path, word)
    book = fake_scan(tmp_path, limits=Limits(time_base=0.05, max_unpacked=1))
    assert book.of(tmp_path / "neighbour000-hostile").reasons == Reason.WORKER
    assert_neighbours_fine(book, tmp_path)
    assert len(book.results) == NEIGHBOURS + 1


def test_object_that_is_answered_twice_has_one_verdict_and_its_worker_is_refused(tmp_path):
    tree(tmp_path, b"DO-TWICE")
    book = fake_scan(tmp_path)
    assert book.of(tmp_path / "neighbour000-hostile").status is Status.CLEAN
    assert any("answered twice" in note for note in book.notes)
    assert_neighbours_fine(book, tmp_path)


def test_many_hostile_objects_side_by_side_each_get_their_error(tmp_path):
    words = [word for word in NEVER_TRUE if word != b"DO-KILL"][:12]
    tree(tmp_path, *words)
    book = fake_scan(tmp_path)
    for number in range(len(words)):
        assert book.of(tmp_path / f"neighbour{number:03}-hostile").reasons == Reason.WORKER
    assert_neighbours_fine(book, tmp_path)
    assert len(book.results) == NEIGHBOURS + len(words)


def test_error_says_what_became_of_the_worker(tmp_path):
    (tmp_path / "aborts").write_bytes(b"DO-ABORT ")
    (tmp_path / "pickles").write_bytes(b"DO-PICKLE ")
    book = fake_scan(tmp_path)
    assert book.of(tmp_path / "aborts").error == "scanning process died: killed by signal 6 (SIGABRT)"
    assert book.of(tmp_path / "pickles").error == "scanning process died: not a result"


def test_object_that_kills_its_worker_is_an_error_for_each_of_its_names(tmp_path):
    first = tmp_path / "name1"
    first.write_bytes(b"DO-ABORT ")
    for number in range(2, 6):
        (tmp_path / f"name{number}").hardlink_to(first)
    book = fake_scan(tmp_path)
    assert [book.of(tmp_path / f"name{n}").reasons for n in range(1, 6)] == [Reason.WORKER] * 5
    assert book.totals.worker_deaths == 4  # the first name, then once more for all who waited for it

"""Two requests for one inode at once: one scan, if what was read is what the joiner's own descriptor showed."""

from __future__ import annotations

import os

import pytest

from kavfs.model import Reason, Status
from tests.support import dispatching
from tests.support.dispatching import DEDUP, batch, entry, record, send
from tests.support.fakes import LAST, RESULT_MAGIC, RESULTS, STABLE, note


@pytest.fixture
def bench():
    with dispatching.bench() as made:
        yield made


@pytest.fixture
def path(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    return tmp_path / "x"


def found(bench, path, count: int = 1, **changes: int) -> None:
    """A walker finds *path* under so many names."""
    for _ in range(count):
        send(bench.walker, batch(entry(path, flags=DEDUP, **changes)), path, 1)
        bench.step()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def die(bench, number: int) -> None:
    """The worker dies on the object in hand, which is blamed for it."""
    _, fds = bench.work()
    for fd in fds:
        os.close(fd)
    bench.worker.close()
    bench.step()
    bench.dispatcher.retire(number, b"fell over", False)
    bench.replace_worker(number + 1)
    bench.step()


def test_joiners_wait_with_their_descriptors_and_get_the_verdict(bench, path):
    before = descriptors()
    found(bench, path, 4)
    assert descriptors() == before + 4
    line = note(b"Bad.Thing")
    bench.answer(*bench.work(), line, status=Status.INFECTED, notes=1)
    bench.step()
    assert [(r.status, len(r.threats)) for r in bench.results()] == [(Status.INFECTED, 1)] * 4
    assert bench.dispatcher.outstanding == 0
    assert descriptors() == before
    assert bench.dispatcher.totals()[2] == 3  # bytes read


DIFFERENT = {
    "size": {"size": 4},
    "mtime": {"mtime": 7},
    "ctime": {"ctime": 7},
    "not stable": {"flags": 0},
    "changed": {"flags": 0, "status": Status.ERROR, "reasons": Reason.CHANGED},
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_joiner_of_a_state_that_was_not_read_is_scanned_itself(bench, path, name):
    found(bench, path, 3)
    bench.answer(*bench.work(), **DIFFERENT[name])
    bench.step()
    assert len(bench.results()) == 1
    while bench.dispatcher.outstanding:
        bench.answer(*bench.work())
        bench.step()
    assert [r.status for r in bench.results()[1:]] == [Status.CLEAN] * 2
    assert bench.dispatcher.totals()[2] == 9


@pytest.mark.parametrize("name", DIFFERENT)
def test_later_path_does_not_get_a_verdict_on_another_state(bench, path, name):
    found(bench, path)
    bench.answer(*bench.work(), **DIFFERENT[name])
    bench.step()
    found(bench, path)
    assert bench.dispatcher.outstanding == 1
    bench.answer(*bench.work())
    bench.step()
    assert bench.results()[1].status is Status.CLEAN


def test_joiner_whose_own_descriptor_shows_another_state_does_not_wait(bench, path):
    found(bench, path)
    found(bench, path, ctime=9)
    number, fds = bench.work()
    assert len(fds) == 1
    bench.answer(number, fds)
    bench.step()
    bench.answer(*bench.work())
    bench.step()
    assert len(bench.results()) == 2
    assert bench.dispatcher.outstanding == 0


NOTHING = [Reason.TIME, Reason.UNREADABLE]


@pytest.mark.parametrize("reason", NOTHING)
def test_when_the_first_scan_came_to_nothing_the_next_is_under_its_own_deadline(bench, path, reason):
    found(bench, path, 3)
    bench.answer(*bench.work(), status=Status.ERROR, reasons=reason)
    bench.step()
    assert [r.reasons for r in bench.results()] == [reason]
    bench.answer(*bench.work())
    bench.step()
    assert [r.status for r in bench.results()[1:]] == [Status.CLEAN] * 2
    assert bench.dispatcher.outstanding == 0


def test_when_the_first_scan_died_it_is_tried_once_more_for_all_who_wait(bench, path):
    """A file that kills workers may have 65,000 names."""
    found(bench, path, 5)
    for number in (2, 3, 4, 5):
        assert bench.dispatcher.outstanding == (5 if number < 4 else 4)
        die(bench, number)
    assert [r.reasons for r in bench.results()] == [Reason.WORKER] * 5
    assert bench.dispatcher.outstanding == 0
    found(bench, path)  # a name that is found later
    assert len(bench.results()) == 6
    assert bench.dispatcher.outstanding == 0


def test_name_that_comes_after_a_death_is_the_second_try(bench, path):
    found(bench, path)
    die(bench, 2)
    die(bench, 3)
    found(bench, path)
    assert bench.dispatcher.outstanding == 1
    bench.answer(*bench.work())
    bench.step()
    assert [r.reasons for r in bench.results()] == [Reason.WORKER, Reason(0)]


def test_two_requests_for_one_inode_are_one_scan(bench, path):
    for tag in (7, 8):
        bench.dispatcher.submit(os.open(path, os.O_RDONLY), b"name %d" % tag, tag)
    bench.step()
    number, fds = bench.work()
    assert len(fds) == 1
    bench.answer(number, fds)
    bench.step()
    assert sorted((tag, path) for _, tag, path, _, _ in bench.events) == [(7, b"name 7"), (8, b"name 8")]
    assert bench.dispatcher.outstanding == 0


def test_request_after_the_verdict_is_a_scan_of_its_own(bench, path):
    """Nobody may have told us, in between, that the file was written to within one tick of its clock."""
    for _ in range(2):
        bench.dispatcher.submit(os.open(path, os.O_RDONLY), b"name", 0)
        bench.step()
        bench.answer(*bench.work())
        bench.step()
    assert len(bench.results()) == 2
    found(bench, path)  # nor is it a walker's
    assert bench.dispatcher.outstanding == 1


def test_request_for_what_was_rewritten_in_between_is_scanned_itself(bench, path):
    bench.dispatcher.submit(os.open(path, os.O_RDONLY), b"before", 1)
    bench.step()
    path.write_bytes(b"another")
    bench.dispatcher.submit(os.open(path, os.O_RDONLY), b"after", 2)
    bench.step()
    for _ in range(2):
        number, (fd,) = bench.work()
        bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, LAST, 0) + record(0, fd))
        os.close(fd)
        bench.step()
    assert len(bench.results()) == 2


def test_loop_goes_on_when_every_descriptor_is_one_of_a_slow_object_that_waits(bench, path, tmp_path):
    """400 descriptors may be held: the walker is not read until the verdict is in, and then it is."""
    other = tmp_path / "other"
    other.write_bytes(b"xyz")
    sent = 0
    bench.walker.setblocking(False)
    frame = batch(*[entry(path, flags=DEDUP)] * 64)
    while sent < 100:
        try:
            send(bench.walker, frame, path, 64)
        except BlockingIOError:
            break
        sent += 1
        bench.step()
    assert sent < 100
    assert bench.dispatcher.outstanding <= 400
    bench.walker.setblocking(True)
    while bench.dispatcher.outstanding:
        bench.answer(*bench.work())
        bench.step()
    assert len(bench.results()) == 64 * sent
    send(bench.walker, batch(entry(other)), other, 1)
    bench.step()
    bench.answer(*bench.work(), flags=STABLE)
    bench.step()
    assert len(bench.results()) == 64 * sent + 1

"""Objects that are not waited for any longer: each ends once, with what it took along and nothing else."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from kavfs._native import dispatch
from kavfs.model import Reason, Status
from tests.support import dispatching
from tests.support.fakes import note
from tests.support.serving import descriptors

WHY = b"the deadline"


@pytest.fixture
def bench():
    with dispatching.bench() as made:
        made.step()
        yield made


@pytest.fixture
def path(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    return tmp_path / "x"


def submit(bench, tag: int, path: Path | None = None) -> None:
    if path is None:
        fd = os.memfd_create(f"object{tag}", os.MFD_CLOEXEC)
        os.write(fd, b"object %d" % tag)
    else:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    bench.dispatcher.submit(fd, b"object %d" % tag, tag)


def ended(bench) -> dict[int, tuple[str, Reason]]:
    """Tag -> verdict; an object with two is an error."""
    tags = [number for kind, number, *_ in bench.events if kind == dispatch.EV_RESULT]
    assert len(tags) == len(set(tags))
    return {tag: (r.status.name, r.reasons) for tag, r in zip(tags, bench.results(), strict=True)}


LATE = ("ERROR", Reason.TIME)
CLEAN = ("CLEAN", Reason(0))


def test_one_that_waits_ends_and_the_others_keep_their_turn(bench):
    before = descriptors()
    bench.dispatcher.set_held(True)
    for tag in (1, 2, 3):
        submit(bench, tag)
    for tag in (3, 1):
        assert bench.dispatcher.abort(tag, WHY)
    bench.step()
    assert ended(bench) == {3: LATE, 1: LATE}
    assert bench.results()[0].error == "time limit: the deadline"
    assert descriptors() == before + 1
    submit(bench, 4)
    bench.dispatcher.set_held(False)
    bench.step()
    bench.answer(*bench.work())
    bench.step()
    assert ended(bench) == {3: LATE, 1: LATE, 2: CLEAN, 4: CLEAN}
    assert bench.dispatcher.outstanding == 0
    assert descriptors() == before


def test_what_is_not_there_or_has_its_verdict_cannot_be_aborted(bench):
    assert not bench.dispatcher.abort(7, WHY)
    submit(bench, 1)
    bench.step()
    bench.answer(*bench.work())
    bench.step()
    assert not bench.dispatcher.abort(1, WHY)
    assert ended(bench) == {1: CLEAN}


def test_one_that_joined_ends_alone(bench, path):
    for tag in (1, 2, 3):
        submit(bench, tag, path)
    bench.step()
    assert bench.dispatcher.abort(2, WHY)
    bench.step()
    assert ended(bench) == {2: LATE}
    bench.answer(*bench.work())
    bench.step()
    assert ended(bench) == {2: LATE, 1: CLEAN, 3: CLEAN}


def test_who_joined_one_that_is_aborted_is_scanned_itself(bench, path):
    bench.dispatcher.set_held(True)
    for tag in (1, 2, 3):
        submit(bench, tag, path)
    assert bench.dispatcher.abort(1, WHY)
    bench.dispatcher.set_held(False)
    bench.step()
    batch, fds = bench.work()
    assert len(fds) == 1
    bench.answer(batch, fds)
    bench.step()
    assert ended(bench) == {1: LATE, 2: CLEAN, 3: CLEAN}


@pytest.mark.parametrize("shown", [True, False])
def test_worker_that_has_it_or_shows_nothing_is_lost_and_its_other_objects_are_scanned_again(bench, path, shown):
    bench.dispatcher.set_held(True)
    for tag in (1, 2):
        submit(bench, tag)
    bench.dispatcher.set_held(False)
    bench.step()
    batch, fds = bench.work()
    if shown:
        bench.take_in_hand(batch, 1)
    assert bench.dispatcher.abort(2, WHY)
    bench.step()
    assert bench.kinds().count(dispatch.EV_LOST) == 1
    assert ended(bench) == {2: LATE}
    for fd in fds:
        os.close(fd)
    bench.worker.close()
    bench.dispatcher.retire(2, b"killed", False)
    bench.replace_worker(3)
    bench.step()
    bench.answer(*bench.work())
    bench.step()
    assert ended(bench) == {2: LATE, 1: CLEAN}
    assert bench.dispatcher.outstanding == 0


@pytest.fixture
def behind(bench, path):
    """Object 1 is in hand, object 2 behind it, object 3 waits for object 2."""
    before = descriptors()
    bench.dispatcher.set_held(True)
    submit(bench, 1)
    submit(bench, 2, path)
    submit(bench, 3, path)
    bench.dispatcher.set_held(False)
    bench.step()
    batch, fds = bench.work()
    bench.take_in_hand(batch, 0)
    assert bench.dispatcher.abort(2, WHY)
    bench.step()
    assert dispatch.EV_LOST not in bench.kinds()
    assert ended(bench) == {2: LATE}
    assert not bench.dispatcher.abort(2, WHY)
    return before, batch, fds


def test_worker_with_another_in_hand_goes_on_and_what_it_says_later_is_dropped(bench, behind):
    before, batch, fds = behind
    bench.answer(batch, fds, note(b"Bad.Thing"), status=Status.INFECTED, notes=1)
    bench.step()
    assert ended(bench) == {2: LATE, 1: ("INFECTED", Reason(0))}
    bench.answer(*bench.work())
    bench.step()
    assert ended(bench)[3] == CLEAN
    assert bench.dispatcher.outstanding == 0
    assert descriptors() == before


def test_worker_that_dies_with_a_dropped_object_does_not_bring_it_back(bench, behind):
    before, _, fds = behind
    for fd in fds:
        os.close(fd)
    bench.worker.close()
    bench.step()
    bench.dispatcher.retire(2, b"fell over", False)
    bench.replace_worker(3)
    bench.step()
    while bench.dispatcher.outstanding:
        bench.answer(*bench.work())
        bench.step()
    assert ended(bench) == {2: LATE, 1: CLEAN, 3: CLEAN}
    bench.worker.close()
    assert descriptors() <= before


def test_what_earlier_engines_found_stays_with_the_end(path):
    with dispatching.bench(classes={0: (1, 1, 0), 1: (1, 1, 0)}, all_match=True) as bench:
        bench.step()
        submit(bench, 1)
        bench.step()
        bench.answer(*bench.work(), note(b"Bad.Thing"), status=Status.INFECTED, notes=1)
        bench.step()
        assert ended(bench) == {}
        assert bench.dispatcher.abort(1, WHY)
        bench.step()
        (result,) = bench.results()
        assert (result.status, result.reasons) == (Status.INFECTED, Reason.TIME)
        assert [threat.name for threat in result.threats] == ["Bad.Thing"]


def test_inodes_on_their_way_are_known_whatever_else_comes_and_goes(bench):
    kept = [os.memfd_create("kept", os.MFD_CLOEXEC) for _ in range(40)]
    bench.dispatcher.set_held(True)
    for tag, fd in enumerate(kept):
        bench.dispatcher.submit(os.dup(fd), b"kept", tag)
    bench.dispatcher.set_held(False)
    bench.step()
    first = bench.work()
    assert len(first[1]) == len(kept)
    for tag in range(1000, 2000):
        submit(bench, tag)
        bench.step()
        bench.answer(*bench.work())
        bench.step()
    for tag, fd in enumerate(kept):
        bench.dispatcher.submit(fd, b"kept", 100 + tag)
    bench.step()
    bench.answer(*first)
    bench.step()
    assert len(ended(bench)) == 1000 + 2 * len(kept)
    assert bench.dispatcher.outstanding == 0


def test_descriptor_is_readable_when_a_worker_has_something_to_say(bench):
    poll = select.poll()
    poll.register(bench.dispatcher.fileno(), select.POLLIN)
    assert not poll.poll(0)
    submit(bench, 1)
    bench.dispatcher.turn()
    assert not poll.poll(0)
    bench.answer(*bench.work())
    assert poll.poll(0)
    bench.dispatcher.turn()
    bench.events += bench.dispatcher.events()
    assert ended(bench) == {1: CLEAN}
    assert not poll.poll(0)
    bench.worker.close()
    assert poll.poll(0)
    bench.dispatcher.turn()
    assert not poll.poll(0)  # the socket is closed, and gone from among those that are listened to
    bench.replace_worker(3)
    assert poll.poll(0)

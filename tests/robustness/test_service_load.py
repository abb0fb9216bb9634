"""The scan core of a daemon: verdicts, turns, limits, deadlines, what is asked for twice."""

from __future__ import annotations

import os

import pytest

from kavfs.limits import Limits
from kavfs.model import Reason, Status
from kavfs.scan.asked import Refusal
from kavfs.scan.roles import start_server
from kavfs.scan.scanner import memory_file
from kavfs.signatures.image import open_image
from kavfs.signatures.sources import default_databases
from tests.support.serving import EICAR, Gate, below, descriptors, desk

BIG = Limits(time_base=60)


@pytest.fixture
def one(tmp_path):
    """One worker, one object in scan."""
    with desk(tmp_path, objects_max=1) as made:
        yield made


# ---- verdicts -------------------------------------------------------------------------------------------------------


def test_each_object_gets_its_verdict_under_its_name(tmp_path):
    with desk(tmp_path, jobs=2) as made:
        tickets = [made.ask(b"EVIL %d" % n if n % 7 == 0 else b"fine %d" % n, name=b"n%d" % n) for n in range(300)]
        for number, answer in enumerate(made.wait(*tickets)):
            assert answer.path == b"n%d" % number
            assert answer.status is (Status.INFECTED if number % 7 == 0 else Status.CLEAN)
        assert made.service.idle
        assert made.service.stats().answered == 300


def test_real_workers_find_what_signatures_say(tmp_path):
    server = start_server()
    image = open_image(default_databases(), os.fsencode(tmp_path / "state"))
    with desk(tmp_path, server=server, image=image, cache=True) as made:
        first = made.result(made.ask(EICAR, name=b"test file"))
        assert first.status is Status.INFECTED
        assert made.result(made.ask(EICAR[:-1], name=b"no test file")).status is Status.CLEAN


def test_descriptor_that_cannot_be_scanned_is_an_error_and_no_harm(one):
    bad = one.ask(memory_file(b"x"), name=b"n\0l")
    assert one.result(bad).status is Status.ERROR
    assert one.result(one.ask(b"fine")).status is Status.CLEAN


def test_descriptors_are_gone_with_the_answers(one):
    one.result(one.ask(b"first"))
    before = descriptors()
    one.wait(*[one.ask(b"%d" % n) for n in range(50)])
    assert descriptors() == before


# ---- turns and limits -----------------------------------------------------------------------------------------------


def test_client_with_a_thousand_requests_delays_another_by_what_is_in_scan(one):
    gate = Gate()
    held = one.ask(gate, client="many")
    one.run(lambda: one.service.stats().in_scan)
    many = [one.ask(b"%d" % n, client="many") for n in range(999)]
    single = one.ask(b"single", client="one")
    gate.open()
    one.wait(single)
    answered = list(one.answers)
    assert answered[0] == held
    assert answered.index(single) <= 2  # who was in scan, and one of the other's turn
    assert one.service.stats().waiting > 900
    for ticket in many:
        one.service.cancel(ticket)


def test_who_is_beyond_a_limit_is_told_that_it_is_busy(tmp_path):
    with desk(tmp_path, objects_max=1, queue_max=5, queue_max_client=3) as made:
        gate = Gate()
        held = made.ask(gate, client="a")
        made.run(lambda: made.service.stats().in_scan)
        a = [made.ask(b"a%d" % n, client="a") for n in range(4)]
        b = [made.ask(b"b%d" % n, client="b") for n in range(3)]
        assert made.refusal(a[3]) is Refusal.BUSY
        assert made.refusal(b[2]) is Refusal.BUSY
        gate.open()
        made.wait(held, *a[:3], *b[:2])
        assert made.result(made.ask(b"a again", client="a")).status is Status.CLEAN
        assert made.service.stats().refused == 2


# ---- deadlines ------------------------------------------------------------------------------------------------------


def test_who_waits_beyond_its_deadline_is_late_and_the_others_are_not(one):
    gate = Gate()
    held = one.ask(gate)
    one.run(lambda: one.service.stats().in_scan)
    late = one.ask(b"late", deadline=0.05)
    patient = one.ask(b"patient", deadline=600)
    assert one.refusal(late) is Refusal.LATE
    gate.open()
    assert [r.status for r in one.wait(held, patient)] == [Status.CLEAN] * 2
    assert one.service.stats().deaths == 0


@pytest.mark.parametrize("deed", [b"DO-HANG", b"DO-SPIN", b"DO-CLOSE"])
def test_worker_that_has_an_object_at_its_deadline_is_killed(tmp_path, deed):
    with desk(tmp_path, limits=BIG, objects_max=1) as made:
        made.result(made.ask(b"first"))
        (worker,) = [pid for pid in below(made.server.pid) if is_worker(pid)]
        ended = made.result(made.ask(deed + b" now", deadline=0.3))
        assert ended.status is Status.ERROR
        assert Reason.TIME in ended.reasons
        assert made.result(made.ask(b"next")).status is Status.CLEAN
        made.run(lambda: not os.path.exists(f"/proc/{worker}"))
        made.run(lambda: made.service.stats().losses == {"limit": 1})


def is_worker(pid: int) -> bool:
    with open(f"/proc/{pid}/comm") as file:
        return file.read().strip() == "kavfs-worker"


def test_object_behind_one_in_hand_ends_at_its_deadline_and_costs_no_worker(tmp_path):
    with desk(tmp_path, limits=BIG, objects_max=2) as made:
        gate = Gate()
        held = made.ask(gate)
        made.run(lambda: made.service.stats().in_scan)
        behind = made.ask(b"EVIL behind", deadline=0.2)
        ended = made.result(behind)
        assert (ended.status, ended.reasons) == (Status.ERROR, Reason.TIME)
        gate.open()
        assert made.result(held).status is Status.CLEAN
        assert made.service.stats().deaths == 0
        assert made.result(made.ask(b"next")).status is Status.CLEAN


def test_object_that_kills_its_workers_is_an_error_and_the_service_goes_on(one):
    assert one.result(one.ask(b"DO-ABORT x")).reasons == Reason.WORKER
    assert one.result(one.ask(b"fine")).status is Status.CLEAN
    assert one.service.stats().deaths == one.service.stats().losses["crash"] == 2


# ---- the same twice -------------------------------------------------------------------------------------------------


def test_same_stream_twice_at_once_is_scanned_once(one):
    gate = Gate()
    held = one.ask(gate)
    one.run(lambda: one.service.stats().in_scan)
    same = [one.ask(b"EVIL the same", client=n, name=b"n%d" % n) for n in range(20)]
    other = one.ask(b"EVIL tha same")
    gate.open()
    found = one.wait(*same)
    assert [(r.path, r.status) for r in found] == [(b"n%d" % n, Status.INFECTED) for n in range(20)]
    assert one.result(other).status is Status.INFECTED
    one.wait(held)
    assert one.service.stats().joined == 19


def test_same_stream_is_scanned_again_when_all_matches_are_wanted(one):
    gate = Gate()
    one.ask(gate)
    one.run(lambda: one.service.stats().in_scan)
    tickets = [one.ask(b"EVIL x"), one.ask(b"EVIL x", all_match=True)]
    gate.open()
    one.wait(*tickets)
    assert one.service.stats().joined == 0


def test_who_joined_is_scanned_itself_when_the_first_came_to_nothing(one):
    tickets = [one.ask(b"DO-ABORT same", name=b"%d" % n) for n in range(10)]
    found = one.wait(*tickets)
    assert [r.reasons for r in found] == [Reason.WORKER] * 10
    stats = one.service.stats()
    assert (stats.deaths, stats.joined) == (4, 8)  # twice for the first, twice for the next, whose end is everybody's


def test_deadline_of_the_first_is_not_that_of_those_who_joined(tmp_path):
    with desk(tmp_path, limits=BIG, objects_max=1) as made:
        gate = Gate()
        held = made.ask(gate)
        made.run(lambda: made.service.stats().in_scan)
        first, *others = [made.ask(b"EVIL same", deadline=d) for d in (0.05, 600, 600)]
        assert made.refusal(first) is Refusal.LATE
        gate.open()
        assert [r.status for r in made.wait(held, *others)] == [Status.CLEAN, Status.INFECTED, Status.INFECTED]


def test_stream_that_can_still_change_is_joined_with_nothing(one):
    gate = Gate()
    one.ask(gate)
    one.run(lambda: one.service.stats().in_scan)
    fds = [os.memfd_create("open", os.MFD_CLOEXEC) for _ in range(2)]
    for fd in fds:
        os.write(fd, b"the same")
    tickets = [one.ask(fd) for fd in fds]
    gate.open()
    one.wait(*tickets)
    assert one.service.stats().joined == 0


def test_same_file_twice_at_once_is_scanned_once(one, tmp_path):
    (tmp_path / "file").write_bytes(b"EVIL file")
    gate = Gate()
    one.ask(gate)
    one.run(lambda: one.service.stats().in_scan)
    tickets = [one.ask(os.open(tmp_path / "file", os.O_RDONLY), name=b"n%d" % n) for n in range(5)]
    gate.open()
    assert [(r.path, r.status) for r in one.wait(*tickets)] == [(b"n%d" % n, Status.INFECTED) for n in range(5)]


# ---- clients that go ------------------------------------------------------------------------------------------------


def test_cancelled_requests_are_not_answered_and_leave_nothing(one):
    one.result(one.ask(b"first"))
    before = descriptors()
    gate = Gate()
    held = one.ask(gate)
    one.run(lambda: one.service.stats().in_scan)
    waiting = [one.ask(b"same") for _ in range(5)]
    kept = one.ask(b"same")
    for ticket in (held, *waiting):
        one.service.cancel(ticket)
    gate.open()
    one.result(kept)
    one.run(lambda: one.service.idle)
    assert set(one.answers) & {held, *waiting} == set()
    os.close(gate.fd)
    assert descriptors() == before


def test_closing_answers_everybody(tmp_path):
    with desk(tmp_path, objects_max=1) as made:
        tickets = [made.ask(Gate()), made.ask(b"x"), made.ask(b"x")]
        made.run(lambda: made.service.stats().in_scan)
        made.service.close()
        assert [made.answers[ticket] for ticket in tickets] == [Refusal.CLOSING] * 3

"""Change of signatures under a running service: nobody is refused, the old crew goes, a bad one is not taken."""

from __future__ import annotations

import errno
import os
import socket

from kavfs.errors import DatabaseDamaged
from kavfs.model import Status
from kavfs.scan.forkserver import ForkServer, Role
from kavfs.scan.roles import start_server
from kavfs.signatures.image import open_image
from tests.support import databases, fakes, serving
from tests.support.serving import Gate, GenerationImage, below, descriptors, desk


def test_new_signatures_hold_after_the_switch_and_nobody_is_refused(tmp_path):
    state = os.fsencode(tmp_path / "state")
    folder = databases.write(tmp_path / "db", a_ndb=databases.body("Test.First", "first marker of the test"))
    sample = b"first marker of the test, second marker of the test"
    server = start_server()
    image = open_image((os.fsencode(folder),), state)
    with desk(tmp_path, server=server, image=image, jobs=2, cache=True) as made:
        assert made.result(made.ask(sample)).threats[0].name == "Test.First.UNOFFICIAL"
        databases.write(folder, a_ndb=databases.body("Test.Second", "second marker of the test"))
        newer = open_image((os.fsencode(folder),), state)
        told: list[str] = []
        made.service.renew(newer, newer.allow, told.append)
        tickets = []
        while not told:
            tickets.append(made.ask(sample + b"%d" % len(tickets)))
            made.wait(tickets[-1])
        assert told == [""]
        names = [answer.threats[0].name for answer in made.wait(*tickets)]
        assert set(names) <= {"Test.First.UNOFFICIAL", "Test.Second.UNOFFICIAL"}
        assert names == sorted(names)
        assert made.result(made.ask(sample)).threats[0].name == "Test.Second.UNOFFICIAL"
        assert made.service.stats().generation == newer.generation
        assert made.service.stats().refused == 0


def test_old_crew_finishes_what_it_has_and_then_goes_with_its_image(tmp_path):
    old, new = GenerationImage(1), GenerationImage(2)
    with desk(tmp_path, image=old, objects_max=2) as made:
        made.result(made.ask(b"first"))
        processes, open_files = len(below(made.server.pid)), descriptors()
        gate = Gate()
        held = made.ask(gate)
        made.run(lambda: made.service.stats().in_scan)
        assert made.renew(new) == ""
        assert made.result(made.ask(b"EVIL by the new")).status is Status.INFECTED
        assert not old.closed
        gate.open()
        made.wait(held)
        made.run(lambda: old.closed)
        os.close(gate.fd)
        assert descriptors() == open_files
        made.run(lambda: len(below(made.server.pid)) == processes)
        assert not new.closed
    assert new.closed


def test_many_switches_under_load_leave_nothing_behind(tmp_path):
    with desk(tmp_path, image=GenerationImage(), jobs=2) as made:
        made.wait(*[made.ask(b"%d" % n) for n in range(20)])
        made.run(lambda: made.service.stats().workers == 2)
        processes, open_files = len(below(made.server.pid)), descriptors()
        images = [GenerationImage(number) for number in range(1, 21)]
        for number, image in enumerate(images):
            tickets = [made.ask(b"EVIL %d %d" % (number, n)) for n in range(10)]
            assert made.renew(image) == ""
            assert {answer.status for answer in made.wait(*tickets)} == {Status.INFECTED}
        made.run(lambda: len(below(made.server.pid)) == processes)
        assert descriptors() == open_files
        assert [image.closed for image in images] == [True] * 19 + [False]


def test_same_stream_is_not_joined_across_generations(tmp_path):
    with desk(tmp_path, objects_max=2) as made:
        gates = [Gate(), Gate()]
        held = [made.ask(gate) for gate in gates]
        first = made.ask(b"EVIL same")
        made.run(lambda: made.service.stats().in_scan == 2)
        gates[0].open()
        made.wait(held[0])
        made.run(lambda: made.service.stats().waiting == 0)  # the old crew has it, behind the other gate
        assert made.renew(GenerationImage(1)) == ""
        second = made.ask(b"EVIL same")
        gates[1].open()
        made.wait(first, second)
        assert made.service.stats().joined == 0


def run_damaged_worker(setup, fds, parts):
    def fail():
        raise DatabaseDamaged("it makes no sense")

    if os.path.exists(bytes.fromhex(os.environ["KAVFS_TEST_MARK"])):
        serving.roles.with_last_words(fds[1], fail)
    serving.run_gated_worker(setup, fds, parts)


def test_image_that_workers_cannot_use_is_refused_and_the_old_one_stays(tmp_path, monkeypatch):
    mark = tmp_path / "broken"
    monkeypatch.setenv("KAVFS_TEST_MARK", os.fsencode(mark).hex())
    server = ForkServer({"worker": Role(run_damaged_worker, takes_image=True), "engine": Role(fakes.run_fake_engine)})
    bad = GenerationImage(1)
    with desk(tmp_path, server=server) as made:
        made.result(made.ask(b"first"))
        mark.write_bytes(b"")
        why = made.renew(bad)
        assert "makes no sense" in why
        assert bad.closed
        assert made.result(made.ask(b"EVIL")).status is Status.INFECTED
        assert made.service.stats().generation == bytes(16)
        mark.unlink()
        assert made.renew(GenerationImage(2)) == ""


def test_change_that_comes_during_another_takes_its_place(tmp_path):
    with desk(tmp_path) as made:
        told: dict[int, str] = {}
        images = [GenerationImage(number) for number in (1, 2)]
        for number, image in enumerate(images):
            made.service.renew(image, serving.AllowList(), lambda why, number=number: told.update({number: why}))
        made.run(lambda: len(told) == 2)
        assert told[0]
        assert told[1] == ""
        assert images[0].closed
        assert made.service.stats().generation == images[1].generation


def test_lost_fork_server_of_a_crew_costs_its_objects_and_not_the_service(tmp_path):
    with desk(tmp_path, objects_max=1) as made:
        made.result(made.ask(b"first"))
        gate = Gate()
        held = made.ask(gate)
        made.run(lambda: made.service.stats().in_scan)
        (server,) = [pid for pid in below(made.server.pid) if pid_of_parent(pid) == made.server.pid]
        os.kill(server, 9)
        assert made.refusal(held).value == "failed"
        made.run(lambda: isinstance(made.wait(made.ask(b"EVIL"))[0], tuple))
        assert made.result(made.ask(b"EVIL")).status is Status.INFECTED


class Descriptors:
    """Of which none is left for a pair of sockets while *out*."""

    def __init__(self, monkeypatch) -> None:
        self.out = False
        self._pair = socket.socketpair
        monkeypatch.setattr(socket, "socketpair", self._take)

    def _take(self, *words):
        if self.out:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return self._pair(*words)


def test_without_descriptors_for_another_worker_those_there_go_on(tmp_path, monkeypatch):
    left = Descriptors(monkeypatch)
    with desk(tmp_path, jobs=2) as made:
        left.out = True
        answers = made.wait(*[made.ask(b"EVIL %d" % number) for number in range(20)])
        assert [answer.status for answer in answers] == [Status.INFECTED] * 20
        made.run(lambda: any("another scanning process cannot be started now: Too many" in note for note in made.notes))
        left.out = False
        made.run(lambda: made.service.stats().workers == 2)
        assert made.service.stats().deaths == 0


def test_without_descriptors_for_a_new_crew_the_old_one_stays(tmp_path, monkeypatch):
    left = Descriptors(monkeypatch)
    with desk(tmp_path) as made:
        made.result(made.ask(b"first"))
        image = GenerationImage(1)
        left.out = True
        assert "Too many open files" in made.renew(image)
        assert image.closed
        left.out = False
        assert made.result(made.ask(b"EVIL")).status is Status.INFECTED
        assert made.renew(GenerationImage(2)) == ""


def test_without_descriptors_for_those_who_want_all_matches_they_are_refused_and_others_go_on(tmp_path, monkeypatch):
    left = Descriptors(monkeypatch)
    with desk(tmp_path) as made:
        made.result(made.ask(b"first"))
        left.out = True
        assert made.refusal(made.ask(b"EVIL one", all_match=True)).value == "failed"
        assert made.result(made.ask(b"EVIL two")).status is Status.INFECTED


def pid_of_parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])

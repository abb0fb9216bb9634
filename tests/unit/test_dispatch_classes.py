"""Classes of workers at the dispatcher alone: every lie that a worker of another engine could tell, and merging."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kavfs._native import dispatch
from kavfs.model import Reason, Status
from kavfs.scan.children import make_slot
from tests.support import dispatching
from tests.support.dispatching import CACHED, PLACE, Bench, batch, entry, record, send
from tests.support.fakes import ELSEWHERE, LAST, NO_OFFSET, NOTE, RESULT_MAGIC, RESULTS, STABLE

NATIVE, CLAMAV, CLAMD, YARA = range(4)
EVERY, LEFT = 1, 2  # enum kav_when
DELTA, CONTAINER, SHA256, LAYERS = 1 << 7, 1 << 2, 1 << 1, 1 << 6


SOCKETS: list[socket.socket] = []  # of one test


class Peer:
    """A worker of some class, in the hands of the test."""

    def __init__(self, bench: Bench, number: int, engine: int) -> None:
        self.bench = bench
        slot = make_slot()
        ours, self.socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        SOCKETS.append(self.socket)
        bench.dispatcher.add_worker(number, ours.detach(), slot, engine)
        os.close(slot)
        self.socket.send(RESULTS.pack(RESULT_MAGIC, 0, 0, LAST, 0))
        self.socket.setblocking(False)

    def given(self) -> tuple[int, list[int], bytes]:
        data, fds, _, _ = socket.recv_fds(self.socket, 4096, 64)
        return struct.unpack_from("=Q", data, 8)[0], fds, data[16:]

    @property
    def idle(self) -> bool:
        try:
            self.given()
        except BlockingIOError:
            return True
        return False

    def answer(self, parts: bytes = b"", index: int = 0, **changes: int) -> None:
        number, fds, _ = self.given()
        row = record(index, fds[0], payload_len=len(parts), **changes)
        self.socket.send(RESULTS.pack(RESULT_MAGIC, 1, number, LAST, len(parts)) + row + parts)
        for fd in fds:
            os.close(fd)
        self.bench.step()


def note(name: bytes, engine: int, status: int = 1, member: bytes = b"") -> bytes:
    text = name + member
    return NOTE.pack(len(name), len(member), NO_OFFSET, 0, 0, status, engine, 0, 0) + text + bytes(-len(text) % 8)


@contextmanager
def benches(all_match: bool = False, **when: int) -> Iterator[tuple[Bench, dict[str, Peer]]]:
    numbers = {"native": NATIVE, "clamav": CLAMAV, "clamd": CLAMD, "yara": YARA}
    classes = {numbers[name]: (kind, 1, 0) for name, kind in when.items()}
    with dispatching.bench(classes=classes, all_match=all_match) as bench:
        bench.dispatcher.retire(2, b"", False)  # the worker that comes with it
        bench.step()
        bench.events.clear()
        peers = {name: Peer(bench, 10 + numbers[name], numbers[name]) for name in when}
        bench.step()
        yield bench, peers
        while SOCKETS:
            SOCKETS.pop().close()


def walk(bench: Bench, path: Path, count: int = 1, **changes: int) -> None:
    send(bench.walker, batch(*[entry(path, **changes)] * count), path, count)
    bench.step()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "x").write_bytes(b"some bytes")
    return tmp_path / "x"


LIES = {
    "speaks as native": (note(b"X", NATIVE), {"notes": 1, "status": 1}),
    "speaks as yara": (note(b"X", YARA), {"notes": 1, "status": 1}),
    "index that it was not given": (b"", {"index": 1}),
    "another inode": (b"", {"ino": 1}),
    "clean with a threat": (note(b"X", CLAMAV), {"notes": 1, "status": 0}),
    "partial and clean": (b"", {"reasons": 1}),
    "blames another worker": (b"", {"reasons": int(Reason.WORKER), "status": 6}),
    "a delta": (b"", {"flags": DELTA}),
    "from a cache": (b"", {"flags": CACHED}),
    "elsewhere": (b"", {"flags": ELSEWHERE}),
    "whole list of layers": (b"", {"flags": LAYERS}),
    "learned": (struct.pack("=16sQQIHHBBBBI", PLACE, 3, 3, 0, 0, 1, 0, 0, 0, 0, 0), {"learned": 1}),
    "layers": (struct.pack("=QBBHI", 3, 0, 0, 0, 0), {"layers": 1, "layers_len": 16}),
}


@pytest.mark.parametrize("name", LIES)
def test_a_worker_of_another_engine_that_lies_is_lost_and_its_object_is_asked_again(path: Path, name: str) -> None:
    with benches(native=EVERY, clamav=EVERY) as (bench, peers):
        walk(bench, path)
        peers["native"].answer()
        parts, changes = LIES[name]
        peers["clamav"].answer(parts, **changes)
        assert bench.kinds() == [dispatch.EV_LOST]
        bench.dispatcher.retire(10 + CLAMAV, b"lied", False)
        again = Peer(bench, 20, CLAMAV)
        bench.step()
        again.answer()
        (result,) = bench.results()
        assert (result.status, result.reasons) == (Status.CLEAN, Reason(0))


def test_native_may_not_speak_for_others(path: Path) -> None:
    with benches(native=EVERY, clamav=EVERY) as (bench, peers):
        walk(bench, path)
        peers["native"].answer(note(b"X", CLAMAV), notes=1, status=1)
        assert bench.kinds() == [dispatch.EV_LOST]


def test_the_second_death_of_a_class_keeps_what_others_said(path: Path) -> None:
    with benches(native=EVERY, clamav=EVERY, yara=EVERY) as (bench, peers):
        walk(bench, path)
        peers["native"].answer(note(b"", NATIVE, 0, b"inside"), notes=1, members=1, flags=STABLE | CONTAINER)
        for number, text in ((10 + CLAMAV, b"first"), (20, b"second")):
            if number == 20:
                Peer(bench, number, CLAMAV)
                bench.step()
            bench.dispatcher.retire(number, text, False)
        bench.step()
        peers["yara"].answer(note(b"Rule", YARA, 2), notes=1, status=2)
        (result,) = bench.results()
        assert (result.status, result.reasons) == (Status.WARNING, Reason.WORKER)
        assert [threat.engine for threat in result.threats] == ["yara"]
        assert [member.path for member in result.members] == [b"inside"]
        assert result.container


def test_notes_of_a_dead_worker_are_dropped_and_those_before_it_kept(path: Path) -> None:
    with benches(all_match=True, native=EVERY, clamav=EVERY) as (bench, peers):
        walk(bench, path)
        peers["native"].answer(note(b"N", NATIVE), notes=1, status=1)
        number, fds, _ = peers["clamav"].given()
        half = note(b"Half", CLAMAV)
        row = record(0, fds[0], payload_len=len(half), notes=1, flags=1)
        peers["clamav"].socket.send(RESULTS.pack(RESULT_MAGIC, 1, number, 0, len(half)) + row + half)
        bench.step()
        bench.dispatcher.retire(10 + CLAMAV, b"died", False)
        again = Peer(bench, 20, CLAMAV)
        bench.step()
        again.answer(note(b"C", CLAMAV), notes=1, status=1)
        (result,) = bench.results()
        assert [threat.name for threat in result.threats] == ["N", "C"]
        for fd in fds:
            os.close(fd)


MERGED = [
    # native's reasons and status, then the other's, what becomes of it
    ((0, 0), (0, 0), (Status.CLEAN, Reason(0))),
    ((int(Reason.ENCRYPTED), 5), (0, 0), (Status.PROTECTED, Reason.ENCRYPTED)),
    ((int(Reason.METHOD), 6), (0, 0), (Status.ERROR, Reason.METHOD)),
    ((int(Reason.ENCRYPTED), 5), (int(Reason.SIZE), 6), (Status.ERROR, Reason.ENCRYPTED | Reason.SIZE)),
    ((int(Reason.DAMAGED), 4), (int(Reason.ENCRYPTED), 5), (Status.CORRUPTED, Reason.DAMAGED | Reason.ENCRYPTED)),
    ((0, 2), (int(Reason.TIME), 6), (Status.WARNING, Reason.TIME)),
    ((int(Reason.TIME), 6), (0, 1), (Status.INFECTED, Reason.TIME)),
    ((0, 3), (0, 2), (Status.WARNING, Reason(0))),
]


@pytest.mark.parametrize(("first", "second", "expected"), MERGED)
def test_the_gravest_status_wins_and_no_reason_is_lifted(
    path: Path, first: tuple[int, int], second: tuple[int, int], expected: tuple[Status, Reason]
) -> None:
    with benches(native=EVERY, clamd=EVERY) as (bench, peers):
        walk(bench, path)
        peers["native"].answer(reasons=first[0], status=first[1])
        peers["clamd"].answer(reasons=second[0], status=second[1])
        (result,) = bench.results()
        assert (result.status, result.reasons) == expected


@pytest.mark.parametrize("name", ["mtime", "size", "ctime"])
def test_a_file_that_changed_between_two_engines_is_not_clean(path: Path, name: str) -> None:
    with benches(native=EVERY, clamav=EVERY) as (bench, peers):
        walk(bench, path)
        peers["native"].answer()
        peers["clamav"].answer(**{name: 1})
        (result,) = bench.results()
        assert (result.status, result.reasons) == (Status.ERROR, Reason.CHANGED)


@pytest.mark.parametrize(
    ("flags", "reasons", "asked"),
    [
        (STABLE, 0, False),
        (STABLE | ELSEWHERE, 0, True),
        (STABLE, Reason.METHOD, True),
        (STABLE, Reason.TIME, False),
        (STABLE | ELSEWHERE, Reason.UNREADABLE, False),
    ],
)
def test_who_sees_only_what_native_leaves(path: Path, flags: int, reasons: int, asked: bool) -> None:
    with benches(native=EVERY, clamav=LEFT) as (bench, peers):
        walk(bench, path)
        peers["native"].answer(flags=flags, reasons=int(reasons), status=6 if reasons else 0)
        assert len(bench.results()) == (0 if asked else 1)
        assert peers["clamav"].idle is not asked


def test_what_native_died_on_twice_is_shown_to_those_who_see_what_it_leaves(path: Path) -> None:
    with benches(native=EVERY, clamav=LEFT) as (bench, peers):
        walk(bench, path)
        bench.dispatcher.retire(10 + NATIVE, b"died", False)
        Peer(bench, 20, NATIVE)
        bench.step()
        bench.dispatcher.retire(20, b"died again", False)
        bench.step()
        peers["clamav"].answer(note(b"C", CLAMAV), notes=1, status=1)
        (result,) = bench.results()
        assert (result.status, result.reasons, result.engine) == (Status.INFECTED, Reason.WORKER, "clamav")


def test_a_delta_that_finds_nothing_answers_for_all_and_no_other_is_given_one(path: Path) -> None:
    with benches(native=EVERY, clamav=EVERY) as (bench, peers):
        walk(bench, path, delta=3)
        number, fds, items = peers["native"].given()
        assert struct.unpack_from("=I", items)[0] == 3
        row = record(0, fds[0], flags=STABLE | DELTA)
        peers["native"].socket.send(RESULTS.pack(RESULT_MAGIC, 1, number, LAST, 0) + row)
        bench.step()
        assert len(bench.results()) == 1
        assert peers["clamav"].idle
        walk(bench, path, delta=3)
        peers["native"].answer(flags=STABLE)  # the delta was not enough
        _, more, items = peers["clamav"].given()
        assert struct.unpack_from("=I", items)[0] == 0
        for fd in fds + more:
            os.close(fd)


def test_workers_are_wanted_for_a_class_when_the_first_object_has_come_to_it(path: Path) -> None:
    with dispatching.bench(classes={NATIVE: (EVERY, 1, 0), YARA: (EVERY, 1, 0)}) as bench:
        bench.step()
        walk(bench, path)
        assert bench.dispatcher.wanted == 0
        number, fds = bench.work()
        bench.answer(number, fds)
        bench.step()
        assert bench.dispatcher.wanted == 1 << YARA
        assert bench.results() == []


def test_a_class_that_is_given_up_leaves_its_reason_now_and_later(path: Path) -> None:
    with benches(native=EVERY, clamd=EVERY) as (bench, peers):
        bench.dispatcher.retire(10 + CLAMD, b"gone", False)
        walk(bench, path)
        peers["native"].answer()
        assert bench.results() == []
        bench.dispatcher.give_up(CLAMD, b"no such server")
        bench.step()
        walk(bench, path)
        peers["native"].answer()
        bench.step()
        assert [(one.status, one.reasons, one.error) for one in bench.results()] == [
            (Status.ERROR, Reason.ENGINE, "engine failed: clamd: no such server")
        ] * 2
        assert bench.dispatcher.wanted == 0


def test_a_class_alone_that_is_given_up_ends_the_scan(path: Path) -> None:
    with benches(clamd=EVERY) as (bench, _):
        bench.dispatcher.retire(10 + CLAMD, b"gone", False)
        walk(bench, path, 3, flags=1)  # three names of one inode
        bench.dispatcher.give_up(CLAMD, b"gone")
        bench.step()
        assert [one.reasons for one in bench.results()] == [Reason.ENGINE] * 3
        assert bench.dispatcher.outstanding == 0


def test_walkers_wait_when_too_much_waits_for_a_later_class(path: Path) -> None:
    with benches(native=EVERY, yara=EVERY) as (bench, peers):
        bench.dispatcher.retire(10 + YARA, b"", False)
        sent = 0
        for _ in range(12):
            send(bench.walker, batch(*[entry(path)] * 64), path, 64)
            sent += 64
            bench.step()
            while not drained(peers["native"], bench):
                pass
        assert bench.dispatcher.outstanding < sent
        assert bench.results() == []


def drained(peer: Peer, bench: Bench) -> bool:
    """Answer one piece of work; True when there is none."""
    try:
        number, fds, _ = peer.given()
    except BlockingIOError:
        return True
    rows = b"".join(record(index, fd) for index, fd in enumerate(fds))
    peer.socket.send(RESULTS.pack(RESULT_MAGIC, len(fds), number, LAST, 0) + rows)
    for fd in fds:
        os.close(fd)
    bench.step()
    return False

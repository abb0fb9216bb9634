"""A worker: descriptors in, results out, nothing kept, and an end when the coordinator goes or talks nonsense."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from kavfs._native.worker import ObjectCache, ObjectScanner
from kavfs.limits import Limits
from kavfs.model import Reason, Status, Switch
from kavfs.options import EVERYTHING
from tests.support.archives import make_tar, make_zip
from tests.support.databases import body
from tests.support.objects import EICAR, NEAR_MISS, image, image_of, parts, scanner
from tests.support.passing import wait_until
from tests.support.resident import resident
from tests.support.results import (
    IDLE,
    RECORDS_MAX,
    SENDING,
    SLOT,
    SLOT_KNOWN,
    WORK,
    WORK_MAGIC,
    file_with,
    receive,
    send,
)


class Worker:
    """A worker on a thread of this process."""

    def __init__(
        self, limits: Limits | None = None, switches: Switch = EVERYTHING, using: ObjectScanner | None = None
    ) -> None:
        self.socket, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(30)
        self.slot = mmap.mmap(-1, SLOT.size)
        self.error: OSError | None = None
        self._scanner = using or scanner(limits, switches)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            self._scanner.serve(self._theirs.fileno(), self.slot)
        except OSError as error:
            self.error = error
        finally:
            self._theirs.close()

    def join(self) -> OSError | None:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.error

    def close(self) -> None:
        self.socket.close()
        self.join()
        self.slot.close()

    def ask(self, *contents: bytes, batch: int = 1, deltas: Sequence[int] = ()):
        fds = [file_with(content) for content in contents]
        send(self.socket, fds, batch, deltas=deltas)
        for fd in fds:
            os.close(fd)
        return receive(self.socket)


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


def test_every_object_of_a_batch_is_answered_under_its_index(worker: Worker) -> None:
    answer = worker.ask(b"harmless", EICAR, NEAR_MISS, make_zip({"in": EICAR}), batch=77)
    assert answer.number == 77
    statuses = {index: Status(found.status) for index, found in answer.answers.items()}
    assert statuses == {0: Status.CLEAN, 1: Status.INFECTED, 2: Status.CLEAN, 3: Status.INFECTED}
    assert answer.messages == 1
    threat, line = answer.answers[3].notes
    assert (threat.name, threat.member) == (b"EICAR-Test-File.UNOFFICIAL", b"in")
    assert (line.name, line.member, line.status) == (b"", b"in", Status.INFECTED)


def test_the_answer_names_the_identity_that_was_scanned(worker: Worker) -> None:
    fd = file_with(b"12345")
    send(worker.socket, [fd])
    answer = receive(worker.socket).answers[0]
    assert (answer.ino, answer.size) == (os.fstat(fd).st_ino, 5)
    os.close(fd)


def test_batch_follows_batch(worker: Worker) -> None:
    for number in range(200):
        expected = number % 3 == 0
        found = worker.ask(EICAR if expected else NEAR_MISS, batch=number)
        assert found.number == number
        assert (found.answers[0].status == Status.INFECTED) is expected


def test_a_full_batch_is_one_message(worker: Worker) -> None:
    answer = worker.ask(*([NEAR_MISS] * RECORDS_MAX))
    assert len(answer.answers) == RECORDS_MAX
    assert answer.messages == 1


def test_digests_of_a_batch_are_those_of_each_object(tmp_path: Path) -> None:
    """Small files of one batch are digested side by side; what is large, empty or no file stands between them."""
    lengths = [1, 55, 56, 57, 63, 64, 65, 119, 120, 121, 127, 128, 129, 4000, 32768, 32769, 0, *range(200, 240)]
    contents = [bytes((i * 7 + k * k) % 251 for k in range(length)) for i, length in enumerate(lengths)]
    lines = [f"{hashlib.md5(c).hexdigest()}:{len(c)}:Test.Number-{i}\n" for i, c in enumerate(contents) if c]
    worker = Worker(using=ObjectScanner(parts(image_of(tmp_path, {"md5.hdb": "".join(lines)})), Limits(), EVERYTHING))
    try:
        found = worker.ask(*contents).answers
        near = worker.ask(*(bytes([c[0] ^ 1]) + c[1:] if c else c for c in contents)).answers
        few = worker.ask(*contents[:2]).answers
    finally:
        worker.close()
    named = {i: [note.name for note in answer.notes if note.name] for i, answer in found.items()}
    assert named == {i: [b"Test.Number-%d.UNOFFICIAL" % i] if c else [] for i, c in enumerate(contents)}
    assert all(answer.status == Status.CLEAN for answer in near.values())
    assert [answer.status for answer in few.values()] == [Status.INFECTED] * 2


def test_one_file_several_times_in_a_batch_is_digested_each_time(tmp_path: Path) -> None:
    scanned = image_of(tmp_path, {"md5.hdb": f"{hashlib.md5(EICAR).hexdigest()}:{len(EICAR)}:Test.Whole\n"})
    worker = Worker(using=ObjectScanner(parts(scanned), Limits(), EVERYTHING))
    fd = file_with(EICAR)
    try:
        send(worker.socket, [fd] * 4)
        answers = receive(worker.socket).answers
    finally:
        os.close(fd)
        worker.close()
    assert [answer.status for answer in answers.values()] == [Status.INFECTED] * 4


def test_descriptors_are_closed_after_the_scan(worker: Worker) -> None:
    worker.ask(b"warm up")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        worker.ask(*([b"harmless"] * RECORDS_MAX))
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_no_regular_file_is_an_error_of_that_object_alone(worker: Worker) -> None:
    reader, writer = os.pipe()
    folder = os.open("/", os.O_RDONLY)
    regular = file_with(EICAR)
    send(worker.socket, [reader, folder, regular])
    answers = receive(worker.socket).answers
    for index in (0, 1):
        assert (answers[index].status, answers[index].reasons) == (Status.ERROR, Reason.UNREADABLE)
    assert answers[2].status == Status.INFECTED
    for fd in (reader, writer, folder, regular):
        os.close(fd)


def test_an_object_with_more_notes_than_a_message_holds_comes_in_several_records() -> None:
    worker = Worker(switches=EVERYTHING | Switch.ALL_MEMBERS)
    names = [f"{number:05}-" + "long name " * 20 for number in range(2000)]
    answer = worker.ask(b"before", make_tar(dict.fromkeys(names, NEAR_MISS) | {"bad": EICAR}), b"after")
    assert answer.messages > 2
    big = answer.answers[1]
    assert big.records > 2
    members = [note.member.decode() for note in big.notes if not note.name and note.member]
    assert members == [*names, "bad"]
    assert big.status == Status.INFECTED
    assert {0, 2} <= set(answer.answers)
    worker.close()


def test_of_very_many_threats_a_bounded_number_is_sent_and_the_verdict_stays() -> None:
    worker = Worker()
    answer = worker.ask(make_tar({str(number): EICAR for number in range(1500)})).answers[0]
    assert answer.status == Status.INFECTED
    assert answer.members == 1500
    assert sum(bool(note.name) for note in answer.notes) == 1000
    worker.close()


def test_the_slot_counts_objects_and_rests_between_batches(worker: Worker) -> None:
    worker.ask(EICAR, NEAR_MISS, batch=5)
    beat, batch, handled, total, index, state = SLOT.unpack(worker.slot[:])
    assert (batch, index, total) == (5, 1, 2)
    assert handled >= len(NEAR_MISS)
    assert beat >= 4  # one before and one in each object
    worker.ask(b"x", batch=6)
    assert SLOT.unpack(worker.slot[:])[0] > beat
    worker.socket.close()
    worker.join()
    assert SLOT.unpack(worker.slot[:])[-1] == IDLE
    assert state in (IDLE, SENDING)  # the last message is out before the worker says that it rests


def test_without_work_it_lets_the_pages_of_signatures_go_and_then_scans_as_before(tmp_path: Path) -> None:
    some = image_of(tmp_path, {"some.ndb": body("Test.Eicar", EICAR.decode())})
    inodes = {os.fstat(fd).st_ino for fd, _, _ in parts(some)}
    worker = Worker(using=scanner(of=some))

    def pages() -> int:
        return sum(map(resident, inodes))

    assert worker.ask(EICAR).answers[0].status == Status.INFECTED
    assert pages() > 0
    wait_until(lambda: pages() == 0)
    answers = worker.ask(EICAR, NEAR_MISS, batch=2).answers
    assert [answers[i].status for i in (0, 1)] == [Status.INFECTED, Status.CLEAN]
    worker.close()


def test_it_ends_quietly_when_the_coordinator_goes(worker: Worker) -> None:
    worker.socket.close()
    assert worker.join() is None


def test_it_ends_quietly_when_nobody_takes_the_answer(worker: Worker) -> None:
    fd = file_with(EICAR)
    send(worker.socket, [fd])
    worker.socket.close()
    assert worker.join() is None
    os.close(fd)


NONSENSE = {
    "wrong magic": WORK.pack(0xDEAD, 1, 1) + bytes(8),
    "wrong count": WORK.pack(WORK_MAGIC, 2, 1) + bytes(8),
    "count of nothing": WORK.pack(WORK_MAGIC, 0, 1) + bytes(8),
    "header alone": WORK.pack(WORK_MAGIC, 1, 1),
    "too short": WORK.pack(WORK_MAGIC, 1, 1) + bytes(7),
    "too long": WORK.pack(WORK_MAGIC, 1, 1) + bytes(9),
}


@pytest.mark.parametrize("fault", NONSENSE)
def test_it_ends_at_a_message_that_breaks_the_rules(fault: str) -> None:
    worker = Worker()
    before = len(os.listdir("/proc/self/fd"))
    fd = file_with(EICAR)
    send(worker.socket, [fd], header=NONSENSE[fault])
    error = worker.join()
    assert error is not None
    assert error.errno == errno.EPROTO
    os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == before - 1  # its end of the socket; nothing it was sent stays open
    worker.close()


def test_work_without_descriptors_breaks_the_rules() -> None:
    worker = Worker()
    send(worker.socket, [], header=WORK.pack(WORK_MAGIC, 1, 1))
    error = worker.join()
    assert error is not None
    assert error.errno == errno.EPROTO
    worker.close()


def test_more_descriptors_than_a_batch_may_have_break_the_rules() -> None:
    worker = Worker()
    before = len(os.listdir("/proc/self/fd"))
    fd = file_with(EICAR)
    send(worker.socket, [fd] * 70, header=WORK.pack(WORK_MAGIC, 64, 1))
    error = worker.join()
    assert error is not None
    assert error.errno == errno.EPROTO
    os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == before - 1
    worker.close()


def test_a_slot_that_is_too_small_is_refused() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, pytest.raises(ValueError, match="64 bytes"):
        scanner().serve(theirs.fileno(), bytearray(63))


F_LAYERS, F_DELTA, F_CACHED = 1 << 6, 1 << 7, 1 << 8
PLAIN = b"plain words that nobody minds"


def test_each_object_of_a_batch_is_scanned_with_the_row_it_asks_for(tmp_path: Path) -> None:
    new = image_of(tmp_path, {"new.ndb": body("Test.New", "words that are new")})
    worker = Worker(using=ObjectScanner(parts(), Limits(), int(EVERYTHING), -1, [parts(new)]))
    answers = worker.ask(EICAR, EICAR, PLAIN, b"words that are new", EICAR, deltas=[0, 1, 1, 1, 2]).answers
    statuses = [(Status(answers[i].status), answers[i].flags & F_DELTA) for i in range(5)]
    assert statuses == [
        (Status.INFECTED, 0),
        (Status.CLEAN, F_DELTA),  # it is not new; nobody sends such an object so
        (Status.CLEAN, F_DELTA),
        (Status.CLEAN, 0),  # a hit in the delta is judged by the whole image, and that is another one here
        (Status.INFECTED, 0),  # there is no such row
    ]
    worker.close()


def test_layers_views_and_depth_come_with_the_record() -> None:
    worker = Worker(switches=EVERYTHING | Switch.ALL_DIGESTS)
    packed = make_zip({"a": PLAIN, "b": b""})
    answer = worker.ask(PLAIN, packed, PLAIN)
    for index in (0, 2):
        (layer,) = answer.answers[index].layers
        assert layer.digests == b"".join(hashlib.new(kind, PLAIN).digest() for kind in ("md5", "sha1", "sha256"))
    found = answer.answers[1]
    assert found.flags & F_LAYERS
    assert (found.depth, found.views, [layer.size for layer in found.layers]) == (1, 1 | 1 << 7, [len(packed), 29, 0])
    worker.close()


def test_notes_layers_and_learned_records_that_fill_messages_all_arrive() -> None:
    memory = os.memfd_create("objects", os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, 1 << 20)
    secret, context = bytes(32), bytes(16)
    writer = ObjectCache(secret, memory=memory, memory_len=1 << 20, writable=True)
    any_size = ScannerOf(memory, secret, context)
    worker = Worker(using=any_size.make(EVERYTHING | Switch.ALL_MEMBERS))
    names = [f"{number:05}-" + "long name " * 14 for number in range(1000)]
    contents = [name.encode() * 30 for name in names]  # enough to be looked up
    packed = make_tar(dict(zip(names, contents, strict=True)))
    answer = worker.ask(b"before", packed, b"after").answers
    assert (len(answer[1].notes), len(answer[1].layers), len(answer[1].learned)) == (1000, 1001, 1000)
    assert {0, 2} <= set(answer)
    for learned in answer[1].learned:
        writer.put(learned)
    again = worker.ask(contents[0], contents[1] + b"x").answers
    assert [bool(again[index].flags & F_CACHED) for index in (0, 1)] == [True, False]
    assert SLOT_KNOWN.unpack(worker.slot[:]) == (1,)
    worker.close()
    os.close(memory)


class ScannerOf:
    """Scanners with level 1 of an object cache."""

    def __init__(self, memory: int, secret: bytes, context: bytes) -> None:
        self.objects = (memory, os.fstat(memory).st_size, -1, 0, secret, context)

    def make(self, switches: Switch) -> ObjectScanner:
        return ObjectScanner(parts(image()), Limits(), int(switches), -1, (), self.objects)

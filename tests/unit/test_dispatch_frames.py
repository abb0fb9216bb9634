"""The dispatcher alone, with both ends of its sockets in the hands of the test: every field of every frame."""

from __future__ import annotations

import os
import random
import socket
import stat
import struct

import pytest

from kavfs._native import dispatch
from kavfs.model import Entry, Reason, Status
from kavfs.scan.children import make_slot
from tests.support import dispatching
from tests.support.dispatching import CACHED, DEDUP, PLACE, batch, entry, gone, known, record, renew, replay, send
from tests.support.fakes import LAST, MORE, RESULT, RESULT_MAGIC, RESULTS, note


@pytest.fixture
def bench():
    with dispatching.bench() as made:
        yield made


WRONG_FRAMES = {
    "empty header": (b"\0" * 3, 0),
    "wrong magic": (batch(entry(), magic=1), 1),
    "no entries": (batch(count=0, fds=0), 0),
    "too many entries": (batch(*[entry()] * 65, fds=65), 64),
    "count beyond the message": (batch(entry(), count=64), 1),
    "giant count": (batch(entry(), count=0xFFFFFFFF), 1),
    "blob length beyond the message": (batch(entry(), blob_len=0xFFFFFFFF), 1),
    "name beyond the blob": (batch(entry(name=(1, 4))), 1),
    "name far beyond the blob": (batch(entry(name=(0xFFFFFFFF, 0xFFFFFFFF))), 1),
    "directory beyond the blob": (batch(entry(dir_off=4, dir_len=1)), 1),
    "path of nothing": (batch(entry(name=(0, 0))), 1),
    "NUL in a name": (batch(entry(), blob=b"na\0e"), 1),
    "path too long": (batch(entry(dir_len=40000, name=(0, 40000)), blob=b"x" * 40000), 1),
    "unknown kind": (batch(entry(kind=10)), 1),
    "unknown flag": (batch(entry(flags=1 << 5)), 1),
    "reserved bytes": (batch(entry(reserved=1)), 1),
    "directory as file": (batch(entry(mode=stat.S_IFDIR)), 1),
    "file with an error": (batch(entry(error=2)), 1),
    "error without one": (batch(entry(kind=Entry.ERROR), fds=0), 0),
    "giant error": (batch(entry(kind=Entry.ERROR, error=1 << 30), fds=0), 0),
    "fewer descriptors than files": (batch(entry()), 0),
    "more descriptors than files": (batch(entry()), 2),
    "descriptors for what is no file": (batch(entry(kind=Entry.SPECIAL), fds=0), 1),
    "descriptor flood": (batch(entry()), 100),
    "message too long": (b"KBAT" * 41000, 0),
    "delta for what is no file": (batch(entry(kind=Entry.SYMLINK, delta=1), fds=0), 0),
    "reserved bytes behind the delta": (batch(entry(reserved2=1)), 1),
    "known: short": (known()[:20], 0),
    "known: no files": (known(b"", (), b"", files=0, bytes=0), 0),
    "known: too many files": (known(b"", (), b"", files=1 << 40), 0),
    "known: more bytes than there can be": (known(b"", (), b"", files=1, bytes=1 << 63), 0),
    "known: no names where they are wanted": (known(b"", (), b"", files=2, bytes=2), 0),
    "known: names of some": (known(files=3), 0),
    "known: giant count of names": (known(named=0xFFFFFFFF, files=0xFFFFFFFF), 0),
    "known: fewer names": (known(b"a\0"), 0),
    "known: more names": (known(b"a\0b\0c\0"), 0),
    "known: last name without its NUL": (known(b"a\0b"), 0),
    "known: empty name": (known(b"\0b\0"), 0),
    "known: name too long": (known(b"a" * 65536 + b"\0", (1,)), 0),
    "known: path too long": (known(b"a" * 40000 + b"\0", (1,), b"b" * 40000 + b"/"), 0),
    "known: directory without a slash": (known(directory=b"/d"), 0),
    "known: NUL in the directory": (known(directory=b"/\0/"), 0),
    "known: length of the directory": (known(dir_len=4), 0),
    "known: length of the names": (known(names_len=0xFFFFFFFF), 0),
    "known: sizes do not add up": (known(bytes=4), 0),
    "known: sizes that overflow": (known(sizes=(2**64 - 1, 4), bytes=3), 0),
    "known: bytes behind": (known(rest=b"x"), 0),
    "known: with a descriptor": (known(), 1),
    "replay: short": (replay(__file__)[:200], 0),
    "replay: no path": (replay(__file__, name=b""), 0),
    "replay: NUL in the path": (replay(__file__, name=b"/\0"), 0),
    "replay: path beyond the message": (replay(__file__, path_len=60), 0),
    "replay: path too long": (replay(__file__, name=b"/" * 65544), 0),
    "replay: notes beyond the message": (replay(__file__, notes_len=8), 0),
    "replay: giant notes": (replay(__file__, notes_len=0xFFFFFFF8), 0),
    "replay: reserved bytes": (replay(__file__, reserved=1), 0),
    "replay: no file": (replay(__file__, kind=Entry.SYMLINK), 0),
    "replay: not marked": (replay(__file__, flags=0), 0),
    "replay: more follows": (replay(__file__, flags=CACHED | MORE), 0),
    "replay: layers": (replay(__file__, layers=1), 0),
    "replay: learned": (replay(__file__, learned=1), 0),
    "replay: partial and clean": (replay(__file__, reasons=1), 0),
    "replay: worse notes": (replay(__file__, b"/d/box", note(b"X"), said=1), 0),
    "replay: notes elsewhere": (replay(__file__, payload_len=8), 0),
    "replay: bytes behind": (replay(__file__, rest=b"x"), 0),
    "replay: with a descriptor": (replay(__file__), 1),
    "renew: nothing": (renew(), 0),
    "renew: short": (renew()[:6], 0),
    "renew: fewer places": (renew(PLACE, count=2), 0),
    "renew: more places": (renew(PLACE, PLACE, count=1), 0),
    "renew: giant count": (renew(PLACE, count=0xFFFFFFFF), 0),
    "renew: with a descriptor": (renew(PLACE), 1),
    "gone: nothing": (gone(PLACE), 0),
    "gone: short": (gone(PLACE)[:20], 0),
    "gone: fewer inodes": (gone(PLACE, 1, count=2), 0),
    "gone: half an inode": (gone(PLACE, 1)[:-4], 0),
    "gone: with a descriptor": (gone(PLACE, 1), 1),
}


@pytest.mark.parametrize("name", WRONG_FRAMES)
def test_frame_with_one_wrong_field_ends_the_walker_and_leaks_nothing(bench, name):
    frame, count = WRONG_FRAMES[name]
    before = len(os.listdir("/proc/self/fd"))
    send(bench.walker, frame, __file__, count)
    bench.step()
    assert bench.kinds() == [dispatch.EV_STALLED]
    assert len(os.listdir("/proc/self/fd")) == before - 1  # the walker's socket
    assert bench.dispatcher.outstanding == 0
    assert bench.dispatcher.step(-1, 0) & dispatch.DONE


def test_empty_message_ends_the_walker_and_leaks_nothing(bench):
    before = len(os.listdir("/proc/self/fd"))
    socket.send_fds(bench.walker, [b""], [bench.walker_slot] * 64)
    bench.step()
    assert bench.kinds() == [dispatch.EV_WALKED]
    assert len(os.listdir("/proc/self/fd")) == before - 1  # the walker's socket


def test_right_frame_goes_all_the_way(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    send(bench.walker, batch(entry(path, dir_len=4, name=(4, 1)), blob=b"/tmpx"), path, 1)
    bench.step()
    bench.answer(*bench.work())
    bench.step()
    (result,) = bench.results()
    assert (result.path, result.status, result.size) == (b"/tmpx", Status.CLEAN, 3)
    assert bench.dispatcher.outstanding == 0


def test_no_walker_is_read_while_the_worker_has_enough(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    frame = batch(*[entry(path)] * 64)
    bench.walker.setblocking(False)
    sent = 0
    for _ in range(100):
        try:
            send(bench.walker, frame, path, 64)
            sent += 1
        except BlockingIOError:
            break
        bench.step()
    else:
        pytest.fail("the dispatcher takes whatever comes")
    assert bench.dispatcher.outstanding <= 64 * 3
    bench.walker.setblocking(True)
    while bench.dispatcher.outstanding:
        bench.answer(*bench.work())
        bench.step()
    assert len(bench.results()) == 64 * sent


def test_second_path_waits_for_the_verdict_of_the_first(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    one = batch(entry(path, flags=DEDUP))
    for _ in range(3):
        send(bench.walker, one, path, 1)
        bench.step()
    bench.answer(*bench.work())
    bench.step()
    assert len(bench.results()) == 3
    send(bench.walker, one, path, 1)
    bench.step()
    assert len(bench.results()) == 4
    assert bench.dispatcher.outstanding == 0


def test_inode_that_changed_in_between_is_scanned_again(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    for ctime in (1, 2):
        send(bench.walker, batch(entry(path, flags=DEDUP, ctime=ctime)), path, 1)
        bench.step()
        bench.answer(*bench.work())
        bench.step()
    assert len(bench.results()) == 2


def test_what_a_dead_worker_leaves_is_given_to_the_next(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    send(bench.walker, batch(*[entry(path)] * 10), path, 10)
    bench.step()
    bench.worker.close()
    bench.step()
    assert bench.kinds() == [dispatch.EV_LOST]
    assert bench.dispatcher.retire(2, b"gone", False)
    slot = make_slot()
    ours, bench.worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    bench.dispatcher.add_worker(3, ours.detach(), slot)
    os.close(slot)
    bench.worker.send(RESULTS.pack(RESULT_MAGIC, 0, 0, LAST, 0))
    bench.step()
    while bench.dispatcher.outstanding:
        bench.answer(*bench.work())
        bench.step()
    assert [result.status for result in bench.results()] == [Status.CLEAN] * 10
    bench.worker.close()


def test_unknown_worker_cannot_be_retired(bench):
    with pytest.raises(FileNotFoundError):
        bench.dispatcher.retire(99, b"", False)


def test_worker_that_does_not_greet_is_refused(bench):
    slot = make_slot()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    bench.dispatcher.add_worker(3, ours.detach(), slot)
    os.close(slot)
    with theirs:
        theirs.send(b"hello")
        bench.step()
    assert [event[:2] for event in bench.events] == [(dispatch.EV_LOST, 3)]
    assert not bench.dispatcher.retire(3, b"", False)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_frames_never_cost_more_than_their_sender(bench, tmp_path, seed):
    """Bytes of right frames are changed at random; whatever happens, descriptors and counts come out even."""
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    dice = random.Random(seed)
    before = len(os.listdir("/proc/self/fd"))
    right = batch(entry(path), entry(path, flags=DEDUP), entry(path, kind=Entry.SYMLINK), fds=2)
    taken = 0
    while dispatch.EV_STALLED not in bench.kinds() and taken < 200:
        frame = bytearray(right)
        for _ in range(dice.randint(0, 2)):
            frame[dice.randrange(len(frame))] = dice.randrange(256)
        send(bench.walker, bytes(frame), path, 2)
        bench.step()
        taken += 1
        while bench.dispatcher.outstanding:
            batch_number, fds = bench.work()
            bench.worker.send(RESULTS.pack(RESULT_MAGIC, len(fds), batch_number, LAST, 0) + answers(fds))
            for fd in fds:
                os.close(fd)
            bench.step()
            if dispatch.EV_LOST in bench.kinds():
                return  # identity was damaged, so that our honest answer is for another inode
    assert len(os.listdir("/proc/self/fd")) == before - (dispatch.EV_STALLED in bench.kinds())


def answers(fds: list[int]) -> bytes:
    return b"".join(record(index, fd) for index, fd in enumerate(fds))


def test_text_of_an_error_is_kept_with_its_reason(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    bench.dispatcher.submit(os.open(path, os.O_RDONLY), b"x", 7)
    for number in (2, 3):
        bench.step()
        bench.work()
        bench.worker.close()
        bench.step()
        bench.dispatcher.retire(number, b"fell over", False)
        slot = make_slot()
        ours, bench.worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        bench.dispatcher.add_worker(number + 1, ours.detach(), slot)
        os.close(slot)
        bench.worker.send(RESULTS.pack(RESULT_MAGIC, 0, 0, LAST, 0))
    bench.step()
    (result,) = bench.results()
    assert (result.reasons, result.error) == (Reason.WORKER, "scanning process died: fell over")
    bench.worker.close()


def test_worker_that_cannot_ask_a_descriptor_says_error_without_an_identity(bench, tmp_path):
    """fstat fails where a file server is gone. Nothing but an Error is believed without an identity."""
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    send(bench.walker, batch(entry(path)), path, 1)
    bench.step()
    number, _ = bench.work()
    nothing = RESULT.pack(0, Status.ERROR, 0, 0, Reason.UNREADABLE, 0, 0, 0, 0, 0, 0, 0, bytes(32), 0, 0, 0, 0)
    bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, LAST, 0) + nothing)
    bench.step()
    (result,) = bench.results()
    assert (result.status, result.reasons) == (Status.ERROR, Reason.UNREADABLE)

    send(bench.walker, batch(entry(path)), path, 1)
    bench.step()
    number, _ = bench.work()
    clean = RESULT.pack(0, Status.CLEAN, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, bytes(32), 0, 0, 0, 0)
    bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, LAST, 0) + clean)
    bench.step()
    assert bench.kinds()[-1] == dispatch.EV_LOST


def test_notes_of_one_object_end_before_those_of_the_next_begin(bench, tmp_path):
    """What a worker can make us keep is the notes of one object and not those of a batch."""
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    send(bench.walker, batch(entry(path), entry(path)), path, 2)
    bench.step()
    number, fds = bench.work()
    line = note(b"", b"inside", 0)
    for index in (0, 0, 1):
        assert bench.kinds() == []
        more = RESULT.pack(index, 0, 0, 0, 0, MORE, 0, 0, 0, 1, 0, len(line), bytes(32), 0, 0, 0, 0)
        bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, 0, len(line)) + more + line)
        bench.step()
    assert bench.kinds() == [dispatch.EV_LOST]
    for fd in fds:
        os.close(fd)


def answer_with_notes(bench, size: int) -> None:
    """Infected, with a note of about *size* bytes for each message that can hold one."""
    number, (fd,) = bench.work()
    step = 100_000
    for left in range(size, 0, -step):
        line = note(b"Name", b"m" * min(left, step))
        more = RESULT.pack(0, 0, 0, 0, 0, MORE, 0, 0, 0, 1, 0, len(line), bytes(32), 0, 0, 0, 0)
        bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, 0, len(line)) + more + line)
        bench.step()
    infected = bytearray(record(0, fd))
    infected[4] = Status.INFECTED
    bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, LAST, 0) + infected)
    bench.step()
    os.close(fd)


def test_verdict_too_large_to_keep_is_found_anew_for_the_next_path(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    one = batch(entry(path, flags=DEDUP))
    send(bench.walker, one, path, 1)
    bench.step()
    answer_with_notes(bench, 2 << 20)
    send(bench.walker, one, path, 1)
    bench.step()
    assert bench.dispatcher.outstanding == 1  # at the worker
    answer_with_notes(bench, 1 << 19)  # this one is kept
    send(bench.walker, one, path, 1)
    bench.step()
    assert bench.dispatcher.outstanding == 0
    first, *others = bench.results()
    assert [result.status for result in (first, *others)] == [Status.INFECTED] * 3
    assert len(first.threats) > len(others[0].threats) == len(others[1].threats)


def test_paths_that_wait_for_a_verdict_too_large_to_keep_all_get_it(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    for _ in range(3):
        send(bench.walker, batch(entry(path, flags=DEDUP)), path, 1)
        bench.step()
    answer_with_notes(bench, 2 << 20)
    assert [len(result.threats) for result in bench.results()] == [(2 << 20) // 100_000 + 1] * 3
    assert bench.dispatcher.outstanding == 0


@pytest.mark.parametrize("together", [True, False], ids=["one message", "two messages"])
def test_last_record_is_not_better_than_the_notes_that_went_ahead(bench, tmp_path, together):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    send(bench.walker, batch(entry(path)), path, 1)
    bench.step()
    number, (fd,) = bench.work()
    line = note(b"Name")
    more = RESULT.pack(0, 0, 0, 0, 0, MORE, 0, 0, 0, 1, 0, len(line), bytes(32), 0, 0, 0, 0)
    clean = bytearray(record(0, fd))
    if together:
        clean[40:48] = len(line).to_bytes(8, "little")  # where its notes would be
        bench.worker.send(RESULTS.pack(RESULT_MAGIC, 2, number, LAST, len(line)) + more + clean + line)
    else:
        bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, 0, len(line)) + more + line)
        bench.step()
        assert bench.kinds() == []
        bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, LAST, 0) + clean)
    bench.step()
    os.close(fd)
    assert [(event[0], event[-1]) for event in bench.events] == [(dispatch.EV_LOST, b"status better than its notes")]


def test_what_a_refused_worker_said_does_not_bind_the_next(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    send(bench.walker, batch(entry(path)), path, 1)
    bench.step()
    number, (fd,) = bench.work()
    os.close(fd)
    line = note(b"Name")
    more = RESULT.pack(0, 0, 0, 0, 0, MORE, 0, 0, 0, 1, 0, len(line), bytes(32), 0, 0, 0, 0)
    bench.worker.send(RESULTS.pack(RESULT_MAGIC, 1, number, 0, len(line)) + more + line)
    bench.step()
    bench.worker.close()
    bench.step()
    assert bench.dispatcher.retire(2, b"gone", False)
    slot = make_slot()
    ours, bench.worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    bench.dispatcher.add_worker(3, ours.detach(), slot)
    os.close(slot)
    bench.worker.send(RESULTS.pack(RESULT_MAGIC, 0, 0, LAST, 0))
    bench.step()
    bench.answer(*bench.work())
    bench.step()
    assert [result.status for result in bench.results()] == [Status.CLEAN]


def layer(size: int = 3, have: int = 0, digests: bytes = b"", target: int = 0, reserved: int = 0) -> bytes:
    return struct.pack("=QBBHI", size, have, target, reserved, 0) + digests + bytes(-len(digests) % 8)


def learned(target: int = 0, kind: int = 0, views: int = 1, reread: int = 0, traits: int = 0) -> bytes:
    return struct.pack("=16sQQIHHBBBBI", PLACE, 3, 3, 0, kind, views, 0, target, reread, traits, 7)


RIGHT_PARTS = {
    "one layer": (layer(), {"layers": 1}),
    "all digests": (layer(have=7, digests=bytes(68)), {"layers": 1}),
    "many layers": (layer(have=1, digests=bytes(16)) + layer() * 1023, {"layers": 1024}),
    "learned": (learned(), {"learned": 1}),
    "layers and learned": (layer() + learned() * 1024, {"layers": 1, "learned": 1024}),
    "views": (b"", {"views": 0x1EFF}),
}

WRONG_PARTS = {
    "too many layers": (layer() * 1025, {"layers": 1025}),
    "too many learned": (learned() * 1025, {"learned": 1025}),
    "fewer layers": (layer(), {"layers": 2}),
    "more layers": (layer() * 2, {"layers": 1}),
    "layers nobody counts": (layer(), {"layers": 0}),
    "layers beyond the payload": (layer(), {"layers": 1, "layers_len": 24}),
    "giant layers": (layer(), {"layers": 1, "layers_len": 0xFFFFFFF8}),
    "digest beyond the layers": (layer(have=4), {"layers": 1}),
    "digest of no known kind": (layer(have=8, digests=bytes(16)), {"layers": 1}),
    "target of a layer": (layer(target=8), {"layers": 1}),
    "reserved bytes of a layer": (layer(reserved=1), {"layers": 1}),
    "layers not aligned": (layer() + bytes(4) + bytes(4), {"layers": 1, "layers_len": 20}),
    "fewer learned": (learned(), {"learned": 2}),
    "more learned": (learned() * 2, {"learned": 1}),
    "giant learned": (learned(), {"learned": 0xFFFFFFFF}),
    "target of a learned object": (learned(target=13), {"learned": 1}),
    "format of a learned object": (learned(kind=9999), {"learned": 1}),
    "views of a learned object": (learned(views=1 << 13), {"learned": 1}),
    "reading of a learned object": (learned(reread=2), {"learned": 1}),
    "kind of a learned object": (learned(traits=4), {"learned": 1}),
    "unknown views": (b"", {"views": 1 << 13}),
    "unknown flag": (b"", {"flags": 1 << 10}),
    "delta that was not asked for": (b"", {"flags": 1 << 7}),
}


def answer_with(bench, path, parts: bytes, changes: dict[str, int], delta: int = 0) -> None:
    behind = changes.get("learned", 0) * 48
    changes = {"layers_len": max(0, len(parts) - behind)} | changes
    send(bench.walker, batch(entry(path, delta=delta)), path, 1)
    bench.step()
    bench.answer(*bench.work(), parts, **changes)
    bench.step()


@pytest.mark.parametrize("name", RIGHT_PARTS)
def test_layers_and_what_was_learned_are_taken(bench, name):
    answer_with(bench, __file__, *RIGHT_PARTS[name])
    assert bench.kinds() == [dispatch.EV_RESULT]


@pytest.mark.parametrize("name", WRONG_PARTS)
def test_result_with_one_wrong_part_ends_the_worker(bench, name):
    answer_with(bench, __file__, *WRONG_PARTS[name])
    assert bench.kinds() == [dispatch.EV_LOST]
    assert bench.dispatcher.outstanding == 1


def test_only_what_was_to_be_compared_with_the_delta_may_have_been(bench):
    answer_with(bench, __file__, b"", {"flags": 1 << 7 | 1 << 4}, delta=1)
    assert bench.kinds() == [dispatch.EV_RESULT]
    assert bench.dispatcher.totals()[8] == 1


@pytest.mark.parametrize(("parts", "changes"), [(layer(), {"layers": 1}), (learned(), {"learned": 1})])
def test_nothing_but_notes_goes_ahead_of_the_verdict(bench, parts, changes):
    send(bench.walker, batch(entry(__file__)), __file__, 1)
    bench.step()
    number, (fd,) = bench.work()
    line = note(b"", b"inside", 0)
    said = {"flags": MORE, "notes": 1, "payload_len": len(line + parts), "layers_len": 0} | changes
    if "layers" in changes:
        said["layers_len"] = len(parts)
    head = RESULTS.pack(RESULT_MAGIC, 1, number, 0, len(line + parts))
    bench.worker.send(head + record(0, fd, **said) + line + parts)
    bench.step()
    os.close(fd)
    assert bench.kinds() == [dispatch.EV_LOST]

"""What a daemon answers without a scan: never an answer that is older than what it is about.

Files must have rested before they can be known, so one folder of them rests for all tests; each takes its own. That a
file is not known again, or not to be known at all, needs no waiting.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from kavfs._native.recall import Recall
from kavfs.model import Reason, Result, Status, Threat
from kavfs.scan import known
from kavfs.scan.known import is_lasting
from kavfs.scan.scanner import memory_file
from tests.support import disks
from tests.support.daemon import wait_until
from tests.support.serving import EICAR, Desk, Gate, GenerationImage, desk

MARGIN = 3.0  # seconds that a file must have rested
SIZE = 5000
MANY = 40
EVERYBODYS = "everybody's"


@pytest.fixture(scope="module")
def rested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Files that nobody has touched for a while, each for one test."""
    folder = tmp_path_factory.mktemp("rested")
    for number in range(MANY):
        (folder / f"{number:02}").write_bytes(b"fine %02d" % number + bytes(SIZE))
    (folder / EVERYBODYS).write_bytes(bytes(SIZE))
    (folder / EVERYBODYS).chmod(0o666)
    youngest = (folder / EVERYBODYS).stat().st_ctime
    wait_until(lambda: time.time() > youngest + MARGIN + 0.1)
    return (folder / f"{number:02}" for number in count())


@pytest.fixture
def file(rested: Iterator[Path]) -> Path:
    return next(rested)


@pytest.fixture
def table(file: Path) -> Recall:
    """Trusts whatever the tests lie on."""
    made = Recall(lambda number: number > 0)
    if look(made, file) is None:
        pytest.skip("the kernel does not tell one mount from the next (Linux 6.8 does), or leases are not ours to take")
    return made


def look(table: Recall, path: Path, context: int = 2) -> int | bytes | None:
    with path.open("rb") as opened:
        return table.look(opened.fileno(), context)


def learn(table: Recall, path: Path, context: int = 2) -> None:
    with path.open("rb") as opened:
        key = table.look(opened.fileno(), context)
        assert isinstance(key, bytes)
        assert table.add(opened.fileno(), key, b"")
    assert look(table, path, context) == path.stat().st_size


def is_known(table: Recall, path: Path) -> bool:
    return isinstance(look(table, path), int)


# ---- files


def test_what_was_added_is_known_until_it_is_forgotten(table, file):
    assert not is_known(table, file)
    learn(table, file)
    table.forget()
    assert not is_known(table, file)


def test_what_is_known_holds_for_one_context(table, file):
    learn(table, file)
    assert not isinstance(look(table, file, 3), int)


def test_bytes_of_the_same_length_written_over_it_are_not_known(table, file):
    learn(table, file)
    with file.open("r+b") as opened:
        opened.write(b"EVIL")
    assert not is_known(table, file)


def test_the_old_time_set_again_hides_nothing(table, file):
    learn(table, file)
    before = file.stat()
    with file.open("r+b") as opened:
        opened.write(b"EVIL")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert not is_known(table, file)


def test_a_file_renamed_over_it_is_another_one(table, file):
    learn(table, file)
    other = file.with_suffix(".new")
    other.write_bytes(b"EVIL" + bytes(SIZE))
    other.rename(file)
    assert not is_known(table, file)


def test_a_new_file_with_its_inode_is_another_one(table, file):
    learn(table, file)
    inode = file.stat().st_ino
    file.unlink()
    for _ in range(200):  # most file systems give a number again at once
        file.write_bytes(b"EVIL" + bytes(SIZE))
        if file.stat().st_ino == inode:
            break
        file.unlink()
    else:
        file.write_bytes(b"EVIL" + bytes(SIZE))
    assert not is_known(table, file)


def test_written_through_another_name_it_is_not_known_under_this(table, file):
    other = file.with_suffix(".link")
    os.link(file, other)  # which changes ctime: so this one is too young to be known
    assert look(table, file) is None
    assert look(table, other) is None


def test_another_file_with_the_same_bytes_is_not_known(table, file, rested):
    learn(table, file)
    assert not is_known(table, next(rested))


def test_what_somebody_can_write_to_is_not_to_be_known(table, file):
    with file.open("r+b"):
        assert look(table, file) is None
    assert isinstance(look(table, file), bytes)


def test_what_somebody_has_mapped_for_writing_is_not_to_be_known(table, file):
    with file.open("r+b") as opened:
        shared = mmap.mmap(opened.fileno(), SIZE)
    with shared:
        assert look(table, file) is None
    assert isinstance(look(table, file), bytes)


def test_a_writer_of_later_shows(table, file):
    learn(table, file)
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), SIZE) as shared:
        shared[0:4] = b"EVIL"
        assert not is_known(table, file)


def test_what_was_just_written_is_not_to_be_known(table, tmp_path):
    path = tmp_path / "new"
    path.write_bytes(b"fine")
    assert look(table, path) is None


def test_stamps_of_tomorrow_are_not_to_be_known(table, file):
    os.utime(file, (2**32, 2**32))
    assert look(table, file) is None


def test_what_changed_between_look_and_verdict_is_not_added(table, file):
    with file.open("rb") as opened:
        key = table.look(opened.fileno(), 2)
        assert isinstance(key, bytes)
        file.chmod(0o600)
        assert not table.add(opened.fileno(), key, b"")
    assert not is_known(table, file)


def test_what_is_there_behind_another_mount_is_not_known(table, file, tmp_path):
    """Something else may be mounted there tomorrow, with the same numbers."""
    learn(table, file)
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    point = disks.mount(tmp_path / "elsewhere", "--bind", str(file.parent))
    try:
        assert not is_known(table, point / file.name)
    finally:
        disks.unmount(point)
    assert is_known(table, file)


def test_what_its_owner_may_write_is_not_to_be_known_if_owners_are_not_trusted(table, file):
    strict = Recall(lambda number: number > 0, distrust=True)
    everybodys = file.with_name(EVERYBODYS)
    assert isinstance(look(table, everybodys), bytes)
    assert look(strict, everybodys) is None
    assert isinstance(look(strict, file), bytes)


def test_a_file_system_that_is_not_trusted_has_nothing_to_be_known(file):
    asked: list[int] = []
    table = Recall(lambda number: bool(asked.append(number)))
    assert look(table, file) is None
    assert look(table, file) is None
    assert len(asked) == 1


def test_nothing_on_a_file_system_in_memory_is_trusted():
    descriptor = os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR, 0o600)
    try:
        assert Recall(known.stamps_changes).look(descriptor, 2) is None
    finally:
        os.close(descriptor)
    assert not known.stamps_changes(-1)


def test_the_table_is_bounded_and_forgets_some(table):
    small = Recall(lambda number: True, places=4)
    streams = [memory_file(b"%d" % number) for number in range(20)]
    try:
        for fd in streams:
            key = small.look(fd, 2)
            assert isinstance(key, bytes)
            assert small.add(fd, key, b"")
        assert sum(isinstance(small.look(fd, 2), int) for fd in streams) == 4
    finally:
        for fd in streams:
            os.close(fd)


# ---- streams


def test_a_stream_is_known_by_its_bytes():
    table = Recall(lambda number: False)
    first, same, other = memory_file(b"fine" * 999), memory_file(b"fine" * 999), memory_file(b"fine" * 998 + b"Fine")
    try:
        key = table.look(first, 2)
        assert isinstance(key, bytes)
        assert table.add(first, key, b"")
        assert table.look(same, 2) == 4 * 999
        assert isinstance(table.look(other, 2), bytes)
        assert isinstance(table.look(same, 3), bytes)
    finally:
        for fd in (first, same, other):
            os.close(fd)


@pytest.mark.parametrize("missing", [fcntl.F_SEAL_WRITE, fcntl.F_SEAL_GROW, fcntl.F_SEAL_SHRINK])
def test_memory_that_somebody_could_change_is_not_to_be_known(missing):
    table = Recall(lambda number: False)
    fd = os.memfd_create("open", os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, b"fine")
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, (fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK) & ~missing)
        assert table.look(fd, 2) is None
    finally:
        os.close(fd)


# ---- verdicts


CLEAN = Result(b"n", Status.CLEAN)


@pytest.mark.parametrize(
    "result",
    [
        CLEAN._replace(status=Status.INFECTED, threats=(Threat("x", Status.INFECTED, "native"),)),
        CLEAN._replace(status=Status.PROTECTED, reasons=Reason.ENCRYPTED),
        CLEAN._replace(reasons=Reason.SIZE),
        CLEAN._replace(status=Status.ERROR, reasons=Reason.WORKER, error="died"),
        CLEAN._replace(suppressed=True),
        CLEAN._replace(allowed="until tomorrow"),
    ],
)
def test_nothing_but_clean_for_good_is_lasting(result):
    assert is_lasting(CLEAN)
    assert not is_lasting(result)


# ---- the service


def asked(made: Desk, content: bytes, **how: bool) -> Result:
    """As a daemon asks: what is known, else a scan."""
    fd = memory_file(content)
    found = made.service.recall(fd, b"object", **how)
    if isinstance(found, Result):
        os.close(fd)
        return found
    return made.result(made.ask(fd, key=found, **how))


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as made:
        yield made


def test_what_was_clean_is_answered_without_a_scan_and_counted(serving):
    assert not asked(serving, b"fine").cached
    again = asked(serving, b"fine")
    assert (again.status, again.cached, again.size) == (Status.CLEAN, True, 4)
    stats = serving.service.stats()
    assert (stats.answered, stats.known) == (2, 1)


def test_what_was_found_is_scanned_each_time(serving):
    for _ in range(3):
        assert asked(serving, b"EVIL").status is Status.INFECTED
    assert serving.service.stats().known == 0


def test_all_matches_is_another_question(serving):
    asked(serving, b"fine")
    assert not asked(serving, b"fine", all_match=True).cached
    assert asked(serving, b"fine", all_match=True).cached


def test_signatures_of_which_nobody_says_what_is_new_know_nothing(serving):
    """What they say instead is in test_known_carried.py."""
    asked(serving, b"fine")
    assert serving.renew(GenerationImage(1)) == ""
    assert not asked(serving, b"fine").cached
    assert asked(serving, b"fine").cached


def test_what_older_signatures_say_after_a_change_is_not_known(serving):
    gate, same = Gate(), memory_file(b"fine")
    key = serving.service.recall(same, b"object")
    assert isinstance(key, bytes)
    ticket = serving.ask(gate, key=key)
    serving.run(lambda: serving.service.stats().in_scan)
    assert serving.renew(GenerationImage(1)) == ""
    gate.open()
    assert serving.result(ticket).status is Status.CLEAN
    assert not isinstance(serving.service.recall(same, b"object"), Result)
    os.close(same)


def test_it_can_be_turned_off(tmp_path):
    with desk(tmp_path, known=0) as made:
        for _ in range(2):
            asked(made, b"fine")
        assert made.service.stats().known == 0


def test_no_descriptor_is_left(serving):
    asked(serving, b"fine")
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        asked(serving, b"fine %d" % number)
        asked(serving, b"EVIL %d" % number)
        asked(serving, EICAR)
    assert len(os.listdir("/proc/self/fd")) == before

"""Explanations of `kavfs cache why`: each field and each rule has its own answer."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kavfs._native import cache
from kavfs.cache.explain import Explainer, Question, obstacles
from kavfs.cache.folder import FILES, SETTINGS, Folder
from kavfs.cache.settings import Seen, Settings, write
from kavfs.limits import Limits
from kavfs.model import Reason, Status, Switch, Target
from kavfs.options import EVERYTHING
from tests.support.stores import FS, NOW, OLD, START, Row, delta_table

BEFORE = b"generation past."
PLAIN = Settings.of(Limits(), EVERYTHING)
NARROW = Settings.of(Limits(max_depth=3), EVERYTHING)
CLOSED = Settings.of(Limits(), EVERYTHING & ~Switch.ARCHIVES)

FOLDER = cache.Identity(77, 4096, OLD, OLD, OLD - 5)
FILE = cache.Identity(500, 1234, OLD + 10**9, OLD + 2 * 10**9, OLD)
TEXT = 1 << Target.TEXT


@dataclass
class Store:
    """A folder of stores; explain() as a scan with *generation* would."""

    folder: Folder

    def remember(
        self,
        *,
        generation: bytes = NOW,
        settings: Settings = PLAIN,
        reasons: int = 0,
        status: Status = Status.CLEAN,
        files: int = 1,
    ) -> None:
        memory = cache.Memory(self.folder.fd, FILES, self.folder.secret, generation, start_ns=START)
        place = cache.place(self.folder.secret, FS, FOLDER.ino, FOLDER.btime_ns, settings.digest)
        for number in range(files):
            identity = FILE._replace(ino=FILE.ino + number)
            memory.add(place, 1, cache.Fact(identity, reasons, views=TEXT, status=int(status)))
        memory.newest(1, START)
        memory.flush(last=True)

    def used(self, *settings: Settings) -> None:
        """These were the settings of scans, the last one first."""
        seen = [Seen(one, 1000 - number) for number, one in enumerate(settings)]
        self.folder.write(SETTINGS, write(seen, self.folder.secret))

    def explain(self, table: bytes = b"", fs: bytes | None = FS, **changed: int) -> list[str]:
        explainer = Explainer(self.folder, NOW, table)
        try:
            return list(explainer.explain(Question(FILE._replace(**changed), FOLDER, fs, "tmpfs is not trusted")))
        finally:
            explainer.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    folder = Folder(os.fsencode(tmp_path))
    store = Store(folder)
    store.used(PLAIN)
    yield store
    folder.close()


def test_what_is_remembered_is_answered(store: Store) -> None:
    store.remember()
    assert store.explain() == [
        "answered from the store: clean",
        f"found with generation {NOW.hex()}, that of now",
    ]


def test_what_was_partial_says_why(store: Store) -> None:
    store.remember(status=Status.PROTECTED, reasons=Reason.ENCRYPTED)
    assert store.explain()[0] == "answered from the store: protected (encrypted)"


def test_one_of_a_large_directory_is_found_in_its_part(store: Store) -> None:
    store.remember(files=5000)
    assert store.explain(ino=FILE.ino + 4321)[0] == "answered from the store: clean"
    assert "inode is not known" in store.explain(ino=FILE.ino + 5000)[0]
    assert store.explain(ino=FILE.ino + 4321, size=1)[0] == "scanned: it has changed: size"


FIELDS = {
    "size": "size",
    "mtime_ns": "modification time",
    "ctime_ns": "change time",
    "btime_ns": "birth time",
}


@pytest.mark.parametrize("field", FIELDS)
def test_the_field_that_differs_is_named_with_both_values(store: Store, field: str) -> None:
    store.remember()
    first, line = store.explain(**{field: getattr(FILE, field) + 1})
    assert first == f"scanned: it has changed: {FIELDS[field]}"
    assert line.startswith(f"{FIELDS[field]}: ")
    before, _, now = line.partition(": ")[2].partition(", now ")
    assert before != now
    assert before[:-1] == now[:-1]


def test_all_fields_that_differ_are_named(store: Store) -> None:
    store.remember()
    assert store.explain(size=1, ctime_ns=1)[0] == "scanned: it has changed: size, change time"
    assert store.explain(btime_ns=-(2**63))[1].endswith("now not told")


def test_an_inode_that_is_not_known_and_a_directory_that_is_not(store: Store) -> None:
    assert store.explain() == ["scanned: nothing is remembered of any file"]
    store.remember()
    assert store.explain(ino=1) == ["scanned: it is not remembered (its inode is not known in its directory)"]
    assert store.explain(fs=bytes(16)) == ["scanned: nothing is remembered of its directory"]


def test_a_file_system_that_is_not_trusted(store: Store) -> None:
    store.remember()
    assert store.explain(fs=None) == ["scanned: its file system is not trusted: tmpfs is not trusted"]


def test_older_generations(store: Store) -> None:
    store.remember(generation=BEFORE)
    assert store.explain()[0].startswith("scanned: what is new in the signatures since then")
    assert BEFORE.hex() in store.explain()[1]
    unconcerned = delta_table(Row(BEFORE, targets=1 << Target.PE))
    assert store.explain(unconcerned)[0] == "answered from the store: clean"
    assert f"found with generation {BEFORE.hex()}, last used" in store.explain(unconcerned)[1]
    concerned = delta_table(Row(BEFORE, targets=TEXT))
    assert store.explain(concerned)[0] == "compared with new signatures only: it was clean"
    everything = delta_table(Row(BEFORE, full=True))
    assert store.explain(everything)[0].startswith("scanned: what is new in the signatures since then")


def test_other_settings_that_hold_and_others_that_do_not(store: Store) -> None:
    store.remember(settings=NARROW)
    store.used(PLAIN, NARROW, CLOSED)
    first, *rest = store.explain()
    assert first == "answered from the store: clean"
    assert rest[-1] == "by a scan with other settings (max depth)"
    store.used(NARROW, PLAIN)
    assert store.explain()[0] == "answered from the store: clean"
    store.used(CLOSED, NARROW)
    assert store.explain() == [
        "scanned: it is remembered only under other settings (max depth, switches)",
        "there it is clean",
    ]


def test_what_was_partial_under_other_settings_is_scanned(store: Store) -> None:
    store.remember(settings=NARROW, status=Status.ERROR, reasons=Reason.DEPTH)
    store.used(PLAIN, NARROW)
    assert store.explain() == [
        "scanned: it is remembered only under other settings (max depth)",
        "there it is error (nested too deep)",
    ]


# -- rules -----------------------------------------------------------------------------------------------------------


def told(path: Path, now: float) -> list[str]:
    fd = os.open(path, os.O_PATH)
    try:
        return list(obstacles(os.fsencode(path), cache.identity_of(fd), now))
    finally:
        os.close(fd)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    return path


def can_lease(path: Path) -> bool:
    with open(path, "rb") as opened:
        try:
            fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError:
            return False
    return True


def test_a_file_that_was_changed_just_now(file: Path) -> None:
    now = time.time()
    assert told(file, now + 100) == []
    assert told(file, now) == ["it was changed in the last 3 s: a scan would not remember it yet"]
    os.utime(file, (now + 1000, now + 1000))
    assert told(file, now + 100) == ["it is dated in the future: a scan would not remember it"]


def test_a_file_that_somebody_writes_to(file: Path) -> None:
    if not can_lease(file):
        pytest.skip("the file system of the temporary folder gives no leases")
    later = time.time() + 100
    with open(file, "ab"):
        assert told(file, later) == ["somebody has it open for writing: a scan would not remember it"]
    with open(file, "rb"):
        assert told(file, later) == []


def test_a_file_that_cannot_be_opened(file: Path) -> None:
    later = time.time() + 100
    identity = cache.Identity(1, 1, OLD, OLD, OLD)
    gone = os.fsencode(file) + b"-gone"
    assert list(obstacles(gone, identity, later)) == ["it cannot be opened: No such file or directory"]

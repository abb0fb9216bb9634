"""Walk: trees that change, resist or do not belong to us while they are walked."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kavfs._native.walk import walk
from kavfs.model import Entry
from tests.support.batches import DIR, Collected, collect, pair, receive
from tests.support.trees import Dir, Fifo, File, Symlink, build

NOBODY = 65534
ACCOUNTED = {Entry.FILE, Entry.VANISHED, Entry.ERROR, Entry.SPECIAL}


@pytest.fixture
def place() -> Iterator[bytes]:
    """A folder that everybody can reach, unlike pytest's own."""
    path = tempfile.mkdtemp(prefix="walk-")
    os.chmod(path, 0o755)
    yield os.fsencode(path)
    shutil.rmtree(path)


def without_privileges(job: Callable[[], None]) -> None:
    """Run *job* in a child that is not root; its failure is ours."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            job()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def walked_without_privileges(root: bytes) -> Collected:
    reader, writer = pair()
    with reader:
        collected = collect(
            lambda fd: without_privileges(lambda: walk(fd, [root], max_fds=4)),
        )
    writer.close()
    return collected


def test_what_may_not_be_read_is_an_error_with_its_reason(place: bytes) -> None:
    root = build(
        place, {"open": {"f": b""}, "closed": Dir({"f": b""}, mode=0), "file": File(b"", mode=0), "p": Fifo(0)}
    )
    if os.geteuid() == 0:
        os.chown(root + b"/open/f", 0, 0)
    sent = walked_without_privileges(root)
    assert sent.kinds() == {
        root + b"/open/f": Entry.FILE,  # of somebody else, so without O_NOATIME
        root + b"/closed": Entry.ERROR,
        root + b"/file": Entry.ERROR,
        root + b"/p": Entry.SPECIAL,
    }
    assert {e.error for e in sent.entries if e.kind is Entry.ERROR} == {errno.EACCES}
    assert sent.one(root + b"/closed").flags == DIR
    os.chmod(root + b"/closed", 0o700)


def test_a_directory_that_may_be_listed_but_not_entered(place: bytes) -> None:
    root = build(place, {"d": Dir({"f": b"", "e": {}}, mode=0o444)})
    sent = walked_without_privileges(root)
    assert sent.kinds() == {root + b"/d/f": Entry.ERROR, root + b"/d/e": Entry.ERROR}
    os.chmod(root + b"/d", 0o700)


def test_a_lease_on_a_file_is_waited_for_and_holds_nothing_else(tmp_path: Path) -> None:
    """Samba takes such leases. What has been met before and beside it arrives while the lease is still held."""
    root = build(tmp_path, {"leased": {"f": b"content"}, "free": {f"{i}": b"" for i in range(5)}})
    reader, writer = pair()
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # the kernel's word that somebody else wants it
    holder = os.open(root + b"/leased/f", os.O_RDWR)
    fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    walking = threading.Thread(target=walk, args=(writer.fileno(), [root]), kwargs={"threads": 2})
    walking.start()
    try:
        first = receive(reader)
        assert first is not None
        assert [os.path.dirname(e.path) for e in first.entries] == [root + b"/free"] * 5
        first.close()
        fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        second = receive(reader)
        assert second is not None
        assert [(e.kind, e.path) for e in second.entries] == [(Entry.FILE, root + b"/leased/f")]
        second.close()
    finally:
        os.close(holder)
        walking.join()
        reader.close()
        writer.close()
        signal.signal(signal.SIGIO, before)


# ---- changes in the middle ------------------------------------------------------------------------------------------


class Meddler:
    """A thread that does something over and over while a walk goes on."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act, self._over = act, threading.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.is_set():
            self._act()
            self._started.set()

    def __enter__(self) -> None:
        self._thread.start()
        self._started.wait()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def swap(a: bytes, b: bytes, spare: bytes) -> Callable[[], None]:
    """Exchange what two names mean, leaving a moment in which one of them means nothing."""

    def act() -> None:
        os.rename(a, spare)
        os.rename(b, a)
        os.rename(spare, b)

    return act


@pytest.mark.parametrize(
    "other",
    [Fifo(), Symlink("/etc/passwd"), Dir({}), File(b"another")],
    ids=["fifo", "link", "directory", "file"],
)
def test_a_file_that_is_replaced_all_the_time_is_always_accounted_for(tmp_path: Path, other: object) -> None:
    """Whatever stands there at that moment: its own bytes or a word about it, never what a link leads to."""
    root = build(tmp_path / "tree", {"target": b"original"})
    spare = build(tmp_path / "spare", {"other": other})  # type: ignore[dict-item]
    path = root + b"/target"
    seen: set[Entry] = set()
    with Meddler(swap(path, spare + b"/other", spare + b"/moment")):
        for _ in range(150):
            for entry in collect(lambda fd: walk(fd, [root]), read=True).entries:
                assert entry.path == path
                assert entry.kind in ACCOUNTED | {Entry.SYMLINK}
                assert entry.content in (None, b"original", b"another")
                assert entry.error == 0
                seen.add(entry.kind)
    assert Entry.FILE in seen


def test_directories_that_come_and_go_are_accounted_for(tmp_path: Path) -> None:
    root = build(tmp_path / "tree", {f"d{i}": {"in": {"f": b""}} for i in range(20)})
    away = build(tmp_path / "away", {})
    stays = {root + b"/d%d/in/f" % i for i in range(10, 20)}

    def act() -> None:
        for i in range(10):
            os.rename(root + b"/d%d" % i, away + b"/d%d" % i)
            os.rename(away + b"/d%d" % i, root + b"/d%d" % i)

    with Meddler(act):
        for max_fds in (0, 100) * 40:
            sent = collect(lambda fd, most=max_fds: walk(fd, [root], threads=2, max_fds=most))
            assert stays <= sent.paths(Entry.FILE)
            assert {e.kind for e in sent.entries} <= {Entry.FILE, Entry.VANISHED, Entry.ERROR, Entry.SEEN}
            assert {e.error for e in sent.entries} <= {0, errno.ESTALE}  # an ancestor is another one by now


def test_a_directory_swapped_for_a_link_leads_nowhere_else(tmp_path: Path) -> None:
    """The classic: while the walk is below, an ancestor becomes a link to a place of the attacker's choice."""
    root = build(tmp_path / "tree", {"a": {"b": {"c": {"f": b""}}}})
    outside = build(tmp_path / "outside", {"b": {"c": {"f": b"", "secret": b""}}})
    spare = build(tmp_path / "spare", {"link": Symlink(outside)})
    with Meddler(swap(root + b"/a", spare + b"/link", spare + b"/moment")):
        for max_fds in (0, 100) * 75:
            sent = collect(lambda fd, most=max_fds: walk(fd, [root], max_fds=most))
            assert not [e for e in sent.entries if e.path.endswith(b"secret")]
            assert {e.kind for e in sent.entries} <= {Entry.FILE, Entry.VANISHED, Entry.SYMLINK, Entry.ERROR}

"""Walk: what an open file says about whether its verdict may be remembered."""

from __future__ import annotations

import fcntl
import mmap
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs._native.walk import Lookup, file_system, walk
from kavfs.model import Entry
from tests.support.batches import COLD, KEEP, collect
from tests.support.stores import NOW, SECRET, SETTINGS
from tests.support.trees import File, build

NOBODY = 65534


@pytest.fixture(autouse=True)
def no_sigio() -> Iterator[None]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGIO, before)


def flags(root: bytes, **options: object) -> dict[bytes, int]:
    """Of each file, by name."""
    fd = os.open(root, os.O_RDONLY)
    dev = file_system(fd)[0]
    os.close(fd)
    asked = Lookup(SECRET, NOW, [SETTINGS])
    sent = collect(lambda fd: walk(fd, [root], lookup=asked, fs_dev=dev, trusted=True, **options))  # type: ignore[arg-type]
    return {os.path.basename(met.path): met.flags for met in sent.entries if met.kind is Entry.FILE}


def kept(root: bytes) -> set[bytes]:
    return {name for name, value in flags(root).items() if value & KEEP}


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    return build(tmp_path / "tree", {"still": b"1" * 4096, "file": b"2" * 4096})


def test_what_nobody_writes_may_be_remembered(root: bytes) -> None:
    assert kept(root) == {b"still", b"file"}


@pytest.mark.parametrize("mode", [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND])
def test_a_file_open_for_writing_is_not_remembered(root: bytes, mode: int) -> None:
    fd = os.open(root + b"/file", mode)
    assert kept(root) == {b"still"}
    os.close(fd)
    assert kept(root) == {b"still", b"file"}


def test_a_file_mapped_writable_and_closed_is_not_remembered(root: bytes) -> None:
    """Stores through such a mapping change the bytes and, once the page is dirty, no time."""
    fd = os.open(root + b"/file", os.O_RDWR)
    mapped = mmap.mmap(fd, 4096)
    os.close(fd)
    assert kept(root) == {b"still"}
    mapped.close()
    assert kept(root) == {b"still", b"file"}


def test_readers_do_not_matter(root: bytes) -> None:
    with open(root + b"/file", "rb") as file, mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ):
        assert kept(root) == {b"still", b"file"}


def test_no_lease_is_left_behind(root: bytes) -> None:
    sent = []

    def look(batch: object) -> None:
        for fd in batch.fds:  # type: ignore[attr-defined]
            sent.append(fcntl.fcntl(fd, fcntl.F_GETLEASE))
            with open(f"/proc/self/fd/{fd}", "r+b"):  # would wait for a lease
                pass

    fd = os.open(root, os.O_RDONLY)
    dev = file_system(fd)[0]
    os.close(fd)
    asked = Lookup(SECRET, NOW, [SETTINGS])
    collect(lambda fd: walk(fd, [root], lookup=asked, fs_dev=dev, trusted=True), look=look)
    assert sent == [fcntl.F_UNLCK] * 2


def test_who_opens_files_for_writing_meanwhile_does_not_end_the_walk(tmp_path: Path) -> None:
    """Leases that are broken send SIGIO. A walk that would die of it is refused."""
    root = build(tmp_path / "tree", {f"f{i}": File() for i in range(100)})
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            for i in range(100):
                os.close(os.open(root + b"/f%d" % i, os.O_WRONLY))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(30):
            assert len(flags(root)) == 100
    finally:
        over.set()
        writer.join()
    assert len(kept(root)) == 100


def test_a_walk_that_sigio_would_kill_is_refused(root: bytes) -> None:
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    with pytest.raises(OSError, match="Invalid argument"):
        flags(root)


AS_NOBODY = """
import os, signal, sys
from tests.support.batches import KEEP
from tests.unit.test_walk_lease import flags
os.setgroups([]); os.setgid(65534); os.setuid(65534)
signal.signal(signal.SIGIO, signal.SIG_IGN)
print(*sorted(name.decode() for name, value in flags(os.fsencode(sys.argv[1])).items() if value & KEEP))
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")
def test_without_the_right_to_a_lease_only_files_that_root_alone_can_write_are_remembered(tmp_path: Path) -> None:
    root = build(
        tmp_path / "tree",
        {
            "own": File(),
            "roots": File(),
            "roots-for-all": File(mode=0o666),
            "roots-for-a-group": File(mode=0o664),
            "daemons": File(),
        },
    )
    os.chown(root + b"/own", NOBODY, NOBODY)
    os.chown(root + b"/daemons", 1, 1)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    words = [sys.executable, "-c", AS_NOBODY, root]
    run = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout.split() == ["own", "roots"], run.stderr
    assert kept(root) == {b"own", b"roots", b"roots-for-all", b"roots-for-a-group", b"daemons"}
    distrusting = {name for name, value in flags(root, distrust=True).items() if value & KEEP}
    assert distrusting == {b"roots"}


def test_what_is_in_no_page_cache_is_marked(root: bytes) -> None:
    def cold() -> set[bytes]:
        return {name for name, value in flags(root, cold=True).items() if value & COLD}

    fd = os.open(root + b"/file", os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    if not cold():
        os.close(fd)
        pytest.skip("the kernel does not tell what is in the page cache (Linux 6.5), or cannot let go of it here")
    assert cold() == {b"file"}
    os.read(fd, 1)
    os.close(fd)
    assert cold() == set()
    assert not any(value & COLD for value in flags(root).values())


@pytest.mark.root
@pytest.mark.parametrize(("inode", "remembered"), [(128, set()), (256, {b"file"})])
def test_where_times_are_whole_seconds_nothing_is_remembered(
    tmp_path: Path, inode: int, remembered: set[bytes]
) -> None:
    """A clock that is set back comes by the same second again."""
    image, point = tmp_path / "image", tmp_path / "point"
    with open(image, "wb") as file:
        file.truncate(4 << 20)
    point.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", "-I", str(inode), image], check=True, capture_output=True)
    if subprocess.run(["mount", "-o", "loop", image, point], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let root mount")
    try:
        (point / "file").write_bytes(b"1")
        (point / "lost+found").rmdir()
        assert kept(os.fsencode(point)) == remembered
    finally:
        subprocess.run(["umount", point], check=True)

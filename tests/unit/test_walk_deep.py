"""Walk: trees that are deep, wide or bushy, with few descriptors and several threads."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs._native.walk import walk
from kavfs.model import Entry
from tests.support.batches import Batch, Collected, collect
from tests.support.trees import build

PATH_LIMIT = 64 << 10


@pytest.fixture
def top(tmp_path: Path) -> Iterator[bytes]:
    """A folder that is removed by a program which does not recurse; pytest's own clean-up does."""
    yield build(tmp_path / "top", {})
    subprocess.run(["rm", "-rf", tmp_path / "top"], check=True)


def descend(top: bytes, name: bytes, levels: int, extra: bytes = b"", every: int = 1) -> None:
    """*levels* directories inside each other; *extra*/f beside every so many of them, and a file at the bottom."""
    here = os.open(top, os.O_PATH | os.O_DIRECTORY)
    for level in range(levels):
        os.mkdir(name, dir_fd=here)
        if extra and level % every == 0:
            os.mkdir(extra, dir_fd=here)
            os.close(os.open(extra + b"/f", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=here))
        inner = os.open(name, os.O_PATH | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open(b"bottom", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=here))
    os.close(here)


def listed(root: bytes, **options: object) -> Collected:
    return collect(lambda fd: walk(fd, [root], **options))  # type: ignore[arg-type]


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(("max_fds", "levels"), [(1000, 5000), (0, 1500)])
def test_a_path_longer_than_the_kernel_takes(top: bytes, max_fds: int, levels: int) -> None:
    descend(top, b"directory", levels)
    bottom = top + b"/directory" * levels + b"/bottom"
    assert len(bottom) > 3 * 4096
    assert listed(top, max_fds=max_fds).kinds() == {bottom: Entry.FILE}


def test_a_path_longer_than_we_carry_is_an_error_and_the_rest_is_walked(top: bytes) -> None:
    name = b"n" * 250
    descend(top, name, PATH_LIMIT // 251 + 5, extra=b"beside", every=50)
    sent = listed(top)
    (error,) = [e for e in sent.entries if e.kind is Entry.ERROR]
    assert error.error == errno.ENAMETOOLONG
    assert PATH_LIMIT - 600 < len(error.path) < PATH_LIMIT
    assert sent.paths(Entry.FILE) == {
        top + (b"/" + name) * level + b"/beside/f" for level in range(0, PATH_LIMIT // 251 + 5, 50)
    }


def bushy(width: int, depth: int) -> dict[bytes | str, object]:
    below = bushy(width, depth - 1) if depth > 1 else {}
    return {"f": b"", **{b"d%d" % i: dict(below) for i in range(width)}}


@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("max_fds", [0, 1, 8, 1000])
def test_few_descriptors_and_many_threads_send_the_same(tmp_path: Path, threads: int, max_fds: int) -> None:
    root = build(tmp_path, bushy(4, 4))  # type: ignore[arg-type]
    before = open_descriptors()
    sent = listed(root, threads=threads, max_fds=max_fds)
    expected = {os.path.join(d, name) for d, _, names in os.walk(root) for name in names}
    assert len(expected) == 1 + 4 + 16 + 64
    assert sent.kinds() == dict.fromkeys(expected, Entry.FILE)
    assert open_descriptors() == before


@pytest.mark.parametrize("max_fds", [0, 8])
def test_a_deep_tree_with_something_beside_every_level(top: bytes, max_fds: int) -> None:
    descend(top, b"d", 300, extra=b"x")
    sent = listed(top, max_fds=max_fds, threads=2)
    expected = {top + b"/d" * level + b"/x/f" for level in range(300)} | {top + b"/d" * 300 + b"/bottom"}
    assert sent.kinds() == dict.fromkeys(expected, Entry.FILE)


@pytest.mark.parametrize("max_fds", [8, 64])
def test_no_more_directories_are_kept_open_than_allowed(top: bytes, max_fds: int) -> None:
    """Something waits beside every level, so that a walk without a bound would keep all 300 open. Looked at when the
    first batch arrives: the walker is at the bottom then or has been there."""
    descend(top, b"d", 300, extra=b"x")
    before, most = len(open_descriptors()), 0

    def look(batch: Batch) -> None:
        nonlocal most
        directories = len(open_descriptors()) - before - len(batch.fds)
        most = max(most, directories)

    collect(lambda fd: walk(fd, [top], max_fds=max_fds), look=look)
    assert most < max_fds + 80  # sockets, and the files of the walker's own batch


@pytest.mark.long
def test_a_wide_directory(top: bytes) -> None:
    handle = os.open(top, os.O_PATH | os.O_DIRECTORY)
    for i in range(100_000):
        os.close(os.open(b"%d" % i, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=handle))
    for i in range(20_000):
        os.mkdir(b"d%d" % i, dir_fd=handle)
    os.close(handle)
    sent = listed(top, threads=2)
    assert sent.paths(Entry.FILE) == {top + b"/%d" % i for i in range(100_000)}
    assert len(sent.entries) == 100_000

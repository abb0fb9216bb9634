"""The page cache is left as it was found: what only the scan brought in goes, what was there stays."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

import pytest

from kavfs.cli.demo import eicar
from kavfs.signatures.sources import STARTER
from tests.support.kavscanner import run

CACHESTAT = 451
_libc = ctypes.CDLL(None, use_errno=True)


def cached(path: Path) -> int:
    """Pages of the file that are in the page cache."""
    with open(path, "rb") as file:
        answer = ctypes.create_string_buffer(40)
        if _libc.syscall(CACHESTAT, file.fileno(), struct.pack("=QQ", 0, 0), answer, 0):
            pytest.skip("this kernel does not tell what is in the page cache (cachestat, Linux 6.5)")
        return struct.unpack_from("=Q", answer)[0]


def evict(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if cached(path):
        pytest.skip("files of this file system cannot be dropped from the page cache (tmpfs)")


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Path]:
    """Each kind of file twice: dropped from the cache, and left in it."""
    contents = {"clean": os.urandom(1 << 20), "infected": eicar().ljust(4096), "large": os.urandom(16 << 20)}
    files = {}
    (tmp_path / "tree").mkdir()
    for kind, content in contents.items():
        for state in ("cold", "warm"):
            files[f"{state} {kind}"] = path = tmp_path / "tree" / f"{state}-{kind}"
            path.write_bytes(content)
            if state == "cold":
                evict(path)
    return files


def scan(tree: dict[str, Path], *more: str) -> None:
    folder = next(iter(tree.values())).parent
    words = ["--db", os.fsdecode(STARTER), "--state", str(folder.parent / "state"), "-q", "--no-cache", *more]
    assert run([*words, folder], folder.parent).code in (0, 25)


def test_the_page_cache_is_left_as_it_was(tree: dict[str, Path]) -> None:
    before = {name: cached(path) for name, path in tree.items()}
    scan(tree)
    assert {name: cached(path) for name, path in tree.items()} == before
    assert all((pages > 0) == name.startswith("warm") for name, pages in before.items())


def test_it_is_filled_where_that_is_wanted(tree: dict[str, Path]) -> None:
    scan(tree, "--fill-page-cache")
    assert all(cached(path) > 0 for path in tree.values())

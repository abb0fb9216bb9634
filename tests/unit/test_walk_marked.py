"""Walk: stores of ours that nobody has named are known by their mark, and nothing else is taken for one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kavfs._native.walk import walk
from kavfs.action.layout import FLAT, ITEMS, TREE
from kavfs.action.store import Store
from kavfs.model import Entry
from tests.support.batches import Collected, collect

ALICE = 4711


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "top" / "store"
    with Store(os.fsencode(folder)):
        return folder


def listed(*roots: Path) -> Collected:
    return collect(lambda fd: walk(fd, [os.fsencode(root) for root in roots]))


def enters(folder: Path) -> bool:
    sent = listed(folder.parent).kinds()
    kind = sent.get(os.fsencode(folder))
    assert kind in (None, Entry.STORE)
    assert (kind is None) == any(path.startswith(os.fsencode(folder) + b"/") for path in sent)
    return kind is None


@pytest.mark.parametrize("layout", [ITEMS, FLAT, TREE])
def test_a_store_is_not_entered_though_nobody_named_it(tmp_path: Path, layout: str) -> None:
    made, there = tmp_path / "made", tmp_path / "there"
    there.mkdir(mode=0o755)
    for folder in (made, there):
        for _ in range(2):
            Store(os.fsencode(folder), layout=layout).close()
        (folder / "harmless").write_bytes(b"")
        assert not enters(folder)
        assert folder.stat().st_mode & 0o777 == (0o700 if folder is made else 0o755)


def test_a_store_that_is_named_is_entered(store: Path) -> None:
    assert os.fsencode(store / "kavfs.key") in listed(store).paths(Entry.FILE)


def test_a_folder_that_held_something_is_no_store_of_itself(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "letter.txt").write_bytes(b"")
    Store(os.fsencode(folder)).close()
    assert enters(folder)


def test_a_mark_that_was_not_finished_is_finished(tmp_path: Path) -> None:
    Store(os.fsencode(tmp_path / "store")).close()
    (tmp_path / "store").chmod(0o700)
    for name in ("kavfs.key", "kavfs.catalogue"):
        (tmp_path / "store" / name).unlink()
    Store(os.fsencode(tmp_path / "store")).close()
    assert not enters(tmp_path / "store")


def to_alice(path: Path) -> None:
    os.chown(path, ALICE, ALICE)


def swap(path: Path, make: Callable[[Path], object]) -> None:
    mark = path / "kavfs.store"
    mark.rename(path / "old")
    make(mark)


def archived(path: Path) -> None:
    """What an archive brings, unpacked by root with everything in it."""
    subprocess.run(["tar", "-cf", path.parent.parent / "x.tar", path.name], cwd=path.parent, check=True)
    shutil.rmtree(path)
    subprocess.run(["tar", "-xpf", path.parent.parent / "x.tar"], cwd=path.parent, check=True)


SPOILT: dict[str, Callable[[Path], object]] = {
    "open to its group": lambda store: store.chmod(0o1770),
    "open to all": lambda store: store.chmod(0o1777),
    "not sticky": lambda store: store.chmod(0o700),
    "of another user": to_alice,
    "mark of another user": lambda store: to_alice(store / "kavfs.store"),
    "mark open to its group": lambda store: (store / "kavfs.store").chmod(0o660),
    "without a mark": lambda store: (store / "kavfs.store").unlink(),
    "mark is a link": lambda store: swap(store, lambda mark: mark.symlink_to("old")),
    "mark is a pipe": lambda store: swap(store, os.mkfifo),
    "mark is a folder": lambda store: swap(store, Path.mkdir),
    "mark is empty": lambda store: (store / "kavfs.store").write_bytes(b""),
    "mark is longer": lambda store: (store / "kavfs.store").write_bytes((store / "kavfs.store").read_bytes() + b"\n"),
    "mark of another": lambda store: (store / "kavfs.store").write_bytes(b"kavfs store 1 2\n"),
    "unpacked": archived,
}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives files to another user")
@pytest.mark.parametrize("how", SPOILT)
def test_what_is_like_a_store_is_entered(store: Path, how: str) -> None:
    assert not enters(store)
    SPOILT[how](store)
    (store / "hidden.com").write_bytes(b"")
    assert enters(store)


def test_a_copy_is_no_store(store: Path) -> None:
    shutil.copytree(store, store.parent / "copy")
    assert enters(store.parent / "copy")
    store.rename(store.parent / "moved")
    assert not enters(store.parent / "moved")

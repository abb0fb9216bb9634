"""What the next scan is told of an interrupted one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kavfs._native import cache
from kavfs.cache.journal import Journal
from kavfs.cache.stores import open_stores
from kavfs.limits import Limits
from kavfs.model import Switch

NAME = "journal-" + "0" * 32
GENERATION = bytes(range(16))
OLD = 1_000_000_000


@pytest.mark.parametrize(("done", "words"), [(1, "1 file is done"), (2, "2 files are done")])
def test_how_many_files_are_done(tmp_path: Path, done: int, words: str) -> None:
    with open_stores(os.fsencode(tmp_path), limits=Limits(), switches=Switch(0), journal=NAME) as opened:
        assert opened.stores is not None
        folder, secret = opened.stores.folder, opened.stores.secret
        memory = cache.Memory(folder, NAME, secret, GENERATION, start_ns=OLD, journal=True)
        for ino in range(1, 1 + done):
            memory.add(bytes(16), 0, cache.Fact(cache.Identity(ino, 10, OLD, OLD, OLD)))
        memory.flush(last=True)
        with Journal(opened.stores) as journal:
            assert journal.begin(GENERATION) == [f"an interrupted scan goes on: {words}"]

"""Lookups: what the walkers of one scan share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kavfs.ports import Stores
from kavfs.scan import lookups
from kavfs.scan.children import objects_setup
from tests.support.fakes import NoImage


class Changed(NoImage):
    delta_table = b"a delta table"


def test_no_walker_can_change_the_delta_table_under_the_others(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    made = lookups.make(Stores(folder, bytes(32), (bytes(16),), bytes(16)), Changed(), names=False)
    assert made
    assert os.pread(made.delta, 64, 0) == b"a delta table"
    for change in (lambda: os.pwrite(made.delta, b"x", 0), lambda: os.ftruncate(made.delta, 0)):
        with pytest.raises(PermissionError):
            change()
    made.close()
    os.close(folder)


def test_workers_have_the_object_cache_where_whole_files_are_not_remembered(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    memory = os.memfd_create("objects", os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, 512)
    secret = b"s" * 32
    stores = Stores(folder, secret, (bytes(16),), bytes(16), files=False, objects_memory=memory)
    made = lookups.make(stores, NoImage(), names=False)
    setup, fds = objects_setup(made)
    assert setup["memory"] == 512
    assert bytes.fromhex(setup["secret"]) == stores.objects_secret != secret  # the folder's key stays with us
    for fd in (*fds, memory, folder):
        os.close(fd)
    assert made
    made.close()

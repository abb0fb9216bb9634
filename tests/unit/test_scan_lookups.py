"""Lookups: what the walkers of one scan share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kavfs.ports import Stores
from kavfs.scan import lookups
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

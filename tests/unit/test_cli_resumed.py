"""--resume where no journal can be kept: the scan goes on, and the administrator hears of it once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kavfs.cache.stores import open_stores
from kavfs.cli.request import Request
from kavfs.cli.running import open_cache, resumed
from kavfs.limits import Limits
from kavfs.model import Switch
from kavfs.options import EngineChoice, EngineUse
from kavfs.ports import Stores


def said(request: Request, stores: Stores | None) -> list[str]:
    notes: list[str] = []
    with resumed(request, stores, bytes(16), notes.append) as journal:
        assert journal is None
    return notes


def test_without_a_cache(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"no folder")
    request = Request(resume=True, state=os.fsencode(tmp_path))
    with open_cache(request, Switch(0)) as opened:
        assert opened.stores is None
        assert said(request, opened.stores) == [
            "this scan cannot be gone on with later: there is no cache to keep its journal in"
        ]


def test_with_an_engine_whose_answers_hold_for_one_scan_nothing_of_files_is_kept(tmp_path: Path) -> None:
    request = Request(resume=True, state=os.fsencode(tmp_path))
    engines = EngineChoice((EngineUse("clamd", knowledge="1", lasting=False),), knowledge=7)
    with open_cache(request, Switch(0), engines) as opened:
        assert opened.stores is not None
        assert not opened.stores.files
        assert opened.stores.objects_file >= 0  # the native engine's own
        assert said(request, opened.stores) == [
            "this scan cannot be gone on with later: what an engine says holds for one scan"
        ]
        alone = opened.stores.settings
    with open_cache(Request(state=os.fsencode(tmp_path)), Switch(0)) as opened:
        assert opened.stores is not None
        assert opened.stores.settings == alone  # the list of settings has none of that scan


def test_in_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    limits = Limits()
    with open_stores(os.fsencode(tmp_path), limits=limits, switches=Switch(0), journal="journal-x") as opened:
        (tmp_path / "cache/key").unlink()  # for root may write anywhere
        assert said(Request(resume=True), opened.stores) == [
            "this scan cannot be gone on with later: No such file or directory"
        ]


def test_nothing_is_said_when_nobody_asked(tmp_path: Path) -> None:
    assert said(Request(), None) == []


def test_the_secret_of_the_stores_is_not_shown(tmp_path: Path) -> None:
    with open_stores(os.fsencode(tmp_path), limits=Limits(), switches=Switch(0)) as opened:
        assert opened.stores is not None
        assert repr(opened.stores.secret) not in repr(opened.stores)


@pytest.mark.parametrize("cache", [True, False])
def test_what_is_not_used_is_not_loaded(tmp_path: Path, cache: bool) -> None:
    """The start is most of what a scan of one small file costs."""
    script = f"""
import os, sys
from kavfs.cli.request import Request
from kavfs.cli.running import open_cache
from kavfs.model import Switch
request = Request(state={os.fsencode(tmp_path)!r})
request.settings = request.settings._replace(cache={cache})
open_cache(request, Switch(0)).close()
print("kavfs.cache.stores" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{cache}\n"

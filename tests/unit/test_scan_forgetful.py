"""A disk that takes nothing is told of once in a scan, whenever it shows."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from kavfs.cache.stores import open_stores
from kavfs.limits import Limits
from kavfs.model import Switch
from kavfs.ports import Stores
from kavfs.record import replace
from kavfs.scan.crew import Crew

FULL = f"what is found cannot be remembered: {os.strerror(errno.ENOSPC)}"


class Dispatcher:
    """Fails when the stores are opened, when they are written, or both."""

    def __init__(self, opening: int, writing: int) -> None:
        self._opening = opening
        self._writing = writing

    def set_stores(self, **_: object) -> None:
        _fail(self._opening)

    def finish(self) -> None:
        _fail(self._writing)


def _fail(number: int) -> None:
    if number:
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("opening", "writing", "told"),
    [
        (0, 0, []),
        (errno.ENOSPC, 0, [FULL]),
        (0, errno.ENOSPC, [FULL]),
        (errno.ENOSPC, errno.ENOSPC, [FULL]),
        (errno.ENOSPC, errno.EIO, [FULL, f"what is found cannot be remembered: {os.strerror(errno.EIO)}"]),
    ],
)
def test_told_once(tmp_path: Path, opening: int, writing: int, told: list[str]) -> None:
    with open_stores(os.fsencode(tmp_path), limits=Limits(), switches=Switch(0)) as opened:
        assert opened.stores is not None
        assert notes(opened.stores, opening, writing) == told


def test_what_was_told_when_the_stores_were_opened_is_not_told_again(tmp_path: Path) -> None:
    with open_stores(os.fsencode(tmp_path), limits=Limits(), switches=Switch(0)) as opened:
        assert opened.stores is not None
        full = replace(opened.stores, full=os.strerror(errno.ENOSPC))
        assert notes(full, errno.ENOSPC, errno.ENOSPC) == []
        assert len(notes(full, errno.EIO, 0)) == 1


def notes(stores: Stores, opening: int, writing: int) -> list[object]:
    """What a crew that uses *stores* tells of them."""
    crew = Crew.__new__(Crew)
    crew._notes, crew._forgetful = [], stores.full
    crew._dispatcher = Dispatcher(opening, writing)  # type: ignore[assignment]
    crew._children = SimpleNamespace(troubles=set)  # type: ignore[assignment]
    crew._remember_in(stores, SimpleNamespace(generation=bytes(16), delta_table=b""))  # type: ignore[arg-type]
    return [*crew._notes, *crew.finish()]

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
    crew = Crew.__new__(Crew)
    crew._notes, crew._forgetful = [], ""
    crew._dispatcher = Dispatcher(opening, writing)  # type: ignore[assignment]
    image = SimpleNamespace(generation=bytes(16), delta_table=b"")
    with open_stores(os.fsencode(tmp_path), limits=Limits(), switches=Switch(0)) as opened:
        assert opened.stores is not None
        crew._remember_in(opened.stores, image)  # type: ignore[arg-type]
        assert [*crew._notes, *crew.finish()] == told

"""A worker that was taken over gets nowhere, and its object is an Error; and the drill notices what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs._native import process
from kavfs.model import Reason, Status
from tests.support.drill import ATTEMPTS, BROKE_OUT, Place, drill

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="gives up what only root has"),
    pytest.mark.skipif(process.landlock_version() < 6, reason="the kernel's Landlock has no scopes"),
    pytest.mark.skipif(not process.can_filter_calls(), reason="the kernel has no filters of system calls"),
]

# protection -> what it alone prevents, and what must be switched off besides for it to be alone
ALONE = {
    "landlock": {
        "read": ("calls",),
        "write": ("calls",),
        "create": ("calls",),
        "unlink": ("calls",),
        "exec": ("calls",),
        "connect-abstract": ("calls",),
        "connect-tcp": ("calls",),
        "signal": ("calls", "user", "capabilities"),
    },
    "calls": {
        "read": ("landlock",),
        "create": ("landlock",),
        "exec": ("landlock",),
        "open-again": ("landlock",),
        "connect-path": (),
        "connect-tcp": ("landlock",),
        "ptrace": (),
        "map-code": (),
        "make-code": (),
        "memfd": (),
        "vm-write": (),
        "fork": ("limits",),
        "chown": ("user", "capabilities"),
    },
    "limits": {
        "memory": (),
        "descriptors": (),
        "spill": (),
        "fork": ("calls",),
    },
    "capabilities": {"chown": ("calls", "user")},
    "user": {"read-secret": ("calls", "landlock")},
}
CASES = [(name, deed, also) for name, deeds in ALONE.items() for deed, also in deeds.items()]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    place = Place(tmp_path / "outside")
    yield place
    place.close()


def hostile(folder: Path, name: str) -> Path:
    path = folder / f"{name}.bin"
    path.write_bytes(name.encode() + b" come what may")
    return path


def broke_out(place: Place, path: Path, *off: str) -> bool:
    result = drill(place, path, off=off).of(path)
    told = [threat.name for threat in result.threats] == [BROKE_OUT]
    assert told or (result.status, result.reasons) == (Status.ERROR, Reason.WORKER)
    return told or place.marker.exists()


def test_whatever_it_tries_it_gets_nowhere_and_its_object_is_an_error(tmp_path: Path, place: Place) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    paths = [hostile(folder, name) for name in ATTEMPTS]
    (folder / "plain").write_bytes(b"plain")
    book = drill(place, folder)
    for path in paths:
        assert (book.of(path).status, book.of(path).reasons) == (Status.ERROR, Reason.WORKER), path.name
    assert book.of(folder / "plain").status is Status.CLEAN
    assert not place.marker.exists()
    assert place.open_file.read_bytes() == b"for all"
    assert place.part.read_bytes() == bytes(len(place.part.read_bytes()))
    assert not [note for note in book.notes if "go on without" in note]


def test_what_the_kernel_has_not_got_is_told_once(tmp_path: Path, place: Place) -> None:
    (tmp_path / "plain").write_bytes(b"plain")
    book = drill(place, tmp_path / "plain", off=("landlock_missing",))
    assert book.of(tmp_path / "plain").status is Status.CLEAN
    assert [note for note in book.notes if "without" in note] == [
        "scanning processes go on without Landlock: see kavfs doctor"
    ]


@pytest.mark.parametrize(
    ("protection", "deed", "also"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_each_protection_holds_alone_and_is_missed(
    tmp_path: Path, place: Place, protection: str, deed: str, also: tuple[str, ...]
) -> None:
    path = hostile(tmp_path, deed)
    assert not broke_out(place, path, *also)
    assert broke_out(place, path, *also, protection)

"""Changes that leave a single trace, or none: each rule about when an answer may be used again, alone.

Files on a live system hardly ever change in one field only. So an ext4 image is edited while nobody has it mounted:
another system wrote to that disk, or its clock stood still. Each rule that these tests hold is switched off in
test_cache_switches.py, and the test must fail then.
"""

from __future__ import annotations

import mmap
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from kavfs._native import dispatch
from kavfs.model import Result, Status
from kavfs.scan import crew
from kavfs.scan.children import Children
from kavfs.scan.crew import Crew
from kavfs.walk import filesystems
from tests.support.disks import Image
from tests.support.truth import HARMLESS, HEAD, MARK, Product, content, stale

SIZE = 600
NAMES = ("first", "second", "third")
OLD = 1_500_000_000  # seconds since 1970
NS = 1000 << 2  # as debugfs writes them; stamps of whole seconds are not trusted

Found = dict[bytes, list[Result]]


class Scene:
    """A disk with some clean files in one folder, and a product that scans it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch
        self.image = Image(folder / "disk.image", folder / "disk")
        self.tree = self.image.point / "tree"
        self.product = Product(folder, self.tree, objects=False)
        self.image.mount()
        self.tree.mkdir()
        for number, name in enumerate(NAMES):
            (self.tree / name).write_bytes(content(number, False, SIZE))

    def path(self, name: str) -> bytes:
        return os.fsencode(self.tree / name)

    def lasting(self) -> None:
        """The name of the disk holds from one mount to the next, as that of a built-in one does."""
        self.patch.setattr(filesystems, "_movable", lambda disk: False)

    def later(self) -> None:
        """Scans begin in a minute: nothing is fresh."""
        self.patch.setattr(crew, "time", Mock(time_ns=lambda: time.time_ns() + 60 * 10**9))

    def newer_folder(self) -> None:
        """The clock of the file system has gone on."""
        youngest = max((self.tree / name).stat().st_ctime_ns for name in NAMES)
        while self.tree.stat().st_ctime_ns <= youngest:
            self.tree.chmod(0o755)

    def edit(self, *requests: str) -> None:
        """While nobody has it mounted."""
        self.image.unmount()
        self.image.edit(*requests)
        self.image.mount()

    def replace(self, name: str, *requests: str, evil: bool = True) -> None:
        """Other bytes of the same length, without a trace but *requests*."""
        self.image.unmount()
        self.image.write(f"/tree/{name}", content(0, evil, SIZE))
        self.image.edit(*requests)
        self.image.mount()

    def scan(self, *evil: str) -> Found:
        """And compare it with the truth: these files have the text that is looked for, and no others."""
        found, _ = self.product.scan()
        assert stale(found, [(self.path(name), name in evil) for name in NAMES]) == []
        return found

    def cached(self, found: Found) -> set[str]:
        return {name for name in NAMES if found[self.path(name)][0].cached}


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    made = Scene(tmp_path, monkeypatch)
    try:
        yield made
    finally:
        made.image.unmount()


@pytest.fixture
def known(scene: Scene) -> Scene:
    """Everything on the disk is remembered, and will still be when it is mounted again."""
    scene.lasting()
    scene.later()
    scene.newer_folder()
    scene.scan()
    assert scene.cached(scene.scan()) == set(NAMES)
    return scene


# ---- the identity of a file


def test_without_any_trace_there_is_nothing_to_see(known: Scene) -> None:
    """What makes the other tests worth something: only the one field that each changes can tell."""
    known.replace("second")
    found, _ = known.product.scan()
    assert known.cached(found) == set(NAMES)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(f"set_inode_field /tree/second size {SIZE - 1}", id="size"),
        pytest.param(f"set_inode_field /tree/second mtime @{OLD}", id="mtime"),
        pytest.param(f"set_inode_field /tree/second ctime @{OLD}", id="ctime"),
        pytest.param(f"set_inode_field /tree/second crtime @{OLD}", id="btime"),
    ],
)
def test_one_field_tells_a_change(known: Scene, request_: str) -> None:
    known.replace("second", request_)
    assert known.cached(known.scan("second")) == {"first", "third"}


def test_the_inode_tells_one_file_from_another(scene: Scene) -> None:
    """Two files that agree in everything else, under one name after the other."""
    same = [f"set_inode_field /tree/{name} {field} @{OLD}" for name in NAMES for field in ("mtime", "ctime", "crtime")]
    same += [
        f"set_inode_field /tree/{name} {field}_extra {NS}" for name in NAMES for field in ("mtime", "ctime", "crtime")
    ]
    scene.lasting()
    scene.later()
    scene.replace("second", *same)
    scene.scan("second")
    assert scene.cached(scene.scan("second")) == {"first", "third"}
    inodes = {name: (scene.tree / name).stat().st_ino for name in NAMES}
    scene.edit(
        "unlink /tree/first",
        "unlink /tree/second",
        f"link <{inodes['first']}> /tree/second",
        f"link <{inodes['second']}> /tree/first",
    )
    assert scene.cached(scene.scan("first")) == {"second", "third"}


# ---- the file system


def test_another_image_on_the_same_device_is_another_file_system(scene: Scene) -> None:
    """A copy with the same UUID and inodes, and other bytes in them."""
    scene.later()
    scene.newer_folder()
    scene.image.unmount()
    copy = shutil.copy(scene.image.file, scene.image.file.with_suffix(".copy"))
    scene.image.write("/tree/second", content(0, True, SIZE), file=Path(copy))
    scene.image.mount()
    scene.scan()
    assert scene.cached(scene.scan()) == set(NAMES)
    scene.image.unmount()
    scene.image.mount(Path(copy))
    scene.scan("second")
    scene.image.unmount()
    scene.image.mount()
    scene.scan()


# ---- when it is remembered


def test_what_was_just_written_is_not_remembered(scene: Scene) -> None:
    """Then nobody can write it again within the same tick of a coarse clock."""
    scene.lasting()
    scene.newer_folder()
    scene.scan()
    scene.replace("second")
    scene.scan("second")


def test_the_newest_file_is_not_remembered(scene: Scene) -> None:
    """The clock of its file system may stand still there."""
    scene.lasting()
    paths = ["/", "/lost+found", "/tree", *(f"/tree/{name}" for name in NAMES)]
    stamps = [f"set_inode_field {path} {field} @{OLD}" for path in paths for field in ("mtime", "ctime")]
    stamps += [f"set_inode_field {path} {field}_extra {NS}" for path in paths for field in ("mtime", "ctime")]
    scene.edit(*stamps, f"set_inode_field /tree/second ctime @{OLD + 1}")
    scene.scan()
    scene.replace("second")
    assert scene.cached(scene.scan("second")) == {"first", "third"}


def test_a_stamp_of_whole_seconds_is_not_remembered(scene: Scene) -> None:
    """Inodes may have no room for more, and then a whole second of changes looks alike."""
    scene.lasting()
    scene.later()
    scene.newer_folder()
    scene.edit(f"set_inode_field /tree/second ctime @{OLD}", "set_inode_field /tree/second ctime_extra 0")
    scene.scan()
    scene.replace("second")
    assert scene.cached(scene.scan("second")) == {"first", "third"}


def test_a_file_that_somebody_can_write_to_is_not_remembered(scene: Scene) -> None:
    """Stores into a page that is dirty already change no time."""
    scene.later()
    path = scene.tree / "second"
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), SIZE) as mapped:
        mapped[HEAD : HEAD + len(MARK)] = HARMLESS
        before = path.stat()
        scene.newer_folder()
        file.close()  # the mapping alone
        scene.scan()
        mapped[HEAD : HEAD + len(MARK)] = MARK
        after = path.stat()
        assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)
        assert scene.cached(scene.scan("second")) == {"first", "third"}


def test_what_changed_between_opening_and_reading_is_not_remembered(scene: Scene) -> None:
    """Its verdict is that of other bytes than those which had the identity; they come back with a snapshot."""
    scene.lasting()
    scene.later()
    (scene.tree / "second").write_bytes(content(1, True, SIZE))
    scene.newer_folder()
    scene.image.unmount()
    snapshot = Path(shutil.copy(scene.image.file, scene.image.file.with_suffix(".snapshot")))
    scene.image.mount()
    held_scan(scene, lambda: (scene.tree / "second").write_bytes(content(1, False, SIZE)))
    scene.image.unmount()
    shutil.copy(snapshot, scene.image.file)
    scene.image.mount()
    assert scene.cached(scene.scan("second")) == {"first", "third"}


def held_scan(scene: Scene, meanwhile: Callable[[], object]) -> None:
    """A scan that opens everything, lets *meanwhile* happen, and reads after that: no worker is there before."""
    product, found = scene.product, []
    start = Children.start_worker
    scene.patch.setattr(Children, "start_worker", lambda children: None)
    image, opened = product.image(), product.stores()
    try:
        with Crew(image, product.options(), want_clean=True, stores=opened.stores) as team:
            team.walk(product.roots)
            while not team._flags & dispatch.WANT:  # everything is in one message, and somebody is needed who reads it
                team.step()
            meanwhile()
            scene.patch.setattr(Children, "start_worker", start)
            while not team.done:
                found += [one for one in team.step() if isinstance(one, Result)]
            team.finish()
    finally:
        opened.close()
        image.close()
    assert {result.status for result in found} == {Status.CLEAN}
    assert len(found) == len(NAMES)

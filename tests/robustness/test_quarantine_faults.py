"""kill -9, a full disk and a bad sector at every call of put, restore and replace: the file is whole in at least one
place, always, and nothing is half restored."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kavfs.action import facts, seal
from kavfs.action.catalogue import BACKUP
from kavfs.action.place import ActionError
from kavfs.action.store import Store
from kavfs.errors import KavfsError
from tests.support.acting import FINDING, hold, quick_folder
from tests.support.disks import mount, unmount
from tests.support.faults import failed_at, killed_at

CONTENT = os.urandom(1000) * 300  # two chunks
CURED = b"cured" * 1000
MODE = 0o4751
STAMP = 10**18 + 7


class Scene:
    """A file, a store, and what may become of them. Each try has a fresh one."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.file = top / "data" / "file"
        self.state = os.fsencode(top / "quarantine")

    def begin(self, *, item: bool = False) -> None:
        shutil.rmtree(self.top, ignore_errors=True)
        self.file.parent.mkdir(parents=True)
        self.write()
        self.item = ""
        with Store(self.state) as store:
            if item:
                with hold(self.file) as held:
                    self.item = store.take(held, FINDING)[0]

    def write(self) -> None:
        self.file.write_bytes(CONTENT)
        os.setxattr(self.file, "user.kept", b"yes")
        os.chmod(self.file, MODE)
        os.utime(self.file, ns=(STAMP, STAMP))

    # -- what is done ------------------------------------------------------------------------------------------------

    def take(self) -> None:
        with Store(self.state) as store, hold(self.file) as held:
            store.take(held, FINDING)

    def restore(self) -> None:
        with Store(self.state) as store:
            store.restore(self.item)

    def replace(self) -> None:
        with Store(self.state) as store, hold(self.file) as held:
            store.put(held, FINDING, BACKUP)
            out = held.temp_file()
            try:
                seal.write(out, CURED)
                held.replace(out)
            finally:
                os.close(out)

    def rename(self) -> None:
        with hold(self.file) as held:
            held.rename(b"file.infected")

    # -- what must be ------------------------------------------------------------------------------------------------

    def whole(self, path: Path, content: bytes) -> bool:
        """Whether a file is there as it should be. One that has the name without being whole is a defect."""
        if not path.exists():
            return False
        assert path.read_bytes() == content
        assert (path.stat().st_mode & 0o7777, path.stat().st_mtime_ns) == (MODE, STAMP)
        assert os.getxattr(path, "user.kept") == b"yes"
        return True

    def stored(self) -> int:
        """How many items there are; each can be read, and is the file."""
        with Store(self.state) as store:
            items = store.items()
            for item in items:
                assert b"".join(store.open(item.id)) == CONTENT
                assert (item.facts.mode, item.facts.mtime_ns) == (MODE, STAMP)
            return len(items)

    def aside(self) -> int:
        """What lies, whole, where a killed act has left it."""
        found = [path for path in self.file.parent.glob(".kavfs-*/*") if path.read_bytes() == CONTENT]
        return len(found)

    def after_take(self) -> None:
        assert self.whole(self.file, CONTENT) + self.stored() >= 1

    def after_restore(self) -> None:
        assert self.whole(self.file, CONTENT) + self.stored() >= 1

    def after_replace(self) -> None:
        now = self.file.read_bytes()
        assert self.whole(self.file, now)
        assert now in (CONTENT, CURED)
        assert self.stored() >= (now == CURED)

    def after_rename(self) -> None:
        names = [self.file, self.file.with_name("file.infected")]
        assert sum(self.whole(path, CONTENT) for path in names) + self.aside() == 1


WORKS: dict[str, tuple[Callable[[Scene], None], Callable[[Scene], None]]] = {
    "take": (Scene.take, Scene.after_take),
    "restore": (Scene.restore, Scene.after_restore),
    "replace": (Scene.replace, Scene.after_replace),
    "rename": (Scene.rename, Scene.after_rename),
}


@pytest.fixture
def scene() -> Iterator[Scene]:
    folder = quick_folder("faults-")
    yield Scene(folder / "scene")
    shutil.rmtree(folder)


@pytest.mark.parametrize("work", WORKS)
def test_killed_at_every_call(scene: Scene, work: str) -> None:
    do, check = WORKS[work]
    at = 0
    while True:
        at += 1
        scene.begin(item=work == "restore")
        killed = killed_at(at, lambda: do(scene))
        check(scene)
        if not killed:
            break
    assert at > 20
    facts_of_the_end(scene, work)


def facts_of_the_end(scene: Scene, work: str) -> None:
    """Nobody was killed: the work is done, and nothing lies about."""
    assert scene.stored() == {"take": 1, "restore": 0, "replace": 1, "rename": 0}[work]
    names = {"take": [], "restore": ["file"], "replace": ["file"], "rename": ["file.infected"]}[work]
    assert os.listdir(scene.file.parent) == names


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize(
    "number",
    [errno.ENOSPC, pytest.param(errno.EIO, marks=pytest.mark.long), pytest.param(errno.EPERM, marks=pytest.mark.long)],
    ids=["ENOSPC", "EIO", "EPERM"],
)
def test_every_call_fails(scene: Scene, work: str, number: int) -> None:
    """An error is told as one of ours, and unless it hit the tidying up, all is as before."""
    do, check = WORKS[work]
    at = 0
    while True:
        at += 1
        scene.begin(item=work == "restore")
        steps, error = failed_at(at, number, lambda: do(scene))
        assert error is None or isinstance(error, KavfsError | OSError), steps.name
        check(scene)
        if not steps.name:
            break
    assert error is None
    facts_of_the_end(scene, work)


def test_killed_while_the_store_is_made(scene: Scene) -> None:
    """The first item ever: folder, key and catalogue too."""
    at = 0
    killed = True
    while killed:
        at += 1
        scene.begin()
        shutil.rmtree(scene.top / "quarantine")
        killed = killed_at(at, lambda: scene.take())
        scene.after_take()


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """Every amount of room, from none to enough: the file stays or is in quarantine, and later all goes well."""
    top = mount(tmp_path / "disk", "-t", "tmpfs", "-o", "size=2m,mode=0755", "tmpfs")
    try:
        scene = Scene(tmp_path / "scene")
        scene.state = os.fsencode(top / "quarantine")
        outcomes = set()
        for room in range(0, 500 << 10, 20 << 10):
            scene.begin()
            filler = top / "filler"
            free = os.statvfs(top).f_bavail * os.statvfs(top).f_frsize
            filler.write_bytes(bytes(max(0, free - room)))
            outcomes.add(stored_if_there_is_room(scene))
            filler.unlink()
            scene.after_take()
            shutil.rmtree(top / "quarantine")
        assert outcomes == {True, False}
    finally:
        unmount(top)


def stored_if_there_is_room(scene: Scene) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kavfs.action.store.RESERVE", -(1 << 40))  # the look ahead would spare us the trouble
        try:
            scene.take()
        except (ActionError, KavfsError):
            assert scene.file.exists()
            return False
    assert not scene.file.exists()
    return True


def test_attributes_are_never_wider_on_the_way(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restored set-user-ID file has no name before it has its owner and mode."""
    scene.begin(item=True)
    seen = []
    apply = facts.apply

    def looking(fd: int, wanted: facts.Facts) -> tuple[str, ...]:
        missing = apply(fd, wanted)
        seen.append((os.fstat(fd).st_nlink, os.listdir(scene.file.parent)))
        return missing

    monkeypatch.setattr("kavfs.action.store.facts_of.apply", looking)
    scene.restore()
    assert seen == [(0, [])]

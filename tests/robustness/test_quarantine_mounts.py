"""Verbs and restores on file systems that will not have it: read-only, immutable, over quota, mounted over.

All of them are really mounted; where that cannot be, the test is skipped and says why. Whatever refuses: the error is
one of ours with its reason, the file is whole where it was, the store holds nothing or all of it, and nothing lies
about."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kavfs.action.catalogue import BACKUP
from kavfs.action.place import ActionError, Held, Places
from kavfs.action.store import Store
from kavfs.errors import SystemFailure
from tests.support.acting import FINDING, hold, left_aside, quick_folder, scanned
from tests.support.disks import Mounts, run
from tests.support.kavscanner import CHECKOUT
from tests.support.programs import EICAR, STARTER, kavscanner
from tests.support.rivals import Rival

CONTENT = b"what was scanned" * 1000
PRECIOUS = b"root:x:0:0"
TRIES = [pytest.param(50, id="50"), pytest.param(1000, id="1000", marks=pytest.mark.long)]

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="mounts are made by root")]


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounts]:
    made = Mounts(tmp_path)
    yield made
    made.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(os.fsencode(tmp_path / "store")) as store:
        yield store


# -- verbs -------------------------------------------------------------------------------------------------------------


def remove(held: Held, store: Store) -> None:
    held.remove()


def rename(held: Held, store: Store) -> None:
    held.rename(b"file.infected")


def quarantine(held: Held, store: Store) -> None:
    store.take(held, FINDING)


def replace(held: Held, store: Store) -> None:
    store.put(held, FINDING, BACKUP)
    out = held.temp_file()
    try:
        os.write(out, b"cured")
        held.replace(out)
    finally:
        os.close(out)


VERBS = [remove, rename, quarantine, replace]


def refused(file: Path, verb: Callable[[Held, Store], None], store: Store) -> str:
    """Why a verb could not be carried out; the file, and all beside it, is as it was."""
    before = sorted(os.listdir(file.parent))
    identity = scanned(file)
    with pytest.raises(ActionError) as caught, hold(file, identity) as held:
        verb(held, store)
    assert file.read_bytes() == CONTENT
    assert sorted(os.listdir(file.parent)) == before
    assert {item.kind for item in store.items()} <= {BACKUP}
    return str(caught.value)


@pytest.mark.parametrize("verb", VERBS)
def test_read_only(mounts: Mounts, store: Store, verb: Callable[[Held, Store], None]) -> None:
    """The whole file system, and one folder by a bind mount."""
    disk = mounts.disk("disk")
    (disk / "data").mkdir()
    (disk / "data" / "file").write_bytes(CONTENT)
    bound = mounts.mount("bound", "--bind", disk / "data")
    assert run("mount", "-o", "remount,bind,ro", bound) is not None
    assert "Read-only file system" in refused(bound / "file", verb, store)
    assert run("mount", "-o", "remount,ro", disk) is not None
    assert "Read-only file system" in refused(disk / "data" / "file", verb, store)


@pytest.mark.parametrize("flag", ["i", "a"], ids=["immutable", "append-only"])
@pytest.mark.parametrize("of", ["file", "folder"])
@pytest.mark.parametrize("verb", VERBS)
def test_immutable(mounts: Mounts, store: Store, verb: Callable[[Held, Store], None], of: str, flag: str) -> None:
    folder = mounts.disk("disk") / "data"
    folder.mkdir()
    (folder / "file").write_bytes(CONTENT)
    what = folder / "file" if of == "file" else folder
    if run("chattr", f"+{flag}", what) is None:
        pytest.skip("chattr is not there, or this file system has no such flag")
    try:
        why = "its folder is append-only" if (of, flag) == ("folder", "a") else "Operation not permitted"
        assert why in refused(folder / "file", verb, store)
    finally:
        assert run("chattr", f"-{flag}", what) is not None
    store.prune(age=0)
    with hold(folder / "file") as held:
        verb(held, store)
    assert left_aside(folder) == []


def test_restore_where_nothing_may_be_made(mounts: Mounts, store: Store) -> None:
    """The item stays until it can be given back."""
    disk = mounts.disk("disk")
    (disk / "file").write_bytes(CONTENT)
    with hold(disk / "file") as held:
        item, _ = store.take(held, FINDING)
    for forbid, allow, why in (
        (("mount", "-o", "remount,ro", disk), ("mount", "-o", "remount,rw", disk), "Read-only file system"),
        (("chattr", "+i", disk), ("chattr", "-i", disk), "Operation not permitted"),
    ):
        if run(*forbid) is None:
            pytest.skip(f"{forbid[0]} cannot do it here")
        with pytest.raises(ActionError, match=why):
            store.restore(item)
        assert run(*allow) is not None
        assert b"".join(store.open(item)) == CONTENT
    store.restore(item)
    assert (disk / "file").read_bytes() == CONTENT
    assert left_aside(disk) == []


def test_a_scan_that_may_change_nothing_says_so(mounts: Mounts, tmp_path: Path) -> None:
    disk = mounts.disk("disk")
    (disk / "bad.com").write_bytes(EICAR)
    assert run("mount", "-o", "remount,ro", disk) is not None
    done = kavscanner("--db", STARTER, "--state", tmp_path / "state", "-i3", disk)
    (deed,) = [deed for deed in done.results[os.fsencode(disk / "bad.com")]["deeds"] if deed["verb"] == "remove"]
    assert (deed["done"], deed["text"]) == (False, "Read-only file system")
    assert (done.exit_code, done.summary["deeds_failed"]) == (25, 1)
    assert (disk / "bad.com").read_bytes() == EICAR


# -- quota -------------------------------------------------------------------------------------------------------------


class Limited:
    """A folder with a quota: Btrfs is the file system whose quotas hold for root too."""

    def __init__(self, mounts: Mounts) -> None:
        self.disk = mounts.disk("disk", "btrfs")
        self.folder = self.disk / "limited"
        made = run("btrfs", "subvolume", "create", self.folder)
        if made is None or run("btrfs", "quota", "enable", self.disk) is None:
            pytest.skip("this machine cannot set quotas of Btrfs")

    def leave(self, room: int | None) -> None:
        """Room for about so many bytes more; None = any."""
        os.sync()
        shown = run("btrfs", "qgroup", "show", "--raw", "--sync", "-f", self.folder)
        assert shown is not None
        group, size, *_ = shown.splitlines()[-1].split()
        limit = "none" if room is None else str(int(size) + room)
        assert run("btrfs", "qgroup", "limit", limit, group, self.disk) is not None


REFUSED_FOR_ROOM = r"(?i)quota|no room|disk I/O error|disk is full"


@pytest.mark.parametrize("room", [8 << 10, 32 << 10, 160 << 10, 360 << 10, 4 << 20])
def test_the_quota_of_the_store_is_used_up(mounts: Mounts, tmp_path: Path, room: int) -> None:
    limited, file = Limited(mounts), tmp_path / "file"
    content = os.urandom(256 << 10)
    file.write_bytes(content)
    limited.leave(room)
    why = ""
    try:
        with Store(os.fsencode(limited.folder / "store")) as store, hold(file) as held:
            store.take(held, FINDING)
    except (ActionError, SystemFailure) as error:
        why = str(error)
    assert bool(re.search(REFUSED_FOR_ROOM, why)) == file.exists()
    assert file.exists() or room > len(content)
    limited.leave(None)
    with Store(os.fsencode(limited.folder / "store")) as store:
        assert [b"".join(store.open(item.id)) for item in store.items()] == ([] if why else [content])
        if why:
            assert file.read_bytes() == content
            with hold(file) as held:
                store.take(held, FINDING)
        store.prune()
    assert not file.exists()
    assert len(os.listdir(limited.folder / "store" / "items")) == 1


def test_the_quota_where_a_file_comes_back_is_used_up(mounts: Mounts, store: Store) -> None:
    limited = Limited(mounts)
    file = limited.folder / "file"
    file.write_bytes(CONTENT * 32)  # half a MiB
    with hold(file) as held:
        item, _ = store.take(held, FINDING)
    limited.leave(64 << 10)
    with pytest.raises(ActionError, match="quota"):
        store.restore(item)
    assert b"".join(store.open(item)) == CONTENT * 32
    assert os.listdir(limited.folder) == []
    limited.leave(None)
    store.restore(item)
    assert file.read_bytes() == CONTENT * 32


def test_the_quota_where_a_file_is_cured_is_used_up(mounts: Mounts, tmp_path: Path) -> None:
    """The curer writes beside the file: what it cannot write is a cure that failed, and the file is as it was."""
    limited = Limited(mounts)
    file = limited.folder / "both.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("bad.com", EICAR)
        archive.writestr("good", os.urandom(1 << 20))
    before = file.read_bytes()
    limited.leave(128 << 10)
    words = ["--db", STARTER, "--state", tmp_path / "state", "-i1", limited.folder]
    done = kavscanner(*words)
    assert done.status(file) == "curefailed"
    assert "quota" in str(done.results[os.fsencode(file)]["deeds"])
    assert file.read_bytes() == before
    assert os.listdir(limited.folder) == ["both.zip"]
    limited.leave(None)
    assert kavscanner(*words).status(file) == "cured"


# -- mounts that come while we act -------------------------------------------------------------------------------------

BIND, DETACH = 4096, 2  # MS_BIND, MNT_DETACH
LIBC = ctypes.CDLL(None, use_errno=True)


def bind(source: Path, point: Path) -> bool:
    return LIBC.mount(os.fsencode(source), os.fsencode(point), None, BIND, None) == 0


def unbind(point: Path) -> bool:
    return LIBC.umount2(os.fsencode(point), DETACH) == 0


class Ground:
    """A folder for each round, another one that is bound over it, or whose file is bound over the scanned one."""

    def __init__(self, top: Path, on: str) -> None:
        self.top, self.on = top, on
        self.foreign = top / "etc"
        self.foreign.mkdir()
        (self.foreign / "file").write_bytes(PRECIOUS)

    def begin(self, number: int) -> Path:
        folder = self.top / f"r{number}"
        folder.mkdir()
        (folder / "file").write_bytes(CONTENT)
        return folder / "file"

    def attack(self, number: int) -> None:
        folder = self.top / f"r{number}"
        source, point = (self.foreign, folder) if self.on == "folder" else (self.foreign / "file", folder / "file")
        for _ in range(5):
            bind(source, point)
            for _ in range(30):
                os.sched_yield()
            unbind(point)

    def end(self, number: int) -> Path:
        folder = self.top / f"r{number}"
        while any(unbind(point) for point in (folder / "file", folder, *folder.glob(".kavfs-*/*"))):
            pass
        return folder


@pytest.fixture
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    top = quick_folder("bound-")
    (top / "from").mkdir()
    (top / "to").mkdir()
    if not bind(top / "from", top / "to"):
        shutil.rmtree(top)
        pytest.skip("this machine does not let us bind mounts")
    unbind(top / "to")
    yield Ground(top, request.param)
    shutil.rmtree(top)


@pytest.mark.parametrize("tries", TRIES)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("ground", ["folder", "file"], indirect=True)
def test_a_mount_comes_and_goes(ground: Ground, store: Store, verb: Callable[[Held, Store], None], tries: int) -> None:
    rival = Rival(ground.attack, root=True)
    lost = 0
    try:
        for number in range(1, tries + 1):
            file = ground.begin(number)
            identity, done = scanned(file), False
            rival.begin(number)
            try:
                with Places([os.fsencode(ground.top)]).open(os.fsencode(file), identity) as held:
                    verb(held, store)
                    done = True
            except ActionError:
                lost += 1
            rival.end()
            folder = ground.end(number)
            assert os.listdir(ground.foreign) == ["file"]
            assert (ground.foreign / "file").read_bytes() == PRECIOUS
            left = {remove: [], quarantine: [], rename: [CONTENT], replace: [b"cured"]}[verb]
            found = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
            # What he mounted over while it stood aside could not go back: it lies there, and the error has said so.
            assert found == left if done else CONTENT in found
            if verb is quarantine:
                kept = [b"".join(store.open(item.id)) for item in store.items()]
                assert kept in ([[CONTENT]] if done else [[], [CONTENT]])  # where the name means something else, a copy
            for item in store.items():
                store.delete(item.id)
            shutil.rmtree(folder)
    finally:
        rival.close()
        for folder in ground.top.glob("r*"):
            ground.end(int(folder.name[1:]))
    assert lost, "the rival was never quick enough to matter"


ELSEWHERE = """
import os, subprocess, sys
from kavfs.action.place import ActionError
from tests.support.acting import hold
from kavfs.model import Identity

folder, identity = sys.argv[1], Identity(*map(int, sys.argv[2:]))
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
file = os.path.join(folder, "file")
with open(file, "wb") as out:
    out.write(b"another file")
try:
    with hold(file, identity) as held:
        held.remove()
except ActionError as error:
    print(error)
print(os.listdir(folder))
"""


def test_the_path_means_something_else_in_another_mount_namespace(tmp_path: Path) -> None:
    """What was scanned in one is not acted upon in another, where another file has its path."""
    file = tmp_path / "data" / "file"
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    identity = [str(number) for number in scanned(file)]
    words = ["unshare", "-m", "--propagation", "private", sys.executable, "-c", ELSEWHERE, str(file.parent), *identity]
    environment = {**os.environ, "PYTHONPATH": os.fspath(CHECKOUT)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        pytest.skip(f"no mount namespace of its own: {done.stderr.strip()}")
    assert done.stdout.splitlines() == ["another file has its name now", "['file']"]
    assert file.read_bytes() == CONTENT


# -- who may not -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_root_has_no_rights_there(verb: Callable[[Held, Store], None]) -> None:
    """As on a server that takes root for nobody: who may read and not write is told so, and all is as before."""
    top = quick_folder("squashed-")
    try:
        (top / "data").mkdir(0o755)
        file = top / "data" / "file"
        file.write_bytes(CONTENT)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                (top / "own").mkdir(0o700)
                os.chown(top / "own", 65534, 65534)
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
                with Store(os.fsencode(top / "own" / "store")) as store:
                    assert "Permission denied" in refused(file, verb, store)
                code = 0
            except BaseException as error:
                os.write(2, repr(error).encode())
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        shutil.rmtree(top)

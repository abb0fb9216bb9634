"""Races: another user owns the folder and exchanges what its names mean while a verb, or a restore, is at work.

The names change thousands of times a second, in a process of its own. Whatever comes of the verb: no foreign file is
touched, nothing is lost, nothing is written over, nothing is left aside."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kavfs._native import action
from kavfs.action.place import ActionError, Held, Places
from kavfs.action.store import Store
from kavfs.errors import SystemFailure
from kavfs.model import Identity
from tests.support.acting import FINDING, left_aside, quick_folder, scanned
from tests.support.rivals import NOBODY, Rival

SCANNED = b"what was scanned"
CURED = b"what was cured of it"
PRECIOUS = b"root:x:0:0"

TRIES = [pytest.param(100, id="100"), pytest.param(10_000, id="10000", marks=pytest.mark.long)]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, and a rival that is not")


class Arena:
    """A folder of the rival's for each round, and one that is not his."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.foreign = top / "etc"
        self.foreign.mkdir(0o755)
        self.shadow = self.foreign / "file"
        self.shadow.write_bytes(PRECIOUS)
        self.shadow.chmod(0o666)  # so that the kernel lets others make hard links to it
        self.before = os.stat(self.shadow)

    def round(self, number: int) -> Path:
        return self.top / f"r{number}"

    def foreign_is_untouched(self) -> bool:
        now = os.stat(self.shadow)
        same = (now.st_ino, now.st_mode, now.st_uid) == (self.before.st_ino, self.before.st_mode, self.before.st_uid)
        return same and self.shadow.read_bytes() == PRECIOUS and os.listdir(self.foreign) == ["file"]


@pytest.fixture
def arena() -> Iterator[Arena]:
    top = quick_folder("races-")
    yield Arena(top)
    shutil.rmtree(top)


# -- what the rival has ready, and what he exchanges for it ------------------------------------------------------------


def other_file(arena: Arena, evil: Path) -> None:
    evil.write_bytes(b"another file")


def hard_link(arena: Arena, evil: Path) -> None:
    os.link(arena.shadow, evil)


def symlink(arena: Arena, evil: Path) -> None:
    evil.symlink_to(arena.shadow)


def fifo(arena: Arena, evil: Path) -> None:
    os.mkfifo(evil)


def device(arena: Arena, evil: Path) -> None:
    os.mknod(evil, stat.S_IFCHR | 0o666, os.makedev(1, 3))


def folder(arena: Arena, evil: Path) -> None:
    evil.mkdir()
    (evil / "inside").write_bytes(b"another file")


LEAVES = [other_file, hard_link, symlink, fifo, device, folder]


def prepare(arena: Arena, number: int, make: Callable[[Arena, Path], None] | None) -> Path:
    """The rival's folder of a round, with the scanned file in it; for no *make* a folder on the way is exchanged."""
    top = arena.round(number)
    inner = top / "folder"
    inner.mkdir(parents=True)
    (inner / "file").write_bytes(SCANNED)
    if make is not None:
        make(arena, inner / "evil")
    else:
        (top / "evil").symlink_to(arena.foreign)
    for path in (top, inner, inner / "file"):
        os.chown(path, NOBODY, NOBODY)
    return inner / "file"


def exchanging(arena: Arena, way: str, names: tuple[bytes, bytes]) -> Callable[[int], None]:
    def attack(number: int) -> None:
        fd = os.open(arena.round(number) / way, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for _ in range(20):
                action.exchange(fd, names[0], fd, names[1])
        finally:
            os.close(fd)

    return attack


def meddling(arena: Arena) -> Callable[[int], None]:
    """Exchanges the folder that is made for the act for a link, as soon as it is there."""

    def attack(number: int) -> None:
        inner = os.fsencode(arena.round(number) / "folder")
        for name in os.listdir(inner):
            if name.startswith(b".kavfs-"):
                os.rename(os.path.join(inner, name), os.path.join(inner, b"gone-" + name))
                os.symlink(os.fsencode(arena.foreign), os.path.join(inner, name))

    return attack


# -- verbs -------------------------------------------------------------------------------------------------------------


def remove(held: Held, store: Store) -> None:
    held.remove()


def rename(held: Held, store: Store) -> None:
    held.rename(b"file.infected")


def quarantine(held: Held, store: Store) -> None:
    store.take(held, FINDING)


def replace(held: Held, store: Store) -> None:
    out = held.temp_file()
    try:
        os.write(out, CURED)
        held.replace(out)
    finally:
        os.close(out)


VERBS = [remove, rename, quarantine, replace]


def tried(arena: Arena, path: Path, identity: Identity, verb: Callable[[Held, Store], None], store: Store) -> bool:
    try:
        with Places([os.fsencode(arena.top)]).open(os.fsencode(path), identity) as held:
            verb(held, store)
    except ActionError:
        return False
    return True


def contents(folder: Path) -> list[bytes]:
    """What the regular files below a folder hold, hard links and links left out."""
    paths = [path for path in folder.rglob("*") if stat.S_ISREG(path.lstat().st_mode) and path.lstat().st_nlink == 1]
    return sorted(path.read_bytes() for path in paths)


def holds(arena: Arena, top: Path, done: bool, verb: Callable[[Held, Store], None], evil: bytes | None) -> None:
    """What must be true after a round, whoever won it."""
    assert arena.foreign_is_untouched()
    found = contents(top)
    if verb is replace and not done and CURED in found:
        found.remove(CURED)  # it had the name for a moment, and he moved it to another while it was being taken back
    wanted = {remove: [], quarantine: [], rename: [SCANNED], replace: [CURED]}[verb] if done else [SCANNED]
    assert found == sorted([*wanted, *([evil] if evil else [])])
    assert left_aside(top / "folder") == []


def fought(arena: Arena, tries: int, verb: Callable[[Held, Store], None], rival: Rival, make, evil: str, bytes_=None):
    """All rounds: how many the verb won, and how many it gave up."""
    won = 0
    with Store(os.fsencode(arena.top / "store")) as store:
        for number in range(1, tries + 1):
            path = prepare(arena, number, make)
            identity, top = scanned(path), arena.round(number)
            kind = os.lstat(top / evil).st_mode
            rival.begin(number)
            done = tried(arena, path, identity, verb, store)
            rival.end()
            won += done
            if (top / evil).parent != top and not os.path.lexists(top / "folder"):
                raise AssertionError("the folder is lost")
            settle(top)
            holds(arena, top, done, verb, bytes_)
            kinds = [os.lstat(entry).st_mode for entry in [*top.iterdir(), *(top / "folder").iterdir()]]
            assert kind in kinds, "what the rival had ready is there still"
            shutil.rmtree(top)
            if store.items():
                (item,) = store.items()
                assert b"".join(store.open(item.id)) == SCANNED
                store.delete(item.id)
    return won, tries - won


def settle(top: Path) -> None:
    """The rival stopped at an odd exchange: the folder has its name again."""
    if (top / "folder").is_symlink():
        action.rename_new(-100, os.fsencode(top / "folder"), -100, os.fsencode(top / "link"))
        os.rename(top / "evil", top / "folder")
        os.rename(top / "link", top / "evil")


@pytest.mark.parametrize("tries", TRIES)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("make", LEAVES)
def test_leaf_is_exchanged(arena: Arena, make, verb, tries: int) -> None:
    rival = Rival(exchanging(arena, "folder", (b"file", b"evil")))
    try:
        ready = b"another file" if make in (other_file, folder) else None
        won, lost = fought(arena, tries, verb, rival, make, "folder/evil", ready)
    finally:
        rival.close()
    assert won + lost == tries
    assert lost, "the rival was never quick enough to matter"


@pytest.mark.parametrize("tries", TRIES)
@pytest.mark.parametrize("verb", VERBS)
def test_folder_becomes_a_link(arena: Arena, verb, tries: int) -> None:
    rival = Rival(exchanging(arena, ".", (b"folder", b"evil")))
    try:
        won, lost = fought(arena, tries, verb, rival, None, "evil")
    finally:
        rival.close()
    assert won + lost == tries
    assert lost, "the rival was never quick enough to matter"


@pytest.mark.parametrize("tries", TRIES)
@pytest.mark.parametrize("verb", VERBS)
def test_the_folder_made_for_the_act_becomes_a_link(arena: Arena, verb, tries: int) -> None:
    """He can move it away, for its parent is his; he cannot look into it or change what is in it."""
    rival = Rival(meddling(arena))
    with Store(os.fsencode(arena.top / "store")) as store:
        try:
            for number in range(1, tries + 1):
                path = prepare(arena, number, other_file)
                identity, top = scanned(path), arena.round(number)
                rival.begin(number)
                done = tried(arena, path, identity, verb, store)
                rival.end()
                assert arena.foreign_is_untouched()
                wanted = {remove: [], quarantine: [], rename: [SCANNED], replace: [CURED]}[verb] if done else [SCANNED]
                assert contents(top) == sorted([*wanted, b"another file"])
                shutil.rmtree(top)
                for item in store.items():
                    store.delete(item.id)
        finally:
            rival.close()


# -- restore and the store itself --------------------------------------------------------------------------------------


@pytest.mark.parametrize("tries", TRIES)
@pytest.mark.parametrize("make", [other_file, hard_link, symlink, None], ids=["file", "hard link", "symlink", "folder"])
def test_restore_into_a_folder_of_the_rival(arena: Arena, make, tries: int) -> None:
    """Names come and go at the place of the restored file, or its folder becomes a link."""

    def appearing(number: int) -> None:
        fd = os.open(arena.round(number) / "folder", os.O_RDONLY | os.O_DIRECTORY)
        try:
            for _ in range(20):
                action.rename_new(fd, b"evil", fd, b"file")
                action.rename_new(fd, b"file", fd, b"evil")
        finally:
            os.close(fd)

    rival = Rival(appearing if make else exchanging(arena, ".", (b"folder", b"evil")))
    restored = 0
    with Store(os.fsencode(arena.top / "store")) as store:
        try:
            for number in range(1, tries + 1):
                path = prepare(arena, number, make)
                top = arena.round(number)
                assert tried(arena, path, scanned(path), quarantine, store)
                (item,) = store.items()
                rival.begin(number)
                try:
                    store.restore(item.id, None if make else os.fsencode(path.with_name("back")))
                    restored += 1
                except ActionError:
                    assert [row.id for row in store.items()] == [item.id]
                    store.delete(item.id)
                    found = []
                else:
                    assert store.items() == []
                    found = [SCANNED]
                rival.end()
                settle(top)
                assert arena.foreign_is_untouched()
                assert contents(top) == sorted([*found, *([b"another file"] if make is other_file else [])])
                assert left_aside(top / "folder") == []
                shutil.rmtree(top)
        finally:
            rival.close()
    assert 0 <= restored <= tries


@pytest.mark.parametrize("tries", TRIES)
def test_the_folder_of_the_store_is_exchanged(arena: Arena, tries: int) -> None:
    """In a folder of the rival's no store is opened or made, whatever he lets its name mean."""
    rival = Rival(exchanging(arena, ".", (b"folder", b"evil")))
    try:
        prepare(arena, 1, None)
        rival.begin(1)
        for _ in range(tries):
            for name in ("folder", "folder/store", "new"):
                with pytest.raises(SystemFailure):
                    Store(os.fsencode(arena.round(1) / name))
        rival.end()
    finally:
        rival.close()
    assert arena.foreign_is_untouched()
    assert sorted(os.listdir(arena.round(1))) == ["evil", "folder"]

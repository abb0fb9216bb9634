"""Stores of the cache: the folder is ours alone, the key is everybody's, and no trouble stops a scan."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kavfs.cache import folder as module
from kavfs.cache.folder import Folder, Refused, stores_in
from kavfs.cache.stores import BUCKET, MEMORY_SIZE, OBJECTS_SIZE, OpenStores, open_stores
from kavfs.limits import Limits
from kavfs.model import Switch
from kavfs.options import EVERYTHING

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


def opened(state: Path, **words: object) -> OpenStores:
    settings: dict[str, object] = {"limits": Limits(), "switches": EVERYTHING, **words}
    return open_stores(os.fsencode(state), **settings)  # type: ignore[arg-type]


def note_of(state: Path, **words: object) -> str:
    """The one note of a folder that cannot be used."""
    with opened(state, **words) as stores:
        assert stores.stores is None
        (note,) = stores.notes
    return note


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def secret(state: Path) -> bytes:
    with opened(state) as stores:
        assert stores.stores is not None
        return stores.stores.secret


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


# -- what is made ----------------------------------------------------------------------------------------------------


def test_everything_is_made_for_us_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with opened(tmp_path / "a" / "state") as stores:
            assert stores.stores is not None
            assert stores.notes == ()
    finally:
        os.umask(before)
    folder = tmp_path / "a" / "state" / "cache"
    assert mode(folder) == 0o700
    assert {path.name: mode(path) for path in folder.iterdir()} == {
        "key": 0o600,
        "objects": 0o600,
        "settings.json": 0o600,
    }
    assert len((folder / "key").read_bytes()) == 32
    assert mode(tmp_path / "a" / "state") == 0o755


def test_stores_hold_what_a_scan_needs(tmp_path: Path) -> None:
    with opened(tmp_path, digests=True, size_limit=5 << 20, journal="journal-x", files=False) as stores:
        found = stores.stores
        assert found is not None
        assert (found.digests, found.size_limit, found.journal, found.files) == (True, 5 << 20, "journal-x", False)
        assert found.secret == (tmp_path / "cache" / "key").read_bytes()
        assert os.stat(found.folder).st_ino == (tmp_path / "cache").stat().st_ino
        assert [len(digest) for digest in (*found.settings, found.context)] == [16, 16]


def test_the_object_cache_has_its_two_sizes_and_takes_no_room_on_disk_before_it_is_used(tmp_path: Path) -> None:
    with opened(tmp_path) as stores:
        assert stores.stores is not None
        assert os.fstat(stores.stores.objects_file).st_size == OBJECTS_SIZE
        assert os.fstat(stores.stores.objects_file).st_blocks == 0
        assert os.fstat(stores.stores.objects_memory).st_size == MEMORY_SIZE
        for size in (0, MEMORY_SIZE * 2):
            with pytest.raises(OSError, match="not permitted"):
                os.ftruncate(stores.stores.objects_memory, size)
        os.pwrite(stores.stores.objects_memory, b"x", 5)  # but it can be written


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1, (1 << 20) + BUCKET - 1])
def test_a_table_is_a_multiple_of_its_buckets_and_gets_the_size_that_is_asked_for(tmp_path: Path, size: int) -> None:
    with opened(tmp_path), opened(tmp_path, objects=size):
        assert (tmp_path / "cache" / "objects").stat().st_size == 1 << 20


@pytest.mark.parametrize("size", [0, BUCKET - 1])
def test_without_room_there_is_no_object_cache(tmp_path: Path, size: int) -> None:
    with opened(tmp_path, objects=size) as stores:
        assert stores.stores is not None
        assert (stores.stores.objects_memory, stores.stores.objects_file) == (-1, -1)
        assert stores.notes == ()
    assert not (tmp_path / "cache" / "objects").exists()


def test_closing_leaves_no_descriptor(tmp_path: Path) -> None:
    before = open_descriptors()
    with opened(tmp_path) as stores:
        stores.close()
    assert open_descriptors() == before


def test_scans_with_other_settings_are_asked_when_theirs_hold(tmp_path: Path) -> None:
    def digests(limits: Limits, switches: Switch = EVERYTHING) -> tuple[bytes, ...]:
        with opened(tmp_path, limits=limits, switches=switches) as stores:
            assert stores.stores is not None
            return stores.stores.settings

    narrow = digests(Limits(max_depth=3))
    wide = digests(Limits())
    assert (len(narrow), len(wide)) == (1, 2)
    assert wide[1] == narrow[0]
    assert digests(Limits(max_depth=2)) != narrow
    assert len(digests(Limits(), EVERYTHING & ~Switch.ARCHIVES)) == 1


def test_a_damaged_list_of_settings_is_begun_anew_without_a_word(tmp_path: Path) -> None:
    with opened(tmp_path, limits=Limits(max_depth=3)):
        pass
    (tmp_path / "cache" / "settings.json").write_bytes(b'[{"max_depth": "many"}]')
    for _ in range(2):
        with opened(tmp_path) as stores:
            assert stores.stores is not None
            assert len(stores.stores.settings) == 1
            assert stores.notes == ()


# -- the key ---------------------------------------------------------------------------------------------------------


def test_the_key_stays_and_each_folder_has_its_own(tmp_path: Path) -> None:
    assert secret(tmp_path / "a") == secret(tmp_path / "a")
    assert secret(tmp_path / "a") != secret(tmp_path / "b")


def test_who_loses_the_race_for_the_key_takes_that_of_the_winner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our look, which found no key, and our writing, another process makes one."""
    theirs = bytes(range(32))
    write = Folder.write

    def beaten(self: Folder, name: str, data: bytes, *, replace: bool = True) -> None:
        if name == "key":
            write(self, name, theirs, replace=False)
        write(self, name, data, replace=replace)

    monkeypatch.setattr(Folder, "write", beaten)
    assert secret(tmp_path) == theirs
    monkeypatch.undo()
    assert secret(tmp_path) == theirs
    assert [name for name in os.listdir(tmp_path / "cache") if module.TEMPORARY in name] == []


def test_many_that_start_together_end_with_one_key(tmp_path: Path) -> None:
    found: list[bytes] = []
    ready = threading.Barrier(8)

    def start() -> None:
        ready.wait()
        found.append(secret(tmp_path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {(tmp_path / "cache" / "key").read_bytes()}


def shorten(key: Path) -> None:
    key.write_bytes(key.read_bytes()[:-1])


def lengthen(key: Path) -> None:
    key.write_bytes(key.read_bytes() + b"x")


def empty(key: Path) -> None:
    key.write_bytes(b"")


def make_folder(key: Path) -> None:
    key.unlink()
    key.mkdir()


def make_link(key: Path) -> None:
    key.rename(key.parent.parent / "elsewhere")
    key.symlink_to(key.parent.parent / "elsewhere")


def show_to_others(key: Path) -> None:
    key.chmod(0o640)


@pytest.mark.parametrize("damage", [shorten, lengthen, empty, make_folder, make_link, show_to_others])
def test_without_its_key_everything_is_set_aside_and_begun_anew(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    before = secret(tmp_path)
    folder = tmp_path / "cache"
    (folder / "files").write_bytes(b"sealed with it")
    (folder / "journal-1").write_bytes(b"sealed with it")
    damage(folder / "key")
    with opened(tmp_path) as stores:
        assert stores.stores is not None
        after = stores.stores.secret
        (note,) = stores.notes
    assert re.fullmatch(
        rf"the cache file {folder}/key is damaged; it is kept as key\.damaged-[\d-]+ and begun anew", note
    )
    assert after != before
    assert len(after) == 32
    kept = {name.partition(".damaged-")[0] for name in os.listdir(folder) if ".damaged-" in name}
    assert kept == {"key", "files", "objects", "settings.json", "journal-1"}
    assert not (folder / "journal-1").exists()
    with opened(tmp_path) as stores:
        assert stores.notes == ()


def test_only_one_process_begins_anew_and_the_other_takes_its_key(tmp_path: Path) -> None:
    secret(tmp_path)
    empty(tmp_path / "cache" / "key")
    held = os.open(tmp_path / "cache", os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another process is using it" in note_of(tmp_path)
    finally:
        os.close(held)
    assert len(secret(tmp_path)) == 32


# -- setting aside ---------------------------------------------------------------------------------------------------


def test_one_damaged_store_of_a_name_is_kept(tmp_path: Path) -> None:
    secret(tmp_path)
    folder = Folder(os.fsencode(tmp_path))
    try:
        for old in ("files.damaged-20010101-000000", "filesystem.damaged-1"):
            (tmp_path / "cache" / old).write_bytes(b"old")
        (tmp_path / "cache" / "files").write_bytes(b"new")
        note = folder.set_aside("files", "is damaged")
        aside = note.partition("kept as ")[2].partition(" ")[0]
        assert re.fullmatch(r"files\.damaged-\d{8}-\d{6}", aside)
        assert (tmp_path / "cache" / aside).read_bytes() == b"new"
        assert sorted(name for name in folder.names() if "damaged" in name) == [aside, "filesystem.damaged-1"]
    finally:
        folder.close()


def test_what_another_process_has_replaced_meanwhile_is_not_set_aside(tmp_path: Path) -> None:
    secret(tmp_path)
    path = tmp_path / "cache" / "files"
    path.write_bytes(b"damaged")
    folder = Folder(os.fsencode(tmp_path))
    judged = os.open(path, os.O_RDONLY)
    try:
        (tmp_path / "cache" / "beside").write_bytes(b"whole")
        (tmp_path / "cache" / "beside").rename(path)
        assert folder.set_aside("files", "is damaged", judged) == ""
        assert path.read_bytes() == b"whole"
        path.unlink()
        assert folder.set_aside("files", "is damaged", judged) == ""
        assert folder.set_aside("files", "is damaged") == ""
    finally:
        os.close(judged)
        folder.close()


def test_a_store_that_is_a_link_is_set_aside_and_its_aim_is_left_alone(tmp_path: Path) -> None:
    secret(tmp_path)
    aim = tmp_path / "precious"
    aim.write_bytes(b"precious")
    (tmp_path / "cache" / "files").symlink_to(aim)
    with opened(tmp_path) as stores:
        assert stores.stores is not None
        assert stores.stores.files
        (note,) = stores.notes
    assert "files cannot be opened (Too many levels of symbolic links); it is kept as files.damaged-" in note
    assert aim.read_bytes() == b"precious"


def test_names_of_stores() -> None:
    names = [
        "files",
        "filesystem",
        "files.damaged-1",
        "key",
        "objects",
        "journal-1",
        "journal-1.new-5",
        "settings.json",
    ]
    assert stores_in(names) == ["files", "objects", "journal-1", "settings.json"]


# -- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [0o720, 0o702, 0o777])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, bits: int) -> None:
    secret(tmp_path)
    (tmp_path / "cache").chmod(bits)
    note = note_of(tmp_path)
    assert note == f"no cache, everything is scanned: {tmp_path}/cache: others than its owner may write to it"


def test_a_folder_that_others_may_read_is_as_good(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o755)
    assert secret(tmp_path)


@root_only
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    secret(tmp_path)
    os.chown(tmp_path / "cache", 12345, -1)
    assert "it belongs to user 12345, and we are 0" in note_of(tmp_path)


@root_only
def test_a_key_of_another_user_is_none(tmp_path: Path) -> None:
    before = secret(tmp_path)
    os.chown(tmp_path / "cache" / "key", 12345, -1)
    assert secret(tmp_path) != before


def test_a_link_is_not_the_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "cache").symlink_to(tmp_path / "elsewhere")
    assert "no cache" in note_of(tmp_path)
    assert list((tmp_path / "elsewhere").iterdir()) == []


# -- trouble ---------------------------------------------------------------------------------------------------------


def test_a_state_folder_that_cannot_be_made_means_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert note_of(tmp_path / "file") == f"no cache, everything is scanned: {tmp_path}/file/cache: File exists"


FAILURES = [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO]


@pytest.mark.parametrize("number", FAILURES, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ["mkdir", "makedirs", "open", "write", "fsync", "link"])
def test_when_the_system_refuses_there_is_no_cache_and_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    before = open_descriptors()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module.os, call, refuse)
    note = note_of(tmp_path)
    monkeypatch.undo()
    assert note.endswith(os.strerror(number))
    assert open_descriptors() == before
    with opened(tmp_path) as stores:  # and what was left behind is no obstacle
        assert stores.stores is not None
        assert stores.notes == ()


@pytest.mark.parametrize("number", FAILURES, ids=errno.errorcode.get)
def test_trouble_with_the_object_cache_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    secret(tmp_path)
    before = open_descriptors()

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module.os, "ftruncate", refuse)
    with opened(tmp_path, objects=1 << 20) as stores:
        assert stores.stores is not None
        assert (stores.stores.objects_memory, stores.stores.objects_file) == (-1, -1)
        assert [note.rpartition(": ")[2] for note in stores.notes] == [os.strerror(number)] * 2
    assert open_descriptors() == before


def test_where_nothing_can_be_locked_nothing_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(module.fcntl, "flock", refuse)
    assert "files cannot be locked there: No locks available" in note_of(tmp_path)


def test_scans_share_the_folder_and_who_clears_it_has_it_alone(tmp_path: Path) -> None:
    state = os.fsencode(tmp_path)
    with opened(tmp_path) as one, opened(tmp_path) as two:
        assert one.stores is not None
        assert two.stores is not None
        with pytest.raises(Refused, match="another process is using it"):
            Folder(state, alone=True)
    alone = Folder(state, alone=True)
    try:
        assert "it is being cleared" in note_of(tmp_path)
    finally:
        alone.close()
    assert secret(tmp_path)


def test_looking_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Folder(os.fsencode(tmp_path), create=False)
    (tmp_path / "cache").mkdir(mode=0o700)
    with pytest.raises(FileNotFoundError):
        Folder(os.fsencode(tmp_path), create=False)
    assert list((tmp_path / "cache").iterdir()) == []
    (tmp_path / "cache" / "key").write_bytes(b"short")
    with pytest.raises(Refused, match="its key is damaged"):
        Folder(os.fsencode(tmp_path), create=False)
    assert os.listdir(tmp_path / "cache") == ["key"]

"""Walk: what a store knows is not opened, and what it does not know is."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs._native import cache
from kavfs._native.walk import Lookup, file_system, subvolume, walk
from kavfs.model import Entry, Reason, Status
from tests.support.batches import KEEP, Collected, collect
from tests.support.stores import NOW, SECRET, SETTINGS, Row, delta_table, extra, layer
from tests.support.trees import File, Hardlink, Symlink, build

FS = b"the file system."
NEWEST, NEWEST_AT = struct.Struct("=q"), 40  # of a kav_slot
OLDER = b"generation older"
NO_PLACE = bytes(16)


@pytest.fixture(autouse=True)
def no_sigio() -> Iterator[None]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGIO, before)


class Kept:
    """A store beside a tree, and walks that ask it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()

    def place(self, directory: bytes, fs: bytes = FS) -> bytes:
        fd = os.open(directory, os.O_RDONLY)
        try:
            seen = cache.identity_of(fd)
        finally:
            os.close(fd)
        return cache.place(SECRET, fs, seen.ino, seen.btime_ns, SETTINGS)

    def keep(
        self,
        *paths: bytes,
        generation: bytes = NOW,
        name: str = "files",
        changed: dict[str, int] | None = None,
        **more: object,
    ) -> None:
        """Remember that these files are clean, but for *changed* of their identity and *more* of the fact."""
        folder = os.open(self.folder, os.O_RDONLY)
        memory = cache.Memory(
            folder, name, SECRET, generation, start_ns=time.time_ns() + 10**12, journal=name != "files"
        )
        memory.newest(0, time.time_ns() + 10**12)
        for path in paths:
            fd = os.open(path, os.O_RDONLY)
            seen = cache.identity_of(fd)._replace(**(changed or {}))
            os.close(fd)
            memory.add(self.place(os.path.dirname(path)), 0, cache.Fact(seen)._replace(**more))
        memory.flush(last=True)
        os.close(folder)

    def walk(
        self, *roots: bytes, file: str = "files", journal: str = "", delta: bytes | None = None, **options: object
    ) -> Collected:
        fds = [os.open(self.folder / name, os.O_RDONLY) if name else -1 for name in (file, journal)]
        top = os.open(roots[0] if os.path.isdir(roots[0]) else os.path.dirname(roots[0]) or b".", os.O_RDONLY)
        try:
            asked = Lookup(SECRET, NOW, [SETTINGS], file=fds[0], journal=fds[1], delta=delta)
            where = {"fs": FS, "fs_dev": file_system(top)[0], "trusted": True}
            return collect(lambda fd: walk(fd, roots, lookup=asked, **{**where, **options}))  # type: ignore[arg-type]
        finally:
            for fd in (*fds, top):
                if fd >= 0:
                    os.close(fd)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "store")


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    return build(tmp_path / "tree", {"a": b"1", "b": b"22", "sub": {"c": b"333"}, "link": Symlink("a")})


def test_what_is_known_is_counted_and_not_opened(kept: Kept, root: bytes) -> None:
    kept.keep(root + b"/a", root + b"/sub/c")
    sent = kept.walk(root)
    assert [(known.files, known.bytes, known.names) for known in sent.known] == [(2, 4, ())]
    assert sent.kinds() == {root + b"/b": Entry.FILE, root + b"/link": Entry.SYMLINK}
    assert sent.one(root + b"/b").place == kept.place(root)
    assert sent.gone == []
    assert sent.renewed == []


def test_what_is_known_is_named_where_somebody_wants_to_see_it(kept: Kept, root: bytes) -> None:
    kept.keep(root + b"/a", root + b"/b", root + b"/sub/c")
    sent = kept.walk(root, names=True)
    assert sorted(sent.known_paths()) == [root + b"/a", root + b"/b", root + b"/sub/c"]
    assert {known.directory: sorted(known.sizes) for known in sent.known} == {root + b"/": [1, 2], root + b"/sub/": [3]}
    assert sent.paths(Entry.FILE) == set()


@pytest.mark.parametrize("field", cache.Identity._fields)
def test_a_file_that_differs_in_one_field_is_opened(kept: Kept, root: bytes, field: str) -> None:
    fd = os.open(root + b"/a", os.O_RDONLY)
    seen = getattr(cache.identity_of(fd), field)
    os.close(fd)
    kept.keep(root + b"/a", changed={field: seen + 1})
    kept.keep(root + b"/b")
    sent = kept.walk(root)
    assert sent.known_files() == 1
    assert sent.paths(Entry.FILE) == {root + b"/a", root + b"/sub/c"}


def test_a_file_of_another_directory_or_file_system_is_not_known(kept: Kept, root: bytes) -> None:
    kept.keep(root + b"/a")
    os.rename(root + b"/a", root + b"/sub/a")
    assert kept.walk(root).known_files() == 0
    kept.keep(root + b"/b")
    assert kept.walk(root).known_files() == 1
    assert kept.walk(root, fs=b"another system..").known_files() == 0
    elsewhere = kept.walk(root, fs_dev=1)
    assert elsewhere.known_files() == 0
    assert {met.place for met in elsewhere.entries} == {NO_PLACE}
    assert not any(met.flags & KEEP for met in elsewhere.entries)


def test_a_verdict_that_is_more_than_clean_is_replayed(kept: Kept, root: bytes) -> None:
    digest = bytes(range(32))
    told = extra(notes=[b"a note of the store"], layers=[layer(1, sha256=digest)], members=3)
    protected = {"status": Status.PROTECTED, "reasons": Reason.ENCRYPTED, "flags": cache.CONTAINER | cache.LAYERS}
    kept.keep(root + b"/a", extra=told, **protected)
    (replay,) = kept.walk(root).replayed
    assert replay.met.path == root + b"/a"
    assert (replay.status, replay.reasons, replay.members) == (Status.PROTECTED, Reason.ENCRYPTED, 3)
    assert replay.flags == 1 << 8 | 1 << 2 | 1 << 1  # cached, a container, with its SHA-256
    assert replay.sha256 == digest
    assert replay.notes == b"a note of the store".ljust(24, b"\0")


def test_verdicts_are_gathered_until_they_fill_a_message(kept: Kept, tmp_path: Path) -> None:
    """500 short ones take few messages; one that fits only into a message of its own is not lost and loses none."""
    root = build(tmp_path / "tree", {f"d{i}": {f"f{j}": b"x" for j in range(50)} for i in range(10)})
    paths = [root + b"/d%d/f%d" % (i, j) for i in range(10) for j in range(50)]
    long = extra(notes=[b"n" * 64_000], members=1)
    protected = {"status": Status.PROTECTED, "reasons": Reason.ENCRYPTED}
    kept.keep(*(path for i, path in enumerate(paths) if i % 100 != 99), **protected)
    kept.keep(*paths[99::100], extra=long, **protected)
    sent = kept.walk(root, names=True)
    assert sorted(replay.met.path for replay in sent.replayed) == sorted(paths)
    assert sorted(len(replay.notes) for replay in sent.replayed) == [0] * 495 + [64_000] * 5
    assert max(sent.replays) > 20
    assert len(sent.replays) < 25
    assert sent.paths(Entry.FILE) == set()


def test_each_path_of_a_hard_link_is_known(kept: Kept, tmp_path: Path) -> None:
    root = build(tmp_path / "tree", {"one": b"12345", "other": Hardlink("one"), "d": {"third": Hardlink("one")}})
    kept.keep(root + b"/one", root + b"/d/third")
    assert sum(known.bytes for known in kept.walk(root).known) == 15
    sent = kept.walk(root, names=True)
    assert sorted(sent.known_paths()) == [root + b"/d/third", root + b"/one", root + b"/other"]


def test_more_names_than_one_message_holds(kept: Kept, tmp_path: Path) -> None:
    """3,000 names of 80 bytes are three messages; of short ones, one."""
    for count, length, messages in ((3000, 80, 4), (3000, 6, 1)):
        root = build(tmp_path / f"tree{length}", {f"{i:0{length}}": File(b"x") for i in range(count)})
        names = [root + f"/{i:0{length}}".encode() for i in range(count)]
        kept.keep(*names)
        sent = kept.walk(root, names=True)
        assert sorted(sent.known_paths()) == names
        assert len(sent.known) == messages
        assert kept.walk(root).known_files() == count


def test_many_known_files_are_told_on_the_way(kept: Kept, tmp_path: Path) -> None:
    """So that progress can be seen: after 4,096 files at the latest."""
    root = build(tmp_path / "tree", {f"d{i}": {f"f{j}": File() for j in range(500)} for i in range(10)})
    kept.keep(*(root + b"/d%d/f%d" % (i, j) for i in range(10) for j in range(500)))
    assert sorted(known.files for known in kept.walk(root).known) == [904, 4096]


def test_places_that_the_delta_does_not_concern_are_renewed(kept: Kept, root: bytes) -> None:
    kept.keep(root + b"/a", root + b"/b", root + b"/sub/c", generation=OLDER)
    assert kept.walk(root).known_files() == 0  # nothing is known of that generation
    sent = kept.walk(root, delta=delta_table(Row(OLDER)))
    assert sent.known_files() == 3
    assert sorted(sent.renewed) == sorted([kept.place(root), kept.place(root + b"/sub")])


def test_a_file_that_the_delta_concerns_is_sent_with_its_row(kept: Kept, root: bytes) -> None:
    kept.keep(root + b"/a", generation=OLDER, views=1 << 1)
    table = delta_table(Row(b"0" * 16), Row(OLDER, targets=1 << 1))
    sent = kept.walk(root, delta=table)
    assert {met.path: met.delta for met in sent.entries if met.kind is Entry.FILE} == {
        root + b"/a": 2,
        root + b"/b": 0,
        root + b"/sub/c": 0,
    }
    assert kept.walk(root, delta=delta_table(Row(OLDER, targets=1 << 6))).known_files() == 1


def test_what_is_gone_is_told(kept: Kept, root: bytes) -> None:
    inodes = []
    for i in range(100):
        path = root + b"/sub/%d" % i
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        inodes.append(os.stat(path).st_ino)
    kept.keep(*(root + b"/sub/%d" % i for i in range(100)))
    for i in range(100):
        os.unlink(root + b"/sub/%d" % i)
    assert sorted(kept.walk(root).gone) == sorted((kept.place(root + b"/sub"), ino) for ino in inodes)


def test_what_a_mask_leaves_out_is_not_gone(kept: Kept, root: bytes) -> None:
    names = [root + b"/sub/%d.txt" % i for i in range(100)]
    for name in names:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    kept.keep(*names)
    assert kept.walk(root, exclude_masks=[b"*.txt"]).gone == []


def test_what_is_not_trusted_is_opened_unless_a_journal_knows_it(kept: Kept, root: bytes) -> None:
    kept.keep(root + b"/a", root + b"/b")
    kept.keep(root + b"/b", name="journal", status=Status.INFECTED)
    sent = kept.walk(root, trusted=False)
    assert sent.known_files() == 0
    assert not any(met.flags & KEEP for met in sent.entries)
    sent = kept.walk(root, trusted=False, journal="journal")
    assert [(replay.met.path, replay.status) for replay in sent.replayed] == [(root + b"/b", Status.INFECTED)]
    assert sent.one(root + b"/a").place == kept.place(root)


def test_without_a_store_nothing_is_asked_for_but_places_are_told(kept: Kept, root: bytes) -> None:
    sent = kept.walk(root, file="")
    assert {met.path: met.place for met in sent.entries if met.kind is Entry.FILE} == {
        root + b"/a": kept.place(root),
        root + b"/b": kept.place(root),
        root + b"/sub/c": kept.place(root + b"/sub"),
    }


def test_a_root_that_is_a_file_is_a_file_of_its_directory(kept: Kept, root: bytes) -> None:
    (met,) = kept.walk(root + b"/a", file="").entries
    assert met.place == kept.place(root)
    assert met.flags & KEEP
    kept.keep(root + b"/a", root + b"/sub/c")
    sent = kept.walk(root + b"/a", root + b"/b", root + b"/sub/c", names=True)
    assert sorted(sent.known_paths()) == [root + b"/a", root + b"/sub/c"]
    assert sent.paths(Entry.FILE) == {root + b"/b"}
    assert sent.one(root + b"/b").place == kept.place(root)


def test_roots_that_are_files_say_nothing_of_their_neighbours(kept: Kept, tmp_path: Path) -> None:
    root = build(tmp_path / "tree", {f"{i}": b"x" for i in range(100)})
    names = [root + b"/%d" % i for i in range(100)]
    kept.keep(*names, generation=OLDER)
    sent = kept.walk(names[0], delta=delta_table(Row(OLDER)))
    assert sent.known_files() == 1
    assert sent.gone == []
    assert sent.renewed == [kept.place(root)]
    kept.keep(*names)
    (known,) = kept.walk(*names, names=True).known  # its record is looked at once
    assert sorted(known.names) == sorted(os.path.basename(name) for name in names)


def test_a_root_that_is_a_file_is_judged_by_its_own_identity(kept: Kept, root: bytes) -> None:
    kept.keep(root + b"/a", changed={"ctime_ns": 1})
    kept.keep(root + b"/b", status=Status.PROTECTED, reasons=Reason.ENCRYPTED)
    sent = kept.walk(root + b"/a", root + b"/b")
    assert [(replay.met.path, replay.status) for replay in sent.replayed] == [(root + b"/b", Status.PROTECTED)]
    assert sent.paths(Entry.FILE) == {root + b"/a"}
    assert kept.walk(root + b"/b", fs_dev=1).one(root + b"/b").place == NO_PLACE


def test_a_root_that_is_a_link_is_opened_and_has_no_place(kept: Kept, root: bytes) -> None:
    kept.keep(root + b"/a")
    (met,) = kept.walk(root + b"/link").entries
    assert (met.path, met.place) == (root + b"/link", NO_PLACE)
    assert not met.flags & KEEP


def test_files_and_directories_as_roots_of_one_walk(kept: Kept, root: bytes) -> None:
    """A directory between two files of another one: each is looked up where it lies."""
    kept.keep(root + b"/a", root + b"/sub/c")
    sent = kept.walk(root + b"/a", root + b"/sub", root + b"/b", names=True, threads=1)
    assert {known.directory: known.names for known in sent.known} == {root + b"/": (b"a",), root + b"/sub/": (b"c",)}
    assert sent.one(root + b"/b").place == kept.place(root)


def test_a_root_without_a_slash_lies_in_the_current_directory(
    kept: Kept, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.keep(root + b"/a")
    monkeypatch.chdir(root)
    sent = kept.walk(b"a", b"b", names=True)
    assert sent.known_paths() == [b"a"]
    assert sent.one(b"b").place == kept.place(root)


def test_a_file_that_something_is_mounted_on_has_no_place(kept: Kept, root: bytes, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    kept.keep(root + b"/b")
    other = tmp_path / "other"
    other.write_bytes(b"other")
    if subprocess.run(["mount", "--bind", other, root + b"/a"], capture_output=True).returncode:
        pytest.skip("this machine does not let root mount")
    try:
        assert kept.walk(root + b"/a").one(root + b"/a").place == NO_PLACE
    finally:
        subprocess.run(["umount", root + b"/a"], check=True)


def test_a_link_that_is_followed_is_not_taken_for_a_file_of_its_directory(kept: Kept, root: bytes) -> None:
    kept.keep(root + b"/a")
    sent = kept.walk(root, follow_symlinks=True)
    assert sent.one(root + b"/link").place == NO_PLACE


def test_the_newest_stamp_is_that_of_the_tree_and_not_of_where_a_link_leads(
    kept: Kept, root: bytes, tmp_path: Path
) -> None:
    """Whoever made another file system may have chosen its times."""
    kept.keep(root + b"/a")
    newest = max(os.stat(path).st_ctime_ns for path in (root, root + b"/a", root + b"/b", root + b"/sub/c"))
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as elsewhere:
        link = os.fsencode(tmp_path / "link")
        os.symlink(elsewhere.name, link)
        os.utime(elsewhere.name)
        assert os.stat(elsewhere.name).st_ctime_ns > newest
        memory = mmap.mmap(-1, mmap.PAGESIZE)
        assert kept.walk(link, root, slot=memory).one(link).kind is Entry.FILE
    assert NEWEST.unpack_from(memory, NEWEST_AT)[0] <= newest


def test_only_btrfs_has_subvolumes(root: bytes) -> None:
    fd = os.open(root, os.O_RDONLY)
    kind = subprocess.run(["stat", "-f", "-c", "%T", root], capture_output=True, check=True).stdout.strip()
    try:
        if kind != b"btrfs":
            with pytest.raises(OSError, match="cross-device"):
                subvolume(fd, FS)
    finally:
        os.close(fd)


def test_a_damaged_store_is_an_empty_one(kept: Kept, root: bytes) -> None:
    kept.keep(root + b"/a")
    with open(kept.folder / "files", "r+b") as file:
        file.truncate(100)
    sent = kept.walk(root)
    assert sent.paths(Entry.FILE) == {root + b"/a", root + b"/b", root + b"/sub/c"}


def test_what_cannot_be_asked_with_is_refused(root: bytes) -> None:
    for words in (
        (b"short", NOW, [SETTINGS]),
        (SECRET, b"short", [SETTINGS]),
        (SECRET, NOW, []),
        (SECRET, NOW, [NOW] * 5),
    ):
        with pytest.raises(ValueError, match=r"16|1 to 4"):
            Lookup(*words)
    with pytest.raises(ValueError, match="delta"):
        Lookup(SECRET, NOW, [SETTINGS], delta=b"no table at all".ljust(64))
    with pytest.raises(ValueError, match="16 bytes"):
        walk(-1, [root], count_only=True, fs=b"short")

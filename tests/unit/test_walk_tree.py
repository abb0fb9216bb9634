"""Walk: what is sent for each kind of entry, and that it says the truth about it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kavfs._native.walk import walk
from kavfs.model import Entry
from tests.support.batches import DEDUP, ROOT, Collected, Met, collect
from tests.support.trees import Device, Fifo, File, Hardlink, Socket, Sparse, Symlink, build


def listed(root: bytes, read: bool = False, **options: object) -> Collected:
    return collect(lambda fd: walk(fd, [root], **options), read)  # type: ignore[arg-type]


def test_every_file_comes_with_its_own_bytes(tmp_path: Path) -> None:
    root = build(tmp_path, {"a": b"one", "d": {"b": b"two", "e": {"c": b""}}, "empty": {}})
    sent = listed(root, read=True)
    assert {e.path: e.content for e in sent.entries} == {
        root + b"/a": b"one",
        root + b"/d/b": b"two",
        root + b"/d/e/c": b"",
    }


@pytest.mark.parametrize(
    "name", [b"\xff\xfe", b"new\nline", b"\x1b[2J", b" ", b"-rf", b"...", bytes(range(1, 47)), b"n" * 255]
)
def test_names_are_bytes(tmp_path: Path, name: bytes) -> None:
    root = build(tmp_path, {name: b"file", b"in": {b"d" + name[:254]: {name: b"deeper"}}})
    inner = root + b"/in/d" + name[:254] + b"/" + name
    assert listed(root).kinds() == {root + b"/" + name: Entry.FILE, inner: Entry.FILE}


def test_what_is_no_file_is_named_and_never_opened(tmp_path: Path) -> None:
    """A FIFO without a writer would block, and one with a blocked writer would let it go."""
    root = build(tmp_path, {"pipe": Fifo(), "socket": Socket(), "file": b""})
    assert listed(root).kinds() == {
        root + b"/pipe": Entry.SPECIAL,
        root + b"/socket": Entry.SPECIAL,
        root + b"/file": Entry.FILE,
    }
    with pytest.raises(OSError, match="No such device"):  # ENXIO: still nobody has it open for reading
        os.open(root + b"/pipe", os.O_WRONLY | os.O_NONBLOCK)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="device nodes are made by root")
def test_devices_are_named_and_never_opened(tmp_path: Path) -> None:
    root = build(tmp_path, {"null": Device(1, 3), "disk": Device(7, 200, block=True)})
    assert listed(root).kinds() == {root + b"/null": Entry.SPECIAL, root + b"/disk": Entry.SPECIAL}


def test_an_entry_carries_the_identity_of_what_was_opened(tmp_path: Path) -> None:
    root = build(tmp_path, {"f": File(b"12345", mode=0o640, mtime_ns=-1_000_000_001)})
    entry, status = listed(root).one(root + b"/f"), os.stat(root + b"/f")
    assert entry == Met(
        kind=Entry.FILE,
        path=root + b"/f",
        size=5,
        dev=(os.major(status.st_dev), os.minor(status.st_dev)),
        ino=status.st_ino,
        mode=status.st_mode,
        nlink=1,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        btime_ns=entry.btime_ns,
    )
    assert entry.btime_ns == -(1 << 63) or 0 < entry.btime_ns <= entry.ctime_ns


def test_a_file_with_several_names_is_marked(tmp_path: Path) -> None:
    root = build(tmp_path, {"a": b"same", "b": Hardlink("a"), "alone": b"x"})
    sent = listed(root)
    assert [sent.one(root + b"/" + n).flags for n in (b"a", b"b", b"alone")] == [DEDUP, DEDUP, 0]
    assert sent.one(root + b"/a").ino == sent.one(root + b"/b").ino


def test_a_sparse_file_has_its_full_size(tmp_path: Path) -> None:
    root = build(tmp_path, {"huge": Sparse(1 << 40, {-3: b"end"})})
    assert listed(root).one(root + b"/huge").size == 1 << 40


def test_reading_leaves_no_trace_in_the_access_time(tmp_path: Path) -> None:
    root = build(tmp_path, {"d": {"f": b"content"}})
    for path in (root + b"/d/f", root + b"/d"):
        os.utime(path, ns=(0, 10**18))  # older than its mtime, so that relatime would renew it
    listed(root, read=True)
    assert os.stat(root + b"/d/f").st_atime_ns == 0
    assert os.stat(root + b"/d").st_atime_ns == 0


# ---- roots ----------------------------------------------------------------------------------------------------------


def test_roots_may_be_anything(tmp_path: Path) -> None:
    top = build(
        tmp_path, {"f": b"1", "p": Fifo(), "d": {"x": b""}, "lf": Symlink("f"), "ld": Symlink("d"), "b": Symlink("no")}
    )
    names = [b"f", b"p", b"lf", b"ld", b"b", b"missing"]
    sent = collect(lambda fd: walk(fd, [os.path.join(top, n) for n in names]))
    assert sent.kinds() == {
        top + b"/f": Entry.FILE,
        top + b"/p": Entry.SPECIAL,
        top + b"/lf": Entry.FILE,
        top + b"/ld/x": Entry.FILE,
        top + b"/b": Entry.ERROR,
        top + b"/missing": Entry.ERROR,
    }
    assert all(e.flags & ROOT for e in sent.entries if e.path != top + b"/ld/x")
    assert {e.error for e in sent.entries if e.kind is Entry.ERROR} == {2}
    assert sent.one(top + b"/f").flags & DEDUP  # the link leads to it too


@pytest.mark.parametrize(
    ("root", "shown"),
    [(b".", b"./f"), (b"./", b"./f"), (b"../{}", b"../{}/f"), (b"/proc/self/cwd/", b"/proc/self/cwd/f")],
)
def test_paths_are_shown_as_they_were_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: bytes, shown: bytes
) -> None:
    build(tmp_path, {"f": b""})
    monkeypatch.chdir(tmp_path)
    name = os.fsencode(tmp_path.name)
    assert listed(root.replace(b"{}", name)).kinds() == {shown.replace(b"{}", name): Entry.FILE}


def test_a_directory_named_twice_is_listed_once(tmp_path: Path) -> None:
    top = build(tmp_path, {"d": {"f": b""}, "l": Symlink("d")})
    sent = collect(lambda fd: walk(fd, [top + b"/d", top + b"/l"]))
    assert sent.kinds() == {top + b"/d/f": Entry.FILE, top + b"/l": Entry.SEEN}


def test_without_recursion_only_the_files_in_a_root_are_met(tmp_path: Path) -> None:
    root = build(tmp_path, {"f": b"", "d": {"deeper": b""}, "l": Symlink("d"), "p": Fifo()})
    assert listed(root, recurse=False).kinds() == {
        root + b"/f": Entry.FILE,
        root + b"/l": Entry.SYMLINK,
        root + b"/p": Entry.SPECIAL,
    }


# ---- links ----------------------------------------------------------------------------------------------------------

LINKS = {
    "d": {"f": b"", "up": Symlink(".."), "self": Symlink("self")},
    "file": Symlink("d/f"),
    "dir": Symlink("d"),
    "broken": Symlink("nowhere"),
    "pipe": Fifo(),
    "to-pipe": Symlink("pipe"),
    "proc": Symlink("/proc/self"),
}


def test_links_are_named_and_left_alone(tmp_path: Path) -> None:
    root = build(tmp_path, LINKS)
    links = {root + b"/" + n for n in (b"file", b"dir", b"broken", b"to-pipe", b"proc", b"d/up", b"d/self")}
    sent = listed(root)
    assert sent.paths(Entry.SYMLINK) == links
    assert sent.paths(Entry.FILE) == {root + b"/d/f"}


def test_followed_links_end_and_stay_on_the_file_system(tmp_path: Path) -> None:
    root = build(tmp_path, LINKS)
    sent = listed(root, follow_symlinks=True)
    kinds = sent.kinds()
    through = [p for p in (b"/d/f", b"/dir/f") if root + p in kinds]
    assert len(through) == 1, "a directory with two ways to it is listed by one of them"
    other = b"/dir" if through == [b"/d/f"] else b"/d"
    assert kinds == {
        root + through[0]: Entry.FILE,
        root + other: Entry.SEEN,
        root + b"/file": Entry.FILE,
        root + os.path.dirname(through[0]) + b"/up": Entry.SEEN,
        root + os.path.dirname(through[0]) + b"/self": Entry.SYMLINK,
        root + b"/broken": Entry.SYMLINK,
        root + b"/pipe": Entry.SPECIAL,
        root + b"/to-pipe": Entry.SPECIAL,
        root + b"/proc": Entry.SUBMOUNT,
    }
    assert sent.one(root + b"/file").flags & DEDUP


def test_absolute_links_and_links_to_links_are_followed(tmp_path: Path) -> None:
    inner = os.fsencode(tmp_path / "in")
    outer = build(tmp_path / "out", {"f": b"outside", "d": {"g": b"below"}})
    build(inner, {
        "direct": Symlink(outer + b"/f"),
        "twice": Symlink(inner + b"/direct"),
        "over": Symlink("direct"),
        "dir": Symlink(outer + b"/d"),
        "dots": Symlink(inner + b"/../out/f"),
    })  # fmt: skip
    sent = listed(inner, read=True, follow_symlinks=True)
    assert {e.path: e.content for e in sent.entries} == {
        inner + b"/direct": b"outside",
        inner + b"/twice": b"outside",
        inner + b"/over": b"outside",
        inner + b"/dots": b"outside",
        inner + b"/dir/g": b"below",
    }


# ---- against another walker -----------------------------------------------------------------------------------------


def test_the_same_files_as_os_walk() -> None:
    root = b"/usr/share"
    expected = {os.path.join(d, name) for d, _, names in os.walk(root) for name in names}
    sent = listed(root, threads=2)
    regular = {p for p in expected if stat.S_ISREG(os.lstat(p).st_mode)}
    assert len(regular) > 100
    assert sent.paths(Entry.FILE) == regular
    links_to_directories = {p for p in sent.paths(Entry.SYMLINK) if os.path.isdir(p)}
    assert set(sent.kinds()) - links_to_directories == expected

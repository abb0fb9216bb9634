"""Walk: what is kept out - masks, directories, stores - and the order of the rules."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kavfs._native.walk import walk
from kavfs.model import Entry
from tests.support.batches import DIR, Collected, collect
from tests.support.trees import Fifo, Symlink, build

EXCLUDED = Entry.EXCLUDED


def listed(root: bytes, **options: object) -> Collected:
    return collect(lambda fd: walk(fd, [root], **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mask", "hit"),
    [
        (b"*.iso", {b"a.iso", b"d/b.iso"}),
        (b"b.*", {b"d/b.iso"}),
        (b"[ab].iso", {b"a.iso", b"d/b.iso"}),
        (b"*/d/*", {b"d/b.iso", b"d/c"}),  # with a slash: the whole path
        (b"d/*", set()),  # paths are whole, not parts
        (b"*.ISO", set()),
        (b"d", set()),  # masks are for files
        (b"\xff*", {b"\xff.x"}),
    ],
)
def test_masks_keep_files_out(tmp_path: Path, mask: bytes, hit: set[bytes]) -> None:
    root = build(tmp_path, {"a.iso": b"", b"\xff.x": b"", "d": {"b.iso": b"", "c": b""}, "x": {"d": b""}})
    if mask == b"d":
        hit = {b"x/d"}
    sent = listed(root, exclude_masks=[mask])
    everything = {b"a.iso", b"\xff.x", b"d/b.iso", b"d/c", b"x/d"}
    assert sent.paths(EXCLUDED) == {root + b"/" + p for p in hit}
    assert sent.paths(Entry.FILE) == {root + b"/" + p for p in everything - hit}


def test_masks_are_asked_of_everything_but_directories(tmp_path: Path) -> None:
    root = build(tmp_path, {"x.tmp": Fifo(), "y.tmp": Symlink("nowhere"), "z.tmp": {"f": b""}})
    assert listed(root, exclude_masks=[b"*.tmp"]).kinds() == {
        root + b"/x.tmp": EXCLUDED,
        root + b"/y.tmp": EXCLUDED,
        root + b"/z.tmp/f": Entry.FILE,
    }


@pytest.mark.parametrize("ending", [b"", b"/", b"//"])
def test_a_directory_is_kept_out_with_everything_below(tmp_path: Path, ending: bytes) -> None:
    root = build(tmp_path, {"d": {"f": b"", "e": {"g": b""}}, "d2": {"f": b""}, "e": {"d": {"f": b""}}})
    sent = listed(root, exclude_dirs=[root + b"/d" + ending])
    assert sent.kinds() == {root + b"/d": EXCLUDED, root + b"/d2/f": Entry.FILE, root + b"/e/d/f": Entry.FILE}
    assert sent.one(root + b"/d").flags == DIR


def test_several_excluded_directories_side_by_side(tmp_path: Path) -> None:
    names = [b"a", b"a-b", b"a.b", b"ab", b"a/b", b"b", b"c/d/e"]
    root = build(
        tmp_path,
        {"a": {"b": {"f": b""}, "c": {"f": b""}}, "a-b": {}, "a.b": {}, "ab": {}, "b": {}, "c": {"d": {"e": {}}}},
    )
    out = [root + b"/" + n for n in names if n != b"a"]
    kinds = listed(root, exclude_dirs=out).kinds()
    assert kinds == {**dict.fromkeys(out, EXCLUDED), root + b"/a/c/f": Entry.FILE}


def test_excluded_directories_are_known_by_the_shown_and_by_the_real_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = build(tmp_path / "real", {"d": {"f": b""}, "e": {"f": b""}})
    build(tmp_path, {"link": Symlink("real")})
    monkeypatch.chdir(tmp_path)
    sent = listed(b"link", exclude_dirs=[real + b"/d", b"link/e"])
    assert sent.kinds() == {b"link/d": EXCLUDED, b"link/e": EXCLUDED}


def test_what_is_named_is_walked_whatever_the_rules_say(tmp_path: Path) -> None:
    top = build(tmp_path, {"d": {"f": b""}, "x.iso": b""})
    status = os.stat(top + b"/d")
    sent = collect(
        lambda fd: walk(
            fd,
            [top + b"/d", top + b"/x.iso"],
            exclude_dirs=[top + b"/d"],
            exclude_masks=[b"*.iso"],
            stores=[(status.st_dev, status.st_ino)],
        )
    )
    assert sent.kinds() == {top + b"/d/f": Entry.FILE, top + b"/x.iso": Entry.FILE}


def test_our_own_stores_are_not_entered(tmp_path: Path) -> None:
    root = build(tmp_path, {"var": {"store": {"f": b""}, "other": {"f": b""}}, "link": Symlink("var/store")})
    status = os.stat(root + b"/var/store")
    sent = listed(root, stores=[(1, 1), (status.st_dev, status.st_ino)], follow_symlinks=True)
    assert sent.kinds() == {
        root + b"/var/store": Entry.STORE,
        root + b"/link": Entry.STORE,
        root + b"/var/other/f": Entry.FILE,
    }


def test_a_mount_point_is_named_and_not_touched(tmp_path: Path) -> None:
    """By its name alone: what stands there now is neither listed nor opened."""
    root = build(tmp_path, {"mnt": {"f": b""}, "mnt2": {"f": b""}, "file": b"", "out": {"f": b""}})
    sent = listed(
        root, mount_points=[b"/", root + b"/mnt", root + b"/file", root + b"/out"], exclude_dirs=[root + b"/out"]
    )
    assert sent.kinds() == {
        root + b"/mnt": Entry.SUBMOUNT,
        root + b"/file": Entry.SUBMOUNT,
        root + b"/mnt2/f": Entry.FILE,
        root + b"/out": EXCLUDED,
    }


def test_a_mount_point_is_known_by_its_real_path(tmp_path: Path) -> None:
    real = build(tmp_path / "real", {"d": {"mnt": {"f": b""}, "f": b""}})
    top = build(tmp_path, {"link": Symlink("real")})
    sent = listed(top + b"/link", mount_points=[real + b"/d/mnt"])
    assert sent.kinds() == {top + b"/link/d/mnt": Entry.SUBMOUNT, top + b"/link/d/f": Entry.FILE}


def test_a_followed_link_does_not_hide_a_mount_point(tmp_path: Path) -> None:
    real = build(tmp_path / "real", {"d": {"mnt": {"f": b""}, "f": b""}})
    top = build(tmp_path / "top", {"link": Symlink("../real/d")})
    sent = listed(top, mount_points=[real + b"/d/mnt"], follow_symlinks=True)
    assert sent.kinds() == {top + b"/link/mnt": Entry.SUBMOUNT, top + b"/link/f": Entry.FILE}


@pytest.mark.parametrize("root", [b"/proc/self/task", b"/sys/kernel", b"/proc/self/status"])
def test_pseudo_file_systems_are_entered_only_when_wanted(root: bytes) -> None:
    if not os.path.exists(root):
        pytest.skip(f"no {os.fsdecode(root)} here")
    assert listed(root).kinds() == {root: Entry.PSEUDO}
    inside = listed(root, enter_pseudo=True, recurse=False, count_only=False)
    assert Entry.PSEUDO not in inside.kinds().values()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"threads": 0}, ValueError),
        ({"threads": 65}, ValueError),
        ({"exclude_masks": ["text"]}, TypeError),
        ({"exclude_masks": [b"a\0b"]}, ValueError),
        ({"slot": bytearray(63)}, ValueError),
        ({"slot": bytes(64)}, BufferError),
        ({"max_fds": -1}, OverflowError),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, options: dict[str, object], error: type[Exception]) -> None:
    root = build(tmp_path, {})
    with pytest.raises(error):
        listed(root, **options)


@pytest.mark.parametrize("root", [b"", b"a\0b", b"x" * 65536])
def test_a_root_that_cannot_be_a_path_is_refused(root: bytes) -> None:
    with pytest.raises(ValueError, match=r"root|NUL"):
        listed(root)

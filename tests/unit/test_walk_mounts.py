"""Walk: where another file system begins. In a mount namespace of its own, so it needs root."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kavfs.model import Entry

CHECKOUT = Path(__file__).resolve().parents[2]


def reason_against() -> str:
    """Why mounts cannot be made here; "" if they can."""
    if os.geteuid() != 0:
        return "mounts are made by root"
    tried = subprocess.run(["unshare", "-m", "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"no mount namespace: {tried.stderr.strip()}"


AGAINST = reason_against()
pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(AGAINST), reason=AGAINST)]

PRELUDE = """
import ctypes, os, subprocess, sys
from kavfs._native.walk import walk
from kavfs.walk import mounts
from tests.support.batches import collect
from tests.support.trees import Symlink, build

top = os.fsencode(sys.argv[1])

def mount(*words):
    subprocess.run([b"mount", *words], check=True)

def show(roots, **options):
    sent = collect(lambda fd: walk(fd, roots, **options))
    print(repr({path[len(top):]: int(kind) for path, kind in sent.kinds().items()}))

def known():
    return mounts.read().points
"""


def run(folder: Path, script: str) -> list[dict[bytes, Entry]]:
    """What *script* shows, a dictionary for each show(), paths without the folder's."""
    command = ["unshare", "-m", sys.executable, "-c", PRELUDE + script, os.fspath(folder)]
    environment = {**os.environ, "PYTHONPATH": os.fspath(CHECKOUT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    lines = [ast.literal_eval(line) for line in done.stdout.splitlines()]
    return [{path: Entry(kind) for path, kind in line.items()} for line in lines]


def test_submounts_are_named_whether_they_are_known_or_not(tmp_path: Path) -> None:
    """tmpfs, a directory bound from the same file system, and a bound file."""
    known, unknown = run(tmp_path, """
build(top, {"tree": {"tmp": {}, "again": {}, "own": {"f": b""}, "file": b"under"}, "x": b"over"})
mount(b"-t", b"tmpfs", b"none", top + b"/tree/tmp")
mount(b"--bind", top + b"/tree/own", top + b"/tree/again")
mount(b"--bind", top + b"/x", top + b"/tree/file")
show([top + b"/tree"], mount_points=known())
show([top + b"/tree"])
""")  # fmt: skip
    assert known == unknown
    assert known == {
        b"/tree/tmp": Entry.SUBMOUNT,
        b"/tree/again": Entry.SUBMOUNT,
        b"/tree/file": Entry.SUBMOUNT,
        b"/tree/own/f": Entry.FILE,
    }


def test_submounts_are_walked_when_they_are_roots(tmp_path: Path) -> None:
    (found,) = run(tmp_path, """
build(top, {"tree": {"again": {}, "own": {"f": b""}, "file": b"under"}, "x": b"over"})
mount(b"--bind", top + b"/tree/own", top + b"/tree/again")
mount(b"--bind", top + b"/x", top + b"/tree/file")
show([top + b"/tree/again", top + b"/tree/file"], mount_points=known())
""")  # fmt: skip
    assert found == {b"/tree/again/f": Entry.FILE, b"/tree/file": Entry.FILE}


def test_absolute_links_are_followed_within_a_mount_other_than_the_root(tmp_path: Path) -> None:
    (found,) = run(tmp_path, """
build(top, {"mnt": {}, "x": b""})
mount(b"-t", b"tmpfs", b"none", top + b"/mnt")
inside = top + b"/mnt"
build(inside, {"g": b"", "in": Symlink(inside + b"//g"), "out": Symlink(top + b"/x"), "d": {"f": b""},
               "top": Symlink(inside)})
show([inside + b"/d", inside], mount_points=known(), follow_symlinks=True)
""")  # fmt: skip
    assert found == {
        b"/mnt/g": Entry.FILE,
        b"/mnt/in": Entry.FILE,
        b"/mnt/out": Entry.SUBMOUNT,
        b"/mnt/d/f": Entry.FILE,
        b"/mnt/d": Entry.SEEN,
        b"/mnt/top": Entry.SEEN,
    }


def test_a_bound_directory_that_contains_itself_ends(tmp_path: Path) -> None:
    outer, inner = run(tmp_path, """
build(top, {"a": {"b": {"f": b""}}})
mount(b"--bind", top + b"/a", top + b"/a/b")
show([top + b"/a"], mount_points=known())
show([top + b"/a/b"], mount_points=known())
""")  # fmt: skip
    assert outer == {b"/a/b": Entry.SUBMOUNT}
    assert inner == {b"/a/b/b/f": Entry.FILE}


def test_a_new_proc_is_pseudo_and_a_new_tmpfs_is_not(tmp_path: Path) -> None:
    proc, tmpfs = run(tmp_path, """
build(top, {"p": {}, "t": {}})
mount(b"-t", b"proc", b"none", top + b"/p")
mount(b"-t", b"tmpfs", b"none", top + b"/t")
build(top + b"/t", {"f": b""})
show([top + b"/p"])
show([top + b"/t"])
""")  # fmt: skip
    assert proc == {b"/p": Entry.PSEUDO}
    assert tmpfs == {b"/t/f": Entry.FILE}


@pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="no /dev/fuse here")
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_a_dead_mount_is_not_touched(tmp_path: Path, known: bool) -> None:
    """A FUSE file system whose server never answers: whoever looks at it, even with stat, never comes back."""
    (found,) = run(tmp_path, f"""
build(top, {{"tree": {{"dead": {{}}, "f": b"", "link": Symlink("dead"), "below": Symlink(top + b"/tree/dead/x")}}}})
device = os.open("/dev/fuse", os.O_RDWR)
options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % device
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"none", top + b"/tree/dead", b"fuse", 0, options) != 0:
    raise OSError(ctypes.get_errno(), "mount")
show([top + b"/tree"], mount_points=known() if {known} else [], follow_symlinks=True, threads=2)
""")  # fmt: skip
    assert found == {
        b"/tree/dead": Entry.SUBMOUNT,
        b"/tree/f": Entry.FILE,
        b"/tree/link": Entry.SUBMOUNT,
        b"/tree/below": Entry.SUBMOUNT,
    }

"""Plan and mounts: roots become absolute, are grouped by mount, and nothing that may be dead is touched."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from kavfs.errors import SystemFailure
from kavfs.options import WalkOptions
from kavfs.walk import descriptors, mounts
from kavfs.walk.mounts import Mount, MountTable
from kavfs.walk.plan import Resolver, absolute, plan, resolve, shown_elsewhere
from tests.support.trees import Symlink, build

MOUNTINFO = rb"""22 27 0:21 / /proc rw,nosuid - proc proc rw
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw
40 27 0:50 / /mnt/a\040b\134\011\012c rw - nfs4 server:/x\040y rw
41 27 254:0 /srv/data /mnt/bind rw - ext4 /dev/vda rw
42 27 8:1 / /data rw propagate_from:3 - xfs /dev/sda1 rw
43 42 8:1 /sub /data/again rw - xfs /dev/sda1 rw
44 27 8:2 / /data rw - ext4 /dev/sda2 rw
"""


def table(*points: tuple[bytes, bytes]) -> MountTable:
    """Mounts from (point, type)."""
    named = ((b"/", b"ext4"), *points)
    return MountTable(Mount(i, 0, (9, i), b"/", point, kind, b"dev") for i, (point, kind) in enumerate(named))


def test_mountinfo_is_read_with_its_escapes() -> None:
    found = mounts.parse(MOUNTINFO)
    assert found.mounts[0] == Mount(22, 27, (0, 21), b"/", b"/proc", b"proc", b"proc", b"rw")
    assert found.mounts[2] == Mount(40, 27, (0, 50), b"/", b"/mnt/a b\\\t\nc", b"nfs4", b"server:/x y", b"rw")
    assert set(found.points) == {b"/proc", b"/", b"/mnt/a b\\\t\nc", b"/mnt/bind", b"/data", b"/data/again"}


@pytest.mark.parametrize(
    ("path", "point", "source"),
    [
        (b"/", b"/", b"/dev/vda"),
        (b"/data", b"/data", b"/dev/sda2"),  # the later one covers the earlier
        (b"/data/x/y", b"/data", b"/dev/sda2"),
        (b"/database", b"/", b"/dev/vda"),
        (b"/proc/1/fd", b"/proc", b"proc"),
    ],
)
def test_a_path_lies_on_the_longest_mount_point(path: bytes, point: bytes, source: bytes) -> None:
    mount = mounts.parse(MOUNTINFO).of(path)
    assert mount is not None
    assert (mount.point, mount.source) == (point, source)


def test_kinds_of_mounts() -> None:
    found = mounts.parse(MOUNTINFO)
    assert [m.pseudo for m in found.mounts] == [True, False, False, False, False, False, False]
    assert [m.local for m in found.mounts] == [False, True, False, True, True, True, True]


def test_a_bind_mount_is_known_to_show_what_is_elsewhere() -> None:
    found = mounts.parse(MOUNTINFO)
    bind, covered = found.at(b"/mnt/bind"), found.at(b"/data/again")
    assert bind is not None
    assert covered is not None
    assert found.elsewhere(bind) == (b"/srv/data",)
    assert found.elsewhere(covered) == ()  # its file system is hidden under another
    assert shown_elsewhere(bind, found, [b"/"])
    assert shown_elsewhere(bind, found, [b"/etc", b"/srv"])
    assert not shown_elsewhere(bind, found, [b"/srv/other", b"/mnt"])


def test_this_machine_has_a_readable_table() -> None:
    own = mounts.read().of(b"/proc/self")
    assert own is not None
    assert own.pseudo


@pytest.mark.parametrize("text", ["nonsense\n", "1 2 3 / / rw - ext4 x\n", "1 2 3:4 / / rw ext4 x y z\n"])
def test_a_table_that_is_none_is_a_failure_of_the_system(tmp_path: Path, text: str) -> None:
    (tmp_path / "mountinfo").write_text(text)
    with pytest.raises(SystemFailure, match="mountinfo"):
        mounts.read(str(tmp_path / "mountinfo"))
    with pytest.raises(SystemFailure, match="missing"):
        mounts.read(str(tmp_path / "missing"))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"/a/b", b"/a/b"),
        (b"x", b"/cwd/x"),
        (b"./x//y/", b"/cwd/x/y"),
        (b"", b"/cwd"),
        (b".", b"/cwd"),
        (b"/", b"/"),
        (b"//", b"/"),
        (b"/no/such/../x", b"/no/x"),
        (b"../x", b"/x"),
        (b"/..", b"/"),
        (b"\xff", b"/cwd/\xff"),
    ],
)
def test_paths_become_absolute(path: bytes, shown: bytes) -> None:
    assert absolute(path, b"/cwd", table()) == shown


def test_links_stay_in_a_path_unless_dots_follow(tmp_path: Path) -> None:
    top = os.path.realpath(build(tmp_path, {"real": {"in": {}}, "link": Symlink("real/in"), "f": b""}))
    assert absolute(b"link/x", top, table()) == top + b"/link/x"
    assert absolute(b"link/../x", top, table()) == top + b"/real/x"  # not top + b"/x"


def test_resolving_stops_where_a_mount_may_be_dead(tmp_path: Path) -> None:
    """Behind the point links are there to be read, and are not."""
    top = os.path.realpath(
        build(tmp_path, {"l": Symlink("mnt"), "mnt": {"in": Symlink("../d")}, "d": {}, "loop": Symlink("loop")})
    )
    dead, alive = table((top + b"/mnt", b"nfs4")), table((top + b"/mnt", b"xfs"))
    assert resolve(top + b"/l/in/x", dead) == top + b"/mnt/in/x"
    assert resolve(top + b"/l/in/x", alive) == top + b"/d/x"
    assert resolve(top + b"/loop/x", table()) == top + b"/loop/x"


def planned(found: MountTable, *roots: bytes, **options: object) -> list[tuple[bytes, ...]]:
    return [group.roots for group in plan(WalkOptions(roots, **options), found, b"/")]  # type: ignore[arg-type]


def test_many_paths_resolve_as_each_one_alone(tmp_path: Path) -> None:
    root = build(
        tmp_path / "tree",
        {
            "real": {"file": b"", "link": Symlink("file")},
            "to": Symlink("real"),
            "loop": Symlink("loop"),
            "dead": {},
        },
    )
    known = table((root + b"/dead", b"nfs4"))
    names = [
        b"real/file",
        b"real/link",
        b"to/file",
        b"to/link",
        b"to/none",
        b"loop/x",
        b"dead/to/x",
        b"dead",
        b"real/..",
    ]
    paths = [root + b"/" + name for name in names] + [b"/", b"/.."]
    resolver = Resolver(known)
    assert [resolver.real(path) for path in paths] == [resolve(path, known) for path in paths]
    assert [resolver.real(path) for path in paths] == [resolve(path, known) for path in paths]  # from memory


def test_roots_are_grouped_by_the_mount_they_really_lie_on(tmp_path: Path) -> None:
    top = os.path.realpath(
        build(tmp_path, {"a": {}, "b": {}, "nfs": {}, "to-nfs": Symlink("nfs/x"), "to-a": Symlink("a")})
    )
    found = table((top + b"/nfs", b"nfs4"))
    a, b, c, d = (top + n for n in (b"/to-nfs", b"/a", b"/nfs/y", b"/to-a"))
    assert planned(found, a, b, c, d) == [(a, c), (b, d)]


def test_a_root_inside_another_one_is_walked_with_it(tmp_path: Path) -> None:
    top = os.path.realpath(build(tmp_path, {"d": {"e": {"f": b""}, "l": Symlink("e")}, "mnt": {"x": {}}}))
    e = top + b"/d/e"
    assert planned(table(), e, top + b"/", e + b"/f", top) == [(top,)]
    assert planned(table(), e, e) == [(e,)]
    assert planned(table(), e, top + b"/d/e2") == [(e, top + b"/d/e2")]


def test_a_root_that_another_walk_would_not_reach_stays(tmp_path: Path) -> None:
    top = os.path.realpath(build(tmp_path, {"d": {"e": {"f": b""}, "l": Symlink("e")}, "mnt": {"x": {}}}))
    e, link, missing = top + b"/d/e", top + b"/d/l", top + b"/d/missing"
    assert planned(table(), top, link) == [(top, link)]
    assert planned(table(), top, link + b"/f") == [(top, link + b"/f")]
    assert planned(table(), top, missing) == [(top, missing)]
    assert planned(table((top + b"/mnt", b"xfs")), top, top + b"/mnt/x") == [(top,), (top + b"/mnt/x",)]
    assert planned(table(), top, e, recurse=False) == [(top, e)]
    assert planned(table(), top, e, exclude_dirs=(top + b"/d",)) == [(top, e)]
    assert planned(table(), top, e, exclude_masks=(b"*.x",)) == [(top, e)]
    status = os.stat(top + b"/d")
    assert planned(table(), top, e, stores=((status.st_dev, status.st_ino),)) == [(top, e)]


def test_descriptors_for_directories_leave_room_for_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        limit = descriptors.raise_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
        assert limit >= soft
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert descriptors.for_directories(1024, 2) + 2 * 64 < 1024
    assert descriptors.for_directories(100, 4) == 0
    assert descriptors.for_directories(1 << 30, 1) == 1 << 16

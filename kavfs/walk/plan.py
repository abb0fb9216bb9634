"""Plan: what the user named becomes absolute roots, grouped by the mount they lie on.

Nothing here touches a file system that may be dead: links are read on local mounts only, and behind the first mount
that is not local a path is taken as it is written. So a dead server blocks its own walker, not the planning.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from kavfs.options import WalkOptions
from kavfs.walk.mounts import Mount, MountTable, within

LINKS_MAX = 40  # as the kernel has it


class Group(NamedTuple):
    """Roots for one walker."""

    mount: Mount | None  # None: the table knows no root file system (a chroot)
    roots: tuple[bytes, ...]


def absolute(path: bytes, cwd: bytes, table: MountTable) -> bytes:
    """*path* as it is shown: absolute, without doubled or final slashes, links kept.

    Like os.path.abspath but for "..", which only the file system can answer where a link stands before it: the part up
    to the last ".." is resolved, the rest stays as it was written.
    """
    parts = _parts(os.path.join(cwd, path))
    if b".." not in parts:
        return b"/" + b"/".join(parts)
    climb = len(parts) - parts[::-1].index(b"..")
    base = resolve(b"/" + b"/".join(parts[:climb]), table)
    return os.path.join(base, *parts[climb:])


def resolve(path: bytes, table: MountTable) -> bytes:
    """The real path of an absolute *path*, as far as it can be told without asking a mount that is not local."""
    todo, here, links = _parts(path)[::-1], b"/", 0
    while todo:
        name = todo.pop()
        if name == b"..":
            here = os.path.dirname(here)
            continue
        step = os.path.join(here, name)
        mount = table.at(step)
        if mount is not None and not mount.local:
            return os.path.join(step, *todo[::-1])
        target = None if mount is not None else _read_link(step)
        if target is None:
            here = step
            continue
        links += 1
        if links > LINKS_MAX:
            return os.path.join(step, *todo[::-1])
        here = b"/" if target.startswith(b"/") else here
        todo += _parts(target)[::-1]
    return here


class Resolver:
    """resolve() for many paths: a folder is looked at once, however many of its files are named."""

    def __init__(self, table: MountTable) -> None:
        self._table = table
        self._folders: dict[bytes, tuple[bytes, bool]] = {}  # as named -> real path, and whether it may be asked

    def real(self, path: bytes) -> bytes:
        """What resolve() says."""
        folder, name = os.path.split(path)
        if name in (b"", b".", b".."):
            return resolve(path, self._table)
        if folder not in self._folders:
            base = resolve(folder, self._table)
            mount = self._table.of(base)
            self._folders[folder] = base, mount is None or mount.local
        base, local = self._folders[folder]
        step = os.path.join(base, name)
        if not local:
            return step
        return step if self._table.at(step) is None and _read_link(step) is None else resolve(path, self._table)


def plan(options: WalkOptions, table: MountTable, cwd: bytes) -> tuple[Group, ...]:
    """The roots of *options*, absolute, without those that another one covers, a group for each mount; the groups and
    the roots of each stand in the order in which they were named."""
    named = list(dict.fromkeys(absolute(root, cwd, table) for root in options.roots))
    resolver = Resolver(table)
    real = {root: resolver.real(root) for root in named}
    groups: dict[Mount | None, list[bytes]] = {}
    for root in named:
        if not _covered(root, real, options, table):
            groups.setdefault(table.of(real[root]), []).append(root)
    return tuple(Group(mount, tuple(roots)) for mount, roots in groups.items())


def shown_elsewhere(mount: Mount, table: MountTable, walked: Iterable[bytes]) -> bool:
    """Whether a submount is a bind mount of something that one of the *walked* real paths leads to anyway."""
    tops = tuple(walked)
    return any(within(path, top) and table.of(top) is table.of(path) for path in table.elsewhere(mount) for top in tops)


def _covered(root: bytes, real: dict[bytes, bytes], options: WalkOptions, table: MountTable) -> bool:
    """Whether the walk of another root sends all that *root* would, under the same paths. In doubt it does not: then
    both are walked, and each directory is listed by whoever comes first."""
    if not options.recurse or options.exclude_masks or options.exclude_dirs:
        return False
    mount = table.of(real[root])
    if mount is None or not mount.local:
        return False
    outer = os.path.dirname(root)
    while outer not in real:
        if outer == b"/":
            return False
        outer = os.path.dirname(outer)
    if outer == root or table.of(real[outer]) is not mount:
        return False
    below = os.path.relpath(root, outer)
    return real[root] == os.path.join(real[outer], below) and not _passes_store(real[outer], below, options)


def _passes_store(outer: bytes, below: bytes, options: WalkOptions) -> bool:
    """Whether one of our stores, which only a root of its own opens, stands on the way."""
    path = outer
    for part in _parts(below):
        path = os.path.join(path, part)
        try:
            found = os.lstat(path)
        except OSError:
            return True  # missing or unreadable: it stays a root, so that it is reported
        if (found.st_dev, found.st_ino) in options.stores:
            return True
    return False


def _parts(path: bytes) -> list[bytes]:
    return [part for part in path.split(b"/") if part not in (b"", b".")]


def _read_link(path: bytes) -> bytes | None:
    try:
        return os.readlink(path)
    except OSError:
        return None

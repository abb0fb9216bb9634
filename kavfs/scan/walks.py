"""Walks: what is to be walked, one file system for each walker, a few walkers at a time.

The user's roots are grouped by the mount they lie on; what a walker meets of other mounts is queued here and walked
after, each mount point once. Nothing here looks into a file system that may be dead: the mount table says where each
begins, so that a dead one costs its walker and not the coordinator.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from kavfs.errors import UsageError
from kavfs.model import Entry
from kavfs.options import WalkOptions
from kavfs.record import field, record
from kavfs.scan.control import Message, text_of
from kavfs.scan.lookups import Lookups
from kavfs.scan.resources import allowed_cpus
from kavfs.walk import mounts
from kavfs.walk.mounts import within
from kavfs.walk.plan import Resolver, plan, resolve, shown_elsewhere

AT_A_TIME = 4  # walkers; more would only make one disk seek more
THREADS = 4  # of each, unless the options say otherwise


class Walk(NamedTuple):
    """What one walker gets."""

    roots: tuple[bytes, ...]
    named: bool  # by the user: entered even when it is a pseudo file system
    mount: mounts.Mount | None = None  # on which all roots lie; None = not known


@record
class Walks:
    """The queue. ``options.roots`` is not looked at: roots come through add_named."""

    options: WalkOptions
    lookups: Lookups | None = None  # files that the stores know are not opened
    cold: bool = False  # say of each file whether it was in the page cache
    _queue: deque[Walk] = field(default_factory=deque)
    _named: tuple[bytes, ...] = ()  # roots, as walkers get them
    _tops: set[bytes] = field(default_factory=set)  # real paths that are walked or will be
    _table: mounts.MountTable | None = None

    @property
    def empty(self) -> bool:
        return not self._queue

    def add_named(self, roots: tuple[bytes, ...]) -> None:
        """Queue what the user named."""
        self._table = mounts.read()
        options = WalkOptions(
            roots=roots,
            recurse=self.options.recurse,
            exclude_masks=self.options.exclude_masks,
            exclude_dirs=self.options.exclude_dirs,
            stores=self.options.stores,
        )
        resolver = Resolver(self._table)
        for group in plan(options, self._table, _here(roots)):
            self._queue.append(Walk(group.roots, named=True, mount=group.mount))
            self._named += group.roots
            self._tops.update(map(resolver.real, group.roots))

    def add_mount(self, path: bytes) -> Entry | None:
        """Queue a mount that a walker met at *path*; else the kind of entry that it is to the user."""
        if self.options.one_file_system or self._table is None:
            return Entry.SUBMOUNT
        real = resolve(path, self._table)
        mount = self._table.at(real)
        if mount is None:
            return Entry.SUBMOUNT  # mounted since the scan began
        if mount.pseudo:
            return Entry.PSEUDO
        if real in self._tops or shown_elsewhere(mount, self._table, self._tops):
            return Entry.SEEN
        self._tops.add(real)
        self._queue.append(Walk((path,), named=False, mount=mount))
        return None

    def next(self, running: int) -> Walk | None:
        """What to start now that *running* walkers are under way."""
        return self._queue.popleft() if self._queue and running < AT_A_TIME else None

    def counting(self) -> Message:
        """What run_walker takes to count everything at and below what the user named, submounts included: they are
        found in the mount table here, because a walker that counts tells of none."""
        roots = (*self._named, *self._mounts_below())
        return {**self.setup(Walk(roots, named=True)), "count_only": True, "threads": 1}

    def _mounts_below(self) -> Iterator[bytes]:
        """The mounts that add_mount will queue, as far as the table tells."""
        if self._table is None or self.options.one_file_system or not self.options.recurse:
            return
        tops = set(self._tops)
        for point in self._table.points:
            mount = self._table.at(point)
            below = any(within(point, top) for top in self._tops) and point not in tops
            left_out = any(within(point, folder) for folder in self.options.exclude_dirs)
            if mount is None or mount.pseudo or not below or left_out or shown_elsewhere(mount, self._table, tops):
                continue
            tops.add(point)
            yield point

    def setup(self, walk: Walk) -> Message:
        """What run_walker takes."""
        options = self.options
        points = self._table.points if self._table else ()
        return {
            "roots": [text_of(root) for root in walk.roots],
            "exclude_masks": [text_of(mask) for mask in options.exclude_masks],
            "exclude_dirs": [text_of(folder) for folder in options.exclude_dirs],
            "mount_points": [text_of(point) for point in points],
            "stores": list(options.stores),
            "recurse": options.recurse,
            "follow_symlinks": options.follow_symlinks,
            "enter_pseudo": walk.named,
            "count_only": False,
            "cold": self.cold,
            "lookup": self.lookups.words(walk.mount, self._table) if self.lookups and self._table else None,
            "threads": options.threads or min(THREADS, allowed_cpus()),
        }

    def forget(self) -> None:
        """The next roots belong to another scan."""
        self._queue.clear()
        self._tops.clear()
        self._named = ()


def _here(roots: tuple[bytes, ...]) -> bytes:
    """The current directory, asked for only when a root is relative: it may be gone, or lie on a dead file system."""
    if all(root.startswith(b"/") for root in roots):
        return b"/"
    try:
        return os.getcwdb()
    except OSError as error:
        raise UsageError(f"the current directory cannot be found: {error.strerror}") from None

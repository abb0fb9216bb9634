"""Changes: everything that people, programs and accidents do to files between, during and after scans.

    world = World(random, sites)
    world.change()          one of KINDS, somewhere
    world.touched           inodes whose content any change since clear() may have altered

Names stay: a file of a given name is always there, whatever stands behind it. What it holds is told by reading it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.support.truth import HARMLESS, HEAD, MARK, content, is_evil

FOLDERS, FILES = 4, 100  # of each site
SIZES = (200, 200, 200, 4096, 9000)
WRITERS = 12  # that have a file open for writing at a time
REUSES = 20  # attempts to get an inode again

_EXCHANGE, _HERE = 2, -100
_libc = ctypes.CDLL(None, use_errno=True)


def exchange(a: bytes, b: bytes) -> None:
    """Two names, at one moment."""
    if _libc.renameat2(_HERE, a, _HERE, b, _EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), a)


@dataclass
class Site:
    """A mounted file system with our folders and files."""

    root: Path
    held: bool = True  # whether files may stay open, which an unmount would not survive

    def folder(self, number: int) -> bytes:
        return os.fsencode(self.root / f"folder-{number}")

    def path(self, random: Random) -> bytes:
        """The first ones more often: others rest, and are answered from the store until something happens at last."""
        number = int(FILES * random.random() ** 3)
        return os.path.join(self.folder(random.randrange(FOLDERS)), b"file-%d" % number)

    def paths(self) -> list[bytes]:
        return [os.path.join(self.folder(a), b"file-%d" % b) for a in range(FOLDERS) for b in range(FILES)]

    def grow(self, random: Random) -> None:
        for number in range(FOLDERS):
            os.mkdir(self.folder(number))
        for path in self.paths():
            with open(path, "wb") as file:
                file.write(content(random.randrange(10**6), random.random() < 0.2, random.choice(SIZES)))


@dataclass
class Writer:
    """Somebody who has a file open for writing, or only mapped."""

    inode: tuple[int, int]  # with its device; it may have no name any more
    fd: int = -1
    mapped: mmap.mmap | None = None

    @classmethod
    def begin(cls, path: bytes, only_mapped: bool) -> Writer:
        fd = os.open(path, os.O_RDWR)
        status = os.fstat(fd)
        inode = status.st_dev, status.st_ino
        if not only_mapped:
            return cls(inode, fd)
        mapped = mmap.mmap(fd, 0)
        os.close(fd)
        mapped[0] = mapped[0]  # the page is dirty from now on: stores need not change any time
        return cls(inode, mapped=mapped)

    def write(self, evil: bool) -> None:
        text = MARK if evil else HARMLESS
        if self.mapped is not None:
            self.mapped[HEAD : HEAD + len(text)] = text
        else:
            os.pwrite(self.fd, text, HEAD)

    def end(self) -> None:
        if self.mapped is not None:
            self.mapped.close()
        else:
            os.close(self.fd)


@dataclass
class World:
    """All sites, and who writes to them."""

    random: Random
    sites: list[Site]
    touched: set[tuple[int, int]] = field(default_factory=set)  # device, inode
    writers: list[Writer] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)  # how often each kind was done

    def grow(self) -> None:
        for site in self.sites:
            site.grow(self.random)

    def paths(self) -> list[bytes]:
        return [path for site in self.sites for path in site.paths()]

    def change(self) -> None:
        """Any kind, anywhere."""
        random = self.random
        site = random.choice(self.sites)
        path = site.path(random)
        kind = random.choice([one for one in KINDS if site.held or one not in HELD])
        self.touch(path)
        try:
            kind(self, site, path)
        finally:
            self.touch(path)
        self.done[kind.__name__] = self.done.get(kind.__name__, 0) + 1

    def touch(self, path: bytes) -> None:
        status = os.stat(path)
        self.touched.add((status.st_dev, status.st_ino))

    def new(self, path: bytes, size: int = 0) -> bytes:
        """Other content: what was looked for is gone, or is there now."""
        return content(self.random.randrange(10**6), not is_evil(path), size or os.stat(path).st_size)

    def aside(self, path: bytes) -> bytes:
        """A name in the same file system that no scan sees: beside the root of the site."""
        return os.path.join(os.path.dirname(path), b"..", b"..", b"aside")

    def close(self) -> None:
        while self.writers:
            self.writers.pop().end()


Change = Callable[[World, Site, bytes], None]

# ---- content ---------------------------------------------------------------------------------------------------------


def write(path: bytes, data: bytes, flags: int = 0) -> None:
    fd = os.open(path, os.O_WRONLY | flags, 0o644)
    try:
        os.pwrite(fd, data, 0)
    finally:
        os.close(fd)


def rewrite(world: World, site: Site, path: bytes) -> None:
    write(path, world.new(path))


def truncate_and_rewrite(world: World, site: Site, path: bytes) -> None:
    write(path, world.new(path, world.random.choice(SIZES)), os.O_TRUNC)


def write_twice(world: World, site: Site, path: bytes) -> None:
    """Mostly within one tick of the clock; whoever reads in between has read what was never there for long."""
    write(path, world.new(path))
    until = time.monotonic() + world.random.random() * 0.002
    while time.monotonic() < until:
        pass
    write(path, world.new(path))


def rewrite_and_date_back(world: World, site: Site, path: bytes) -> None:
    before = os.stat(path)
    write(path, world.new(path))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def map_and_store(world: World, site: Site, path: bytes) -> None:
    evil = not is_evil(path)
    writer = Writer.begin(path, only_mapped=True)
    writer.write(evil)
    writer.end()


def copy_range(world: World, site: Site, path: bytes) -> None:
    """Inside the kernel; where it can, the copy shares its blocks."""
    aside = world.aside(path)
    write(aside, world.new(path), os.O_CREAT | os.O_TRUNC)
    source, target = os.open(aside, os.O_RDONLY), os.open(path, os.O_WRONLY)
    try:
        os.copy_file_range(source, target, os.fstat(source).st_size)
    finally:
        os.close(source)
        os.close(target)
        os.unlink(aside)


def change_mode(world: World, site: Site, path: bytes) -> None:
    os.chmod(path, world.random.choice((0o600, 0o644, 0o755)))


def date_only(world: World, site: Site, path: bytes) -> None:
    day = 86400 * 10**9
    os.utime(path, ns=(0, os.stat(path).st_mtime_ns + world.random.choice((-day, -1, 1, day))))


# ---- names -----------------------------------------------------------------------------------------------------------


def rename_over(world: World, site: Site, path: bytes) -> None:
    """Another file with the size and the date of the one that was there."""
    before, aside = os.stat(path), world.aside(path)
    write(aside, world.new(path), os.O_CREAT | os.O_TRUNC)
    os.utime(aside, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.rename(aside, path)


def swap_links(world: World, site: Site, path: bytes) -> None:
    other = site.path(world.random)
    world.touch(other)
    if not os.path.samefile(path, other):
        exchange(path, other)


def link_to_another(world: World, site: Site, path: bytes) -> None:
    other, aside = site.path(world.random), world.aside(path)
    world.touch(other)
    if not os.path.samefile(path, other):  # rename does nothing between two names of one inode
        os.link(other, aside)
        os.rename(aside, path)


def swap_folders(world: World, site: Site, path: bytes) -> None:
    other = site.folder(world.random.randrange(FOLDERS))
    mine = os.path.dirname(path)
    if mine == other:
        return
    for name in range(FILES):
        world.touch(os.path.join(mine, b"file-%d" % name))
        world.touch(os.path.join(other, b"file-%d" % name))
    with suppress(OSError):  # an overlay does not rename folders of its lower layer
        exchange(mine, other)


def reuse_inode(world: World, site: Site, path: bytes) -> None:
    """Delete and create until the number comes back, with the date and the size of before."""
    before, data = os.stat(path), world.new(path)
    os.unlink(path)
    for attempt in range(REUSES):
        write(path, data, os.O_CREAT)
        if os.stat(path).st_ino == before.st_ino or attempt == REUSES - 1:
            break
        os.unlink(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def copy_archive(world: World, site: Site, path: bytes) -> None:
    """cp -a, with the date of another file."""
    other = site.path(world.random)
    if not os.path.samefile(path, other):
        subprocess.run(["cp", "-a", other, path], check=True)


# ---- writers that stay -----------------------------------------------------------------------------------------------


def begin_writing(world: World, site: Site, path: bytes) -> None:
    """One more that has it open during the next scans; the oldest goes."""
    world.writers.append(Writer.begin(path, only_mapped=world.random.random() < 0.5))
    if len(world.writers) > WRITERS:
        world.writers.pop(0).end()


def write_on(world: World, site: Site, path: bytes) -> None:
    """Somebody who had some file open before."""
    if world.writers:
        writer = world.random.choice(world.writers)
        world.touched.add(writer.inode)
        writer.write(world.random.random() < 0.5)


HELD: tuple[Change, ...] = (begin_writing, write_on)
KINDS: tuple[Change, ...] = (
    *HELD,
    rewrite,
    truncate_and_rewrite,
    write_twice,
    rewrite_and_date_back,
    map_and_store,
    copy_range,
    change_mode,
    date_only,
    rename_over,
    swap_links,
    link_to_another,
    swap_folders,
    reuse_inode,
    copy_archive,
)

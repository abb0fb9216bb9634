"""Layout: where a store keeps its items, and whom its folder may be trusted to."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress

from kavfs._native import action
from kavfs.action import seal
from kavfs.action.catalogue import Item

ITEMS = "items"  # quarantine and backups: items/<id>
FLAT = "flat"  # move: <name>.<id>.kavq
TREE = "tree"  # movePath: <path>/<name>.<id>.kavq

SUFFIX = b".kavq"
NAME_KEPT = 200  # bytes of a long name
LINKS_MAX = 40

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def file_of(layout: str, item: Item) -> bytes:
    """The file of a new item, below the store's folder."""
    if layout == ITEMS:
        return b"items/" + item.id.encode()
    folder, name = os.path.split(item.facts.place)
    file = name[:NAME_KEPT] + b"." + item.id.encode() + SUFFIX
    return os.path.join(folder.lstrip(b"/"), file) if layout == TREE else file


def stray(folder: int, known: Collection[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Files below *folder* that are items and not *known*, with their ids, whatever the layout: who opens a store with
    another one than it was written with must not take its items for nothing."""
    for here, names in _walk(folder):
        for name in names:
            file = os.path.join(here, name)
            if file in known or not (here == b"items" or name.endswith(SUFFIX)):
                continue
            if number := _number(folder, file):
                yield file, number


def make_folders(folder: int, path: bytes) -> None:
    """All folders of *path* below *folder*, 0700, each on disk before the next. No link is followed."""
    at = os.dup(folder)
    try:
        for name in filter(None, path.split(b"/")):
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=at)
            os.fsync(at)  # also for who was here before us and has not come so far
            following = os.open(name, _OPEN, dir_fd=at)
            os.close(at)
            at = following
    finally:
        os.close(at)


def open_trusted(path: bytes, *, create: bool = False) -> tuple[int, bytes]:
    """A descriptor of the folder *path*, and where it really is, when nobody but root and we can exchange it or write
    to it: that holds for each folder on the way, and for each link, before anything is made. *create*: missing folders
    are made, the last one 0700, and are on disk. Raises OSError that says what is wrong."""
    for _ in range(LINKS_MAX):
        names, real = [name for name in os.path.abspath(path).split(b"/") if name], b"/"
        at = os.open(b"/", _OPEN)
        try:
            while True:
                _trusted(os.fstat(at), real, last=not names)
                if not names:
                    fd, at = at, -1
                    return fd, real
                name = names.pop(0)
                following = _enter(at, name, 0o755 if names else 0o700, create)
                if following < 0:
                    path = os.path.join(real, _trusted_link(at, name, real), *names)
                    break
                os.close(at)
                at, real = following, os.path.join(real, name)
        finally:
            if at >= 0:
                os.close(at)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _enter(at: int, name: bytes, mode: int, create: bool) -> int:
    """The folder *name* in another; -1: that is no folder, but perhaps a link."""
    try:
        return os.open(name, _OPEN, dir_fd=at)
    except FileNotFoundError:
        if not create:
            raise
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        return -1
    with suppress(FileExistsError):
        os.mkdir(name, mode, dir_fd=at)
    os.fsync(at)
    return os.open(name, _OPEN, dir_fd=at)


def _trusted_link(at: int, name: bytes, folder: bytes) -> bytes:
    """Where a link leads that root or we have made: in /tmp others may have put it there."""
    status = os.stat(name, dir_fd=at, follow_symlinks=False)
    shown = os.fsdecode(os.path.join(folder, name))
    if not stat.S_ISLNK(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, f"{shown} is not a folder")
    if status.st_uid not in (0, os.geteuid()):
        raise OSError(errno.EPERM, f"{shown} is a link that user {status.st_uid} has made")
    return os.readlink(name, dir_fd=at)


def _trusted(status: os.stat_result, path: bytes, *, last: bool) -> None:
    us = os.geteuid()
    shown = os.fsdecode(path)
    if status.st_uid != us and (last or status.st_uid != 0):
        raise OSError(errno.EPERM, f"{shown} belongs to user {status.st_uid}")
    if status.st_mode & stat.S_ISVTX and not last:
        return
    group = status.st_mode & 0o020 and (us == 0 or last or status.st_uid != us)  # a user may share with his group
    if group or status.st_mode & 0o002:
        raise OSError(errno.EPERM, f"others may write to {shown}")


def _walk(folder: int) -> Iterator[tuple[bytes, list[bytes]]]:
    """Folders below *folder* and the names of files in them, links not followed."""
    waiting = [b""]
    while waiting:
        here = waiting.pop()
        try:
            fd = action.directory(folder, here or b".")
        except FileNotFoundError:
            continue
        try:
            names = [os.fsencode(name) for name in os.listdir(fd)]
            kinds = {name: os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode for name in names}
        finally:
            os.close(fd)
        waiting += [os.path.join(here, name) for name, mode in kinds.items() if stat.S_ISDIR(mode)]
        yield here, sorted(name for name, mode in kinds.items() if stat.S_ISREG(mode))


def _number(folder: int, file: bytes) -> bytes:
    """The id of an item by its head; b"": it is none."""
    path, name = os.path.split(file)
    parent = action.directory(folder, path or b".")
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    finally:
        os.close(parent)
    try:
        return seal.item_of(fd)
    finally:
        os.close(fd)

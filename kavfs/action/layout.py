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

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def file_of(layout: str, item: Item) -> bytes:
    """The file of a new item, below the store's folder."""
    if layout == ITEMS:
        return b"items/" + item.id.encode()
    folder, name = os.path.split(item.facts.place)
    file = name[:NAME_KEPT] + b"." + item.id.encode() + SUFFIX
    return os.path.join(folder.lstrip(b"/"), file) if layout == TREE else file


def stray(folder: int, layout: str, known: Collection[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Files below *folder* that are items and not *known*, with their ids."""
    top = b"items" if layout == ITEMS else b""
    for here, names in _walk(folder, top, deep=layout == TREE):
        for name in names:
            file = os.path.join(here, name)
            if file in known or (layout != ITEMS and not name.endswith(SUFFIX)):
                continue
            if number := _number(folder, file):
                yield file, number


def make_folder(path: bytes) -> None:
    """The folder of a store, 0700, and those above it, 0755, on disk."""
    above = os.path.dirname(path)
    if not os.path.isdir(above):
        _make(above, 0o755)
    _make(path, 0o700)


def _make(path: bytes, mode: int) -> None:
    above = os.path.dirname(path)
    if not os.path.isdir(above):
        _make(above, mode)
    with suppress(FileExistsError):
        os.mkdir(path, mode)
        fd = os.open(above, _OPEN)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


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


def open_trusted(path: bytes) -> int:
    """A descriptor of the folder *path*, absolute and without links, when nobody but root and we can exchange it or
    write to it. Raises OSError that says what is wrong."""
    at = os.open(b"/", _OPEN)
    try:
        names = [name for name in path.split(b"/") if name]
        for number in range(len(names) + 1):
            _trusted(os.fstat(at), b"/" + b"/".join(names[:number]), last=number == len(names))
            if number < len(names):
                following = os.open(names[number], _OPEN, dir_fd=at)
                os.close(at)
                at = following
        fd, at = at, -1
        return fd
    finally:
        if at >= 0:
            os.close(at)


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


def _walk(folder: int, top: bytes, *, deep: bool) -> Iterator[tuple[bytes, list[bytes]]]:
    """Folders below *folder* and the names of files in them, links not followed."""
    waiting = [top]
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
        if deep:
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

"""Vault: the folder of a store: its key, its catalogue, and whom it may be trusted to.

    kavfs.key        32 random bytes, 0600: the key of the items' keys; locked shared by users, alone by who tidies up
    kavfs.catalogue  what is there: catalogue.py
    kavfs.store      by which a scan knows the folder that no configuration names (see `_mark`)
    items/<id>       layout ITEMS; in FLAT (move) it is <name>.<id>.kavq, in TREE (movePath) <path>/<name>.<id>.kavq

Whoever can exchange the folder could have root write where he wants. So every folder above must belong to root or to
us, and none may be open to others' writing unless it is sticky.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from kavfs._native import action
from kavfs.action import seal
from kavfs.action.catalogue import Catalogue, from_told
from kavfs.action.layout import ITEMS, make_folders, open_trusted, stray
from kavfs.action.place import Parent
from kavfs.errors import SystemFailure

KEY = b"kavfs.key"
CATALOGUE = b"kavfs.catalogue"
MARK = b"kavfs.store"
TOLD_MAX = 1 << 24  # bytes of an item's own words

_MASKED = threading.Lock()  # the umask is that of all threads: two that change it at once would leave the wrong one


class Vault:
    """The folder, opened, until close(). Missing folders are made, unless not *create*: FileNotFoundError. Raises
    SystemFailure when it cannot be used, and then says why."""

    def __init__(self, folder: bytes, *, layout: str = ITEMS, create: bool = True) -> None:
        self.path = os.path.abspath(folder)
        self.layout = layout
        self.fd = self._key_fd = -1
        self._catalogue: Catalogue | None = None
        if not create and not os.path.isdir(self.path):
            raise FileNotFoundError(self.path)
        try:
            with self._usable():
                self.fd, self.path = open_trusted(self.path, create=create)
                self._key_fd, self.key = self._open_key()
                fcntl.flock(self._key_fd, fcntl.LOCK_SH)
                self._open_catalogue()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """May be called twice."""
        if self._catalogue is not None:
            self._catalogue.close()
            self._catalogue = None
        for fd in (self.fd, self._key_fd):
            if fd >= 0:
                os.close(fd)
        self.fd = self._key_fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def catalogue(self) -> Catalogue:
        if self._catalogue is None:
            raise ValueError("the store is closed")
        return self._catalogue

    # -- the folder --------------------------------------------------------------------------------------------------

    @property
    def shown(self) -> str:
        """The folder in a message."""
        return shown(self.path)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise SystemFailure(f"the store {self.shown} cannot be used: {text_of(error)}") from None

    @contextmanager
    def parent(self, folder: bytes, *, make: bool = False) -> Iterator[Parent]:
        """A folder of the store, to act in."""
        if make:
            make_folders(self.fd, folder)
        parent = Parent(folder or b".", self.fd)
        try:
            yield parent
        finally:
            parent.close()

    def unlink(self, file: bytes) -> None:
        """A file of the store goes; it may have gone already."""
        folder, name = os.path.split(file)
        with suppress(FileNotFoundError), self.parent(folder) as parent:
            os.unlink(name, dir_fd=parent.fd)
            os.fsync(parent.fd)

    def _open_key(self) -> tuple[int, bytes]:
        """Made once and for all: on disk, with its folder, before anything is written with it."""
        for _ in range(2):
            with suppress(FileNotFoundError):
                fd = os.open(KEY, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.fd)
                secret, status = os.pread(fd, seal.KEY + 1, 0), os.fstat(fd)
                if len(secret) == seal.KEY and status.st_uid == os.geteuid() and not status.st_mode & 0o077:
                    return fd, secret
                os.close(fd)
                raise SystemFailure(f"the key of the store {self.shown} is damaged or open to others")
            if next(stray(self.fd, set()), None) is not None:
                raise SystemFailure(f"the store {self.shown} has lost its key {os.fsdecode(KEY)}")
            if set(os.listdir(self.fd)) <= {os.fsdecode(MARK)}:
                self._mark()
            with self.parent(b"") as parent:
                fd = parent.temp_file()
                try:
                    seal.write(fd, os.urandom(seal.KEY))
                    with suppress(FileExistsError):  # another process was quicker: its key is ours too
                        parent.publish(fd, KEY)
                finally:
                    os.close(fd)
        raise SystemFailure(f"the key of the store {self.shown} cannot be made")

    def _mark(self) -> None:
        """Have walkers know the folder, which is ours alone as long as it is new and empty: the sticky bit, which means
        nothing where others cannot write, has them look for the mark (`ext/walk/marked.c`). It holds what no copy and
        nothing unpacked can have. Without a time of birth there is none: a configuration has to name the folder."""
        born = action.born(self.fd)
        if born is None:
            return
        status = os.fstat(self.fd)
        with self.parent(b"") as parent, suppress(FileExistsError):
            fd = parent.temp_file()
            try:
                seal.write(fd, b"kavfs store %d %d\n" % (status.st_ino, born))
                parent.publish(fd, MARK)
            finally:
                os.close(fd)
        os.fchmod(self.fd, stat.S_IMODE(status.st_mode) | stat.S_ISVTX)

    def _open_catalogue(self) -> None:
        path = os.path.join(self.path, CATALOGUE)
        with _MASKED:
            before = os.umask(0o077)
            try:
                self._catalogue = Catalogue(path)
            finally:
                os.umask(before)
        if not stat.S_ISREG(os.stat(CATALOGUE, dir_fd=self.fd, follow_symlinks=False).st_mode):
            raise SystemFailure(f"the catalogue of the store {self.shown} is not a file")
        if not self._catalogue.complete:
            self._rebuild()
            self._catalogue.complete = True

    def _rebuild(self) -> None:
        """A catalogue that is new, because the store is or because the old one was lost, gets what the items say of
        themselves."""
        for file, number in stray(self.fd, set()):
            with suppress(seal.Damaged, ValueError, sqlite3.IntegrityError), self.opened(file) as fd:
                text, content = split(seal.opened(self.key, number, fd))
                digest = hashlib.sha256()
                for piece in content:
                    digest.update(piece)
                self.catalogue.add(from_told(text, number.hex(), file, digest.digest()))

    @contextmanager
    def opened(self, file: bytes) -> Iterator[int]:
        """A file of the store, open for reading."""
        folder, name = os.path.split(file)
        with self.parent(folder) as parent:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent.fd)
        try:
            yield fd
        finally:
            os.close(fd)

    def tidy(self) -> None:
        """Remove what has no row, if nobody else is at work: between its file and its row an item looks the same."""
        try:
            fcntl.flock(self._key_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            fcntl.flock(self._key_fd, fcntl.LOCK_SH)  # a lock that cannot be changed is lost
            return
        try:
            known = {item.file for item in self.catalogue.items()}
            for file, _ in list(stray(self.fd, known)):
                self.unlink(file)
        finally:
            fcntl.flock(self._key_fd, fcntl.LOCK_SH)


def split(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The item's own words and its content. Raises Damaged."""
    head = bytearray()
    for piece in pieces:
        head += piece
        length = 4 + int.from_bytes(head[:4], "big") if len(head) >= 4 else 4
        if length > TOLD_MAX:
            break
        if len(head) >= length:
            return bytes(head[4:length]), _and_then(bytes(head[length:]), pieces)
    raise seal.Damaged("it does not begin with words of its own")


def _and_then(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def text_of(error: Exception) -> str:
    """Why, in words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def shown(path: bytes) -> str:
    """A path in a message."""
    return os.fsdecode(path)

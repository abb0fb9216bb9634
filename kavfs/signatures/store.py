"""Store: the compiled signatures in a state folder. Whole files appear by rename; none is ever changed in place.

    STATE/segments/<digest>.bin    one database file compiled; <digest>.json: what became of its lines
    STATE/segments/<digest>.lines  the lines that were taken into it, as digests
    STATE/groups/<digest>.bin      matcher over the literals of one or several segments
    STATE/images/<digest>.json     catalog of the image of one set of paths
    STATE/images/<digest>.lock     held while that image is renewed
    STATE/deltas/<digest>.bin      table of what is new since older generations
    STATE/history.json             the older generations, see history.py; .lock beside it while it is written
    STATE/lock                     held shared while renewing, alone while sweeping

A file's name is the digest of everything it was made from, so two processes that make the same file make the same
bytes, and what a killed one left behind is only unused. Sweeping removes what no catalog names.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator

from kavfs.errors import SystemFailure
from kavfs.signatures.catalog import Catalog, Part, stamp
from kavfs.signatures.sources import Identity

FOLDERS = ("segments", "groups", "deltas", "images")
TEMPORARY = ".new-"

# Whoever may write here decides what is found: no mask of the caller's (0 in some daemons) may open it to others.
FOLDER_MODE = 0o755
FILE_MODE = 0o644


class Store:
    """One state folder. Holds no descriptor between calls."""

    def __init__(self, folder: bytes) -> None:
        self.folder = folder

    def path(self, *names: str) -> bytes:
        return os.path.join(self.folder, *(name.encode() for name in names))

    def prepare(self) -> None:
        """Make the folders; SystemFailure where that is not allowed."""
        with self._explained():
            for path in (self.folder, *(self.path(name) for name in FOLDERS)):
                os.makedirs(path, FOLDER_MODE, exist_ok=True)

    # -- files ---------------------------------------------------------------------------------------------------

    def open(self, kind: str, key: str) -> int | None:
        """A descriptor of a part, None when it is not there."""
        return self.open_file(kind, f"{key}.bin")

    def open_file(self, kind: str, name: str) -> int | None:
        """A descriptor of a file, None when it is not there."""
        try:
            return os.open(self.path(kind, name), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as why:
            raise self._failure(why) from None

    def part(self, kind: str, key: str) -> Part:
        """How a part that is there stands in a catalog."""
        with self._explained():
            status = os.stat(self.path(kind, f"{key}.bin"))
        return Part(key, kind, status.st_size, Identity.of(status))

    def has(self, kind: str, name: str) -> bool:
        return os.path.exists(self.path(kind, name))

    def size(self, kind: str, name: str) -> int:
        """Bytes of a file; 0 when it is not there."""
        try:
            return os.stat(self.path(kind, name)).st_size
        except OSError:
            return 0

    def read(self, kind: str, name: str) -> bytes | None:
        """A small file whole, None when it is not there."""
        try:
            with open(self.path(kind, name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as why:
            raise self._failure(why) from None

    def write(self, kind: str, name: str, data: bytes) -> None:
        """Put a file in place, wholly on disk or not at all."""
        with self._explained():
            temporary = self.path(kind, f"{TEMPORARY}{os.getpid()}-{name}")
            try:
                with open(temporary, "wb", buffering=0, opener=_opener) as file:
                    write_all(file.fileno(), data, 0)
                    os.fsync(file.fileno())
                os.rename(temporary, self.path(kind, name))
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
            sync_folder(self.path(kind))

    def side(self, key: str) -> bytes | None:
        """The side file of a segment."""
        return self.read("segments", f"{key}.json")

    # -- catalogs ------------------------------------------------------------------------------------------------

    def catalog(self, image: str) -> Catalog | None:
        """The catalog of an image, None when there is none that can be used here."""
        data = self.read("images", f"{image}.json")
        catalog = Catalog.from_bytes(data) if data else None
        return catalog if catalog and catalog.stamp == stamp() else None

    # -- locks ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def renewing(self, image: str, *, wait: bool) -> Iterator[bool]:
        """Hold the lock of one image; yields False when another process has it and *wait* is False."""
        with self._lock("lock", fcntl.LOCK_SH), self._lock(f"images/{image}.lock", fcntl.LOCK_EX, wait=wait) as mine:
            yield mine

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold a lock beside a file that several processes change."""
        with self._lock(name, fcntl.LOCK_EX):
            yield

    def sweep(self, kept: Callable[[Store], set[str]]) -> None:
        """Remove what no catalog names, nor *kept*. Does nothing while any process renews an image here."""
        with self._explained(), self._lock("lock", fcntl.LOCK_EX, wait=False) as alone:
            if not alone:
                return
            used = kept(self)
            for name in os.listdir(self.path("images")):
                image, _, ending = os.fsdecode(name).rpartition(".")
                catalog = self.catalog(image) if ending == "json" else None
                if catalog and any(os.path.lexists(entry.path) for entry in catalog.entries):
                    used.add(f"images/{image}.json")
                    used.update(f"{part.kind}/{part.key}.bin" for part in catalog.every_part)
                    used.update(f"segments/{part.key}.json" for part in catalog.every_part)
                    used.update(f"segments/{entry.side}.json" for entry in catalog.entries)
                    used.update(f"segments/{entry.key}.lines" for entry in catalog.entries)
                    used.update(f"segments/{key}.lines" for entry in catalog.entries for key, _ in entry.segments)
            self._remove_all_but(used)

    def _remove_all_but(self, used: set[str]) -> None:
        for name in os.listdir(self.folder):
            if name.startswith(TEMPORARY.encode()):  # a history that a killed process did not finish
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(self.folder, name))
        for folder in FOLDERS:
            for name in os.listdir(self.path(folder)):
                if f"{folder}/{os.fsdecode(name)}" not in used:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(os.path.join(self.path(folder), name))

    @contextlib.contextmanager
    def _lock(self, name: str, how: int, *, wait: bool = True) -> Iterator[bool]:
        with self._explained():
            lock = os.open(self.path(*name.split("/")), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            try:
                fcntl.flock(lock, how if wait else how | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(lock)

    # -- errors --------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as why:
            raise self._failure(why) from None

    def _failure(self, why: OSError) -> StateFailure:
        place = os.fsdecode(self.folder)
        if why.errno in (errno.ENOSPC, errno.EDQUOT):
            return StateFailure(f"no room left for compiled signatures in the state folder {place}", why.errno)
        return StateFailure(f"the state folder {place} cannot be used: {why.strerror}", why.errno)


class StateFailure(SystemFailure):
    """The state folder refuses; ``closed`` tells whether it is only that nothing may be written there."""

    def __init__(self, text: str, number: int | None) -> None:
        super().__init__(text)
        self.closed = number in (errno.EACCES, errno.EPERM, errno.EROFS)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags, FILE_MODE)


def write_all(fd: int, data: bytes, at: int) -> None:
    """Write all of *data* at an offset: one call may write less, and takes 2 GiB at most."""
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, at)
        view, at = view[done:], at + done


def sync_folder(folder: bytes) -> None:
    """Make renames in a folder last."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

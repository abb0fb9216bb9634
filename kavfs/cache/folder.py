"""Folder: STATE/cache, which holds all stores and belongs to one user alone.

    key             32 random bytes: every checksum and every name in the stores is made with them
    files           iChecker: what is remembered of whole files
    objects         level 2 of the object cache
    settings.json   settings that scans had lately
    journal-*       what interrupted scans had done
    NAME.lock       held by who writes NAME

Whoever can write here can make anything clean. So a folder of another user, or one that others may write to, is never
used. A scan holds a shared lock on the key as long as it lasts; who removes stores takes it alone. Nobody waits for a
lock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterable
from contextlib import suppress

KEY = "key"
FILES = "files"
OBJECTS = "objects"
SETTINGS = "settings.json"
JOURNAL = "journal-"  # and a name

SECRET = 32  # bytes; KAV_SECRET in ext/cache/place.h
DAMAGED = ".damaged-"  # and a time; one of each store is kept
TEMPORARY = ".new-"

_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_GROUP_OR_OTHERS = 0o077
_WRITABLE = 0o022


class Refused(Exception):
    """The folder cannot be used; str() says why."""


class Folder:
    """The folder, opened, with its secret; two descriptors until close(). Raises Refused or OSError when made.

    *create*: make what is missing; without it a missing folder is FileNotFoundError.
    *alone*: nobody else may use the folder meanwhile; Refused when somebody does.
    """

    def __init__(self, state: bytes, *, create: bool = True, alone: bool = False) -> None:
        self.path = os.path.join(state, b"cache")
        self.notes: list[str] = []
        self._lock = -1
        if create:
            os.makedirs(state, 0o755, exist_ok=True)
            with suppress(FileExistsError):
                os.mkdir(self.path, 0o700)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _trusted(os.fstat(self.fd))
            self._lock, self.secret = self._open_key(create)
            _lock(self._lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """May be called twice."""
        for fd in (self.fd, self._lock):
            if fd >= 0:
                os.close(fd)
        self.fd = self._lock = -1

    # -- files -------------------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        return sorted(os.listdir(self.fd))

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """A descriptor of a file that is ours alone; OSError when it is not there or is something else."""
        fd = os.open(name, flags | _OPEN, 0o600, dir_fd=self.fd)
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & _GROUP_OR_OTHERS:
            return fd
        os.close(fd)
        raise OSError(errno.EPERM, "not a file of ours alone")

    def read(self, name: str, most: int) -> bytes:
        """The bytes of a small file; b"" when it is not there, too long or cannot be read."""
        try:
            fd = self.open(name)
        except OSError:
            return b""
        try:
            data = os.read(fd, most + 1)
        except OSError:
            return b""
        finally:
            os.close(fd)
        return data if len(data) <= most else b""

    def write(self, name: str, data: bytes, *, replace: bool = True) -> None:
        """Put a small file in place whole, or not at all. What is not to be replaced (FileExistsError) is on disk
        then, for it is there once and for all."""
        temporary = f"{name}{TEMPORARY}{os.getpid()}-{os.urandom(4).hex()}"
        fd = self.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            try:
                if os.write(fd, data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if not replace:
                    os.fsync(fd)
            finally:
                os.close(fd)
            if replace:
                os.rename(temporary, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
            else:
                os.link(temporary, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=self.fd)

    def set_aside(self, name: str, why: str, judged: int = -1) -> str:
        """Rename a store that cannot be used, for whoever wants to look at it; the text of a warning, "" when another
        process has done so already. *judged* is the descriptor of what was found wanting. Raises OSError."""
        if judged >= 0 and not _same(os.fstat(judged), self._status(name)):
            return ""
        for old in self.names():
            if old.startswith(name + DAMAGED):
                os.unlink(old, dir_fd=self.fd)
        aside = name + DAMAGED + time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        try:
            os.rename(name, aside, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except FileNotFoundError:
            return ""
        return f"the cache file {self.show(name)} {why}; it is kept as {aside} and begun anew"

    def size(self, name: str) -> int:
        """Bytes on disk of a file, 0 when it is not there."""
        status = self._status(name)
        return status.st_blocks * 512 if status is not None else 0

    def show(self, name: str) -> str:
        return os.fsdecode(os.path.join(self.path, os.fsencode(name)))

    def _status(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    # -- the key -----------------------------------------------------------------------------------------------------

    def _open_key(self, create: bool) -> tuple[int, bytes]:
        """Descriptor and bytes of the key that all processes have."""
        found = self._read_key()
        if found is None and create:
            with suppress(FileExistsError):  # another process was quicker: its key is ours too
                self.write(KEY, os.urandom(SECRET), replace=False)
            found = self._read_key()
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        fd, secret = found
        if len(secret) == SECRET:
            return fd, secret
        os.close(fd)
        if not create:
            raise Refused("its key is damaged; the next scan begins the cache anew")
        self._begin_anew()
        found = self._read_key()
        if found is None or len(found[1]) != SECRET:
            raise Refused("its key cannot be made")
        return found

    def _read_key(self) -> tuple[int, bytes] | None:
        """None: there is no key. b"" as its bytes: what stands there cannot be used."""
        try:
            fd = self.open(KEY)
        except FileNotFoundError:
            return None
        except OSError:
            return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), b""
        try:
            secret = os.read(fd, SECRET + 1)
        except OSError:
            secret = b""
        return fd, secret if len(secret) == SECRET else b""

    def _begin_anew(self) -> None:
        """Nothing that was written with a key that is lost can be read: all of it is set aside."""
        _lock(self.fd, fcntl.LOCK_EX)  # one process alone, so that the key that it makes is not set aside by the next
        try:
            found = self._read_key()
            if found is not None:
                os.close(found[0])
                if len(found[1]) == SECRET:
                    return
                if note := self.set_aside(KEY, "is damaged"):
                    self.notes.append(note)
            for name in stores_in(self.names()):
                self.set_aside(name, "was written with it")
            with suppress(FileExistsError):
                self.write(KEY, os.urandom(SECRET), replace=False)
        finally:
            fcntl.flock(self.fd, fcntl.LOCK_UN)


def removable(names: Iterable[str]) -> list[str]:
    """Everything that is ours but the key: stores, their locks, and what was set aside or left half-written."""
    stems = (FILES, OBJECTS, SETTINGS)
    return [
        name for name in names if name.startswith((JOURNAL, *(f"{stem}." for stem in (*stems, KEY)))) or name in stems
    ]


def stores_in(names: Iterable[str]) -> list[str]:
    """Those that are stores in use, without the key."""
    return [name for name in names if _is_store(name) and DAMAGED not in name and TEMPORARY not in name]


def _is_store(name: str) -> bool:
    return name in (FILES, OBJECTS, SETTINGS) or name.startswith(JOURNAL)


def _trusted(status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise Refused(f"it belongs to user {status.st_uid}, and we are {os.geteuid()}")
    if status.st_mode & _WRITABLE:
        raise Refused("others than its owner may write to it")


def _lock(fd: int, how: int) -> None:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refused("another process is using it" if how == fcntl.LOCK_EX else "it is being cleared") from None
    except OSError as error:
        raise Refused(f"files cannot be locked there: {error.strerror}") from None


def _same(one: os.stat_result, other: os.stat_result | None) -> bool:
    return other is not None and (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)

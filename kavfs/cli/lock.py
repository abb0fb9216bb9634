"""Lock: two scans of one job never overlap (``kavscanner --lock NAME``).

A lock is held by an open file (flock), so it ends with its process, however that ends. Children must not inherit it:
it is taken after the fork server was started. The file stays when the lock has gone: to remove it would let two scans
lock two files of one name.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from kavfs.errors import SystemFailure, UsageError
from kavfs.report.names import shown_text

_NAME = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
_PID = 20  # digits and a line's end


@contextmanager
def held(name: bytes, state: bytes) -> Iterator[None]:
    """The lock *name*: a word, whose file lies in the folder of *state*, or a file's path. SystemFailure if another
    process holds it, UsageError if there can be no such lock. b"" locks nothing."""
    if not name:
        yield
        return
    fd = _opened(_place(name, state), name)
    try:
        _lock(fd, name)
        yield
    finally:
        os.close(fd)


def checked(name: bytes) -> bytes:
    """*name* if it can be a lock's; else ValueError."""
    if b"/" not in name and not _NAME.fullmatch(name):
        raise ValueError(f"'{_shown(name)}' is no name: letters, digits and . _ - @, or a path with a /")
    return name


def _place(name: bytes, state: bytes) -> bytes:
    if b"/" in name:
        return name
    folder = os.path.join(state, b"locks")
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
    except OSError as error:
        raise SystemFailure(f"cannot make the folder of locks {_shown(folder)}: {error.strerror}") from None
    return os.path.join(folder, name + b".lock")


def _opened(path: bytes, name: bytes) -> int:
    """The lock's file. It is never emptied, and a link or anything else but a file is refused: it may lie where others
    can write."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        why = "is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise UsageError(f"option --lock: cannot open {_shown(path)}: {why}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UsageError(f"option --lock: {_shown(path)} is not a file")
    return fd


def _lock(fd: int, name: bytes) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SystemFailure(f"another scan{_holder(fd)} holds the lock {_shown(name)}; nothing was scanned") from None
    except OSError as error:
        raise UsageError(f"option --lock: {_shown(name)} cannot be locked: {error.strerror}") from None
    if _holds_a_number(fd):  # only for the message above: a full disk must not stop a scan
        with suppress(OSError):
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)


def _holds_a_number(fd: int) -> bool:
    """Whether the file is empty or holds what we write: anything else is somebody's, and stays as it is."""
    return os.fstat(fd).st_size <= _PID and bool(re.fullmatch(rb"(\d+\n)?", os.pread(fd, _PID + 1, 0)))


def _holder(fd: int) -> str:
    found = os.pread(fd, _PID + 1, 0)
    return f" (process {found.decode().strip()})" if re.fullmatch(rb"\d+\n", found) else ""


def _shown(path: bytes) -> str:
    return shown_text(path.decode("utf-8", "surrogateescape"))

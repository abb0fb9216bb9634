"""Outputs: descriptors that reports write to, for which a full disk or a closed pipe is news and not the end.

The first failure is handed to the function given, once; everything after it is dropped. So a report can be lost, and
the administrator hears of it, but never the scan.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable

_BUFFER = 64 * 1024  # bytes that wait for a flush

Failed = Callable[["Output", OSError], None]


class Output:
    """A descriptor with a buffer. Not for several threads."""

    def __init__(self, fd: int, name: str, failed: Failed, owned: bool = True) -> None:
        """*name* is for messages; the descriptor is closed by close() if it is *owned*."""
        self.fd = fd
        self.name = name
        self.failure: OSError | None = None
        self._failed = failed
        self._owned = owned
        self._waiting: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Takes *data*; writes when enough of it has come together."""
        if self.failure is not None:
            return
        self._waiting.append(data)
        self._size += len(data)
        if self._size >= _BUFFER:
            self.flush()

    def flush(self) -> None:
        """Writes what waits."""
        if not self._size or self.failure is not None:
            return
        data = memoryview(b"".join(self._waiting))
        self._waiting.clear()
        self._size = 0
        try:
            while data:
                data = data[self._write_some(data) :]
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Writes what waits and closes. NFS tells of a full disk only here."""
        self.flush()
        if not self._owned:
            return
        self._owned = False
        try:
            os.close(self.fd)
        except OSError as error:
            if self.failure is None:
                self._fail(error)

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self.fd, data)
        except BlockingIOError:  # somebody made our standard output non-blocking: it is shared with other programs
            poll = select.poll()
            poll.register(self.fd, select.POLLOUT)
            poll.poll()
            return 0

    def _fail(self, error: OSError) -> None:
        self.failure = error
        self._waiting.clear()
        self._size = 0
        self._failed(self, error)


def open_output(path: bytes, failed: Failed, append: bool = False, mode: int = 0o600) -> Output:
    """Opens a report for writing; OSError when that cannot be done.

    A symbolic link at *path* is refused: reports are often kept where others may write, and a link left there would let
    them choose which file root writes to. A FIFO without a reader is refused too instead of waiting for one. A file
    that is made here has *mode*, whatever the umask is.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    flags |= os.O_APPEND if append else os.O_TRUNC
    try:
        fd = os.open(path, flags | os.O_EXCL, mode & 0o600)
    except FileExistsError:
        fd = os.open(path, flags, mode)
    else:
        os.fchmod(fd, mode)
    os.set_blocking(fd, True)
    return Output(fd, path.decode("utf-8", "backslashreplace"), failed)

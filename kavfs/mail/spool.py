"""Spool: where the content of one message lies while it is with us; in memory if small, else in a file without a name.

It need not outlive us: until the next hop has taken the message, the previous one keeps it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

IN_MEMORY = 1 << 20
CHUNK = 1 << 18


class Spool:
    """Written once from start to end, then read. Lines end with CRLF, dots are unstuffed. Raises OSError."""

    def __init__(self, folder: bytes = b"/var/tmp", in_memory: int = IN_MEMORY) -> None:
        self.fd = -1
        self._folder = folder
        self._in_memory = in_memory
        self._on_disk = False
        self.size = 0
        self.fd = os.memfd_create("message", os.MFD_CLOEXEC)

    def write(self, data: bytes) -> None:
        if not self._on_disk and self.size + len(data) > self._in_memory:
            self.move()
        view = memoryview(data)
        while view:
            done = os.pwrite(self.fd, view, self.size)
            self.size += done
            view = view[done:]

    def move(self) -> None:
        """Onto disk, as what is large is: also where another process is going to write it."""
        if self._on_disk:
            return
        fd = nameless(self._folder)
        try:
            at = 0
            while at < self.size:
                at += os.sendfile(fd, self.fd, at, self.size - at)
        except BaseException:
            os.close(fd)
            raise
        os.close(self.fd)
        self.fd, self._on_disk = fd, True

    def chunks(self) -> Iterator[bytes]:
        """The content. Raises OSError where it cannot be read, or has become shorter."""
        at = 0
        while at < self.size:
            data = os.pread(self.fd, min(CHUNK, self.size - at), at)
            if not data:
                raise OSError("the spooled message is shorter than it was")
            at += len(data)
            yield data

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    __del__ = close  # what was cancelled on its way costs no descriptor


def nameless(folder: bytes) -> int:
    """A descriptor of a new file that nobody can find. Raises OSError."""
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:  # not every file system can; one that is full or missing says so again
        fd, name = tempfile.mkstemp(dir=folder)
        os.unlink(name)
        return fd

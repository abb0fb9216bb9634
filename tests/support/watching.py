"""Watching: what happens to a file as the kernel tells it (inotify), so that a test can act at that moment."""

from __future__ import annotations

import ctypes
import os
import select

IN_ACCESS = 0x1
IN_OPEN = 0x20

_libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """Waits for the first event of a kind on one path; use it in a with statement."""

    def __init__(self, path: os.PathLike[str] | bytes, events: int) -> None:
        self._fd = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0 or _libc.inotify_add_watch(self._fd, os.fsencode(path), events) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def wait(self, seconds: float = 60) -> None:
        """Return at the first event; TimeoutError without one."""
        ready, _, _ = select.select([self._fd], [], [], seconds)
        if not ready:
            raise TimeoutError("nothing happened to the file")
        os.read(self._fd, 4096)

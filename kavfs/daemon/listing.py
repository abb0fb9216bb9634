"""Listing: the names in folders that clients name, read by threads: a file system whose owner lets us wait, or whose
server is gone, holds up those who asked for it and nobody else.

A thread that waits there cannot be ended; so a client has few, and who waits too long is told so.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

MOST = 32  # threads ...
EACH = 4  # ... of these, for one client
NAMES_MAX = 1 << 20  # in one folder
SECONDS = 30.0  # until there is an answer

Done = Callable[[list[bytes] | int], None]  # names, the last one first; or an errno


@dataclass(slots=True, eq=False)
class _Wish:
    client: object
    fd: int
    done: Done
    timer: asyncio.TimerHandle | None = None
    begun: bool = False
    over: bool = False


class Lister:
    """Made in a running loop. *after* is called behind each answer."""

    def __init__(self, after: Callable[[], None] = lambda: None, seconds: float = SECONDS) -> None:
        self._loop = asyncio.get_running_loop()
        self._after = after
        self._seconds = seconds
        self._waiting: deque[_Wish] = deque()
        self._open: set[_Wish] = set()  # without an answer
        self._running: Counter[object] = Counter()  # threads by client
        self._closed = False

    def read(self, client: object, fd: int, done: Done) -> None:
        """The names behind *fd*, which is the lister's. *done* is called once, later; by close() with ECANCELED."""
        wish = _Wish(client, fd, done)
        if self._closed:
            os.close(fd)
            done(errno.ECANCELED)
            return
        wish.timer = self._loop.call_later(self._seconds, self._late, wish)
        self._open.add(wish)
        self._waiting.append(wish)
        self._begin()

    def close(self) -> None:
        """Threads that still wait are left to themselves."""
        self._closed = True
        for wish in tuple(self._open):
            self._tell(wish, errno.ECANCELED)

    def _begin(self) -> None:
        for wish in tuple(self._waiting):
            if self._running.total() >= MOST:
                return
            if self._running[wish.client] >= EACH:
                continue
            self._waiting.remove(wish)
            wish.begun = True
            self._running[wish.client] += 1
            try:
                threading.Thread(target=self._work, args=(wish,), daemon=True).start()
            except RuntimeError:  # no thread can be had
                os.close(wish.fd)
                self._loop.call_soon(self._heard, wish, errno.EAGAIN)

    def _work(self, wish: _Wish) -> None:
        """In a thread."""
        what = _names(wish.fd)
        try:
            self._loop.call_soon_threadsafe(self._heard, wish, what)
        except RuntimeError:
            return  # the loop has ended

    def _heard(self, wish: _Wish, what: list[bytes] | int) -> None:
        self._running[wish.client] -= 1
        if not self._running[wish.client]:
            del self._running[wish.client]
        self._tell(wish, what)
        self._begin()

    def _late(self, wish: _Wish) -> None:
        self._tell(wish, errno.ETIMEDOUT)

    def _tell(self, wish: _Wish, what: list[bytes] | int) -> None:
        if wish.over:
            return
        wish.over = True
        self._open.discard(wish)
        if wish.timer is not None:
            wish.timer.cancel()
        if not wish.begun:
            self._waiting.remove(wish)
            os.close(wish.fd)
        wish.done(what)
        if not self._closed:
            self._after()


def _names(fd: int) -> list[bytes] | int:
    names: list[bytes] = []
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                if len(names) >= NAMES_MAX:
                    return errno.EOVERFLOW
                names.append(os.fsencode(entry.name))
    except OSError as error:
        return error.errno or errno.EIO
    finally:
        os.close(fd)
    names.sort(reverse=True)
    return names

"""Streams: finds a request whose bytes are those of another one that is on its way, so that they are scanned once.

Only what nobody can change any more is compared: sealed memory files. Files on disk are told apart by their inode, in
the dispatcher. Those of the same size with the same bytes in the middle are compared byte by byte, which is done on the
daemon's thread: so there are bounds to it.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from itertools import islice

from kavfs.scan.asked import Request

SEALED = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
SIZE_MAX = 16 << 20
SAMPLE = 64  # bytes from the middle
COMPARED = 2  # others at most: who sends many that are nearly equal does not stop the daemon
CHUNK = 256 << 10

Key = tuple[int, bytes, bool]  # size, sample, all matches


class Streams:
    """Requests that others may join, until they are dropped."""

    def __init__(self) -> None:
        self._leaders: dict[Key, dict[int, Request]] = {}

    def look(self, request: Request) -> None:
        """Find out whether it can be joined at all: a file in memory that nobody can change, and that can be read."""
        with suppress(OSError):
            if fcntl.fcntl(request.fd, fcntl.F_GET_SEALS) & SEALED != SEALED:
                return
            size = os.fstat(request.fd).st_size
            if 0 < size <= SIZE_MAX:
                request.sample = os.pread(request.fd, SAMPLE, max(0, size - SAMPLE) // 2)
                request.stream, request.size = request.fd, size

    def leader(self, request: Request, good: object) -> Request | None:
        """Who is on the way with the same bytes, and waits for a shift yet or is with *good*."""
        if request.size < 0:
            return None
        alike = self._leaders.get(_key(request), {}).values()
        for other in islice((one for one in alike if not one.late and one.shift in (None, good)), COMPARED):
            if _equal(other, request):
                return other
        return None

    def add(self, request: Request) -> None:
        """It may be joined from now on."""
        if request.size >= 0:
            self._leaders.setdefault(_key(request), {})[request.ticket] = request

    def drop(self, request: Request) -> None:
        """It has its answer, or can be joined no longer."""
        leaders = self._leaders.get(_key(request))
        if leaders is not None and leaders.pop(request.ticket, None) is not None and not leaders:
            del self._leaders[_key(request)]


def _key(request: Request) -> Key:
    return request.size, request.sample, request.all_match


def _equal(one: Request, other: Request) -> bool:
    places = range(0, one.size, CHUNK)
    return all(os.pread(one.stream, CHUNK, place) == os.pread(other.stream, CHUNK, place) for place in places)

"""Streams: finds a request whose bytes are those of another one that is on its way, so that they are scanned once.

Only what nobody can change any more is compared: sealed memory files. Files on disk are told apart by their inode, in
the dispatcher. Digests are made only when two of the same size are on their way at once, and up to SIZE_MAX bytes: they
are made on the daemon's thread.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import stat

from kavfs.scan.asked import Request

SEALED = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
SIZE_MAX = 4 << 20

Key = tuple[int, bool]  # size, all matches


class Streams:
    """Requests that others may join, until they are dropped."""

    def __init__(self) -> None:
        self._leaders: dict[Key, dict[int, Request]] = {}

    def look(self, request: Request) -> None:
        """Find out whether it can be joined at all."""
        try:
            if fcntl.fcntl(request.fd, fcntl.F_GET_SEALS) & SEALED != SEALED:
                return
        except OSError as error:
            if error.errno != errno.EINVAL:  # no file in memory
                raise
            return
        info = os.fstat(request.fd)
        if stat.S_ISREG(info.st_mode) and 0 < info.st_size <= SIZE_MAX:
            request.stream, request.size = request.fd, info.st_size

    def leader(self, request: Request, good: object) -> Request | None:
        """Who is on the way with the same bytes, and waits for a shift yet or is with *good*."""
        if request.size < 0:
            return None
        for other in self._leaders.get((request.size, request.all_match), {}).values():
            if other.late or (other.shift is not None and other.shift is not good):
                continue
            if _digest(other) == _digest(request):
                return other
        return None

    def add(self, request: Request) -> None:
        """It may be joined from now on."""
        if request.size >= 0:
            self._leaders.setdefault((request.size, request.all_match), {})[request.ticket] = request

    def drop(self, request: Request) -> None:
        """It has its answer, or can be joined no longer."""
        key = (request.size, request.all_match)
        leaders = self._leaders.get(key)
        if leaders is not None and leaders.pop(request.ticket, None) is not None and not leaders:
            del self._leaders[key]


def _digest(request: Request) -> bytes:
    """Of what is sealed, so that it stays true; b"" of nothing never equals another."""
    if not request.digest:
        with mmap.mmap(request.stream, request.size, prot=mmap.PROT_READ) as content:
            request.digest = hashlib.blake2b(content, digest_size=32).digest()
    return request.digest

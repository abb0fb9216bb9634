"""Journal: what an interrupted scan had done, so that the same scan goes on instead of beginning again.

    name = name_of(options, databases)               the same for the same scan, whenever it runs
    with open_stores(..., journal=name) as opened:
        with Journal(opened.stores) as journal:      Busy: the same scan is running now
            notes = journal.begin(generation, now)   what cannot be gone on with is dropped
            ...
            journal.remove()                         the scan has come to its end

The file itself is a store of facts (ext/cache); the dispatcher writes it and walkers ask it first. It is bound to the
signatures' generation by what stands in it, so that dropping it here is tidiness and never what makes answers right.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import struct
import time
from contextlib import suppress
from types import TracebackType

from kavfs._native import cache
from kavfs.cache.folder import JOURNAL, KEY
from kavfs.options import ScanOptions
from kavfs.ports import Stores
from kavfs.record import asdict

OLDEST = 30 * 86400  # seconds since it was written last

_LOCK = struct.Struct("@hhqqi")  # struct flock: type, whence, start, length, pid


class Busy(Exception):
    """Another process runs the same scan."""


def name_of(options: ScanOptions, databases: tuple[bytes, ...] = ()) -> str:
    """Names a scan by everything that decides what is looked at and what is said of it, but for the signatures
    themselves: an update of these must not leave a journal behind that nobody ever asks for again."""
    walk = options.walk
    words = {
        "roots": [root.hex() for root in walk.roots],
        "masks": sorted(mask.hex() for mask in walk.exclude_masks),
        "folders": sorted(folder.hex() for folder in walk.exclude_dirs),
        "walk": [walk.recurse, walk.follow_symlinks, walk.one_file_system],
        "limits": asdict(options.limits),
        "switches": int(options.switches),
        "engines": [[use.name, int(use.when)] for use in options.engines],
        "databases": [path.hex() for path in databases],
    }
    text = json.dumps(words, sort_keys=True).encode()
    return JOURNAL + hashlib.blake2b(text, digest_size=16).hexdigest()


class Journal:
    """The journal that *stores* name, for this process alone until close(). Raises Busy, or OSError."""

    def __init__(self, stores: Stores) -> None:
        self._folder = stores.folder
        self._secret = stores.secret
        self._name = stores.journal
        # A lock on the journal itself would be lost when its writer puts a new file in its place; so it is a lock on
        # one byte of the key, as far from others as the name is. It ends with the process, however that ends.
        self._lock = os.open(KEY, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self._folder)
        try:
            fcntl.fcntl(self._lock, fcntl.F_OFD_SETLK, _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _byte(self._name), 1, 0))
        except BlockingIOError:
            os.close(self._lock)
            raise Busy from None
        except BaseException:
            os.close(self._lock)
            raise

    def begin(self, generation: bytes, now: float | None = None) -> list[str]:
        """Drop what this scan cannot go on with; notes for the administrator."""
        try:
            fd = os.open(self._name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self._folder)
        except FileNotFoundError:
            return []
        try:
            age = (time.time() if now is None else now) - os.fstat(fd).st_mtime
            why = self._unfit(fd, generation, age)
            if not why:
                done = cache.File(fd, self._secret).stats().facts
                return [f"an interrupted scan goes on: {done:,} {'file is' if done == 1 else 'files are'} done"]
        except (cache.DamagedStore, OSError):
            why = "it is damaged, or of another version"
        finally:
            os.close(fd)
        self.remove()
        return [f"the scan begins anew, the journal of an interrupted one is dropped: {why}"]

    def _unfit(self, fd: int, generation: bytes, age: float) -> str:
        if age > OLDEST:
            return f"it is older than {OLDEST // 86400} days"
        generations = cache.File(fd, self._secret).generations()
        if generations and generation not in generations:
            return "the signatures have changed since"
        return ""

    def remove(self) -> None:
        """The scan has come to its end, or the next one shall begin anew. What lies beside it goes too; what cannot be
        removed does no harm: it holds for the files, signatures and settings that it names."""
        for name in os.listdir(self._folder):
            if name.startswith(self._name):
                with suppress(OSError):
                    os.unlink(name, dir_fd=self._folder)

    def close(self) -> None:
        """May be called twice."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _byte(name: str) -> int:
    """Where in the key its lock lies; a collision of two names would only refuse one of two scans at once."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) >> 2

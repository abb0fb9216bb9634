"""Known: objects that this daemon has seen to be clean and complete, answered again without a scan.

A file is known by its identity, under the conditions under which a scan remembers one, a stream by what it holds
(ext/recall/recall.h says both exactly). In memory, for the signatures in use alone: at a change everything is
forgotten. Nothing else is ever known: not what was found, cut by a limit, lifted by an exception or the allow list.
"""

from __future__ import annotations

import signal

from kavfs._native.recall import Recall
from kavfs.errors import SystemFailure
from kavfs.model import Result, Status
from kavfs.walk import filesystems, mounts


class Known:
    """A table with *places* for objects. *distrust*: only files that nobody else may write to. Makes this process
    ignore SIGIO, which is sent to who looks whether a file is being written."""

    def __init__(self, places: int, distrust: bool = False) -> None:
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        self._table = Recall(stamps_changes, places=places, distrust=distrust)
        self._edition = 0

    def look(self, fd: int, edition: int, all_match: bool) -> int | bytes | None:
        """How many known bytes are behind *fd*; or a key to add them with when they have been scanned, which begins
        after this; or None. *edition* counts changes of signatures."""
        if edition != self._edition:
            self._table.forget()
            self._edition = edition
        return self._table.look(fd, (edition & 0x7FFFFFFF) << 1 | all_match)

    def add(self, fd: int, key: bytes, edition: int, result: Result) -> None:
        """What look() gave the key for was scanned with this edition. *fd* is still the same object."""
        if edition == self._edition and is_lasting(result):
            self._table.add(fd, key)


def is_lasting(result: Result) -> bool:
    """Whether it says that the bytes are clean, all of them, and says it for good."""
    if result.status is not Status.CLEAN or result.reasons or result.threats:
        return False
    return not (result.suppressed or result.allowed or result.error)


def stamps_changes(number: int) -> bool:
    """Whether the file system of a mount is trusted to show every change in its files' stamps."""
    try:
        table = mounts.read()
    except SystemFailure:
        return False
    mount = next((one for one in table.mounts if one.number == number), None)
    return mount is not None and not filesystems.look(mount, table).why

"""Known: objects that this daemon has seen to be clean and complete, answered again without a scan.

A file is known by its identity, under the conditions under which a scan remembers one, a stream by what it holds
(ext/recall/recall.h says both exactly). In memory. When signatures change, what is new is asked whether it concerns an
object: if not, that is known as before; if it may, a scan of the new lines alone is enough. Nothing else is ever known:
not what was found, cut by a limit, lifted by an exception or the allow list.
"""

from __future__ import annotations

import signal

from kavfs._native.recall import PLACE, Recall
from kavfs.errors import SystemFailure
from kavfs.model import Result, Status
from kavfs.ports import Image
from kavfs.walk import filesystems, mounts


class Known:
    """A table with *places* for objects. *distrust*: only files that nobody else may write to. Makes this process
    ignore SIGIO, which is sent to who looks whether a file is being written."""

    def __init__(self, places: int, distrust: bool = False) -> None:
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        self.bytes = places * PLACE
        self._table = Recall(stamps_changes, places=places, distrust=distrust)

    def look(self, fd: int, all_match: bool) -> int | bytes | None:
        """How many known bytes are behind *fd*; or a key to add them with when they have been scanned, which begins
        after this; or None."""
        return self._table.look(fd, int(all_match))

    def row(self, key: bytes) -> int:
        """The row of the image's deltas that is enough for what look() gave the key for, counted from 1; 0 = it is
        scanned in full."""
        return self._table.row(key)

    def add(self, fd: int, key: bytes, result: Result, said: bytes) -> None:
        """What look() gave the key for was scanned with the signatures of now, and this came of it; *said* is the
        record of that. *fd* is still the same object."""
        if is_lasting(result):
            self._table.add(fd, key, said)

    def renew(self, image: Image) -> None:
        """These are the signatures from now on."""
        self._table.renew(image.generation, image.delta_table)

    def forget(self) -> None:
        """What was known was asked in another way."""
        self._table.forget()


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

"""qmail: our stand-in has the name of qmail-queue, the original another one beside it.

    qmail-queue    the original, or a symbolic link to our program
    queue.kav55    the original, once it is integrated: the same inode, so that owner and mode are kept (the manual's
                   name)

The name changes by one rename(2): there is no moment without a qmail-queue.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import NamedTuple

from kavfs.errors import SystemFailure
from kavfs.mail.mta.files import real
from kavfs.mail.mta.wish import Refused

WAYS = ("queue",)
QUEUE, ORIGINAL = "qmail-queue", "queue.kav55"
PROGRAM = "/usr/bin/kavfs-qmail-queue"
_FRESH = ".qmail-queue.kavfs-new"


class Seen(NamedTuple):
    """The folder bin of qmail's home."""

    link: str | None  # where qmail-queue points to; None: it is no link
    queue: os.stat_result | None  # the names as they stand, links not followed
    original: os.stat_result | None

    def ours(self, program: str) -> bool:
        return self.link == program and self.original is not None

    def half(self) -> bool:
        """The original has both names: a run was stopped before it changed anything."""
        return self.queue is not None and self.original is not None and os.path.samestat(self.queue, self.original)


def look(root: str, home: str) -> Seen:
    folder = real(root, f"{home}/bin")
    link = None
    with suppress(OSError):
        link = os.readlink(os.path.join(folder, QUEUE))
    return Seen(link, _status(folder, QUEUE), _status(folder, ORIGINAL))


def integrate(root: str, home: str, program: str) -> bool:
    """False: it was so already. Raises Refused when qmail-queue is not qmail's own."""
    seen = look(root, home)
    if seen.ours(program):
        return False
    if seen.queue is None:
        raise Refused(f"there is no {home}/bin/{QUEUE}")
    known = seen.half() or (seen.link is not None and seen.original is not None)  # to a program of before
    if not known:
        _own(seen, home)
    folder = real(root, f"{home}/bin")
    fresh, queue = os.path.join(folder, _FRESH), os.path.join(folder, QUEUE)
    try:
        with suppress(FileNotFoundError):
            os.unlink(fresh)
        if not known:
            os.link(queue, os.path.join(folder, ORIGINAL), follow_symlinks=False)
        os.symlink(program, fresh)
        os.rename(fresh, queue)
    except OSError as error:
        raise SystemFailure(f"{home}/bin: {error.strerror}") from None
    return True


def remove(root: str, home: str) -> bool:
    """False: there was nothing of ours."""
    seen = look(root, home)
    folder = real(root, f"{home}/bin")
    try:
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, _FRESH))
        if seen.original is None:
            return False
        if seen.half() or (seen.queue is not None and seen.link is None):
            if not seen.half():  # a newer qmail has been put there since
                raise Refused(f"{home}/bin/{QUEUE} is not ours any more; {ORIGINAL} beside it can be removed by hand")
            os.unlink(os.path.join(folder, ORIGINAL))
        else:
            os.rename(os.path.join(folder, ORIGINAL), os.path.join(folder, QUEUE))
    except OSError as error:
        raise SystemFailure(f"{home}/bin: {error.strerror}") from None
    return True


def _own(seen: Seen, home: str) -> None:
    if seen.link is not None:
        raise Refused(f"{home}/bin/{QUEUE} is a link to {seen.link}: another stand-in is there already")
    if seen.original is not None:
        raise Refused(f"there is a {home}/bin/{ORIGINAL} that is not ours, or {QUEUE} was installed anew: remove one")
    if seen.queue is None or not stat.S_ISREG(seen.queue.st_mode) or not seen.queue.st_mode & stat.S_ISUID:
        raise Refused(f"{home}/bin/{QUEUE} does not run as its owner: it is not qmail's own")


def _status(folder: str, name: str) -> os.stat_result | None:
    try:
        return os.lstat(os.path.join(folder, name))
    except (FileNotFoundError, NotADirectoryError):
        return None

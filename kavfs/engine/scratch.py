"""Scratch: a folder for one worker whose engine insists on paths for its temporary files, and a keeper who watches it.

    scratch = Scratch(b"/var/tmp", quota, user)    before the worker gives up its rights
    scratch.path
    scratch.close()

The keeper is a process that parses nothing. It has given up the same rights as the worker, kills it when the folder
holds more than the quota, or things that cannot be counted, and removes the folder when the worker is gone, however it
went. What a killed keeper left is removed by the next one.

The worker may have been taken over: it can close its pipe, and fill the folder with what its engine would never make.
Out of the keeper's sight are files that it has removed while they are open: each has the bound of one file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import select
import signal
import tempfile
import time
from contextlib import suppress

from kavfs._native import process
from kavfs.errors import SystemFailure

PREFIX = b"kavfs-scratch-"
PAUSE = 0.2  # seconds between two looks
FRESH = 60.0  # seconds for which a folder may have no keeper yet
PATIENCE = 1.0  # seconds between SIGTERM and SIGKILL
READY = b"r"
ENTRY = 512  # bytes that each name counts for, however little is behind it
DEEPEST = 100  # folders inside one another: more than an engine makes


class Scratch:
    """The folder, and the pipe whose closing tells the keeper that its worker is gone."""

    def __init__(self, parent: bytes, quota: int, user: tuple[int, int] | None) -> None:
        """*quota* in bytes of disk; *user*: whom worker and keeper become, None = nobody else. Raises OSError, and
        SystemFailure where that user cannot reach the folder."""
        self.path = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
        if user is not None:
            os.chown(self.path, *user)
        worker = os.pidfd_open(os.getpid())
        alive, self._alive = os.pipe()
        self._told, tell = os.pipe()
        between = os.fork()
        if between == 0:
            with suppress(BaseException):  # nobody is there to be told, and nothing of the worker may go on here
                if os.fork() == 0:
                    _leave_all_but(alive, tell, worker)
                    _keep(self.path, quota, user, worker, alive, tell)
            os._exit(0)
        os.waitpid(between, 0)  # the keeper is nobody's child: the worker, which gives up its rights, need not wait
        for fd in (alive, tell, worker):
            os.close(fd)
        if os.read(self._told, 1) != READY:
            os.rmdir(self.path)
            who = f"user {user[0]}" if user is not None else "this user"
            raise SystemFailure(f"{who} cannot make temporary files in {os.fsdecode(parent)}")

    def close(self) -> None:
        """Returns when the folder is gone."""
        os.close(self._alive)
        os.read(self._told, 1)
        os.close(self._told)


def used(folder: bytes, deepest: int = DEEPEST) -> int:
    """Bytes of disk below *folder*. What vanishes meanwhile does not count. OSError: it cannot be counted."""
    if deepest == 0:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    total = 0
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                total += ENTRY + entry.stat(follow_symlinks=False).st_blocks * 512
                if entry.is_dir(follow_symlinks=False):
                    total += used(entry.path, deepest - 1)
    return total


def remove(folder: bytes) -> None:
    """Remove *folder* with all that is in it, however deep and whatever its modes: what lies deeper than one level is
    moved up first. Nobody makes anything there any more. OSError where something does not go."""
    while inner := _emptied(folder):
        for path in inner:
            for name in os.listdir(path):
                os.rename(os.path.join(path, name), os.path.join(folder, os.urandom(8).hex().encode()))
            os.rmdir(path)
    os.rmdir(folder)


def _emptied(folder: bytes) -> list[bytes]:
    """The folders in *folder*, opened up; everything else in it is gone."""
    inner = []
    with os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.path, 0o700)
                inner.append(entry.path)
            else:
                os.unlink(entry.path)
    return inner


def _leave_all_but(*fds: int) -> None:
    """Close what was inherited: who waits for the worker's end must not wait for the keeper's."""
    last = 0
    for fd in sorted(fds):
        os.closerange(last, fd)
        last = fd + 1
    os.closerange(last, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _keep(path: bytes, quota: int, user: tuple[int, int] | None, worker: int, alive: int, tell: int) -> None:
    process.name(b"kavfs-keeper")
    process.bound_capabilities(0)
    if user is not None and os.geteuid() == 0:
        process.become(*user)
    process.keep_capabilities(0)
    process.no_new_privs()
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    fcntl.flock(folder, fcntl.LOCK_EX)
    os.write(tell, READY)
    with suppress(OSError):
        _remove_what_others_left(os.path.dirname(path))
    try:
        _watch(path, quota, alive)
        remove(path)
    except OSError:
        _end(worker)
        remove(path)


def _watch(path: bytes, quota: int, alive: int) -> None:
    """Until the worker closes its pipe, or is gone. OSError: it must go."""
    poll = select.poll()
    poll.register(alive, select.POLLIN)
    while not poll.poll(PAUSE * 1000):
        if used(path) > quota:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


def _end(worker: int) -> None:
    """Kill it and wait until it has ended. *worker*: its pidfd. SIGTERM is enough for whoever was not taken over, and
    is the object's fault: a SIGKILL from outside would have the object tried four times."""
    for number, seconds in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(worker, number)
        if select.select([worker], [], [], seconds)[0]:
            return


def _remove_what_others_left(parent: bytes) -> None:
    """Folders whose keeper has been killed: nobody holds their lock."""
    with os.scandir(parent) as entries:
        ours = [entry for entry in entries if entry.name.startswith(PREFIX) and _is_left(entry)]
    for entry in ours:
        with suppress(OSError):
            folder = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(entry.path)
            finally:
                os.close(folder)


def _is_left(entry: os.DirEntry[bytes]) -> bool:
    """Whether the folder is ours and old enough to be locked."""
    with suppress(OSError):
        status = entry.stat(follow_symlinks=False)
        return status.st_uid == os.geteuid() and status.st_ctime < time.time() - FRESH
    return False

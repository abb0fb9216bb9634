"""Closing: descriptors that clients chose, closed where nobody waits for it.

    closing = Closing()
    closing.close(fd, client)
    closing.step()                      when fileno() is readable, and now and then

A file system may be asked before a descriptor is closed (FUSE: FLUSH; file servers), and may never answer. What lies in
memory or on disks of this machine is closed at once. The rest is closed by processes that share our table of
descriptors (ext/dispatch/closer.h), one for each client: who waits for ever holds up its own descriptors alone. A
client with too many of them is crowded, and nothing more is taken from it: a few if the first of them takes long, many
if they only come faster than they go. This process can end meanwhile; what still waits then goes with the file system.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from kavfs._native import dispatch
from kavfs.walk import mounts

MOST = 16  # processes
MANY = 256  # descriptors of one client that are not closed yet ...
STUCK = 8  # ... and of one whose first has been
LONG = 1.0  # seconds about it
NUMBER = struct.Struct("=i")
END = NUMBER.pack(-1)


@dataclass(slots=True, eq=False)
class _Closer:
    """Both ends of its socket stand in the one table: until it has gone, neither may be closed, as their numbers would
    become those of others."""

    pid: int
    exit: int  # a pidfd
    ours: socket.socket
    theirs: socket.socket
    client: object = None  # whose descriptor it closes ...
    busy: bool = False  # ... if it closes one
    since: float = 0.0  # then
    parting: bool = False  # it was told to end


class Closing:
    """*told* hears of a client that has become crowded, or is no longer."""

    def __init__(self) -> None:
        self.told: Callable[[object, bool], None] = lambda client, is_crowded: None
        self._epoll = select.epoll()
        self._mounts = _Mounts()
        self._open: dict[object, deque[int]] = {}  # by client, the first is being closed if a process has it
        self._wanting: deque[object] = deque()  # clients without a process
        self._closers: list[_Closer] = []
        self._by_fd: dict[int, _Closer] = {}
        self._crowded: set[object] = set()

    def close(self, fd: int, client: object) -> None:
        """The descriptor is not the caller's any more, nor its number that of anything."""
        if dispatch.in_memory(fd) or self._mounts.answer(dispatch.mount_of(fd)):
            os.close(fd)
            return
        if self._epoll.closed:
            self._close_last([fd])
            return
        queue = self._open.setdefault(client, deque())
        queue.append(fd)
        self._count(client)
        if len(queue) == 1:
            self._wanting.append(client)
            self._begin()

    def crowded(self, client: object) -> bool:
        """Whether nothing more should be taken from it."""
        return client in self._crowded

    @property
    def waiting(self) -> int:
        """Descriptors that are not closed yet."""
        return sum(map(len, self._open.values()))

    def fileno(self) -> int:
        """An epoll descriptor."""
        return self._epoll.fileno()

    def step(self) -> None:
        """Never waits."""
        for fd, _ in self._epoll.poll(0):
            if (closer := self._by_fd.get(fd)) is not None:  # else it went with its other descriptor
                self._hear(closer, gone=fd == closer.exit)
        for closer in self._closers:
            if closer.busy:
                self._count(closer.client)
        self._begin()

    def end(self) -> None:
        """Wait for nobody: who is closing something goes when all that waits behind it is closed. What is to be closed
        after this gets a process of its own. May be called twice."""
        for closer in tuple(self._closers):
            self._forget(closer)
            if closer.busy:
                _, *left = self._open.pop(closer.client)
                _leave(closer.ours, closer.theirs, left)
            else:
                with suppress(OSError):
                    closer.ours.send(END)
                os.waitpid(closer.pid, 0)
                closer.ours.close()
                closer.theirs.close()
        self._epoll.close()
        self._mounts.close()
        self._wanting.clear()
        while self._open:
            _, queue = self._open.popitem()
            self._close_last(list(queue))

    def _count(self, client: object) -> None:
        count = len(self._open.get(client, ()))
        is_so = count >= MANY or (count >= STUCK and self._is_stuck(client))
        if is_so is (client in self._crowded):
            return
        if is_so:
            self._crowded.add(client)
        else:
            self._crowded.discard(client)
        self.told(client, is_so)

    def _is_stuck(self, client: object) -> bool:
        before = time.monotonic() - LONG
        return any(one.busy and one.client == client and one.since <= before for one in self._closers)

    def _close_last(self, fds: list[int]) -> None:
        with suppress(OSError):  # they stay open, as long as we live
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            dispatch.start_closer(theirs.fileno())
            _leave(ours, theirs, fds)

    # ---- processes -------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Who wants a process gets one, as far as there are any. Where none can be made, it is tried again."""
        while self._wanting:
            closer = next((one for one in self._closers if not one.busy and not one.parting), None) or self._make()
            if closer is None:
                return
            closer.busy, closer.client, closer.since = True, self._wanting.popleft(), time.monotonic()
            closer.ours.send(NUMBER.pack(self._open[closer.client][0]))

    def _make(self) -> _Closer | None:
        if len(self._closers) >= MOST:
            return None
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            return None
        try:
            pid = dispatch.start_closer(theirs.fileno())
        except OSError:
            ours.close()
            theirs.close()
            return None
        try:
            closer = _Closer(pid, os.pidfd_open(pid), ours, theirs)
        except OSError:  # no descriptor is left
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            ours.close()
            theirs.close()
            return None
        self._closers.append(closer)
        for fd in (ours.fileno(), closer.exit):
            self._by_fd[fd] = closer
            self._epoll.register(fd, select.EPOLLIN)
        return closer

    def _hear(self, closer: _Closer, gone: bool) -> None:
        with suppress(BlockingIOError):
            closer.ours.recv(NUMBER.size, socket.MSG_DONTWAIT)
            self._closed(closer)
        if not gone:
            return
        if closer.busy:  # somebody has killed it; what it had may be closed, so nobody closes it again
            self._closed(closer)
        self._forget(closer)
        os.waitpid(closer.pid, 0)
        closer.ours.close()
        closer.theirs.close()

    def _closed(self, closer: _Closer) -> None:
        client, queue = closer.client, self._open[closer.client]
        queue.popleft()
        closer.busy, closer.client = False, None
        if queue:
            self._wanting.append(client)  # behind others, if there are too few processes
        else:
            del self._open[client]
        self._count(client)
        if not self._wanting and sum(not (one.busy or one.parting) for one in self._closers) > 1:
            closer.parting = True
            closer.ours.send(END)

    def _forget(self, closer: _Closer) -> None:
        for fd in (closer.ours.fileno(), closer.exit):
            self._epoll.unregister(fd)
            del self._by_fd[fd]
        self._closers.remove(closer)
        os.close(closer.exit)


class _Mounts:
    """Those that answer without another machine or process. The kernel says when they are others."""

    def __init__(self) -> None:
        self._local: set[int] = set()
        self._changes = select.poll()
        self._table: BinaryIO | None = None
        try:
            self._table = open(mounts.MOUNTINFO, "rb", buffering=0)  # noqa: SIM115
        except OSError:
            return  # without the table nothing is known of any
        self._changes.register(self._table, select.POLLPRI)
        self._read()

    def close(self) -> None:
        """What is known stays. May be called twice."""
        if self._table is not None:
            self._changes.unregister(self._table)
            self._table.close()
            self._table = None

    def _read(self) -> None:
        """What is open already: when clients have used up all descriptors, closing theirs must not need one."""
        assert self._table is not None
        try:
            self._table.seek(0)
            self._local = {one.number for one in mounts.parse(self._table.read()).mounts if one.local}
        except (OSError, ValueError):
            self._local = set()

    def answer(self, number: int) -> bool:
        """Whether a mount does."""
        if self._changes.poll(0) or (self._table is not None and not self._local):  # or could not be read
            self._read()
        return number in self._local


def _leave(ours: socket.socket, theirs: socket.socket, fds: list[int]) -> None:
    """Let a process go on alone. Its socket stays where it is, as long as this process lives."""
    with suppress(OSError):
        for fd in fds:
            ours.send(NUMBER.pack(fd), socket.MSG_DONTWAIT)
        ours.send(END, socket.MSG_DONTWAIT)
    ours.detach()
    theirs.detach()

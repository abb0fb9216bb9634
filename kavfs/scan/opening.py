"""Opening: files by the paths that a daemon's clients name, with the rights of the client and nobody else's.

    openers = Openers(server)
    openers.open(peer, b"/srv/file", done)          done(Opened), from step()
    openers.step()                                  when fileno() is readable, and when timeout() is over

For each identity (uid, gid, other groups) there is a process that has taken it on for good before it hears of a path,
and opens with it: there is no check that could be true of another file. It says what the kernel says, so a client
learns nothing that it could not find out itself. One that does not answer (a file system that is gone) is killed.

Whoever cannot become others serves its own user alone, unless told that everybody may ask for what it can read; the
rest are refused without a look. A client that has no identity (TCP) may only name what lies below a folder.

To go into a directory, ask for its entries by path again, with follow=False: a name opened relative to the descriptor
would be opened with the daemon's rights.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

from kavfs.errors import SystemFailure
from kavfs.scan.forkserver import ForkServer

REQUEST = struct.Struct("=IIII")  # kav_open_request
ANSWER = struct.Struct("=IiII")  # kav_open_answer
NAME_MAX = 4095  # bytes of a path that the kernel takes
FOLLOW = 1 << 0
AHEAD = 8  # wishes that an opener has at a time
LINGERING = 2  # openers of one identity that were killed and are not gone; no other is made for it
AGAIN = 2  # openers that die with a request, before it is an error
IDLE = 1.0
BECOMES = 1 << 6 | 1 << 7  # CAP_SETGID, CAP_SETUID
DESCRIPTOR = struct.Struct("=i")


class Peer(Protocol):
    """Who is at the other end of a socket. kavfs._native.serve.Peer is one."""

    @property
    def uid(self) -> int: ...  # -1: not told
    @property
    def gid(self) -> int: ...
    @property
    def groups(self) -> tuple[int, ...]: ...


class Opened(NamedTuple):
    """What became of a path. The descriptor is the receiver's; of a directory it is good for listing it."""

    fd: int  # -1: error says why
    error: int = 0  # errno; ENXIO: neither a regular file nor a directory, EPERM: this client may not name paths
    is_directory: bool = False


Done = Callable[[Opened], None]
Identity = tuple[int, int, tuple[int, ...]] | None  # None: that of the daemon


@dataclass(slots=True, eq=False)
class _Wish:
    number: int
    message: bytes
    done: Done
    tries: int = 0  # openers that died with it in hand


@dataclass(slots=True, eq=False)
class _Line:
    """Wishes of one identity, oldest first, and the process that sees to them."""

    identity: Identity
    waiting: deque[_Wish] = field(default_factory=deque)
    asked: deque[_Wish] = field(default_factory=deque)
    sock: socket.socket | None = None  # None: there is no process
    number: int = 0  # of the process
    since: float = 0.0  # when the first of those asked became the first


class Openers:
    """Makes processes as they are needed, *most* at a time; the least recently used one makes room. *everybody*: see
    above. *seconds*: that the opening of one file may take. The server stays the caller's."""

    def __init__(self, server: ForkServer, *, most: int = 16, everybody: bool = False, seconds: float = 10.0) -> None:
        self._most = most
        self._everybody = everybody
        self._seconds = seconds
        self._becomes = can_become()
        self._root = server
        self._server: ForkServer | None = None  # one that is lost is replaced at the next wish
        self._epoll = select.epoll()
        self._lines: dict[Identity, _Line] = {}  # least recently used first
        self._by_fd: dict[int, _Line] = {}
        self._lingering: dict[int, Identity] = {}  # processes that were killed and are not gone yet
        self._told: deque[Callable[[], None]] = deque()
        self._last_number = 0
        self._own_server()

    def open(self, peer: Peer | None, path: bytes, done: Done, *, follow: bool = True, folder: bytes = b"") -> None:
        """Open *path* as *peer*. *follow*: its last part may be a symbolic link. With *folder*, *path* is relative to
        it and nothing leads out of it; without it, a *peer* that has no identity is refused. *done* is always called,
        by close() with ECANCELED at the latest."""
        if self._epoll.closed:
            done(Opened(-1, errno.ECANCELED))  # there is no step() any more
            return
        if error := self._refused(peer, path, folder):
            self._tell(done, Opened(-1, error))
            return
        number = self._next_number()
        head = REQUEST.pack(number, FOLLOW if follow else 0, len(folder), len(path))
        identity = self._identity(peer)
        line = self._lines.pop(identity, None) or _Line(identity)
        self._lines[identity] = line  # the most recently used one now
        line.waiting.append(_Wish(number, head + folder + b"\0" + path + b"\0", done))
        self._serve(line)

    def _refused(self, peer: Peer | None, path: bytes, folder: bytes) -> int:
        """An errno, or 0. Nothing here looks at a file."""
        if peer is None or peer.uid < 0:
            if not folder:
                return errno.EPERM
        elif not (self._becomes or self._everybody or is_ourselves(peer)):
            return errno.EPERM
        if len(path) > NAME_MAX or len(folder) > NAME_MAX:
            return errno.ENAMETOOLONG
        if not path or b"\0" in path + folder or path.startswith(b"/") is bool(folder):
            return errno.EINVAL
        return 0

    def _identity(self, peer: Peer | None) -> Identity:
        if peer is None or peer.uid < 0 or not self._becomes:
            return None
        return peer.uid, peer.gid, tuple(sorted(set(peer.groups)))

    def _next_number(self) -> int:
        self._last_number = self._last_number % 0xFFFFFFFF + 1
        return self._last_number

    def _tell(self, done: Done, opened: Opened) -> None:
        self._told.append(partial(done, opened))

    # ---- the processes ---------------------------------------------------------------------------------------------

    def _serve(self, line: _Line) -> None:
        """Ask for what waits, as far as its process may have it."""
        if line.waiting and line.sock is None and not self._start(line):
            return
        while line.waiting and line.sock is not None and len(line.asked) < AHEAD:
            wish = line.waiting[0]
            try:
                line.sock.send(wish.message, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except OSError:  # no room: there is when it answers; or it is gone: its socket will say so
                return
            if not line.asked:
                line.since = time.monotonic()
            line.asked.append(line.waiting.popleft())

    def _start(self, line: _Line) -> bool:
        """Make a process; False: not now, or not at all."""
        if sum(identity == line.identity for identity in self._lingering.values()) >= LINGERING:
            self._give_up(line, errno.ETIMEDOUT)
            return False
        if len(self._by_fd) >= self._most and not self._make_room():
            return False
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:  # no descriptor is left: the client hears it, others go on
            self._give_up(line, error.errno or errno.EIO)
            return False
        line.number = self._next_number()
        with theirs:
            try:
                self._own_server().start("opener", line.number, {"who": line.identity}, [theirs.fileno()])
            except SystemFailure:
                ours.close()
                self._lose_server()
                return False
            except OSError as error:
                ours.close()
                self._give_up(line, error.errno or errno.EIO)
                return False
        line.sock = ours
        self._by_fd[ours.fileno()] = line
        self._epoll.register(ours.fileno(), select.EPOLLIN)
        return True

    def _own_server(self) -> ForkServer:
        """Only as its parent's child does it live, and its news are for nobody else."""
        if self._server is None:
            self._server = self._root.another()
            self._epoll.register(self._server.fileno(), select.EPOLLIN)
        return self._server

    def _make_room(self) -> bool:
        idle = next((one for one in self._lines.values() if one.sock and not one.asked and not one.waiting), None)
        if idle is None:
            return False
        self._part(idle)
        del self._lines[idle.identity]
        return True

    def _part(self, line: _Line) -> None:
        """Close its socket: the process ends, if it can. What it was asked waits again."""
        assert line.sock is not None
        self._epoll.unregister(line.sock.fileno())
        del self._by_fd[line.sock.fileno()]
        line.sock.close()
        line.sock = None
        line.waiting.extendleft(reversed(line.asked))
        line.asked.clear()

    def _give_up(self, line: _Line, error: int) -> None:
        """All of its wishes."""
        for wish in (*line.asked, *line.waiting):
            self._tell(wish.done, Opened(-1, error))
        line.asked.clear()
        line.waiting.clear()
        if line.sock is None:
            self._lines.pop(line.identity, None)

    def _lose_server(self, error: int = errno.EIO) -> None:
        """The server of the openers is gone, or is to go, and they with it."""
        for line in list(self._lines.values()):
            if line.sock is not None:
                self._part(line)
            self._give_up(line, error)
        self._lingering.clear()
        if self._server is not None:
            self._epoll.unregister(self._server.fileno())
            self._server.close()
            self._server = None

    # ---- the loop --------------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """An epoll descriptor."""
        return self._epoll.fileno()

    @property
    def due(self) -> bool:
        """Whether step() has something to tell, whatever is readable."""
        return bool(self._told)

    def timeout(self) -> float:
        """Seconds after which step() is due though nothing is readable."""
        if self._told:
            return 0.0
        oldest = min((line.since for line in self._by_fd.values() if line.asked), default=None)
        return IDLE if oldest is None else max(0.0, min(IDLE, oldest + self._seconds - time.monotonic()))

    def step(self) -> None:
        """Never waits."""
        for fd, _ in self._epoll.poll(0):
            if self._server is not None and fd == self._server.fileno():
                self._hear_server(self._server)
            elif fd in self._by_fd:
                self._hear(self._by_fd[fd])
        self._end_late()
        for line in [line for line in self._lines.values() if line.waiting]:
            self._serve(line)
        for _ in range(len(self._told)):
            self._told.popleft()()

    def _hear_server(self, server: ForkServer) -> None:
        try:
            for message in server.news():
                self._lingering.pop(message["id"], None)
        except SystemFailure:
            self._lose_server()

    def _hear(self, line: _Line) -> None:
        assert line.sock is not None
        while True:
            try:
                data, fds = _receive(line.sock)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            if not self._take(line, data, fds):
                for fd in fds:
                    os.close(fd)
                self._bury(line)
                return
            if not line.asked:
                return

    def _take(self, line: _Line, data: bytes, fds: list[int]) -> bool:
        """Whether it is an answer to what was asked first."""
        if len(data) != ANSWER.size or not line.asked:
            return False
        number, error, directory, _ = ANSWER.unpack(data)
        if number != line.asked[0].number or bool(error) is bool(fds):
            return False
        line.since = time.monotonic()
        self._tell(line.asked.popleft().done, Opened(fds[0] if fds else -1, error, bool(directory)))
        return True

    def _bury(self, line: _Line) -> None:
        """Its process has gone, by itself or by somebody's signal; the first of those asked may be the reason."""
        blamed = line.asked[0] if line.asked else line.waiting[0] if line.waiting else None
        self._part(line)
        if blamed is not None:
            blamed.tries += 1
            if blamed.tries >= AGAIN:
                line.waiting.remove(blamed)
                self._tell(blamed.done, Opened(-1, errno.EIO))
        if not line.waiting:
            del self._lines[line.identity]

    def _end_late(self) -> None:
        now = time.monotonic()
        late = [one for one in self._by_fd.values() if one.asked and now >= one.since + self._seconds]
        for line in late:
            with suppress(SystemFailure):  # that it is gone is heard in its own time, and the process is gone with it
                self._own_server().kill(line.number)
            self._lingering[line.number] = line.identity
            self._tell(line.asked.popleft().done, Opened(-1, errno.ETIMEDOUT))
            self._part(line)
            if not line.waiting:
                del self._lines[line.identity]

    def close(self) -> None:
        """End all openers. May be called twice."""
        if self._epoll.closed:
            return
        self._lose_server(errno.ECANCELED)
        self._epoll.close()
        while self._told:
            self._told.popleft()()


def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """One answer, with a descriptor that no program inherits: socket.recv_fds of Python 3.11 drops its flags."""
    flags = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
    data, control, _, _ = sock.recvmsg(ANSWER.size, socket.CMSG_LEN(DESCRIPTOR.size), flags)
    rights = [what for level, kind, what in control if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)]
    return data, [fd for what in rights for (fd,) in DESCRIPTOR.iter_unpack(what)]


def can_become() -> bool:
    """Whether this process may take on anybody's user and groups."""
    with open("/proc/self/status", "rb") as file:
        effective = next(int(line.split()[1], 16) for line in file if line.startswith(b"CapEff:"))
    return effective & BECOMES == BECOMES


def is_ourselves(peer: Peer) -> bool:
    """Whether the peer may do all that we may."""
    theirs = {peer.gid, *peer.groups}
    return peer.uid == os.geteuid() and {os.getegid(), *os.getgroups()} <= theirs

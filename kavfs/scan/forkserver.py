"""Fork server: the process that makes walkers and workers, reaps them, and kills on order.

It is forked from the coordinator before anything else, stays single-threaded and small, and therefore can fork at any
time when the coordinator no longer safely could. Requests and answers are messages of ``control``:

    {"do": "worker" | "walker", "id": n} + [memfd with the set-up, socket, slot, ...]
    {"do": "image", "parts": [[row, index of fd, offset, length] ...], "rows": n, "first": bool} + descriptors
    {"do": "kill", "id": n}
    {"do": "server", "id": n} + [socket]                a fork server of its own, with the same roles and no image yet
                                             {"id": n, "status": wait status}    it is gone
                                             {"id": n, "failed": text}           it could not be made

When the coordinator is gone (the socket ends), every child is killed and the server exits. When the server is killed,
the kernel kills the children (PR_SET_PDEATHSIG). SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 are ignored by all of
them: they may be sent to the whole group, but what they mean is the coordinator's to decide.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kavfs.errors import SystemFailure
from kavfs.record import field, record
from kavfs.scan import control
from kavfs.scan.control import Message

Part = tuple[int, int, int]  # descriptor, offset, length


@record
class Parts:
    """What a worker maps: the image, and small images of what came new since older generations, in their order."""

    image: list[Part] = field(default_factory=list)
    deltas: list[list[Part]] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Bytes of all that may be mapped."""
        return sum(length for row in (self.image, *self.deltas) for _, _, length in row)

    @property
    def fds(self) -> set[int]:
        return {fd for row in (self.image, *self.deltas) for fd, _, _ in row}


IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
LAST_WAIT = 1.0  # seconds for killed children to go
SERVER = 0  # its own number; children have higher ones
FIRST = 1  # of those that another() makes
FAILED = 70  # exit status of a child whose role raised an exception


class Role(NamedTuple):
    """What a child does: *run* gets the set-up, the descriptors that came with it and the parts of the image."""

    run: Callable[[Message, list[int], Parts], None]
    prepare: Callable[[], None] = lambda: None  # once, in the server: costly imports
    takes_image: bool = False


@record
class _Server:
    sock: socket.socket
    roles: dict[str, Role]
    pid: int = field(default_factory=os.getpid)
    children: dict[int, int] = field(default_factory=dict)  # pid -> id
    parts: Parts = field(default_factory=Parts)

    def serve(self) -> None:
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for role in self.roles.values():
            role.prepare()
        gc.freeze()  # without a collection, which would take 4 ms and find nothing: imports leave no garbage
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        poll.register(wake_read, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if wake_read in ready:
                os.read(wake_read, 4096)
                self.reap()
            if self.sock.fileno() in ready and not self.answer():
                return

    def answer(self) -> bool:
        received = control.receive(self.sock)
        if received is None:
            return False
        message, fds = received
        if message["do"] == "kill":
            self.kill(message["id"])
        elif message["do"] == "image":
            self.take_image(message, fds)
        elif message["do"] == "server":
            self.start_server(message["id"], fds[0])
            os.close(fds[0])
        else:
            self.start(message, fds)
            for fd in fds:
                os.close(fd)
        return True

    def kill(self, wanted: int) -> None:
        for pid, child in self.children.items():
            if child == wanted:  # not reaped yet, so the pid cannot mean another process
                _kill(pid)

    def take_image(self, message: Message, fds: list[int]) -> None:
        if message["first"]:
            for fd in self.parts.fds:
                os.close(fd)
            self.parts = Parts(deltas=[[] for _ in range(message["rows"] - 1)])
        rows = [self.parts.image, *self.parts.deltas]
        for row, index, offset, length in message["parts"]:
            rows[row].append((fds[index], offset, length))

    def start(self, message: Message, fds: list[int]) -> None:
        role = self.roles[message["do"]]
        try:
            pid = os.fork()
        except OSError as error:
            self.say({"id": message["id"], "failed": f"fork: {error.strerror}"})
            return
        if pid == 0:
            self.become(role, fds)
        self.children[pid] = message["id"]

    def start_server(self, number: int, fd: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self.say({"id": number, "failed": f"fork: {error.strerror}"})
            return
        if pid == 0:
            signal.set_wakeup_fd(-1)
            _serve(socket.socket(fileno=fd), self.roles, parent=self.pid)
        self.children[pid] = number
        if number == FIRST:  # a daemon's: it lives long
            from kavfs._native import process

            process.rest()

    def become(self, role: Role, fds: list[int]) -> None:
        status = FAILED
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            setup = {**control.read_long(fds[0]), "parent": self.pid}
            parts = self.parts if role.takes_image else Parts()
            close_all_but({0, 1, 2, *fds[1:], *parts.fds})
            role.run(setup, fds[1:], parts)
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else FAILED
        finally:
            os._exit(status)

    def reap(self) -> None:
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self.say({"id": self.children.pop(pid), "status": status})

    def say(self, message: Message) -> None:
        with contextlib.suppress(OSError):  # the coordinator is gone: the next receive says so
            control.send(self.sock, message)

    def end(self) -> None:
        """Kill all and reap what can be reaped: who hangs in a dead file system dies when that answers."""
        for pid in self.children:
            _kill(pid)
        end = time.monotonic() + LAST_WAIT
        while self.children and time.monotonic() < end:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid:
                self.children.pop(pid)
            else:
                time.sleep(0.0005)


def _kill(pid: int) -> None:
    """One that has taken on another's user may be out of reach (no CAP_KILL); it ends when its socket does."""
    with contextlib.suppress(PermissionError):
        os.kill(pid, signal.SIGKILL)


def close_all_but(keep: set[int]) -> None:
    """Close every descriptor of this process that is not in *keep*."""
    low = 0
    for fd in sorted(keep):
        if low < fd:  # an empty range is taken for a full one by CPython 3.11
            os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, 0x7FFFFFFF)


def _serve(sock: socket.socket, roles: dict[str, Role], parent: int = 0) -> None:
    """The life of the server; never returns into what was the coordinator's program. *parent*: another server."""
    gc.disable()
    status = FAILED
    try:
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        close_all_but({0, 1, 2, sock.fileno()})
        server = _Server(sock, roles)
        try:
            from kavfs._native import process  # not in the coordinator: it has no use for it

            process.name(b"kavfs-forks")
            if parent:
                process.follow(signal.SIGKILL, parent)
            server.serve()
            status = 0
        except BaseException as error:
            server.say({"id": SERVER, "failed": f"{type(error).__name__}: {error}"})
        finally:
            server.end()
    finally:
        os._exit(status)


class ForkServer:
    """The coordinator's end. Make it before starting threads; close() ends every process that came from it."""

    def __init__(self, roles: dict[str, Role]) -> None:
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sys.stdout.flush()  # what is buffered must not be in two processes
        try:
            self.pid = os.fork()
        except OSError as error:
            raise SystemFailure(f"cannot start a process: {error.strerror}") from None
        if self.pid == 0:
            _serve(theirs, roles)
        theirs.close()
        self._others = 0

    def another(self) -> ForkServer:
        """A server of its own for another image: a child of this one, as which it ends at the latest. It knows nothing
        of images that this one was given only if that was none."""
        server = ForkServer.__new__(ForkServer)
        server._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        server.pid, server._others = 0, 0
        self._others += 1
        with theirs:
            try:
                self._send({"do": "server", "id": self._others}, [theirs.fileno()])
            except BaseException:
                server._sock.close()
                raise
        return server

    def fileno(self) -> int:
        """Readable when there are news()."""
        return self._sock.fileno()

    def start(self, role: str, child: int, setup: Message, fds: list[int]) -> None:
        """Make a process; it is called *child* (a number of the caller's) from now on."""
        body = control.write_long(setup)
        try:
            self._send({"do": role, "id": child}, [body, *fds])
        finally:
            os.close(body)

    def kill(self, child: int) -> None:
        """SIGKILL; the news that it is gone follows. A child that is gone already is no error."""
        self._send({"do": "kill", "id": child})

    def set_image(self, parts: list[Part], deltas: Sequence[Sequence[Part]] = ()) -> None:
        """What workers made from now on map; *deltas* in the order of rows of the delta table."""
        images = (parts, *deltas)
        rows = [(row, part) for row, image in enumerate(images) for part in image]
        for at in range(0, max(len(rows), 1), control.FDS_MAX):
            some = rows[at : at + control.FDS_MAX]
            fds = sorted({fd for _, (fd, _, _) in some})
            table = [[row, fds.index(fd), offset, length] for row, (fd, offset, length) in some]
            self._send({"do": "image", "parts": table, "rows": len(images), "first": at == 0}, fds)

    def _send(self, message: Message, fds: list[int] | None = None) -> None:
        try:
            control.send(self._sock, message, fds or ())
        except OSError as error:
            self.news()  # raises with the server's own last words, if it had any
            raise SystemFailure(f"the fork server is gone: {error.strerror}") from None

    def news(self) -> list[Message]:
        """What happened to children since the last call; SystemFailure when the server itself is gone."""
        messages: list[Message] = []
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        while poll.poll(0):
            received = control.receive(self._sock)
            if received is None or received[0]["id"] == SERVER:
                words = received[0]["failed"] if received else "killed"
                raise SystemFailure(f"the fork server is gone: {words}")
            messages.append(received[0])
        return messages

    def close(self) -> None:
        """Kill all that is left and wait for it; another()'s end is not waited for. May be called twice."""
        if self._sock.fileno() < 0:
            return
        self._sock.close()
        if not self.pid:
            return
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

"""Drill: a worker that was taken over. It enters the real sandbox, and then does what the bytes of an object say.

What comes through is told as an infection of the name BROKE_OUT. What is refused ends in a frame that no dispatcher
takes, so that the object is an Error. Protections can be switched off one by one, to see that the drill notices.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import mmap
import os
import signal
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from kavfs._native import process
from kavfs.limits import Limits
from kavfs.ports import Delta, ImagePart
from kavfs.scan import roles, sandbox
from kavfs.scan.control import Message
from kavfs.scan.forkserver import ForkServer, Parts, Role
from kavfs.scan.job import Job
from tests.support import fakes

BROKE_OUT = "Drill.Broke-Out"
MARK = b"drill"
PTRACE_TRACEME = 0
TOO_MANY = 5000  # descriptors

libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Place:
    """What the hostile routine knows of the world outside: somebody told it everything."""

    folder: Path
    abstract: str = field(init=False)  # addresses of listening sockets
    port: tuple[str, int] = field(init=False)
    listening: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.folder.chmod(0o777)
        self.marker.write_bytes(b"")  # whoever may write to it anyway needs no way in
        self.marker.unlink()
        self.open_file.write_bytes(b"for all")
        self.open_file.chmod(0o666)
        self.secret.write_bytes(b"for its owner")
        self.secret.chmod(0o600)
        self.part.write_bytes(bytes(mmap.PAGESIZE))
        self.part.chmod(0o666)
        self.abstract = f"\0kavfs-drill-{os.getpid()}-{id(self)}"
        for family, address in (
            (socket.AF_UNIX, str(self.socket)),
            (socket.AF_UNIX, self.abstract),
            (socket.AF_INET, ("127.0.0.1", 0)),
        ):
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.bind(address)
            listener.listen()
            self.listening.append(listener)
        self.port = listener.getsockname()
        self.socket.chmod(0o777)

    @property
    def marker(self) -> Path:
        return self.folder / "marker"

    @property
    def open_file(self) -> Path:
        return self.folder / "open"

    @property
    def secret(self) -> Path:
        return self.folder / "secret"

    @property
    def part(self) -> Path:
        return self.folder / "part"

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    def close(self) -> None:
        for listener in self.listening:
            listener.close()


def _called(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")


def _connect(family: int, address: str | tuple[str, int]) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.connect(address)


def _map_code() -> None:
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def _make_code_executable() -> None:
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    _called(libc.mprotect(ctypes.c_void_p(address), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC))


def _write_to_all(peer: fakes.Peer) -> None:
    """Every inherited descriptor but the worker's own, in three ways; succeeds with the first that works."""
    own = {_inode(fd) for fd in (0, *Drill.own)}  # 0, 1 and 2 are /dev/null; of the slot there is a duplicate
    for fd in range(Drill.most):
        if _inode(fd) in own:
            continue
        for way in (
            lambda fd=fd: os.pwrite(fd, b"X", 0),
            lambda fd=fd: os.ftruncate(fd, 1),
            lambda fd=fd: mmap.mmap(fd, mmap.PAGESIZE),
        ):
            try:
                way()
                return
            except (OSError, ValueError):
                continue
    raise OSError(0, "none can be written to")


def _inode(fd: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _write_to_image() -> None:
    """The mapping itself."""
    address = libc.mmap(None, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_SHARED, Drill.part, 0)
    _called(libc.mprotect(ctypes.c_void_p(address), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE))


def _open_again() -> None:
    """What was given for reading, for writing."""
    os.open(f"/proc/self/fd/{Drill.part}", os.O_RDWR)


def _take_descriptors() -> None:
    for _ in range(TOO_MANY):
        os.dup(0)


def _vm_write() -> None:
    text = ctypes.create_string_buffer(b"X")
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(text), 1)
    _called(libc.process_vm_writev(os.getpid(), vector, 1, vector, 1, 0))


class Drill:
    """What the worker itself knows, once it is one."""

    own: tuple[int, ...] = ()
    part = -1
    most = 64


Attempt = Callable[[fakes.Peer, Place], object]
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]

ATTEMPTS: dict[str, Attempt] = {
    "read": lambda peer, place: os.open(place.open_file, os.O_RDONLY),
    "read-secret": lambda peer, place: os.open(place.secret, os.O_RDONLY),
    "write": lambda peer, place: os.open(place.open_file, os.O_WRONLY),
    "create": lambda peer, place: os.open(place.marker, os.O_WRONLY | os.O_CREAT),
    "unlink": lambda peer, place: os.unlink(place.open_file),
    "open-again": lambda peer, place: _open_again(),
    "connect-path": lambda peer, place: _connect(socket.AF_UNIX, str(place.socket)),
    "connect-abstract": lambda peer, place: _connect(socket.AF_UNIX, place.abstract),
    "connect-tcp": lambda peer, place: _connect(socket.AF_INET, place.port),
    "exec": lambda peer, place: os.execv("/usr/bin/touch", ["touch", str(place.marker)]),
    "fork": lambda peer, place: os.fork() or os._exit(0),
    "ptrace": lambda peer, place: _called(libc.ptrace(PTRACE_TRACEME, 0, 0, 0)),
    "vm-write": lambda peer, place: _vm_write(),
    "mount": lambda peer, place: _called(libc.mount(b"none", os.fsencode(place.folder), b"tmpfs", 0, None)),
    "signal": lambda peer, place: os.kill(os.getppid(), signal.SIGUSR1),
    "chown": lambda peer, place: os.fchown(peer.fd, 1, 1),
    "map-code": lambda peer, place: _map_code(),
    "make-code": lambda peer, place: _make_code_executable(),
    "memfd": lambda peer, place: os.memfd_create("drill"),
    "write-descriptors": lambda peer, place: _write_to_all(peer),
    "write-image": lambda peer, place: _write_to_image(),
    "memory": lambda peer, place: mmap.mmap(-1, 8 << 30),
    "descriptors": lambda peer, place: _take_descriptors(),
    "raise-limits": lambda peer, place: sandbox.resource.setrlimit(sandbox.resource.RLIMIT_NPROC, (9, 9)),
    "spill": lambda peer, place: os.pwrite(Drill.own[-1], b"X", 64 << 20),
}


def _perform(peer: fakes.Peer, attempt: Attempt, place: Place) -> None:
    """Tell BROKE_OUT, or scribble over the slot and send what nobody takes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        attempt(peer, place)
    except (OSError, MemoryError):
        os.pwrite(Drill.own[1], b"\xff" * (mmap.PAGESIZE - 64), 64)
        peer.sock.send(b"\xff" * 700)
        return
    told = fakes.note(BROKE_OUT.encode())
    peer.send(peer.record(1, told, 1), payload=told)


class Off:
    """Protections, and how the test build does without them."""

    @staticmethod
    def landlock(setup: Message) -> None:
        sandbox.close_paths = lambda **allowed: []

    @staticmethod
    def landlock_missing(setup: Message) -> None:
        """As on a kernel without it."""

        def landlock(**allowed: object) -> None:
            raise OSError(errno.EOPNOTSUPP, "not switched on")

        process.landlock = landlock  # type: ignore[assignment]

    @staticmethod
    def calls(setup: Message) -> None:
        sandbox.filter_calls = lambda calls: []

    @staticmethod
    def limits(setup: Message) -> None:
        sandbox._set_limits = lambda bounds: None

    @staticmethod
    def user(setup: Message) -> None:
        setup["user"] = None

    @staticmethod
    def capabilities(setup: Message) -> None:
        sandbox.process = _Kept()  # type: ignore[assignment]


class _Kept:
    """The module ``process`` without giving up capabilities."""

    def bound_capabilities(self, mask: int) -> None: ...

    def keep_capabilities(self, mask: int) -> None: ...

    def __getattr__(self, name: str) -> object:
        return getattr(process, name)


def run_taken_over(place: Place, off: Collection[str], setup: Message, fds: list[int], parts: Parts) -> None:
    """In place of roles.run_worker."""
    socket_fd, slot_fd, spill_fd, *_ = fds
    Drill.own = (socket_fd, slot_fd, spill_fd)
    Drill.part = min(parts.fds)
    fakes.DEEDS = {
        name.encode(): functools.partial(_perform, attempt=attempt, place=place) for name, attempt in ATTEMPTS.items()
    }
    with socket.socket(fileno=socket_fd) as sock, mmap.mmap(slot_fd, 64) as slot:
        for name in off:
            getattr(Off, name)(setup)
        roles.tell_lacking(slot_fd, roles.enter(setup, parts))
        roles.greet(socket_fd)
        fakes.serve(sock, slot)


class OnePart(fakes.NoImage):
    """An image of one part, given to workers as a real one is."""

    def __init__(self, fd: int) -> None:
        self.parts = (ImagePart(fd, 0, mmap.PAGESIZE),)
        self.deltas: tuple[Delta, ...] = ()


def drill(place: Place, *paths: Path, off: Collection[str] = ()) -> fakes.Notebook:
    """Scan *paths*, whose content are names of ATTEMPTS, with workers that were taken over."""
    book = fakes.Notebook()
    worker = functools.partial(run_taken_over, place, off)
    server = ForkServer({"walker": Role(roles.run_walker), "worker": Role(worker, takes_image=True)})
    fd = os.open(place.part, os.O_RDONLY)
    try:
        limits = Limits(spill=1 << 20)
        Job(OnePart(fd), fakes.options(*paths, jobs=1, limits=limits), book, server=server).run()  # type: ignore[arg-type]
    finally:
        os.close(fd)
    return book

"""Children: walkers and workers as the coordinator has them: started, killed, and gone.

What a child gets is made here: one end of a socket, a slot in memory of its own (sealed, so that it cannot be cut away
under the dispatcher's mapping), a nameless spill file. The other end of the socket belongs to the dispatcher.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import pwd
import signal
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from kavfs._native.dispatch import Dispatcher
from kavfs.errors import SystemFailure
from kavfs.model import ENGINE_NUMBERS, Switch
from kavfs.options import EngineUse, ScanOptions
from kavfs.record import asdict, field, record, replace
from kavfs.scan import roles
from kavfs.scan.control import Message, text_of
from kavfs.scan.forkserver import ForkServer
from kavfs.scan.lookups import Lookups
from kavfs.scan.stopwatch import Stopwatch
from kavfs.temporary import writable

SLOT_PAGE = 4096
OBJECTS_BUCKET = 512  # bytes: an object cache is a multiple of them
COUNTED = struct.Struct("=16xQ")  # bytes, in a kav_slot
SLOT_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
PATIENCE = 1.0  # seconds that a child which closed its socket, or was killed, has for going


@record
class Child:
    """A process that was asked for; ``number`` is its name, for the fork server and the dispatcher alike."""

    number: int
    role: str
    slot_fd: int
    engine: str = "native"  # of a worker
    roots: tuple[bytes, ...] = ()  # of a walker
    why: str = ""  # what the dispatcher has against it
    killed: bool = False
    deadline: float | None = None  # when patience ends
    death: Death | None = None  # of a walker that is gone while the dispatcher still reads what it has sent


class Death(NamedTuple):
    """A child that is gone, or that must be counted as gone."""

    child: Child
    why: str
    well: bool = False  # it had done its work
    outside: bool = False  # SIGKILL, and not by us
    unborn: bool = False  # the system refused to make it
    exit_code: int | None = None


class Counter(NamedTuple):
    """A walker that only counts, so that progress can tell how much there is. Nobody waits for it, and when it dies
    nothing is known and nothing is wrong."""

    number: int
    slot_fd: int


@record
class Children:
    """All of them. Numbers are never used again."""

    server: ForkServer
    dispatcher: Dispatcher
    options: ScanOptions
    lookups: Lookups | None = None  # what walkers and workers may ask
    living: dict[int, Child] = field(default_factory=dict)
    last_number: int = 0
    clock: Stopwatch = field(default_factory=Stopwatch)  # stands still while we do, as they may have done too
    counter: Counter | None = None
    counted: int = 0  # bytes, once the counter is through

    def count(self, role: str) -> int:
        return sum(child.role == role for child in self.living.values())

    def workers(self, engine: str = "native") -> int:
        """Those of this engine that can be given work, or will be."""
        ours = (child for child in self.living.values() if child.role == "worker" and child.engine == engine)
        return sum(not child.why for child in ours)

    def start_engine(self, use: EngineUse) -> None:
        """Another worker of *use*, native or not."""
        if use.name == "native":
            self.start_worker()
            return
        child = self._start("worker", engine_setup(self.options, use), [], use.name)
        self.living[child.number] = child

    def start_worker(self) -> None:
        fds = [open_spill(writable(self.options.spill_dir))]
        try:
            objects, levels = objects_setup(self.lookups)
            fds += levels
            child = self._start("worker", worker_setup(self._worker_options(), objects), fds)
        finally:
            for fd in fds:
                os.close(fd)
        self.living[child.number] = child

    def _worker_options(self) -> ScanOptions:
        if self.lookups is None or not self.lookups.stores.digests:
            return self.options
        return replace(self.options, switches=self.options.switches | Switch.ALL_DIGESTS)

    def troubles(self) -> set[str]:
        """What living workers do without, in their own words."""
        workers = (child for child in self.living.values() if child.role == "worker")
        return {words for child in workers if (words := roles.last_words(child.slot_fd, roles.TROUBLE))}

    def lacking(self) -> str:
        """What workers do without of their sandbox; "" as long as none has begun, roles.EVERYTHING when nothing."""
        workers = (child for child in self.living.values() if child.role == "worker")
        return next((words for child in workers if (words := roles.last_words(child.slot_fd, roles.LACKS))), "")

    def start_walker(self, setup: Message, roots: tuple[bytes, ...]) -> None:
        setup = {**setup, "polite": self.options.polite}
        if self.lookups is None or setup["lookup"] is None:
            child = self._start("walker", setup, [])
        else:
            with self.lookups.opened() as (kinds, fds):
                child = self._start("walker", {**setup, "descriptors": kinds}, fds)
        child.roots = roots
        self.living[child.number] = child

    def start_counter(self, setup: Message) -> None:
        self.last_number += 1
        slot_fd = make_slot()
        try:
            with open(os.devnull, "wb") as unused:  # in the place of a socket: it sends nothing
                polite = {**setup, "polite": self.options.polite}
                self.server.start("walker", self.last_number, polite, [unused.fileno(), slot_fd])
        except BaseException:
            os.close(slot_fd)
            raise
        self.counter = Counter(self.last_number, slot_fd)

    def _end_counter(self, message: Message) -> None:
        if self.counter is not None and self.counter.number == message["id"]:
            if message.get("status") == 0:
                self.counted = COUNTED.unpack(os.pread(self.counter.slot_fd, COUNTED.size, 0))[0]
            os.close(self.counter.slot_fd)
            self.counter = None

    def _start(self, role: str, setup: Message, more: list[int], engine: str = "native") -> Child:
        self.last_number += 1
        slot_fd = make_slot()
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with ours, theirs:
                kind = role if engine == "native" else "engine"
                self.server.start(kind, self.last_number, setup, [theirs.fileno(), slot_fd, *more])
                if role == "worker":
                    self.dispatcher.add_worker(self.last_number, ours.fileno(), slot_fd, ENGINE_NUMBERS[engine])
                else:
                    self.dispatcher.add_walker(self.last_number, ours.fileno(), slot_fd)
                ours.detach()  # the dispatcher's now
        except BaseException:
            os.close(slot_fd)
            raise
        return Child(self.last_number, role, slot_fd, engine)

    @property
    def mourned(self) -> bool:
        """Whether somebody must go whose patience, or ours, ends some time."""
        return any(child.deadline is not None for child in self.living.values())

    def distrust(self, number: int, why: str, kill: bool) -> Child | None:
        """The dispatcher does not listen to this child any more: it must go."""
        child = self.living.get(number)
        if child is None:
            return None
        child.why = why
        child.deadline = self.clock.seconds() + PATIENCE
        if kill:
            self.kill(child)
        return child

    def kill(self, child: Child) -> None:
        self.server.kill(child.number)
        child.killed = True

    def deaths(self) -> Iterator[Death]:
        """Who has gone since the last call."""
        for message in self.server.news():
            child = self.living.get(message["id"])
            if child is None:
                self._end_counter(message)
                continue  # the counter, or one that was counted as gone when patience ended
            child.death = self._death(child, message)
        now = self.clock.seconds()
        for child in list(self.living.values()):
            if child.death is not None:
                if child.role == "worker" or child.why:
                    yield self._forget(child.death)
                continue
            if child.deadline is None or child.deadline > now:
                continue
            if not child.killed:
                self.kill(child)
                child.deadline = now + PATIENCE
            else:  # in a system call that does not end: it dies when that does, and nobody waits for it
                yield self._forget(Death(child, child.why))

    def _death(self, child: Child, message: Message) -> Death:
        if "failed" in message:
            return Death(child, message["failed"], unborn=True)
        status = message["status"]
        if os.WIFEXITED(status):
            code = os.WEXITSTATUS(status)
            words = roles.last_words(child.slot_fd) if code else ""
            silent = child.why in ("", CLOSED)
            why = words or f"exit status {code}" if silent else child.why
            return Death(child, why, well=code == 0 and silent, exit_code=code)
        number = os.WTERMSIG(status)
        if child.killed:
            return Death(child, child.why)
        why = f"killed by signal {number} ({signal_name(number)})"
        return Death(child, why, outside=number == signal.SIGKILL)

    def _forget(self, death: Death) -> Death:
        del self.living[death.child.number]
        os.close(death.child.slot_fd)
        return death

    def close(self) -> None:
        for child in self.living.values():
            os.close(child.slot_fd)
        self.living.clear()
        if self.counter is not None:
            os.close(self.counter.slot_fd)
            self.counter = None
        if self.lookups is not None:
            self.lookups.close()


CLOSED = "closed its socket"  # as the dispatcher says it


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def make_slot() -> int:
    """A page of memory to be shared with one child."""
    fd = os.memfd_create("kavfs-slot", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, SLOT_PAGE)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SLOT_SEALS)
    return fd


def open_spill(folder: bytes) -> int:
    """A file without a name, for what does not fit into a worker's memory."""
    try:
        try:
            return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except IsADirectoryError:
            pass  # a kernel, or a file system, without O_TMPFILE
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
        name = folder + b"/.kavfs-" + os.urandom(8).hex().encode()
        fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        os.unlink(name)
        return fd
    except OSError as error:
        shown = os.fsdecode(folder)
        raise SystemFailure(f"no temporary file can be made in {shown}: {error.strerror}") from None


def worker_setup(options: ScanOptions, objects: Message | None = None) -> Message:
    """What run_worker takes; *objects* is that of objects_setup."""
    return {
        "objects": objects or {},
        "limits": asdict(options.limits),
        "switches": int(options.switches),
        "user": worker_user(options.user),
        "polite": options.polite,
    }


def engine_setup(options: ScanOptions, use: EngineUse) -> Message:
    """What run_engine takes."""
    alone = options.engines[0] == use  # nobody else would tell the digest
    return {
        "engine": use.name,
        "own": use.setup,
        "limits": asdict(options.limits),
        "switches": int(options.switches if alone else options.switches & ~Switch.DIGEST),
        "user": worker_user(options.user),
        "polite": options.polite,
        "memory": use.memory,
        "spill": min(use.spill, options.limits.spill),
        "spill_dir": text_of(writable(options.spill_dir)),
    }


def objects_setup(lookups: Lookups | None) -> tuple[Message, list[int]]:
    """How a worker finds the object cache: {} where there is none; and new descriptors of its levels, good for reading
    only. Level 1 has been sealed by its writer, who must be there before the first worker."""
    if lookups is None:
        return {}, []
    stores = lookups.stores
    setup: Message = {}
    fds: list[int] = []
    for level, fd in (("memory", stores.objects_memory), ("file", stores.objects_file)):
        size = os.fstat(fd).st_size if fd >= 0 else 0
        if size == 0 or size % OBJECTS_BUCKET:
            continue  # not there, or no table
        fds.append(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC))
        setup[level] = size
    if fds:
        setup["secret"] = stores.objects_secret.hex()
        setup["context"] = hashlib.sha256(stores.context + lookups.generation).digest()[:16].hex()
    return setup, fds


def worker_user(name: str) -> tuple[int, int] | None:
    """Whom workers become; None when we are not root and they stay who we are."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise SystemFailure(f"workers shall run as {name}, but there is no such user") from None
    if entry.pw_uid == 0:
        raise SystemFailure(f"workers shall run as {name}, but that is root")
    return entry.pw_uid, entry.pw_gid

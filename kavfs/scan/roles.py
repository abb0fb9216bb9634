"""Roles: what a walker and a worker do once the fork server has made them.

Each gives up what it does not need first. When it cannot go on it leaves one line in its slot, behind the part that the
dispatcher reads, and an exit status; the coordinator shows both, and believes neither more than it must.
"""

from __future__ import annotations

import mmap
import os
import resource
import signal
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kavfs._native.walk import walk
from kavfs.errors import KavfsError, SystemFailure
from kavfs.limits import Limits
from kavfs.model import Switch
from kavfs.scan import asking, sandbox
from kavfs.scan.control import Message, bytes_of
from kavfs.scan.forkserver import IGNORED, ForkServer, Parts, Role, close_all_but
from kavfs.walk import descriptors

if TYPE_CHECKING:
    from kavfs.engine.contract import EngineModule

RESULT_MAGIC, READY_BATCH, LAST = 0x5345524B, 0, 1  # ext/common/kav.h
AMPLE_DESCRIPTORS = 32768
SLOT_BYTES = 64
LAST_WORDS = 128  # where they begin in the slot's page
LAST_WORDS_MAX = 300
TROUBLE = 512  # the same of what a worker does without while it lives
LACKS = 1024  # the same of protections that it does without, or EVERYTHING
OPENER_SOCKET = 3
EVERYTHING = "has every protection"


def run_worker(setup: Message, fds: list[int], parts: Parts) -> None:
    """Become a worker: [socket, slot, spill], then the levels of the object cache that the set-up names."""
    socket_fd, slot_fd, spill_fd, *levels = fds

    def work() -> None:
        from kavfs.engine import native

        tell_lacking(slot_fd, enter(setup, parts))
        objects = native.objects(setup["objects"], levels)
        switches = Switch(setup["switches"])
        scanner = native.make(parts.image, limits(setup), switches, spill_fd, deltas=parts.deltas, objects=objects)
        if scanner.trouble:
            _leave(slot_fd, scanner.trouble, TROUBLE)
        with mmap.mmap(slot_fd, SLOT_BYTES) as slot:
            greet(socket_fd)
            scanner.serve(socket_fd, slot)

    with_last_words(slot_fd, work)


def greet(socket_fd: int) -> None:
    """Tell the dispatcher that this worker is ready. What went wrong before cannot be the fault of an object."""
    os.write(socket_fd, struct.pack("=IIQII", RESULT_MAGIC, 0, READY_BATCH, LAST, 0))


def tell_lacking(slot_fd: int, lacking: list[str]) -> None:
    """Leave what the kernel has not got of the sandbox."""
    _leave(slot_fd, " and ".join(lacking) or EVERYTHING, LACKS)


def enter(setup: Message, parts: Parts) -> list[str]:
    """The worker's sandbox; image, deltas and the object cache are mapped after it, so their room is allowed for."""
    if setup["polite"]:
        sandbox.yield_to_others()
    user = setup["user"]
    bounds = limits(setup)
    return sandbox.enter_worker(
        sandbox.Bounds(
            user=(user[0], user[1]) if user else None,
            memory=bounds.memory + parts.length + setup["objects"].get("memory", 0),
            spill=bounds.spill,
            parent=setup["parent"],
        )
    )


def run_engine(setup: Message, fds: list[int], parts: Parts) -> None:
    """Become a worker of another engine: [socket, slot]."""
    from kavfs.engine.choose import module_of

    serve_engine(module_of(setup["engine"]), setup, fds)


def serve_engine(module: EngineModule, setup: Message, fds: list[int]) -> None:
    """The same with the module given: whatever it opens by name, it opens before the sandbox."""
    socket_fd, slot_fd = fds

    def work() -> None:
        from kavfs.engine.serve import Server

        engine = module.make({**setup, **setup["own"]})
        tell_lacking(slot_fd, enter_engine(setup, engine.folder))
        engine.begin()
        with socket.socket(fileno=socket_fd) as sock, mmap.mmap(slot_fd, SLOT_BYTES) as slot:
            greet(socket_fd)
            Server(sock, slot, setup["engine"], engine, limits(setup), Switch(setup["switches"])).serve()
        engine.close()

    with_last_words(slot_fd, work)


def enter_engine(setup: Message, folder: bytes = b"") -> list[str]:
    """The sandbox of another engine's worker, with a profile of its own. *folder*: where it keeps temporary files."""
    if setup["polite"]:
        sandbox.yield_to_others()
    user = setup["user"]
    bounds = sandbox.Bounds(
        user=(user[0], user[1]) if user else None,
        memory=setup["memory"],
        spill=setup["spill"],
        parent=setup["parent"],
        folder=folder,
        port=_port(setup["own"].get("address")),
    )
    return sandbox.enter_worker(bounds, profile=setup["engine"])


def _port(address: object) -> int:
    """Of a TCP address [host, port]; that of a UNIX socket is its path."""
    return int(address[1]) if isinstance(address, (list, tuple)) else 0


def limits(setup: Message) -> Limits:
    return Limits(**setup["limits"])


def run_walker(setup: Message, fds: list[int], parts: Parts) -> None:
    """Become a walker: [socket, slot, then what setup["descriptors"] names]."""
    socket_fd, slot_fd, *stores = fds

    def work() -> None:
        limit = leave_room_in_flight(descriptors.raise_limit())
        if setup["polite"]:
            sandbox.yield_to_others()
        sandbox.enter_walker(setup["parent"])
        roots = _paths(setup["roots"])
        options = {**_walk_options(setup, limit), **asking.options(setup, roots, stores)}
        with mmap.mmap(slot_fd, SLOT_BYTES) as slot:
            walk(socket_fd, roots, slot=slot, **options)

    with_last_words(slot_fd, work)


def leave_room_in_flight(limit: int) -> int:
    """Half of a low limit for this walker: the kernel counts descriptors inside sockets for all processes of a user
    together and compares them with the sender's own limit, and the coordinator must be able to send when we no longer
    can."""
    if limit >= AMPLE_DESCRIPTORS:
        return limit
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit // 2, hard))
    return limit // 2


def _walk_options(setup: Message, limit: int) -> dict[str, Any]:
    threads = max(1, min(setup["threads"], (limit - descriptors.RESERVE) // descriptors.PER_THREAD))
    return {
        "exclude_masks": _paths(setup["exclude_masks"]),
        "exclude_dirs": _paths(setup["exclude_dirs"]),
        "mount_points": _paths(setup["mount_points"]),
        "stores": [(dev, ino) for dev, ino in setup["stores"]],
        "recurse": setup["recurse"],
        "count_only": setup["count_only"],
        "cold": setup["cold"],
        "follow_symlinks": setup["follow_symlinks"],
        "enter_pseudo": setup["enter_pseudo"],
        "threads": threads,
        "max_fds": descriptors.for_directories(limit, threads),
    }


def _paths(texts: list[str]) -> list[bytes]:
    return [bytes_of(text) for text in texts]


def with_last_words(slot_fd: int, work: Callable[[], None]) -> None:
    """Run *work*; what stops it is left in the slot and in the exit status."""
    try:
        work()
    except KavfsError as error:
        _leave(slot_fd, str(error))
        raise SystemExit(error.exit_code) from None
    except OSError as error:
        _leave(slot_fd, error.strerror or str(error))
        raise SystemExit(SystemFailure.exit_code) from None
    except MemoryError:
        _leave(slot_fd, "out of memory")
        raise SystemExit(SystemFailure.exit_code) from None
    except Exception as error:  # a defect of ours: its name is better than nothing
        _leave(slot_fd, f"{type(error).__name__}: {error}")
        raise


def _leave(slot_fd: int, text: str, where: int = LAST_WORDS) -> None:
    os.pwrite(slot_fd, text.encode("utf-8", "backslashreplace")[:LAST_WORDS_MAX] + b"\0", where)


def last_words(slot_fd: int, where: int = LAST_WORDS) -> str:
    """What a child left, or "". It may have been taken over: the text is for showing only."""
    data = os.pread(slot_fd, LAST_WORDS_MAX, where).split(b"\0", 1)[0]
    return data.decode("utf-8", "backslashreplace")


def run_opener(setup: Message, fds: list[int], parts: Parts) -> None:
    """Open files in another's name: [socket]."""
    from kavfs._native import process

    who = setup["who"]
    os.dup2(fds[0], OPENER_SOCKET)
    close_all_but({0, 1, 2, OPENER_SOCKET})
    descriptors.raise_limit()  # compared with those on their way of all processes of that user, not with ours
    sandbox.enter_opener((who[0], who[1], who[2]) if who else None, setup["parent"])
    process.open_for(OPENER_SOCKET)


def run_program(setup: Message, fds: list[int], parts: Parts) -> None:
    """Become another program: [standard output, standard error]. A daemon begins none itself: in a child of its own,
    descriptors of clients would be closed first, and that may take for ever."""
    from kavfs._native import process

    if os.geteuid() != 0:
        process.keep_capabilities(0)
    for number in IGNORED:
        signal.signal(number, signal.SIG_DFL)
    for place, fd in enumerate(fds, 1):
        os.dup2(fd, place)
    words = [bytes_of(word) for word in setup["words"]]
    os.execve(words[0], words, {bytes_of(name): bytes_of(value) for name, value in setup["environment"].items()})


def _prepare_worker() -> None:
    """The worker's libraries, loaded once in the fork server instead of in each worker."""
    from kavfs.engine import native

    native.prepare()


def roles() -> dict[str, Role]:
    """What the fork server of a real scan can make. The imports inside the functions keep the parsers out of the
    coordinator, which starts faster without them and has no use for any. What a walker needs is imported above: most
    of it the coordinator needs too, and what was imported before the fork costs only once."""
    return {
        "walker": Role(run_walker),
        "worker": Role(run_worker, _prepare_worker, takes_image=True),
        "engine": Role(run_engine),
        "opener": Role(run_opener),
        "program": Role(run_program),
    }


def start_server() -> ForkServer:
    """The fork server of a real scan. Before threads, before anything costly: it begins to load libraries at once."""
    return ForkServer(roles())

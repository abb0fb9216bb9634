"""Sandbox: everything a walker or worker gives up before it meets foreign bytes, in one place and in order.

    worker    user and groups, all capabilities, resource limits, dumpability, no_new_privs; Landlock: no path, no TCP,
              no signals to others; a list of system calls. It has descriptors and no need of paths. PROFILES says what
              workers of other engines need besides
    walker    all capabilities but those for reading any directory, for O_NOATIME and for leases; no_new_privs;
              Landlock: nothing is written; a list of system calls
    opener    the rights of whoever named a path, taken on for good before it hears of any, and none besides; then as a
              worker, but that it may open for reading

Whoever is not root has less to give up; what does not apply is left out, what fails is an error and ends the child.
What the kernel has not got (Landlock, filters) is left out too, and told.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from kavfs._native import process

WALKER_CAPABILITIES = 1 << 2 | 1 << 3 | 1 << 28
"""CAP_DAC_READ_SEARCH; CAP_FOWNER for O_NOATIME and CAP_LEASE for leases on files of others."""

OPENER_CAPABILITIES = 1 << 2
"""CAP_DAC_READ_SEARCH, when it is root that named the path."""

SPARE_DESCRIPTORS = 64  # besides those of the batches that a worker may hold
BATCH_FILES = 64
LOWEST = 19  # nice
LAST_WORDS = 4096  # bytes of the slot's page, in which it may leave them
CPU_SECONDS = 24 * 3600  # of one worker's life: a backstop, should nobody watch its time any more

PROFILES = {"native": "native", "clamav": "files", "clamd": "unix", "yara": "native", "cure": "native"}
"""The calls that the workers of each engine, and who cures, may make (ext/process/filter.c)."""

LANDLOCK, FILTERS = "Landlock", "seccomp filters"  # what a kernel may do without

LACKING = frozenset((errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM))
"""How a kernel, or a container around us, says that it has no such protection."""


class Bounds(NamedTuple):
    """Of one worker: whom it becomes, and how much it may take."""

    user: tuple[int, int] | None  # (uid, gid); None = stay who you are
    memory: int  # bytes of address space on top of what is mapped already
    spill: int  # bytes of the spill file
    parent: int  # pid of the fork server
    folder: bytes = b""  # the only one in which it may open and write files
    port: int = 0  # TCP: the only one that it may connect to; 0 = UNIX sockets, where the profile has any


def enter_worker(bounds: Bounds, profile: str = "native") -> list[str]:
    """Give up what a worker does not need. Called with the image mapped or not: mapped bytes are counted in.
    *profile* is the name of the engine that will run in it. Returns what the kernel has not got."""
    process.name(b"kavfs-worker" if profile == "native" else f"kavfs-{profile}".encode())
    process.bound_capabilities(0)
    if bounds.user is not None and os.geteuid() == 0:
        process.become(*bounds.user)
    process.keep_capabilities(0)
    _set_limits(bounds)
    _lock(bounds.parent)
    calls = "tcp" if profile == "clamd" and bounds.port else PROFILES[profile]
    lacking = close_paths(folder=bounds.folder or None, port=bounds.port)
    return lacking + filter_calls(calls)


def enter_walker(parent: int) -> None:
    """Give up what a walker does not need. SIGIO is ignored: it is sent to who holds a lease that somebody breaks."""
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    process.name(b"kavfs-walker")
    process.bound_capabilities(WALKER_CAPABILITIES)
    process.keep_capabilities(WALKER_CAPABILITIES)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lock(parent)
    close_paths(reads=True)
    filter_calls("walker")


def enter_opener(who: tuple[int, int, list[int]] | None, parent: int) -> None:
    """Take on *who* (uid, gid, other groups; None: stay who you are) and give up everything besides."""
    os.chdir("/")
    process.name(b"kavfs-opener")
    uid = os.geteuid() if who is None else who[0]
    keep = 0 if uid else OPENER_CAPABILITIES
    process.bound_capabilities(keep)
    if who is not None:
        process.stand_in(*who)
    process.keep_capabilities(keep)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NPROC, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lock(parent)
    close_paths(reads=True)
    filter_calls("opener")


def yield_to_others() -> None:
    """Run only when nobody else wants the CPU or the disk: the lowest nice value, the I/O class idle. For good, and
    for all that this process starts."""
    os.nice(LOWEST)
    with suppress(OSError):  # a container that forbids the call; the kernel then goes by the nice value
        process.idle_io()


def close_paths(*, reads: bool = False, folder: bytes | None = None, port: int = 0) -> list[str]:
    """Landlock: no access by path but what is named."""
    return _unless_lacking(LANDLOCK, lambda: process.landlock(reads=reads, folder=folder, port=port))


def filter_calls(calls: str) -> list[str]:
    """Only the system calls of this list; for good, and so the last thing to be given up."""
    return _unless_lacking(FILTERS, lambda: process.filter_calls(calls))


def _unless_lacking(name: str, step: Callable[[], None]) -> list[str]:
    try:
        step()
    except OSError as error:
        if error.errno not in LACKING:
            raise
        return [name]
    return []


def _lock(parent: int) -> None:
    process.no_new_privs()
    process.hide()
    process.follow(signal.SIGKILL, parent)


def _set_limits(bounds: Bounds) -> None:
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NPROC, 0)
    _lower(resource.RLIMIT_CPU, CPU_SECONDS)
    _lower(resource.RLIMIT_FSIZE, max(bounds.spill, LAST_WORDS))
    _lower(resource.RLIMIT_NOFILE, _descriptors_needed())
    _lower(resource.RLIMIT_AS, _mapped() + bounds.memory)


def _descriptors_needed() -> int:
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    return highest + 2 * BATCH_FILES + SPARE_DESCRIPTORS


def _mapped() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _lower(kind: int, value: int) -> None:
    """Set a limit for good, never above what there is."""
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))

"""Options of one scan as frozen values: what is walked, how objects are opened, with how many processes.

Made by ``config`` and ``cli`` from files and words; everything below takes these and never a whole configuration.
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

from kavfs.limits import Limits
from kavfs.model import ENGINES, Switch
from kavfs.record import field, record
from kavfs.temporary import USUAL

EVERYTHING = Switch.PACKED | Switch.ARCHIVES | Switch.SFX | Switch.MAILBASES | Switch.MAILPLAIN | Switch.HEURISTIC


@record(frozen=True)
class WalkOptions:
    """What is listed. Paths and masks are bytes, as the file system has them."""

    roots: tuple[bytes, ...]
    recurse: bool = True
    follow_symlinks: bool = False  # links met inside a root; a root that is a link is always followed
    one_file_system: bool = False  # True: submounts of a root are reported and not walked
    exclude_masks: tuple[bytes, ...] = ()  # fnmatch; with b"/" against the path, else against the name
    exclude_dirs: tuple[bytes, ...] = ()  # the directory and everything below it
    stores: tuple[tuple[int, int], ...] = ()  # (dev, ino) of our own stores: not entered unless named as a root
    threads: int = 0  # of each walker; 0 = as many as CPUs are allowed, at most 4


class EnginePlaces(NamedTuple):
    """Where engines find what they need. Paths are bytes; b"" and "" mean the usual places."""

    databases: tuple[bytes, ...] = ()  # of the native engine: YARA rules may lie among them
    state: bytes = b""  # where what was compiled is kept
    clamav: bytes = b""  # folder of databases for libclamav
    clamd: str = ""  # path of a UNIX socket, or HOST:PORT
    yara: bytes = b""  # a file of rules, or a folder of such


class When(enum.IntEnum):
    """Which objects an engine sees (enum kav_when)."""

    NEVER = 0
    EVERY = 1
    ELSEWHERE = 2  # only those that the native engine does not cover wholly


class EngineUse(NamedTuple):
    """An engine that takes part in a scan, and how."""

    name: str
    when: When = When.EVERY
    knowledge: str = ""  # version and databases: the same line, the same answers
    setup: dict[str, Any] | None = None  # for its workers; JSON
    jobs: int = 0  # most workers; 0 = as many as the native engine
    resident: int = 0  # bytes of private memory that each may come to need; 0 = as the native engine
    memory: int = 0  # bytes of address space of each
    spill: int = 0  # bytes of a file that it writes
    start_seconds: float = 0.0  # until a worker must be ready
    lasting: bool = True  # False: what it said says nothing about what it will say in another scan


NATIVE = EngineUse("native")
AUTO = "auto"


class EngineChoice(NamedTuple):
    """The engines of a scan, as kavfs.engine.choose makes it; the native one alone unless somebody asks for more."""

    uses: tuple[EngineUse, ...] = (NATIVE,)  # in the order of ENGINES
    notes: tuple[str, ...] = ()  # what `auto` runs without
    knowledge: int = 0  # 63 bits: facts of one number hold for no other; 0 = native alone

    @property
    def passing(self) -> tuple[str, ...]:
        """The engines for whose sake nothing can be remembered of whole files."""
        return tuple(use.name for use in self.uses if not use.lasting)


def engine_names(text: str) -> tuple[str, ...]:
    """``NAME[,NAME]`` in the order of ENGINES, each once; ValueError says what cannot be asked for."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in (*ENGINES, AUTO):
            raise ValueError(f"there is no engine '{name}'; there are {', '.join(ENGINES)} and {AUTO}")
    if AUTO in names:
        if set(names) != {AUTO}:
            raise ValueError(f"'{AUTO}' stands alone: it asks every engine that is there")
        return (AUTO,)
    return tuple(name for name in ENGINES if name in names)


@record(frozen=True)
class ScanOptions:
    """Everything a scan needs besides an image and a report."""

    walk: WalkOptions
    limits: Limits = field(default_factory=Limits)
    switches: Switch = EVERYTHING
    jobs: int = 0  # worker processes; 0 = by cpu.max and memory.max
    user: str = "nobody"  # whom workers become when started by root
    stall: float = 30.0  # seconds without progress after which a walker is killed
    spill_dir: bytes = USUAL  # where nameless spill files are made
    polite: bool = False  # walkers and workers yield CPU and disk to others, and the scan waits for them
    max_load: float = 0.0  # load average above which nothing is begun; 0 = any
    until: float = 0.0  # seconds since 1970 after which nothing is begun; 0 = no end
    engines: tuple[EngineUse, ...] = (NATIVE,)  # in the order of ENGINES
    page_cache: bool = True  # files that were not in the page cache before are dropped from it after the scan

"""Contract: what every engine besides the native one promises. One module of this folder for each, named like it.

    offer = module.offer(places)       in the coordinator, before the scan: can it take part, and with what knowledge?
    engine = module.make(setup)        in a worker of its class, before that gives up its rights: open what has a name
    engine.begin()                     afterwards, with no rights left: load, connect
    finding = engine.scan(fd, size, budget)    for each object
    engine.close()

`serve` does all the rest: the wire, the slot, budgets, identities. tests/contract holds every engine to this.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from kavfs.errors import KavfsError
from kavfs.model import COMPLETE, Reason, Threat
from kavfs.options import EnginePlaces

GIB = 1 << 30

Setup = dict[str, Any]  # what JSON can carry; bytes as text of Latin-1


class EngineFailed(Exception):
    """The engine has no answer for this object (half a reply, garbage, silence): it ends with reason ENGINE, and the
    next one is asked. Whoever cannot go on at all raises another KavfsError, which ends the worker."""


class EngineMissing(KavfsError):
    """This engine cannot take part in a scan here; str() says why, without its name."""

    exit_code = 66


@dataclass(frozen=True)
class Offer:
    """What an engine brings to a scan."""

    knowledge: str
    """Version and databases, one line that changes with every answer that could change; "" is not allowed."""

    setup: Setup = field(default_factory=dict)  # for make()
    jobs: int = 1  # most worker processes
    resident: int = 150 << 20  # bytes of private memory that each worker may come to need
    memory: int = GIB  # bytes of address space that one may take on top of what make() left mapped
    spill: int = 0  # bytes that a file which it writes may have; 0 = it writes none
    start_seconds: float = 60.0  # until a worker must be ready
    lasting: bool = True  # False: knowledge cannot tell all that its answers depend on, so they hold for one scan


@dataclass(frozen=True, slots=True)
class Finding:
    """What an engine says of one object. The status follows from both: partial is never clean."""

    threats: tuple[Threat, ...] = ()  # Threat.engine is this engine's name, and nobody else's
    reasons: Reason = COMPLETE  # what was not looked at; never WORKER or ENGINE
    scanned: int | None = None  # bytes; None = the whole object
    members: int = 0


class Budget:
    """The time of one object, and where it says that it goes on. Belongs to one object."""

    def __init__(self, seconds: float, tell: Callable[[int], None] = lambda handled: None) -> None:
        self._end = time.monotonic() + seconds
        self._tell = tell

    @property
    def left(self) -> float:
        """Seconds. At 0 the answer is due, with Reason.TIME; a grace later the worker is killed."""
        return max(0.0, self._end - time.monotonic())

    def tell(self, handled: int) -> None:
        """So many bytes were handled so far; to be called every now and then."""
        self._tell(handled)


class Engine(Protocol):
    """An engine inside one worker. One thread, one object at a time, nothing kept from one to the next."""

    @property
    def folder(self) -> bytes:
        """Where it makes temporary files by name, and nowhere else; b"" = it makes none."""
        ...

    def begin(self) -> None:
        """Called once, after the worker has given up its rights. Raises KavfsError, OSError or MemoryError."""
        ...

    def scan(self, fd: int, size: int, budget: Budget) -> Finding:
        """The object behind *fd*: a regular file of *size* bytes when it was opened, at offset 0; the descriptor stays
        the caller's. EngineFailed: no answer. OSError: the object cannot be read. MemoryError: it needs more than there
        is."""
        ...

    def close(self) -> None: ...


class EngineModule(Protocol):
    """A module of this folder."""

    def offer(self, places: EnginePlaces) -> Offer:
        """Quickly, without foreign bytes and without loading what only workers need. Raises EngineMissing."""
        ...

    def make(self, setup: Setup) -> Engine:
        """*setup*: the offer's own, and of the scan "limits", "switches", "user" ([uid, gid] or None: whom the worker
        becomes) and "spill_dir" (Latin-1)."""
        ...

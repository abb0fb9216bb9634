"""Limits of one top-level object: the budget under which it is opened and scanned.

A limit that is reached never makes an object clean: it makes coverage partial, with the reason named here.
"""

from __future__ import annotations

from kavfs.record import record

MIB = 1 << 20
GIB = 1 << 30


@record(frozen=True)
class Limits:
    """One field per limit; the reason that reaching it gives stands behind it."""

    max_file_size: int = 0  # bytes of a file on disk, 0 = any size (Reason.SIZE)
    max_member_size: int = 2 * GIB  # bytes of one unpacked member (Reason.SIZE)
    max_unpacked: int = 4 * GIB  # bytes of all members of one object (Reason.BYTES)
    max_depth: int = 20  # containers inside containers (Reason.DEPTH)
    max_members: int = 100_000  # members of one object, all depths (Reason.MEMBERS)
    time_base: float = 60.0  # seconds; budget = base + bytes / rate (Reason.TIME)
    time_rate: int = 5 * MIB  # bytes per second that are allowed for
    memory: int = 1 * GIB  # bytes of address space a worker may add while scanning (Reason.MEMORY or WORKER)
    spill: int = 2 * GIB  # bytes of one worker's spill file (Reason.MEMORY)

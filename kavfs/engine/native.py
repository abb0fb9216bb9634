"""The native engine: Vectorscan over literals, verified in C, containers opened to the bottom. Needs nothing besides.

It lives inside one process and belongs to one thread: a worker makes it after it has given up its rights, and serves
objects with it until its socket closes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kavfs._native import worker
from kavfs.errors import DatabaseDamaged
from kavfs.limits import Limits
from kavfs.model import Switch

Part = tuple[int, int, int]  # descriptor, offset, length


def make(
    image: Iterable[Part],
    limits: Limits,
    switches: Switch,
    spill_fd: int = -1,
    *,
    deltas: Sequence[Iterable[Part]] = (),
    objects: worker.Objects | None = None,
) -> worker.ObjectScanner:
    """An engine over the parts of *image*. *spill_fd*: an empty nameless file for members that do not fit into memory;
    -1 = there is none. *deltas*: parts of one image for each row of the delta table, mapped when an object asks for it.
    Raises DatabaseDamaged when the image cannot be used; OSError."""
    try:
        return worker.ObjectScanner(image, limits, switches, spill_fd, deltas, objects)
    except ValueError as error:
        raise DatabaseDamaged(str(error)) from None


def prepare() -> None:
    """What the libraries read by name, read while that is possible: once, before workers are made."""
    worker.prepare()


def objects(setup: dict[str, Any], levels: list[int]) -> worker.Objects | None:
    """The object cache as a worker's set-up describes it (``children.objects_setup``): lengths of the levels that are
    there, in the order of their descriptors *levels*."""
    if not setup:
        return None
    memory, file = setup.get("memory", 0), setup.get("file", 0)
    fds = iter(levels)
    memory_fd = next(fds) if memory else -1
    file_fd = next(fds) if file else -1
    return memory_fd, memory, file_fd, file, bytes.fromhex(setup["secret"]), bytes.fromhex(setup["context"])

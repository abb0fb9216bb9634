"""The native engine: Vectorscan over literals, verified in C, containers opened to the bottom. Needs nothing besides.

It lives inside one process and belongs to one thread: a worker makes it after it has given up its rights, and serves
objects with it until its socket closes.
"""

from __future__ import annotations

from collections.abc import Iterable

from kavfs._native import worker
from kavfs.errors import DatabaseDamaged
from kavfs.limits import Limits
from kavfs.model import Switch


def make(
    image: Iterable[tuple[int, int, int]], limits: Limits, switches: Switch, spill_fd: int = -1
) -> worker.ObjectScanner:
    """An engine over the parts of *image* (descriptor, offset, length). *spill_fd*: an empty nameless file for members
    that do not fit into memory; -1 = there is none. Raises DatabaseDamaged when the image cannot be used; OSError."""
    try:
        return worker.ObjectScanner(image, limits, switches, spill_fd)
    except ValueError as error:
        raise DatabaseDamaged(str(error)) from None

"""Running: what every program that scans does around a job: open signatures, name our stores, heed signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from kavfs.signatures.image import Image, open_image
from kavfs.signatures.sources import default_databases, default_state

if TYPE_CHECKING:
    from kavfs.cache.stores import OpenStores
    from kavfs.cli.request import Request
    from kavfs.model import Switch


def open_signatures(databases: Sequence[bytes], state: bytes) -> tuple[Image, bytes]:
    """The image of *databases* (none: the usual places), and the state folder that was used."""
    state = state or default_state()
    return open_image(tuple(databases) or default_databases(), state), state


def open_cache(request: Request, switches: Switch, state: bytes) -> OpenStores:
    """What the scan may look up and remember, as options and configuration say; none with --no-cache."""
    from kavfs.cache.stores import OpenStores, open_stores  # of all programs only the scanner needs it

    settings = request.settings
    if not settings.cache:
        return OpenStores(None, ())
    return open_stores(
        state,
        limits=request.limits,
        switches=switches,
        files=settings.ichecker,
        digests=settings.remember_digests,
        size_limit=settings.cache_size,
        objects=settings.object_cache_size,
    )


def own_stores(state: bytes) -> tuple[tuple[int, int], ...]:
    """Device and inode of our folders, which walkers do not enter: signatures would match themselves."""
    try:
        status = os.stat(state)
    except OSError:
        return ()  # an image file was used and there is no state folder
    return ((status.st_dev, status.st_ino),)


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP end a scan with the report of what was done; a second one ends it at once."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}

    def on_signal(number: int, frame: FrameType | None) -> None:
        restore()
        stop()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    for number in numbers:
        if before[number] is not signal.SIG_IGN:  # started by nohup, or in the background by a script
            signal.signal(number, on_signal)
    try:
        yield
    finally:
        restore()

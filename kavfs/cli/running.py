"""Running: what every program that scans does around a job: open signatures, name our stores, heed signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from kavfs.errors import ConfigError, UsageError
from kavfs.options import NATIVE, EngineChoice
from kavfs.record import replace
from kavfs.signatures.image import Image, no_image, open_image
from kavfs.signatures.sources import default_databases, default_state

if TYPE_CHECKING:
    from kavfs.cache.journal import Journal
    from kavfs.cache.opened import OpenStores
    from kavfs.cli.request import Request
    from kavfs.model import Switch
    from kavfs.ports import Stores

NATIVE_ALONE = EngineChoice()

NO_JOURNAL = "this scan cannot be gone on with later"

PACING = (signal.SIGUSR1, signal.SIGUSR2)


class Controlled(Protocol):
    """What signals can do to a job."""

    def stop(self) -> None: ...

    def pause(self) -> None: ...

    def go_on(self) -> None: ...


def open_signatures(
    databases: Sequence[bytes], state: bytes, used: Collection[bytes] | None = None
) -> tuple[Image, bytes]:
    """The image of *databases* (none: the usual places), and the state folder that was used. *used* are generations
    that something is remembered for; None = not known."""
    state = state or default_state()
    return open_image(tuple(databases) or default_databases(), state, used=used), state


def open_for(request: Request, engines: EngineChoice, used: Collection[bytes] | None) -> tuple[Image, bytes]:
    """open_signatures for a scan. Where nobody named databases and the native engine is not asked, none are opened."""
    if NATIVE in engines.uses or request.databases:
        return open_signatures(request.databases, request.state, used)
    state = request.state or default_state()
    return no_image(state), state


def choose_engines(request: Request) -> EngineChoice:
    """The engines that options and configuration name. One that is not there is an error of whoever named it."""
    names = request.settings.engines
    if names == (NATIVE.name,):
        return EngineChoice()
    from kavfs.engine.choose import choose  # most scans have the native engine alone
    from kavfs.engine.contract import EngineMissing

    try:
        return choose(names, request.places(request.state or default_state()))
    except EngineMissing as error:
        if request.engines_named:
            raise UsageError(f"option --engine: {error}") from None
        raise ConfigError(f"Engine: {error}") from None


def open_cache(request: Request, switches: Switch, engines: EngineChoice = NATIVE_ALONE) -> OpenStores:
    """What the scan may look up and remember, as options and configuration say; none with --no-cache. Where an engine
    is asked whose answers do not last, that is the object cache, which is the native engine's own."""
    settings, lasting = request.settings, not engines.passing
    if not settings.cache and not request.resume:
        from kavfs.cache.opened import OpenStores

        return OpenStores(None, ())
    from kavfs.cache.stores import open_stores  # of all programs only the scanner needs it

    return open_stores(
        request.state or default_state(),
        limits=request.settings.limits,
        switches=switches,
        files=settings.cache and settings.ichecker and lasting,
        digests=settings.cache and settings.remember_digests,
        distrust_owners=settings.distrust_owners,
        engines=engines.knowledge if lasting else 0,  # else each such scan had settings of its own in the list
        size_limit=settings.cache_size,
        objects=settings.object_cache_size if settings.cache else 0,
        journal=_journal_name(request, switches, engines) if request.resume and lasting else "",
    )


def _journal_name(request: Request, switches: Switch, engines: EngineChoice) -> str:
    from kavfs.cache.journal import name_of  # few scans can be gone on with

    options = request.scan_options((), False, engines.uses)
    return name_of(replace(options, switches=switches), request.databases)


@contextmanager
def resumed(
    request: Request, stores: Stores | None, generation: bytes, note: Callable[[str], None]
) -> Iterator[Journal | None]:
    """The journal that *stores* name, ours until the scan is over; None: there is none, and a note says why if it was
    asked for."""
    if not request.resume:
        yield None
        return
    if stores is None or not stores.journal:
        why = "there is no cache to keep its journal in" if stores is None else "what an engine says holds for one scan"
        note(f"{NO_JOURNAL}: {why}")
        yield None
        return
    from kavfs.cache.journal import Busy, Journal

    with ExitStack() as stack:
        journal = None
        try:
            journal = stack.enter_context(Journal(stores))
            for text in journal.begin(generation):
                note(text)
        except Busy:
            raise UsageError("the same scan is running now, and there can be only one with --resume") from None
        except OSError as error:
            note(f"{NO_JOURNAL}: {error.strerror}")
        yield journal


def own_stores(request: Request, state: bytes) -> tuple[tuple[int, int], ...]:
    """Device and inode of our folders, which walkers do not enter: signatures would match themselves."""
    stores = []
    for folder in (state, request.settings.quarantine_path, request.settings.backup_path or b""):
        try:
            status = os.stat(folder)
        except OSError:
            continue  # none is named, or it is not there: an image file was used, nothing was put away yet
        stores.append((status.st_dev, status.st_ino))
    return tuple(stores)


@contextmanager
def heeding_signals(job: Controlled) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP end a scan with the report of what was done; a second one ends it at once. SIGUSR1
    pauses it and SIGUSR2 lets it go on."""
    actions: dict[int, Callable[[], None]] = dict.fromkeys((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), job.stop)
    actions |= {signal.SIGUSR1: job.pause, signal.SIGUSR2: job.go_on}
    before = {number: signal.getsignal(number) for number in actions}

    def on_signal(number: int, frame: FrameType | None) -> None:
        if number not in PACING:
            restore(*(number for number in actions if number not in PACING))
        actions[number]()

    def restore(*numbers: int) -> None:
        for number in numbers:
            handler = before[number]
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    for number, handler in before.items():
        if handler is not signal.SIG_IGN or number in PACING:  # ignored: started by nohup, or in a script's background
            signal.signal(number, on_signal)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PACING)  # kavscanner held them back until now
    try:
        yield
    finally:
        restore(*actions)

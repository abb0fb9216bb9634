"""Keeping: what the configuration asks of the quarantine, done when a scan begins: [quarantine] of kavfs.conf.

What is too old or too much is deleted. What nobody has judged with the knowledge of now is judged again: after
signatures, engines or the allow list were updated. The scan waits for that no longer than PATIENCE; the next one goes
on. One process at a time does this, and whatever goes wrong with it is a note in the report of the scan.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from kavfs.action.catalogue import MESSAGE, Item
from kavfs.action.store import Judged, Store
from kavfs.cli.request import Request
from kavfs.config.settings import Settings
from kavfs.errors import KavfsError
from kavfs.model import Switch
from kavfs.options import EVERYTHING, EngineChoice, ScanOptions
from kavfs.ports import Rescan
from kavfs.record import replace
from kavfs.report.summary import counted
from kavfs.scan.verifier import Verifier
from kavfs.signatures.image import Image

PATIENCE = 60.0  # seconds
DAY_NS = 86400 * 10**9

Note = Callable[[str], None]


class Judge(NamedTuple):
    """Who judges again."""

    rescan: Rescan
    engines: tuple[str, ...]
    known: str  # the same, the same verdicts


@contextmanager
def judging(image: Image, engines: EngineChoice, options: ScanOptions, note: Note) -> Iterator[Judge]:
    """Scans of one descriptor after the other as kavscanner scans with these *options*, but that no cache answers, that
    everything is opened, and that there is a digest for the allow list to go by."""
    options = replace(options, switches=options.switches | EVERYTHING | Switch.DIGEST)
    with Verifier(image, options, note, image.allow.judge) as rescan:
        yield Judge(rescan, tuple(use.name for use in engines.uses), knowledge(image, engines))


def knowledge(image: Image, engines: EngineChoice) -> str:
    """One word for everything that decides verdicts, as Store.rescan keeps it."""
    return image.generation.hex() + (f"-{engines.knowledge:x}" if engines.knowledge else "")


def keep(
    request: Request, folder: bytes, image: Image, engines: EngineChoice, options: ScanOptions, note: Note
) -> None:
    """Look after the quarantine in *folder*, if there is one."""
    try:
        with Store(folder, create=False) as store:
            try:
                fcntl.flock(store.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another scan is doing it
            for item in _prune(store, request.settings):
                note(f"quarantine: {_told(item)} was deleted, as MaxAge and MaxSize have it")
            if request.settings.rescan_after_update:
                _judge_what_waits(store, request.settings, image, engines, options, note)
    except FileNotFoundError:
        return
    except (KavfsError, OSError) as error:
        note(f"the quarantine was not looked after: {error}")


def _prune(store: Store, settings: Settings) -> list[Item]:
    """What MaxAge and MaxSize leave no room for goes."""
    age, size = settings.quarantine_max_age, settings.quarantine_max_size
    return store.prune(age or None, size or None) if age or size else []


def _judge_what_waits(
    store: Store, settings: Settings, image: Image, engines: EngineChoice, options: ScanOptions, note: Note
) -> None:
    since = time.time_ns() - DAY_NS if engines.passing else 0  # who does not say what he knows is asked every day
    asked = [use.name for use in engines.uses]
    waiting = [item for item in store.waiting(knowledge(image, engines), since) if item.finding.engine in asked]
    if not waiting:
        return
    end, done = time.monotonic() + PATIENCE, 0
    with judging(image, engines, options, note) as judge:
        restore = settings.restore_clean
        for judged in store.rescan(judge.rescan, waiting, restore=restore, engines=asked, known=judge.known):
            if text := _outcome(judged):
                note(f"quarantine: {text}")
            done += 1
            if time.monotonic() > end:
                break
    if done < len(waiting):
        note(f"quarantine: {counted(len(waiting) - done, 'item')} to be judged again at the next scan")


def _outcome(judged: Judged) -> str:
    """What the administrator should know of it; "" when nothing has changed."""
    item = judged.item
    if judged.result is None:
        return f"{_told(item)} was not judged again: {judged.text}"
    if not item.good or not judged.result.complete:
        return ""
    if judged.restored:
        return f"{_told(item)} is clean now and was restored to {judged.text}"
    verb = "release" if item.kind == MESSAGE else "restore"
    offer = judged.text or f"`kavfs quarantine {verb} {item.id}` gives it back"
    return f"{_told(item)} is clean now: {offer}"


def _told(item: Item) -> str:
    return f"item {item.id}, {item.facts.path.decode('utf-8', 'backslashreplace')},"

"""Shift: a crew that serves with one edition of signatures, in one way of matching, until another takes over.

An edition is an image with its allow list. It is closed when it is out of date and the last shift with it has ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from kavfs.cache.opened import OpenStores
from kavfs.cache.stores import OBJECTS_SIZE, open_stores
from kavfs.model import Switch
from kavfs.options import EngineChoice, ScanOptions
from kavfs.ports import Image
from kavfs.record import replace
from kavfs.scan.forkserver import ForkServer
from kavfs.scan.standing import StandingCrew
from kavfs.signatures.allow import AllowList

Note = Callable[[str], None]

BLOCK = 512  # bytes, of st_blocks
KNOWN = 1 << 15  # 64 bytes each


class ServiceSettings(NamedTuple):
    """What a service needs besides signatures."""

    options: ScanOptions  # nothing of it is walked; its engines are those of *engines*
    state: bytes  # folder of the caches
    engines: EngineChoice = EngineChoice()
    cache: bool = True  # look up and remember what objects hold
    cache_size: int = OBJECTS_SIZE  # bytes on disk for that; 0 = none
    known: int = KNOWN  # objects that may be known to be clean without a look inside; a power of two, 0 = none
    distrust_owners: bool = False  # know only files that nobody else may write to
    objects_max: int = 0  # in scan at once; 0 = two for each worker
    queue_max: int = 1000  # that wait
    queue_max_client: int = 1000  # of these, of one client
    deadline: float = 120.0  # seconds from submit() until there is an answer; 0 = as long as it takes


@dataclass(slots=True, eq=False)
class Edition:
    """Made with nobody using it. The image is its own."""

    image: Image
    allow: AllowList
    users: int = 0
    outdated: bool = False

    def retire(self) -> None:
        """Nobody new will use it."""
        self.outdated = True
        self.release(0)

    def release(self, users: int = 1) -> None:
        self.users -= users
        if self.outdated and not self.users:
            self.image.close()


class Shift:
    """Made with its first worker on its way; end() is due. *server* must know no image: take ForkServer.another()."""

    def __init__(
        self,
        edition: Edition,
        settings: ServiceSettings,
        all_match: bool,
        server: ForkServer,
        note: Note,
        spent: Callable[[int], None],
    ) -> None:
        options = replace(settings.options, engines=settings.engines.uses)
        if all_match:
            options = replace(options, switches=options.switches | Switch.ALL_MATCH)
        self.edition = edition
        self.all_match = all_match
        self.given = 0  # objects without a verdict
        self.idle_since = time.monotonic()
        self._note = note
        self._stores = _stores(settings, options)
        for text in self._stores.notes:
            note(text)
        try:
            self.crew = StandingCrew(edition.image, options, server=server, stores=self._stores.stores, spent=spent)
        except BaseException:
            self._stores.close()
            raise
        edition.users += 1

    @property
    def jobs(self) -> int:
        """Workers of the engine that has most."""
        return max(self.crew.jobs.values())

    @property
    def cache_bytes(self) -> dict[str, int]:
        """What the levels of the object cache take, in memory and on disk."""
        stores = self._stores.stores
        levels = {} if stores is None else {"memory": stores.objects_memory, "disk": stores.objects_file}
        return {place: os.fstat(fd).st_blocks * BLOCK for place, fd in levels.items() if fd >= 0}

    def end(self) -> None:
        """Its processes go; what they had is given up."""
        try:
            for text in self.crew.last_words():
                self._note(text)
        finally:
            self.crew.close()
            self._stores.close()
            self.edition.release()


def _stores(settings: ServiceSettings, options: ScanOptions) -> OpenStores:
    """Of each shift its own: no other than the first can write to the table in memory. Files are remembered by walkers
    alone, who can tell whether somebody has them open for writing."""
    if not settings.cache:
        return OpenStores(None, ())
    passing = bool(settings.engines.passing)
    return open_stores(
        settings.state,
        limits=options.limits,
        switches=options.switches,
        files=False,
        engines=0 if passing else settings.engines.knowledge,
        objects=settings.cache_size,
    )

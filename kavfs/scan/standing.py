"""Standing crew: workers that stay, for objects that come one by one and have somebody waiting for each.

    crew = StandingCrew(image, options, server=server, stores=stores)
    crew.give(fd, b"name", tag)
    for news in crew.turn(all_of_it=True): ...      (tag, Result, its record) or a note

A turn is due whenever fileno() is readable, and one with all of it when server_fileno() is, and at each TICK.

Nothing here waits. Without walkers there is nothing to hold, to count or to skip.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

from kavfs._native import dispatch
from kavfs.errors import SystemFailure
from kavfs.model import ENGINE_NUMBERS, Result
from kavfs.options import ScanOptions, When
from kavfs.ports import Image, Stores
from kavfs.scan import records
from kavfs.scan.crew import Crew
from kavfs.scan.forkserver import ForkServer

TICK = 0.05  # seconds between two turns while anything is on its way: budgets are watched in them

Verdict = tuple[int, Result, bytes]  # tag; the record that it was read from, with notes and layers
News = Verdict | str


class StandingCrew(Crew):
    """Made with one worker on its way. The server is the crew's, and ends with it. *spent* gets descriptors that were
    given, when they are not needed any more: to close one can take long."""

    def __init__(
        self,
        image: Image,
        options: ScanOptions,
        *,
        server: ForkServer,
        stores: Stores | None,
        spent: Callable[[int], None] = os.close,
    ) -> None:
        self._spent = spent
        super().__init__(image, options, want_clean=True, server=server, stores=stores, standing=True)
        self._short_of = ""  # why no other worker could be made, as the log knows
        self._standing = tuple(use for use in options.engines if use.when is When.EVERY)

    def fileno(self) -> int:
        """Readable when a worker has something to say."""
        return self._dispatcher.fileno()

    def server_fileno(self) -> int:
        """Readable when a process has gone."""
        return self._server.fileno()

    def give(self, fd: int, path: bytes, tag: int, row: int = 0) -> None:
        """Scan what is behind a descriptor, which is the crew's from now on; OSError: it is still the caller's. *row*:
        which of the image's deltas is enough, counted from 1; 0 = all of it."""
        self._dispatcher.submit(fd, path, tag, row)

    def abort(self, tag: int, why: str) -> None:
        """Wait no longer for this object: it ends as ERROR with Reason.TIME, and with it the worker that has it."""
        self._dispatcher.abort(tag, why.encode())

    def held(self, tag: int) -> float | None:
        """Seconds that a worker has had this object in hand, to a TICK; None: it waits."""
        passed = self._dispatcher.held_ms(tag)
        return None if passed < 0 else passed / 1000

    def turn(self, *, all_of_it: bool) -> list[News]:
        """Go on without waiting. *all_of_it*: look after processes too. KavfsError: no worker can be had."""
        self._flags = self._dispatcher.turn()
        self._hand_back(self._dispatcher.spent())
        news: list[News] = []
        self._hear(news)
        if self._flags & dispatch.WANT:
            self._start(self._start_workers)
        if all_of_it:
            for death in self._children.deaths():
                news += (note for note in self._bury(death) if isinstance(note, str))
                self._hear(news)
            self._start(self._fill)
            self._tell_of_sandbox()
            news += (note for note in self._notes if isinstance(note, str))
            self._notes.clear()
        return news

    def _hand_back(self, fds: list[int]) -> None:
        for fd in fds:
            self._spent(fd)

    def _hear(self, news: list[News]) -> None:
        for kind, number, path, data, text in self._dispatcher.events():
            if kind == dispatch.EV_RESULT:
                news.append((number, records.result(path, data, text, self._first), data))
            else:
                news += (note for note in self._peer(kind, number, text.decode()) if isinstance(note, str))

    def _start(self, start: Callable[[], None]) -> None:
        """Where another worker cannot be made now (no descriptor or memory is left), those that are there go on, and it
        is tried again."""
        try:
            start()
        except (OSError, SystemFailure) as error:
            why = str(error.strerror or error) if isinstance(error, OSError) else str(error)
            if not self._children.count("worker"):
                raise SystemFailure(f"scanning processes cannot be started: {why}") from None
            if why != self._short_of:
                self._short_of = why
                self._notes.append(f"another scanning process cannot be started now: {why}")

    def _fill(self) -> None:
        """One more worker of each engine that sees everything, when the one before has greeted: those who scan beside
        it shall notice little of it."""
        for use in self._standing:
            number = ENGINE_NUMBERS[use.name]
            there = self._children.workers(use.name)
            if there < self.jobs[use.name] and self._dispatcher.ready(number) == there:
                self._children.start_engine(use)

    @property
    def complete(self) -> bool:
        """Whether all workers that see everything have greeted."""
        return all(self._dispatcher.ready(ENGINE_NUMBERS[use.name]) >= self.jobs[use.name] for use in self._standing)

    @property
    def busy(self) -> bool:
        """Whether a turn is due within TICK even if nothing happens."""
        return bool(self._dispatcher.outstanding) or not self.complete or self._children.mourned

    @property
    def outstanding(self) -> int:
        """Objects without a verdict."""
        return self._dispatcher.outstanding

    @property
    def losses(self) -> Mapping[str, int]:
        """Workers that were lost, by crew.loss_of."""
        return self._losses

    @property
    def workers(self) -> int:
        """Those that have greeted."""
        return sum(self._dispatcher.ready(ENGINE_NUMBERS[name]) for name in self._uses)

    def last_words(self) -> Iterator[str]:
        """Write what is to be remembered; notes about what cannot be."""
        yield from (note for note in self.finish() if isinstance(note, str))

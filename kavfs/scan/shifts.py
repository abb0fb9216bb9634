"""Shifts: who serves now, who comes, and who ends; the switch from one edition of signatures to the next.

serving   two at most: the usual one, and one for requests that want all matches, made when the first is asked for
          and ended when it has had nothing to do for a while
coming    the usual one of the next edition, until all of its workers have greeted
leaving   those of editions before; each ends with its last verdict
"""

from __future__ import annotations

import select
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator

from kavfs.errors import KavfsError
from kavfs.scan.forkserver import ForkServer
from kavfs.scan.shift import Edition, Note, ServiceSettings, Shift
from kavfs.scan.standing import Verdict

IDLE_MATCHING = 60.0  # seconds that the shift for all matches stays for nothing
PAUSE = 1.0  # seconds before another try, when a shift has failed ...
PAUSE_MAX = 60.0  # ... doubled each time, up to this

Told = Callable[[str], None]


class Shifts:
    """All of them. Whoever fails is reported to *lost* before it ends. *spent* gets descriptors of objects with a
    verdict."""

    def __init__(
        self,
        server: ForkServer,
        epoll: select.epoll,
        settings: ServiceSettings,
        lost: Callable[[Shift], None],
        note: Note,
        spent: Callable[[int], None],
    ) -> None:
        self._server = server
        self._epoll = epoll
        self._settings = settings
        self._lost = lost
        self._note = note
        self._spent = spent
        self._serving: dict[bool, Shift] = {}  # by whether all matches are wanted
        self._coming: Shift | None = None
        self._told: Told = lambda why: None
        self._leaving: list[Shift] = []
        self._descriptors: dict[int, tuple[Shift, bool]] = {}  # those in epoll; whether it is the server's
        self._touched: set[Shift] = set()
        self._not_before = 0.0
        self._pause = PAUSE
        self._losses: Counter[str] = Counter()  # of workers, in shifts that have ended
        self.switches = 0
        self.jobs = 1  # workers of the usual shift

    # ---- making and ending -----------------------------------------------------------------------------------------

    def begin(self, edition: Edition) -> None:
        """The first edition."""
        self.edition = edition
        self.jobs = self._serve(False).jobs

    def _serve(self, all_match: bool) -> Shift:
        shift = self._serving[all_match] = self._make(self.edition, all_match)
        return shift

    def _make(self, edition: Edition, all_match: bool) -> Shift:
        server = self._server.another()
        try:
            shift = Shift(edition, self._settings, all_match, server, self._note, self._spent)
        except BaseException:
            server.close()
            raise
        for fd, is_server in ((shift.crew.fileno(), False), (shift.crew.server_fileno(), True)):
            self._epoll.register(fd, select.EPOLLIN)
            self._descriptors[fd] = (shift, is_server)
        return shift

    def _end(self, shift: Shift) -> None:
        for fd in [fd for fd, (whose, _) in self._descriptors.items() if whose is shift]:
            self._epoll.unregister(fd)
            del self._descriptors[fd]
        self._touched.discard(shift)
        self._losses.update(shift.crew.losses)
        shift.end()

    def _everybody(self) -> Iterator[Shift]:
        yield from tuple(self._serving.values())
        if self._coming is not None:
            yield self._coming
        yield from tuple(self._leaving)

    # ---- who serves ------------------------------------------------------------------------------------------------

    def current(self, all_match: bool) -> Shift | None:
        """Who would be given such a request now, if anybody is there."""
        return self._serving.get(all_match)

    def serving(self, all_match: bool) -> Shift | None:
        """Who is to be given such a request; None: nobody can be had. He gets a turn at the next turn()."""
        shift = self._serving.get(all_match)
        if shift is None:
            if time.monotonic() < self._not_before:
                return None
            try:
                shift = self._serve(all_match)
            except (KavfsError, OSError) as error:
                self._blame(str(error))
                return None
        self._touched.add(shift)
        return shift

    def abort(self, shift: Shift, ticket: int) -> None:
        """End one object at its deadline."""
        shift.crew.abort(ticket, "the deadline of the request")
        self._touched.add(shift)

    # ---- turns -----------------------------------------------------------------------------------------------------

    def turn(self, ready: Collection[int], tick: bool) -> list[Verdict]:
        """Let those go on who have something to do: by the descriptors that are *ready*, or all of them."""
        turns: dict[Shift, bool] = dict.fromkeys(self._touched, False)
        self._touched.clear()
        for fd in ready:
            if fd in self._descriptors:
                shift, is_server = self._descriptors[fd]
                turns[shift] = turns.get(shift, False) or is_server
        if tick:
            turns = dict.fromkeys(self._everybody(), True)
        verdicts: list[Verdict] = []
        for shift, all_of_it in turns.items():
            try:
                news = shift.crew.turn(all_of_it=all_of_it)
            except (KavfsError, OSError) as error:
                self._fail(shift, str(error))
                continue
            for one in news:
                if isinstance(one, str):
                    self._note(one)
                else:
                    verdicts.append(one)
        return verdicts

    def _fail(self, shift: Shift, why: str) -> None:
        if shift is self._coming:
            self._give_up_coming(why)
            return
        self._lost(shift)
        if shift in self._leaving:
            self._leaving.remove(shift)
        else:
            del self._serving[shift.all_match]
            self._blame(why)
        self._end(shift)

    def _blame(self, why: str) -> None:
        self._not_before = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, PAUSE_MAX)
        self._note(f"scanning processes are lost and tried again: {why}")

    # ---- the switch ------------------------------------------------------------------------------------------------

    def renew(self, edition: Edition, told: Told) -> None:
        """Make the next usual shift; tidy() lets it take over."""
        if self._coming is not None:
            self._give_up_coming("another change came after it")
        try:
            self._coming = self._make(edition, False)
            self._told = told
        except (KavfsError, OSError) as error:
            edition.retire()
            told(str(error))

    def change(self, settings: ServiceSettings) -> None:
        """Those that are made from now on have other settings."""
        self._settings = settings

    def _give_up_coming(self, why: str) -> None:
        shift, self._coming = self._coming, None
        assert shift is not None
        shift.edition.retire()
        self._end(shift)
        self._told(why)

    def _switch(self, shift: Shift) -> None:
        self._leaving += self._serving.values()
        self._serving = {False: shift}
        self._coming = None
        self.edition.retire()
        self.edition = shift.edition
        self.jobs = shift.jobs
        self.switches += 1
        self._told("")

    def tidy(self, now: float) -> None:
        """At each tick: who takes over, and who goes."""
        if self._coming is not None and self._coming.crew.complete:
            self._switch(self._coming)
        for shift in [one for one in self._leaving if not one.given]:
            self._leaving.remove(shift)
            self._end(shift)
        usual, matching = self._serving.get(False), self._serving.get(True)
        if usual is not None and usual.crew.workers:
            self._pause = PAUSE
        if matching is not None:
            if matching.given:
                matching.idle_since = now
            elif now - matching.idle_since > IDLE_MATCHING:
                del self._serving[True]
                self._end(matching)

    # ---- the whole -------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a turn is due soon even if nothing happens."""
        return bool(self._coming or self._leaving or self._touched) or any(
            shift.crew.busy for shift in self._everybody()
        )

    @property
    def workers(self) -> int:
        """Those that can be given work."""
        return sum(shift.crew.workers for shift in self._serving.values())

    @property
    def cache_bytes(self) -> dict[str, int]:
        """What the object cache takes, by where."""
        usual = self._serving.get(False)
        return usual.cache_bytes if usual is not None else {}

    @property
    def losses(self) -> dict[str, int]:
        """Workers that were lost, by why."""
        losses = Counter(self._losses)
        for shift in self._everybody():
            losses.update(shift.crew.losses)
        return dict(losses)

    def close(self) -> None:
        """End all processes, and close all images."""
        for shift in self._everybody():
            if not shift.edition.outdated and shift.edition is not self.edition:
                shift.edition.retire()
            self._end(shift)
        self._serving.clear()
        self._leaving.clear()
        self._coming = None
        if not self.edition.outdated:
            self.edition.retire()

"""Pace: whether new objects are begun now, asked by the job several times a second.

    pace = Pace(until=..., quiet=Quiet(...))
    while ...:
        match pace.turn(in_hand=crew.in_hand):
            case Turn.GO | Turn.WAIT | Turn.END: ...

Three things can make a scan wait: a signal (pause, go_on), the end of its time window, and a machine that others need
(polite mode, a highest load average). What was begun is always finished, but for the window's end, where it has GRACE.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable

from kavfs.options import ScanOptions
from kavfs.scan.pressure import Source, load_average, shares, source_of
from kavfs.scan.stopwatch import Stopwatch

GRACE = 10.0  # seconds that objects in hand have when the window ends
LOOK = 1.0  # seconds between two looks at the machine
PROBE = 1.0  # seconds without work of ours that tell what others need
CALM = 3.0  # seconds that others must need little before the scan goes on
BREATH = 5.0  # seconds of waiting after which some work is done all the same
STEP = 0.2  # seconds that it lasts
PROBE_AGAIN = (10.0, 60.0)  # seconds after a probe that found only ourselves: first, and at most
LOAD_EASE = 0.9  # the scan goes on when the load average is below this part of its limit


class Turn(enum.Enum):
    GO = "go on"
    WAIT = "begin nothing"
    END = "the window has ended"


class Pace:
    """*until* is a moment of *clock* (seconds since 1970), 0 = no end; *quiet* is None when we need not be polite."""

    def __init__(
        self, until: float = 0.0, quiet: Quiet | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.paused = False
        self.over = False  # the window has ended
        self.note = ""  # for the administrator
        self._until = until
        self._quiet = quiet
        self._clock = clock
        self._ends = Stopwatch()

    def pause(self) -> None:
        """Begin nothing until go_on(). Both may be called from a signal handler."""
        self.paused = True

    def go_on(self) -> None:
        self.paused = False

    def turn(self, in_hand: int) -> Turn:
        """What to do now; *in_hand* objects are being scanned."""
        if not self.over and self._until and self._clock() >= self._until:
            self.over = True
            self._ends = Stopwatch()
        if self.over:
            return Turn.WAIT if in_hand and self._ends.seconds() < GRACE else Turn.END
        if self.paused:
            return Turn.WAIT
        if self._quiet is not None and self._quiet.must_wait(in_hand):
            return Turn.WAIT
        return Turn.GO


def make_pace(options: ScanOptions) -> Pace:
    """The pace that *options* ask for."""
    if not options.polite and not options.max_load:
        return Pace(options.until)
    source = source_of() if options.polite else None
    pace = Pace(options.until, Quiet(source, options.max_load))
    if options.polite and source is None:
        pace.note = (
            "polite: neither the kernel (/proc/pressure) nor psutil tells what others need; the scan does not wait"
        )
    return pace


class Quiet:
    """Waits for others. *source* None: only the load average counts; *max_load* 0: only the source does.

    A busy machine may be busy with us alone. So a scan that sees pressure first stops for a moment (a probe) and looks
    whether it lasts: if not, it goes on and asks again after a while, which grows. Else it waits until others are calm;
    every few seconds it does a little, so that it ends some day. Above the load average that was set it does nothing.
    """

    def __init__(
        self,
        source: Source | None,
        max_load: float = 0.0,
        *,
        root: str = "/",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._max_load = max_load
        self._root = root
        self._clock = clock
        self._state: Callable[[float, int], bool] = self._working
        self._look_at = clock()  # when the machine is looked at next
        self._loaded = False
        self._load_at = clock()
        self._since: tuple[float, dict[str, float]] | None = None  # of a probe or a wait: moment, totals
        self._calm_since: float | None = None
        self._breath_at = 0.0  # the next little work while we wait,
        self._breath_ends: float | None = None  # and its end, once it has begun
        self._patience = PROBE_AGAIN[0]

    def must_wait(self, in_hand: int) -> bool:
        """Whether nothing shall be begun now."""
        now = self._clock()
        if self._max_load and now >= self._load_at:
            self._load_at = now + LOOK
            load = load_average(self._root)
            limit = self._max_load * (LOAD_EASE if self._loaded else 1.0)
            self._loaded = load is not None and load > limit
        if self._loaded:
            return True
        return self._state(now, in_hand) if self._source is not None else False

    # ---- states: each returns whether to wait ----------------------------------------------------------------------

    def _working(self, now: float, in_hand: int) -> bool:
        if now < self._look_at:
            return False
        self._look_at = now + LOOK
        assert self._source is not None
        if not self._above(self._source.recent(), busy=True):
            self._patience = PROBE_AGAIN[0]
            return False
        self._since = None
        self._state = self._probing
        return self._probing(now, in_hand)

    def _probing(self, now: float, in_hand: int) -> bool:
        """Nothing is begun, and what is in hand ends; then PROBE seconds tell what others need."""
        assert self._source is not None
        if in_hand:
            self._since = None
            return True
        if self._since is None:
            self._since = (now, self._source.total())
            return True
        if now - self._since[0] < PROBE:
            return True
        if self._above(self._measure(now), busy=True):
            self._calm_since = None
            self._wait_from(now)
            self._state = self._waiting
            return True
        self._state = self._working
        self._look_at = now + self._patience
        self._patience = min(2 * self._patience, PROBE_AGAIN[1])
        return False

    def _waiting(self, now: float, in_hand: int) -> bool:
        assert self._source is not None
        if now >= self._breath_at:
            return self._breathe(now, in_hand)
        if now < self._look_at or self._since is None:
            return True
        needs = self._measure(now)
        if self._above(needs, busy=False):
            self._calm_since = None
            return True
        if self._calm_since is None:
            self._calm_since = now
        if now - self._calm_since < CALM - LOOK:
            return True
        self._state = self._working
        self._look_at = now + PROBE_AGAIN[0]
        return False

    def _breathe(self, now: float, in_hand: int) -> bool:
        """A little work while we wait; what it does to the machine is not others' need."""
        assert self._source is not None
        if self._breath_ends is None:
            self._breath_ends = now + STEP
        if now < self._breath_ends:
            return False
        if not in_hand:
            self._wait_from(now)
        return True

    def _wait_from(self, now: float) -> None:
        assert self._source is not None
        self._since = (now, self._source.total())
        self._look_at = now + LOOK
        self._breath_at = now + BREATH
        self._breath_ends = None

    def _measure(self, now: float) -> dict[str, float]:
        """What others needed since the last time, and a new beginning."""
        assert self._source is not None
        assert self._since is not None
        before, total = self._since, self._source.total()
        self._since = (now, total)
        self._look_at = now + LOOK
        return shares(before[1], total, now - before[0])

    def _above(self, values: dict[str, float], busy: bool) -> bool:
        assert self._source is not None
        bounds = self._source.bounds
        return any(value > (bounds[name].busy if busy else bounds[name].quiet) for name, value in values.items())

"""Stopwatch: time in which this process really ran, for the deadlines of its children."""

from __future__ import annotations

import time
from collections.abc import Callable

GAP = 0.5  # seconds


class Stopwatch:
    """Seconds that this process really ran: a stretch in which nobody asked for long (Ctrl-Z, a full pipe behind the
    report) counts as GAP at most. The children may have stood still just as long."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._seconds = 0.0

    def seconds(self) -> float:
        now = self._clock()
        self._seconds += min(now - self._last, GAP)
        self._last = now
        return self._seconds

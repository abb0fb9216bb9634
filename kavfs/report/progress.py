"""Progress: one line on a terminal that says how far a scan is, drawn at most ten times a second.

Drawn on standard error and only when that is a terminal: nothing of it ever reaches a pipe or a file.
"""

from __future__ import annotations

import os
import time

from kavfs.model import Status, Totals
from kavfs.report.output import Output
from kavfs.report.summary import counted

_INTERVAL = 0.1  # seconds between two drawings
_FOUND = (Status.INFECTED, Status.CUREFAILED, Status.WARNING, Status.SUSPICIOUS)


class Progress:
    """The line. Call tick() as often as there is something new, hide() before anything else is written there."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._start = time.monotonic()
        self._first: float | None = None  # tick; before it signatures were loaded and nothing was scanned
        self._last = 0.0
        self._before = (self._start, 0, 0)  # time, files, bytes of the last drawing that moved the rates
        self._rates = (0.0, 0.0)
        self._visible = False

    def tick(self, totals: Totals) -> None:
        """Draws the line anew if a tenth of a second has passed."""
        now = time.monotonic()
        if now - self._last < _INTERVAL:
            return
        self._last = now
        self._first = self._first or now
        self._measure(now, totals)
        line = self._line(now - self._start, totals)
        self._output.write(b"\r" + line[: self._width()].encode() + b"\x1b[K")
        self._output.flush()
        self._visible = True

    def hide(self) -> None:
        """Takes the line away."""
        if self._visible:
            self._output.write(b"\r\x1b[K")
            self._output.flush()
            self._visible = False

    def _measure(self, now: float, totals: Totals) -> None:
        """Rates over the last second or so: those since the start say little about what is going on."""
        then, files, size = self._before
        if now - then >= 1.0 or self._rates == (0.0, 0.0):
            span = max(now - then, 0.001)
            self._rates = ((totals.files - files) / span, (totals.bytes - size) / span)
        if now - then >= 1.0:
            self._before = (now, totals.files, totals.bytes)

    def _line(self, elapsed: float, totals: Totals) -> str:
        found = sum(totals.statuses.get(status, 0) for status in _FOUND)
        errors = totals.statuses.get(Status.ERROR, 0)
        minutes, seconds = divmod(int(elapsed), 60)
        return (
            f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}  {counted(totals.files, 'file')}  "
            f"{self._rates[0]:,.0f} files/s  {self._rates[1] / 1e6:,.1f} MB/s  found {found:,}"
            + (f"  errors {errors:,}" if errors else "")
            + (f"  unchanged {totals.known:,}" if totals.known else "")
            + self._left(totals)
        )

    def _left(self, totals: Totals) -> str:
        """How long the rest will take if it goes on as it did so far; nothing while that cannot be told."""
        if self._first is None or not 0 < totals.bytes < totals.expected:
            return ""
        elapsed = self._last - self._first
        minutes, seconds = divmod(round(elapsed * (totals.expected - totals.bytes) / totals.bytes), 60)
        hours, minutes = divmod(minutes, 60)
        return f"  left {hours}:{minutes:02d}:{seconds:02d}" if hours else f"  left {minutes}:{seconds:02d}"

    def _width(self) -> int:
        try:
            columns = os.get_terminal_size(self._output.fd).columns
            return columns - 1 if columns > 1 else 79  # some terminals do not know
        except OSError:
            return 79

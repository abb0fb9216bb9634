"""Job: one scan from its roots to its totals.

job = Job(image, options, report)
signal.signal(signal.SIGINT, lambda number, frame: job.stop())
totals = job.run()
"""

from __future__ import annotations

import time
from collections.abc import Callable

from kavfs.model import Result, Skip, Totals
from kavfs.options import ScanOptions
from kavfs.ports import Image, Report, Stores
from kavfs.scan.crew import Crew, Happening
from kavfs.scan.forkserver import ForkServer
from kavfs.scan.pace import Pace, Turn, make_pace
from kavfs.scan.records import Known, Listed

COUNT_AFTER = 1.0  # seconds: a shorter scan is over before anybody has read how long it will take


class Job:
    """A scan that runs once. It owns neither image nor report. *pace* stands in for the one that the options ask for.

    *server* is a fork server that was started earlier (``roles.start_server``), so that its libraries load while the
    image is opened; it ends with the job. *tick* is called several times a second with the totals so far; with *count*
    another process counts what there is, unless the scan is soon over, and the totals say what is expected. What the
    *stores* know is not scanned, and what is found is remembered there.
    """

    def __init__(
        self,
        image: Image,
        options: ScanOptions,
        report: Report,
        *,
        server: ForkServer | None = None,
        tick: Callable[[Totals], None] | None = None,
        count: bool = False,
        stores: Stores | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._image = image
        self._options = options
        self._report = report
        self._server = server
        self._tick = tick
        self._count = count
        self._stores = stores
        self._pace = pace or make_pace(options)
        self._paused = False  # as the report knows
        self._stopped = False
        self.cut_off = False  # after run(): something was left undone that another run would do

    def run(self) -> Totals:
        """Scan to the end, or until stop(); no process is left in any case. Errors are KavfsError or the report's."""
        started = time.monotonic()
        wants_clean = self._report.wants_clean
        with Crew(self._image, self._options, want_clean=wants_clean, server=self._server, stores=self._stores) as crew:
            crew.walk(self._options.walk.roots)
            if self._pace.note:
                self._report.note(self._pace.note)
            while not crew.done and not self._stopped and self._in_time(crew):
                for happening in crew.step():
                    self._tell(happening)
                if self._tick is not None:
                    self._tick(crew.totals())
                if self._count and time.monotonic() - started >= COUNT_AFTER:
                    self._count = False
                    crew.count()
            for happening in crew.finish():
                self._tell(happening)
            totals = crew.totals()
            totals.interrupted = not crew.done
            self.cut_off = totals.interrupted or crew.cut_off
            totals.window_ended = totals.interrupted and self._pace.over and not self._stopped
        totals.seconds = time.monotonic() - started
        self._report.finish(totals)
        return totals

    def stop(self) -> None:
        """End soon, with what has been done. May be called from a signal handler, and more than once."""
        self._stopped = True

    def pause(self) -> None:
        """Begin no new object until go_on(). Both may be called from a signal handler, and more than once."""
        self._pace.pause()

    def go_on(self) -> None:
        self._pace.go_on()

    def _in_time(self, crew: Crew) -> bool:
        """Hold the crew, or let it go on; False when the time window has ended."""
        turn = self._pace.turn(crew.in_hand)
        crew.hold(turn is not Turn.GO)
        if self._pace.paused != self._paused:
            self._paused = self._pace.paused
            self._report.note("the scan is paused; SIGUSR2 continues it" if self._paused else "the scan goes on")
        return turn is not Turn.END

    def _tell(self, happening: Happening) -> None:
        if isinstance(happening, Result):
            self._report.add(happening)
        elif isinstance(happening, Known):
            self._report.known(happening.directory, happening.names, happening.sizes)
        elif isinstance(happening, Listed):
            self._report.listed(happening.paths, happening.results)
        elif isinstance(happening, Skip):
            self._report.skip(happening)
        else:
            self._report.note(happening)

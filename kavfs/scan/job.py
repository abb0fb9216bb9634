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
from kavfs.scan.records import Known

COUNT_AFTER = 1.0  # seconds: a shorter scan is over before anybody has read how long it will take


class Job:
    """A scan that runs once. It owns neither image nor report.

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
    ) -> None:
        self._image = image
        self._options = options
        self._report = report
        self._server = server
        self._tick = tick
        self._count = count
        self._stores = stores
        self._stopped = False

    def run(self) -> Totals:
        """Scan to the end, or until stop(); no process is left in any case. Errors are KavfsError or the report's."""
        started = time.monotonic()
        wants_clean = self._report.wants_clean
        with Crew(self._image, self._options, want_clean=wants_clean, server=self._server, stores=self._stores) as crew:
            crew.walk(self._options.walk.roots)
            while not crew.done and not self._stopped:
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
        totals.seconds = time.monotonic() - started
        self._report.finish(totals)
        return totals

    def stop(self) -> None:
        """End soon, with what has been done. May be called from a signal handler, and more than once."""
        self._stopped = True

    def _tell(self, happening: Happening) -> None:
        if isinstance(happening, Result):
            self._report.add(happening)
        elif isinstance(happening, Known):
            self._report.known(happening.directory, happening.names, happening.sizes)
        elif isinstance(happening, Skip):
            self._report.skip(happening)
        else:
            self._report.note(happening)

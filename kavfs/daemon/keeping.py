"""Keeping: what a daemon finds goes into the event store, by a thread of its own that no answer waits for.

A run is one row of `kavfs report`, and one more for each day that it lasts: what is old can go while it goes on. When
the store takes nothing (a full disk), it is tried again after a while; what is held until then has a bound, and what
was left out is counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from kavfs.daemon.renewing import Renewed
from kavfs.daemon.task import Task
from kavfs.model import Result, Status, Totals
from kavfs.report.events import Retention
from kavfs.report.remembering import EventReport
from kavfs.report.summary import Signatures
from kavfs.scan.service import Refusal, ServiceStats

PROGRAM = "aveserver"
HELD_MAX = 10_000  # findings and notes
BATCH = 400  # that are written at once
AGAIN = 400  # that are held for a store that turns out to be damaged: a daemon's memory is to stay what it is
GATHER = 0.5  # seconds that they wait for others
DAY = 86400.0
PER_ROW = 50_000
PAUSE = 60.0  # seconds after which a store that failed is tried again


class Keeper:
    """Begin it, and close it when there is nothing more to tell. *warn* is called by another thread, once for each time
    that the store fails."""

    def __init__(
        self,
        path: bytes,
        signatures: Signatures,
        warn: Callable[[str], None],
        keep: Retention = Retention(),  # noqa: B008  # a value
        *,
        pause: float = PAUSE,
        program: str = PROGRAM,
    ) -> None:
        self._program = program
        self.signatures = signatures  # of the next row
        self.kept = 0
        self.lost = 0
        self.error = ""
        self._path = path
        self._warn = warn
        self._keep = keep
        self._pause = pause
        self._held: deque[Result | str] = deque()
        self._something = threading.Event()
        self._ending = threading.Event()
        self._totals = Totals()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """What is held is written first."""
        self._ending.set()
        self._something.set()
        if self._thread.is_alive():
            self._thread.join()

    # ---- told by the daemon's thread -------------------------------------------------------------------------------

    def told(self, task: Task, path: bytes, answer: Result | Refusal | str, seconds: float) -> None:
        """A desk.Watcher."""
        if isinstance(answer, Result):
            self.found(answer._replace(path=path if path[:1] == b"/" else path + b" of " + task.who))

    def found(self, answer: Result) -> None:
        """A verdict under the name that it is to be kept by."""
        totals = self._totals
        totals.files += 1
        totals.bytes += answer.size
        totals.scanned += answer.scanned
        totals.members += answer.member_count
        totals.statuses[answer.status] = totals.statuses.get(answer.status, 0) + 1
        if answer.status is not Status.CLEAN or answer.allowed:
            self._hold(answer)

    def note(self, text: str) -> None:
        """Something about the daemon itself."""
        self._hold(text)

    def renewed(self, what: Renewed, now: ServiceStats) -> None:
        """A change of signatures is over."""
        if what.result == "unchanged":
            return
        self.signatures = self.signatures._replace(
            loaded=now.signatures, newest=now.newest, demonstration=now.demonstration, generation=now.generation
        )
        self.note(what.error or f"signatures of generation {now.generation.hex()} have taken over")

    def _hold(self, what: Result | str) -> None:
        if len(self._held) >= HELD_MAX:
            self.lost += 1
            return
        self._held.append(what)
        self._something.set()

    # ---- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._held or not self._ending.is_set():
            if not self._held:
                self._something.wait()
                self._something.clear()
                continue
            self._row()
            if self.error:
                if self._ending.is_set():
                    break
                self._ending.wait(self._pause)
        self.lost += len(self._held)

    def _row(self) -> None:
        """Until it is full, its day is over, the store fails, or everything ends."""
        begun = time.time()
        report = EventReport(
            self._path, self._program, self.signatures, (), lambda totals: 0, self._failed,
            begun=begun, keep=self._keep, again=AGAIN,
        )  # fmt: skip
        count = 0
        while count < PER_ROW and (left := begun + DAY - time.time()) > 0:
            self._something.clear()
            written = self._write(report)
            if report.failed:
                return
            self.error = ""
            count += written
            if self._held:
                continue
            if self._ending.is_set():
                break
            self._something.wait(left)
            self._ending.wait(GATHER)
        totals, self._totals = self._totals, Totals()
        totals.seconds = time.time() - begun
        report.finish(totals)

    def _write(self, report: EventReport) -> int:
        """Some of what is held, all of it or nothing."""
        some = [self._held.popleft() for _ in range(min(BATCH, len(self._held)))]
        report.flush()
        for what in some:
            if isinstance(what, str):
                report.note(what)
            else:
                report.add(what)
        report.flush()
        if report.failed:
            self._held.extendleft(reversed(some))
            return 0
        self.kept += len(some)
        return len(some)

    def _failed(self, why: str) -> None:
        if why != self.error:
            self.error = why
            self._warn(why)

"""History: the report of every scan that keeps its events, and costs nothing as long as there are none.

The store, and SQLite with it, is loaded at the first finding, or at the end of a scan that was long enough.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from kavfs.model import Result, Skip, Status, Totals
from kavfs.report.summary import Signatures

if TYPE_CHECKING:
    from kavfs.cli.request import Request
    from kavfs.report.remembering import EventReport

WORTH = 1.0  # seconds that a scan must have lasted to be kept without a finding
NOTES_MAX = 100


class History:
    """Promises ports.Report; hands on to an EventReport what is worth it."""

    wants_clean = False

    def __init__(
        self,
        request: Request,
        program: str,
        signatures: Signatures,
        exit_code: Callable[[Totals], int],
        warn: Callable[[str], None],
    ) -> None:
        self._request = request
        self._program = program
        self._signatures = signatures
        self._exit_code = exit_code
        self._warn = warn
        self._begun = time.time()
        self._notes: list[str] = []
        self._kept: EventReport | None = None

    def add(self, result: Result) -> None:
        if result.status is not Status.CLEAN or result.deeds or result.allowed:
            self._open().add(result)

    def known(self, directory: bytes, names: bytes, sizes: bytes) -> None:
        """Clean files are no events."""

    def listed(self, paths: bytes, results: Callable[[], Iterable[Result]]) -> None:
        """Clean files are no events."""

    def skip(self, skip: Skip) -> None:
        """The totals count it."""

    def note(self, text: str) -> None:
        if self._kept is not None:
            self._kept.note(text)
        elif len(self._notes) < NOTES_MAX:
            self._notes.append(text)

    def finish(self, totals: Totals) -> None:
        worth = self._request.events or totals.seconds >= WORTH or totals.interrupted
        if self._kept is not None or worth:
            self._open().finish(totals)

    def _open(self) -> EventReport:
        if self._kept is None:
            from kavfs.report.events import Retention
            from kavfs.report.remembering import EventReport

            request, settings = self._request, self._request.settings
            self._kept = EventReport(
                store_path(settings.event_store, request.state),
                self._program,
                self._signatures,
                request.roots,
                self._exit_code,
                self._warn,
                begun=self._begun,
                keep=Retention(settings.event_retention),
            )
            for note in self._notes:
                self._kept.note(note)
        return self._kept


def store_path(named: bytes | None, state: bytes) -> bytes:
    """The file of the event store: the one that the configuration names, or the usual one in the state folder."""
    from kavfs.report.events import FILE  # SQLite
    from kavfs.signatures.sources import default_state

    return named or os.path.join(state or default_state(), FILE)

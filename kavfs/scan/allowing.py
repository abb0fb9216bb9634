"""Allowing: a report before another, in which what the allow list covers is no finding any more.

It stands between a job and whoever acts or writes, so that what is allowed is neither acted upon nor counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kavfs.model import Result, Skip, Status, Totals
from kavfs.ports import Report
from kavfs.signatures.allow import AllowList


class Allowing:
    """Promises ports.Report; hands on to *report* what *allow* made of each result."""

    def __init__(self, report: Report, allow: AllowList) -> None:
        self.wants_clean = report.wants_clean
        self._report = report
        self._allow = allow
        self._changes: dict[Status, int] = {}
        self._found_by: dict[str, int] = {}
        self._lifted = 0

    def add(self, result: Result) -> None:
        judged = self._allow.judge(result)
        if judged is not result:
            self._count(result, judged)
        self._report.add(judged)

    def known(self, directory: bytes, names: bytes, sizes: bytes) -> None:
        self._report.known(directory, names, sizes)

    def listed(self, paths: bytes, results: Callable[[], Iterable[Result]]) -> None:
        self._report.listed(paths, results)

    def skip(self, skip: Skip) -> None:
        self._report.skip(skip)

    def note(self, text: str) -> None:
        self._report.note(text)

    def finish(self, totals: Totals) -> None:
        """What was lifted is counted as such, also by whoever gave *totals*: exit codes are made of them."""
        for status, change in self._changes.items():
            totals.statuses[status] = max(0, totals.statuses.get(status, 0) + change)
        for engine, number in self._found_by.items():
            totals.found_by[engine] = max(0, totals.found_by.get(engine, 0) - number)
        totals.found_by = {engine: number for engine, number in totals.found_by.items() if number}
        totals.suppressed += self._lifted
        self._report.finish(totals)

    def _count(self, before: Result, now: Result) -> None:
        if not before.suppressed:  # else the engine has counted it
            self._lifted += 1
        if before.status is not now.status:
            self._changes[before.status] = self._changes.get(before.status, 0) - 1
            self._changes[now.status] = self._changes.get(now.status, 0) + 1
        if not now.threats:
            self._found_by[before.engine] = self._found_by.get(before.engine, 0) + 1

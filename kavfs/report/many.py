"""Many reports as one: what a job is given when results go to several places."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from kavfs.model import Result, Skip, Totals
from kavfs.ports import Report


class Many:
    """Hands everything on to each of *reports*, in their order. Promises ports.Report."""

    def __init__(self, reports: Sequence[Report]) -> None:
        self._reports = tuple(reports)
        self.wants_clean = any(report.wants_clean for report in reports)

    def add(self, result: Result) -> None:
        for report in self._reports:
            report.add(result)

    def known(self, directory: bytes, names: bytes, sizes: bytes) -> None:
        for report in self._reports:
            if report.wants_clean:
                report.known(directory, names, sizes)

    def listed(self, paths: bytes, results: Callable[[], Iterable[Result]]) -> None:
        for report in self._reports:
            if report.wants_clean:
                report.listed(paths, results)

    def skip(self, skip: Skip) -> None:
        for report in self._reports:
            report.skip(skip)

    def note(self, text: str) -> None:
        for report in self._reports:
            report.note(text)

    def finish(self, totals: Totals) -> None:
        for report in self._reports:
            report.finish(totals)

"""Lists: the names of all objects of one status, one a line (kavscanner -p).

Programs feed these names to other programs, so they are written as they are, byte for byte. Only a name that cannot
stand on one line is written escaped: then it names no file, which harms nothing, where its second line could name a
file of somebody else's choosing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kavfs.model import Result, Skip, Status, Totals
from kavfs.report.names import shown_path
from kavfs.report.output import Output

# The letters of -p. CUREFAILED is handled as infected everywhere. "a" is for all: whatever is not clean.
LETTERS: dict[str, frozenset[Status]] = {
    "i": frozenset({Status.INFECTED, Status.CUREFAILED}),
    "s": frozenset({Status.SUSPICIOUS}),
    "w": frozenset({Status.WARNING}),
    "c": frozenset({Status.CORRUPTED}),
    "p": frozenset({Status.PROTECTED}),
    "e": frozenset({Status.ERROR}),
    "a": frozenset(Status) - {Status.CLEAN},
}


class ListReport:
    """Writes the path of each object whose status is one of *statuses*. Promises ports.Report."""

    wants_clean = False

    def __init__(self, output: Output, statuses: frozenset[Status]) -> None:
        self._output = output
        self._statuses = statuses

    def add(self, result: Result) -> None:
        if result.status in self._statuses:
            path = result.path
            self._output.write((shown_path(path) if b"\n" in path or b"\r" in path else path) + b"\n")

    def known(self, directory: bytes, names: bytes, sizes: bytes) -> None:
        """Clean files are on no list."""

    def listed(self, paths: bytes, results: Callable[[], Iterable[Result]]) -> None:
        """Clean files are on no list."""

    def skip(self, skip: Skip) -> None:
        """A list has no place for it."""

    def note(self, text: str) -> None:
        """A list has no place for it."""

    def finish(self, totals: Totals) -> None:
        self._output.close()

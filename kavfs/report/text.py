"""Text report: banner, one or more lines per object, notes, the end summary, in the product's shape.

One class for all places; the sink decides what a line looks like there. Promises ports.Report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kavfs.model import Entry, Result, Skip, Status, Totals
from kavfs.report.lines import ACTIVITY, Show, deed_lines, engine_lines, lines_of
from kavfs.report.names import shown_as_they_are, shown_path, shown_text
from kavfs.report.sinks import Sink
from kavfs.report.summary import SKIPPED, Signatures, summary_lines
from kavfs.version import VERSION

BANNER = f"kavfs On-Demand Scanner for Linux. Version {VERSION}/RELEASE"

# Skips that leave out a whole tree, or what the user named: an administrator must see which.
_TREES = {Entry.SUBMOUNT, Entry.PSEUDO, Entry.STORE}


class TextReport:
    """Writes the lines of a scan to *sink*."""

    def __init__(
        self,
        sink: Sink,
        show: Show,
        signatures: Signatures,
        roots: tuple[bytes, ...] = (),
        messages: Callable[[str], None] | None = None,
    ) -> None:
        """*roots* are what the user named; *messages* takes what is no result, if that has a place of its own."""
        self.wants_clean = show.ok and sink.wants(ACTIVITY)
        self._sink = sink
        self._show = show
        self._signatures = signatures
        self._names_engines = len(signatures.engines) > 1 and sink.wants(ACTIVITY) and not show.objects_only
        self._roots = frozenset(roots)
        self._messages = messages
        sink.banner(BANNER.encode())

    def add(self, result: Result) -> None:
        sink = self._sink
        if result.status is Status.CLEAN and not (result.members or result.reasons or result.allowed):
            if self.wants_clean:
                sink.line(ACTIVITY, shown_path(result.path, sink.raw) + b" OK")
            return
        for line in lines_of(result, self._show):
            path = result.path + b"/" + line.member if line.member else result.path
            text = shown_path(path, sink.raw)
            sink.line(line.letter, text + b" " + line.tail if line.tail else text)
        engines = engine_lines(result) if self._names_engines else ()
        for letter, tail in (*((ACTIVITY, tail) for tail in engines), *deed_lines(result)):
            sink.line(letter, shown_path(result.path, sink.raw) + tail)

    def known(self, directory: bytes, names: bytes, sizes: bytes) -> None:
        if not self.wants_clean:
            return
        sink = self._sink
        if shown_as_they_are(directory + b"\0" + names):
            sink.lines(ACTIVITY, directory + names[:-1].replace(b"\0", b" OK\n" + directory) + b" OK\n")
            return
        for name in names[:-1].split(b"\0"):
            sink.line(ACTIVITY, shown_path(directory + name, sink.raw) + b" OK")

    def listed(self, paths: bytes, results: Callable[[], Iterable[Result]]) -> None:
        if not self.wants_clean:
            return
        if not self._show.containers_only and shown_as_they_are(paths):
            self._sink.lines(ACTIVITY, paths.replace(b"\0\0", b"\n").replace(b"\0", b" OK\n"))
            return
        for result in results():
            self.add(result)

    def skip(self, skip: Skip) -> None:
        tree = skip.kind in _TREES or skip.path in self._roots
        if tree or self._sink.wants("D"):
            text = f"not scanned ({SKIPPED[skip.kind]}): {shown_path(skip.path).decode('utf-8', 'backslashreplace')}"
            self._message("I" if tree else "D", text)

    def note(self, text: str) -> None:
        self._message("W", shown_text(text))

    def finish(self, totals: Totals) -> None:
        for line in summary_lines(totals, self._signatures):
            self._sink.line("I", line.encode("utf-8", "backslashreplace"))
        self._sink.close()

    def _message(self, letter: str, text: str) -> None:
        if self._messages is not None:
            self._messages(text)
        else:
            self._sink.line(letter, text.encode("utf-8", "backslashreplace"))

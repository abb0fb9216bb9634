"""Report of the clamscan front end: results in clamscan's words, on standard output and in its log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

from kavfs.action.place import ActionError
from kavfs.cli.clamscan_act import Disposal
from kavfs.cli.clamscan_options import ClamscanError, Given
from kavfs.model import Entry, Reason, Result, Skip, Status, Threat, Totals
from kavfs.report.lines import words_of
from kavfs.report.names import shown_path
from kavfs.version import VERSION

FOUND, FAILED = 1, 2
_MEGA = 1 << 20
_RULE = b"-" * 79
_QUIET_REASONS = {Status.PROTECTED: b"Encrypted", Status.CORRUPTED: b"Damaged"}  # as clean as they are for clamscan
_FINDINGS = (Status.INFECTED, Status.CUREFAILED, Status.WARNING, Status.SUSPICIOUS)


class Lines:
    """Where lines go: standard output, the log, and for messages standard error."""

    def __init__(self, given: Given) -> None:
        self._quiet = given.has("quiet")
        self._infected_only = given.has("infected")
        self._errors_to = 1 if given.has("stdout") else 2
        self._bell = given.has("bell")
        self.names: dict[bytes, bytes] = {}
        self.failed = False
        self._log = None
        if given.has("log"):
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
                self._log = os.fdopen(os.open(given.last("log"), flags, 0o640), "wb")
            except OSError as error:
                raise ClamscanError(f"cannot open the log: {error.strerror}") from None
            self._log.write(b"\n" + _RULE + b"\n\n")

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        if self._log is not None:
            self._log.close()

    def line(self, text: bytes, *, bell: bool = False) -> None:
        if not self._quiet:
            sys.stdout.buffer.write(text + (b"\a\n" if bell and self._bell else b"\n"))
        if self._log is not None:
            self._log.write(text + b"\n")

    def message(self, text: bytes) -> None:
        """An error: it is told even if nothing else is, and the exit code is that of one."""
        self.failed = True
        self._flush()
        os.write(self._errors_to, text + b"\n")
        if self._log is not None:
            self._log.write(text + b"\n")

    def _flush(self) -> None:
        sys.stdout.buffer.flush()

    def missing(self, path: bytes) -> None:
        shown = shown_path(path, raw=True)
        self.message(shown + b": No such file or directory\nWARNING: " + shown + b": Can't access file")

    def left_out(self, path: bytes, why: str) -> None:
        if not self._infected_only:
            self.line(shown_path(path, raw=True) + b": " + why.encode())

    def standard_input(self, path: bytes) -> bytes:
        self.names[path] = b"stdin"
        return path

    def summary(self, report: ClamscanReport, totals: Totals, started: float) -> None:
        """clamscan's block; a line more where something was not looked at wholly."""
        seconds = time.time() - started
        stamps = [time.strftime("%Y:%m:%d %H:%M:%S", time.localtime(at)) for at in (started, started + seconds)]
        read, scanned = totals.bytes / _MEGA, totals.scanned / _MEGA
        rows = [
            "",
            "----------- SCAN SUMMARY -----------",
            f"Known viruses: {report.known_viruses}",
            f"Engine version: kavfs {VERSION}",
            f"Scanned directories: {totals.directories}",
            f"Scanned files: {report.files}",
            f"Infected files: {report.infected}",
            *([f"Total errors: {report.errors}"] if report.errors else []),
            *([f"Not wholly scanned: {report.partial}"] if report.partial else []),
            f"Data scanned: {scanned:.2f} MB",
            f"Data read: {read:.2f} MB (ratio {scanned / read if read else 0.0:.2f}:1)",
            f"Time: {seconds:.3f} sec ({int(seconds) // 60} m {int(seconds) % 60} s)",
            f"Start Date: {stamps[0]}",
            f"End Date:   {stamps[1]}",
        ]
        for row in rows:
            self.line(row.encode())


class ClamscanReport:
    """Promises ports.Report."""

    def __init__(self, given: Given, lines: Lines, roots: Mapping[bytes, bytes], recursive: bool) -> None:
        self.wants_clean = given.has("log") or not (given.has("infected") or given.has("quiet"))
        self.files = self.infected = self.errors = self.partial = self.known_viruses = 0
        self._given = given
        self._lines = lines
        self._all = given.yes("allmatch")
        self._pua = given.yes("detect-pua")
        self._roots = roots  # absolute -> as it was named
        self._disposal = Disposal(given, tuple(roots))
        self._recursive = recursive

    @property
    def exit_code(self) -> int:
        if self.infected:
            return FOUND
        return FAILED if self.errors or self._lines.failed else 0

    def add(self, result: Result) -> None:
        shown = self._shown(result.path)
        if self._given.has("verbose"):
            self._lines.line(b"Scanning " + shown)
        threats = [one for one in result.threats if self._pua or one.status is not Status.WARNING]
        if threats and not result.allowed:
            self.files += 1
            self._found(result, shown, threats)
        elif result.status is Status.ERROR:
            self._failed(shown, result)
        elif result.size == 0 and not result.container:
            self._ok(shown, b"Empty file", always=True)
        else:
            self.files += 1
            self.partial += not result.complete
            self._ok(shown, _QUIET_REASONS.get(result.status, b"OK"))

    def known(self, directory: bytes, names: bytes, sizes: bytes) -> None:
        lengths = memoryview(sizes).cast("Q")
        self.files += sum(1 for length in lengths if length)
        if self.wants_clean:
            for name, length in zip(names.split(b"\0"), lengths, strict=False):
                self._ok(self._shown(directory + name), b"OK" if length else b"Empty file", always=not length)

    def listed(self, paths: bytes, results: Callable[[], Iterable[Result]]) -> None:
        for result in results():
            self.add(result)

    def skip(self, skip: Skip) -> None:
        if skip.kind is Entry.SYMLINK:
            self._lines.left_out(self._shown(skip.path), "Symbolic link")
        elif skip.kind is Entry.EXCLUDED:
            self._lines.left_out(self._shown(skip.path), "Excluded")

    def note(self, text: str) -> None:
        self._lines.line(b"LibClamAV Warning: " + text.encode("utf-8", "backslashreplace"))

    def finish(self, totals: Totals) -> None:
        """Whatever was not handed on as a result was clean: it is counted there alone."""
        if not self.wants_clean:
            clean = totals.statuses.get(Status.CLEAN, 0)
            self.files += max(0, clean - self._clean_seen)
        if totals.interrupted:
            self.errors += 1

    _clean_seen = 0

    def _found(self, result: Result, shown: bytes, threats: list[Threat]) -> None:
        self.infected += 1
        names = dict.fromkeys(one.name for one in threats) if self._all else [threats[0].name]
        for name in names:
            self._lines.line(shown + b": " + name.encode() + b" FOUND", bell=True)
        if self._given.has("archive-verbose"):
            for one in threats:
                if one.member:
                    inside = shown + b"!" + shown_path(one.member, raw=True)
                    self._lines.line(inside + b": " + one.name.encode() + b" FOUND")
        try:
            told = self._disposal.dispose(result, shown)
        except (ActionError, OSError) as error:
            self.errors += 1
            self._lines.message(b"ERROR: " + shown + b": " + str(error).encode("utf-8", "backslashreplace"))
            return
        if told:
            self._lines.line(told)

    def _failed(self, shown: bytes, result: Result) -> None:
        self.errors += 1
        why = result.error or ", ".join(words_of(result.reasons or Reason.UNREADABLE))
        self._lines.line(shown + b": " + why.encode("utf-8", "backslashreplace") + b" ERROR")

    def _ok(self, shown: bytes, word: bytes, *, always: bool = False) -> None:
        self._clean_seen += 1
        if self._given.has("infected") or (self._given.has("suppress-ok-results") and not always):
            return
        self._lines.line(shown + b": " + word)

    def _shown(self, path: bytes) -> bytes:
        """A path as clamscan would write it: below what was named."""
        if path in self._lines.names:
            return self._lines.names[path]
        head = path
        while head not in self._roots and head != b"/":
            head = os.path.dirname(head)
        named = self._roots.get(head)
        if named is None:
            return shown_path(path, raw=True)
        below = path[len(head) :].lstrip(b"/")
        return shown_path(os.path.join(named, below) if below else named, raw=True)

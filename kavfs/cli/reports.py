"""Reports: all the places a run of kavscanner writes to, opened before the scan begins.

A place that cannot be opened is an error at the start: a report that was asked for must not be missing at the end. One
that fails later costs one line and the exit code of an error, never the scan.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from kavfs.cli.program import say
from kavfs.cli.request import Request
from kavfs.errors import KavfsError, UsageError
from kavfs.model import OUTCOMES, Status, Totals, gravest
from kavfs.options import NATIVE, EngineUse
from kavfs.ports import Report
from kavfs.report.lines import Show
from kavfs.report.many import Many
from kavfs.report.names import shown_text
from kavfs.report.output import Output, open_output
from kavfs.report.sinks import FileSink, Sink, StreamSink
from kavfs.report.summary import Signatures
from kavfs.report.text import BANNER, TextReport

if TYPE_CHECKING:
    from kavfs.report.journald import JournalSink
    from kavfs.report.progress import Progress
    from kavfs.signatures.image import Image


class Reports:
    """Opens outputs; begin() makes the report for the job; afterwards exit_code() is the program's answer."""

    def __init__(self, request: Request, program: str) -> None:
        self._request = request
        self._program = program
        self._stop: Callable[[], None] | None = None
        self._failed = False
        self._pipe_closed = False
        self._begun = False
        self.progress: Progress | None = None
        self._screen: StreamSink | None = None
        self._log: Sink | None = None
        self._json: Output | None = None
        self._html: Output | None = None
        self._journal: JournalSink | None = None
        self._lists: list[Report] = []
        self._outputs: list[Output] = []
        self._open_files()
        self._open_terminal()

    @property
    def wants_members(self) -> bool:
        """Whether some report names the clean members of containers."""
        s = self._request.settings
        screen = self._screen is not None and s.display_ok and not s.display_containers_only
        log = self._log is not None and self._log.wants("A") and s.report_ok and not s.report_containers_only
        return screen or log or (self._json is not None and s.report_ok and not s.report_containers_only)

    def begin(self, image: Image, engines: Sequence[EngineUse] = (NATIVE,)) -> Report:
        """The report of a scan with *image*; banners and start records are written now."""
        s = self._request.settings
        roots = self._request.roots
        self._begun = True
        asked = tuple((use.name, use.knowledge) for use in engines)
        demonstration = image.demonstration and NATIVE in engines
        signatures = Signatures(image.signature_count, image.newest, demonstration, image.generation, asked)
        reports: list[Report] = []
        if self._screen is not None:
            show = Show(s.display_ok, s.display_containers_only, s.display_objects_only)
            reports.append(TextReport(self._screen, show, signatures, roots, self._message))
        if self._log is not None:
            show = Show(s.report_ok, s.report_containers_only, s.report_objects_only)
            reports.append(self._logged(show, signatures))
        reports += self._lists
        reports += self._at_the_end(signatures)
        if self._json is not None:
            from kavfs.report.json_lines import JsonReport  # only whoever asks for JSON pays for it

            members = s.report_ok and not s.report_containers_only
            # Last: its summary record holds the exit code, which the failure of another report may change.
            reports.append(JsonReport(self._json, signatures, roots, self.exit_code, s.report_ok, members))
        report = Many(reports)
        for note in image.notes:
            report.note(note)
        return report

    @property
    def tick(self) -> Callable[[Totals], None] | None:
        """What a job calls to show progress."""
        return self.progress.tick if self.progress is not None else None

    def fatal(self, error: KavfsError) -> None:
        """Tells the report file, and readers of JSON, why there is no result; the caller tells standard error."""
        self._hide_progress()
        if self._log is not None:
            if not self._begun:
                self._log.banner(BANNER.encode())
            self._log.line("F", shown_text(str(error)).encode("utf-8", "backslashreplace"))
        if self._json is not None:
            from kavfs.report.json_lines import write_failure  # as above

            write_failure(self._json, str(error), error.exit_code)
        for output in self._outputs:
            output.close()

    def on_closed_pipe(self, stop: Callable[[], None]) -> None:
        """*stop* is called when nobody reads any more and nothing else is written."""
        self._stop = stop
        self._stop_if_nobody_reads()

    def exit_code(self, totals: Totals) -> int:
        """The gravest that occurred; an interrupted scan (but not one whose time ended), a lost report and an action
        that failed count as an error."""
        statuses = [status for status, number in totals.statuses.items() if number]
        if (totals.interrupted and not totals.window_ended) or self._failed or totals.deeds_failed:
            statuses.append(Status.ERROR)
        return OUTCOMES[gravest(statuses)].exit_code

    def _open_files(self) -> None:
        s = self._request.settings
        if s.report_file == b"journald":
            self._log = self._journal = self._open_journal()
        elif s.report_file == b"syslog":
            from kavfs.report.system_log import SyslogSink  # only whoever logs there pays for it

            self._log = SyslogSink(self._program, s.report_level)
        elif s.report_file:
            output = self._open(s.report_file, s.report_append, s.report_mode)
            self._log = FileSink(output, s.report_level, s.date_format, s.time_format)
        for letter, path in self._request.lists:
            from kavfs.report.lists import LETTERS, ListReport  # few runs write lists

            self._lists.append(ListReport(self._open(path), LETTERS[letter]))
        if s.report_html:
            self._html = self._open(s.report_html)
        if self._request.json == b"-":
            self._json = self._standard_output()
        elif self._request.json:
            self._json = self._open(self._request.json)

    def _open_journal(self) -> JournalSink:
        from kavfs.report.journald import JournalSink  # only whoever logs there pays for it

        try:
            return JournalSink(self._program, self._request.settings.report_level, self._report_lost)
        except OSError as error:
            raise UsageError(f"cannot write to the journal: {error.strerror}") from None

    def _logged(self, show: Show, signatures: Signatures) -> Report:
        """The report that goes to the report file, or to a log of the system."""
        assert self._log is not None
        if self._journal is not None:
            from kavfs.report.journald import JournalReport

            return JournalReport(self._journal, show, signatures, self._request.roots)
        return TextReport(self._log, show, signatures, self._request.roots)

    def _at_the_end(self, signatures: Signatures) -> Iterator[Report]:
        """Reports that are made when the scan is over; few scans have any of them, but for events."""
        request, s = self._request, self._request.settings
        if self._html is not None:
            from kavfs.report.html_report import HtmlReport

            yield HtmlReport(self._html, signatures, request.roots)
        if s.notify_mail or s.notify_command:
            from kavfs.report.notify import Notify, NotifyReport

            command = s.notify_command.value if s.notify_command else b""
            how = Notify(
                s.notify_on, s.notify_mail, s.notify_from, s.notify_subject, s.notify_sendmail, command, s.action_time
            )
            yield NotifyReport(how, signatures, request.roots, self.exit_code, self._report_lost)
        if s.event_store is not None:
            from kavfs.cli.history import History

            yield History(request, self._program, signatures, self.exit_code, self._message)

    def _report_lost(self, why: str) -> None:
        """A report that was asked for does not reach anybody."""
        self._failed = True
        self._message(f"{why}; the scan goes on without it")

    def _open(self, path: bytes, append: bool = False, mode: int = 0o600) -> Output:
        shown = path.decode("utf-8", "backslashreplace")
        others = [(other.fd, other.name) for other in self._outputs]
        if not self._request.quiet or self._request.json == b"-":
            others.append((1, "standard output"))
        for fd, name in others:  # before the file is emptied
            if _same_file(path, fd):
                raise UsageError(f"cannot write {shown}: {name} is the same file")
        try:
            output = open_output(path, self._lost, append, mode)
        except OSError as error:
            why = "is a symbolic link" if error.errno == errno.ELOOP else error.strerror
            why = "is a FIFO that nobody reads" if error.errno == errno.ENXIO else why
            raise UsageError(f"cannot write {shown}: {why}") from None
        self._outputs.append(output)
        return output

    def _standard_output(self) -> Output:
        output = Output(1, "standard output", self._lost, owned=False)
        self._outputs.append(output)
        return output

    def _open_terminal(self) -> None:
        if self._request.quiet:
            return
        crowded = self._request.json == b"-" and os.isatty(1)  # records would be written into the line of progress
        if self._request.settings.display_progress and os.isatty(2) and not crowded:
            from kavfs.report.progress import Progress  # nothing of it without a terminal

            self.progress = Progress(Output(2, "standard error", self._no_progress, owned=False))
        if self._request.json != b"-":
            self._screen = StreamSink(self._standard_output(), os.isatty(1), self._hide_progress)

    def _lost(self, output: Output, error: OSError) -> None:
        """A report can no longer be written."""
        if error.errno == errno.EPIPE and output.fd == 1:
            self._pipe_closed = True
            self._stop_if_nobody_reads()
            return
        self._failed = True
        self._hide_progress()
        say(self._program, f"cannot write {output.name}: {error.strerror}; the scan goes on without it")

    def _stop_if_nobody_reads(self) -> None:
        files = self._log or self._lists or self._request.json not in (b"", b"-")
        if self._pipe_closed and not files and self._stop is not None:
            self._stop()

    def _no_progress(self, output: Output, error: OSError) -> None:
        self.progress = None

    def _hide_progress(self) -> None:
        if self.progress is not None:
            self.progress.hide()

    def _message(self, text: str) -> None:
        self._hide_progress()
        say(self._program, text)


def _same_file(path: bytes, fd: int) -> bool:
    """Whether writing to both would mix two reports. Devices, /dev/null above all, take what they are given."""
    try:
        ours, theirs = os.lstat(path), os.fstat(fd)
    except OSError:
        return False
    return os.path.samestat(ours, theirs) and not stat.S_ISCHR(ours.st_mode)

"""Daemon log: where a daemon's lines go: a file, the system log, the journal, or standard error."""

from __future__ import annotations

from kavfs.cli.program import say
from kavfs.config.settings import Settings
from kavfs.daemon.log import LineSink, Log, Place
from kavfs.errors import SystemFailure
from kavfs.report.journald import JournalSink
from kavfs.report.output import Output, open_output
from kavfs.report.sinks import FileSink
from kavfs.report.system_log import SyslogSink

SYSLOG, JOURNAL = b"syslog", b"journald"


def open_log(program: str, settings: Settings, *, as_json: bool, detached: bool) -> Log:
    """As [NAME.report] says; SystemFailure when that cannot be. *detached*: syslog for standard error."""
    where = settings.report_file or (SYSLOG if detached else b"")

    def lost(why: str) -> None:
        say(program, why)

    def failed(output: Output, error: OSError) -> None:
        lost(f"cannot write {output.name}: {error.strerror}")

    def open_place() -> Place:
        level = settings.report_level
        if where == SYSLOG:
            return Place(SyslogSink(program, level))
        if where == JOURNAL:
            return Place(JournalSink(program, level, lost))
        if where:
            output = open_output(where, failed, settings.report_append, settings.report_mode)
        else:
            output = Output(2, "standard error", failed, owned=False)
        if as_json:
            return Place(LineSink(output.write, output.close, level), output.flush)
        return Place(FileSink(output, level, settings.date_format, settings.time_format), output.flush)

    try:
        return Log(open_place, clean=settings.report_ok, as_json=as_json)
    except OSError as error:
        shown = where.decode("utf-8", "backslashreplace")
        raise SystemFailure(f"cannot write the log {shown}: {error.strerror}") from None

"""System log: a sink for the lines of a text report (kavscanner -o syslog)."""

from __future__ import annotations

import syslog

from kavfs.report.sinks import LEVELS

_PRIORITIES = {
    "F": syslog.LOG_CRIT,
    "E": syslog.LOG_ERR,
    "W": syslog.LOG_WARNING,
    "I": syslog.LOG_NOTICE,
    "A": syslog.LOG_INFO,
    "D": syslog.LOG_DEBUG,
}


class SyslogSink:
    """The system log, facility user; it adds time and program itself."""

    raw = False

    def __init__(self, program: str, level: int) -> None:
        self._level = level
        syslog.openlog(program, syslog.LOG_PID, syslog.LOG_USER)

    def wants(self, letter: str) -> bool:
        return LEVELS[letter] <= self._level

    def line(self, letter: str, text: bytes) -> None:
        if self.wants(letter):
            self._log(letter, text)

    def lines(self, letter: str, text: bytes) -> None:
        for line in text.splitlines():
            self.line(letter, line)

    def banner(self, text: bytes) -> None:
        self._log("I", text)

    def close(self) -> None:
        syslog.closelog()

    def _log(self, letter: str, text: bytes) -> None:
        syslog.syslog(_PRIORITIES[letter], text.decode("utf-8", "backslashreplace"))

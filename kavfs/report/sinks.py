"""Sinks: where the lines of a text report go: a terminal or pipe, a report file with levels.

A line has a letter, the product's level (F fatal, E error, W warning, I life cycle, A activity, D debug); only the
report file and the system log (system_log.py) choose by it. In a report file a line begins with
``[date time letter] ``: consoles and mail gateways look for the letter before the bracket.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from kavfs.report.output import Output

LEVELS = {"F": 0, "E": 1, "W": 2, "I": 3, "A": 4, "D": 9}


class Sink(Protocol):
    """Takes finished lines. ``raw`` says that names may keep bytes that are not UTF-8."""

    raw: bool

    def wants(self, letter: str) -> bool: ...

    def line(self, letter: str, text: bytes) -> None: ...

    def lines(self, letter: str, text: bytes) -> None:
        """Several at once: finished lines, each with its line break."""
        ...

    def banner(self, text: bytes) -> None: ...

    def close(self) -> None: ...


class StreamSink:
    """Standard output. *before* is called ahead of each line, so that a progress line gets out of the way."""

    def __init__(self, output: Output, terminal: bool, before: Callable[[], None] | None = None) -> None:
        self.raw = not terminal
        self._output = output
        self._terminal = terminal
        self._before = before

    def wants(self, letter: str) -> bool:
        return letter != "D"

    def line(self, letter: str, text: bytes) -> None:
        if self._before is not None:
            self._before()
        self._output.write(text + b"\n")
        if self._terminal or letter != "A":  # whoever waits at the other end of the pipe waits for findings
            self._output.flush()

    def lines(self, letter: str, text: bytes) -> None:
        if self._before is not None:
            self._before()
        self._output.write(text)
        if self._terminal or letter != "A":
            self._output.flush()

    def banner(self, text: bytes) -> None:
        self.line("I", text)

    def close(self) -> None:
        self._output.close()


class FileSink:
    """A report file."""

    raw = False

    def __init__(self, output: Output, level: int, date_format: str, time_format: str) -> None:
        self._output = output
        self._level = level
        self._format = f"{date_format} {time_format}"
        self._second = -1
        self._stamp = b""

    def wants(self, letter: str) -> bool:
        return LEVELS[letter] <= self._level

    def line(self, letter: str, text: bytes) -> None:
        if self.wants(letter):
            self._write(letter, text)

    def lines(self, letter: str, text: bytes) -> None:
        if self.wants(letter):
            head = self._head(letter)
            self._output.write(head + text[:-1].replace(b"\n", b"\n" + head) + b"\n")
            if letter != "A":
                self._output.flush()

    def banner(self, text: bytes) -> None:
        self._write("I", text)  # at every level: readers skip everything until they have seen it

    def close(self) -> None:
        self._output.close()

    def _head(self, letter: str) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._stamp = time.strftime(self._format, time.localtime(now)).encode()
        return b"[%b %b] " % (self._stamp, letter.encode())

    def _write(self, letter: str, text: bytes) -> None:
        self._output.write(b"%b%b\n" % (self._head(letter), text))
        if letter != "A":
            self._output.flush()

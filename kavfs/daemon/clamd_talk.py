"""What clamd's protocol asks for, and how it is answered: paths, trees, streams, descriptors, and questions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from kavfs._native import serve
from kavfs.daemon import clamd
from kavfs.daemon.desk import Desk
from kavfs.daemon.task import Task
from kavfs.daemon.tree import Tree
from kavfs.model import Result
from kavfs.scan.service import Refusal

_REFUSALS = {
    Refusal.BUSY: clamd.BUSY,
    Refusal.LATE: clamd.LATE,
    Refusal.CLOSING: clamd.CLOSING,
    Refusal.FAILED: clamd.FAILED,
}
_WORDLESS = (b"DETSTATS", b"DETSTATSCLEAR")  # clamd's counts of finds, which are empty as it is built
_BY_PATH = (serve.SCAN, serve.CONTSCAN, serve.MULTISCAN, serve.ALLMATCHSCAN)
_IN_SESSION = (
    serve.SCAN, serve.INSTREAM, serve.FILDES, serve.PING, serve.VERSION, serve.VERSIONCOMMANDS, serve.STATS,
    serve.TOO_LARGE, serve.BROKEN,
)  # fmt: skip


class Answers(NamedTuple):
    """What questions are answered with, and what orders do."""

    version: Callable[[], bytes]
    stats: Callable[[], bytes]
    reload: Callable[[], None]
    shutdown: Callable[[serve.Peer], bool]  # False: this peer may not


class ClamdTalk:
    """Promises desk.Talk. *strict*: encrypted and damaged objects are FOUND."""

    def __init__(self, desk: Desk, answers: Answers, strict: bool = False) -> None:
        self._desk = desk
        self._answers = answers
        self.strict = strict

    def take(self, request: serve.Request) -> None:
        connection, number, verb, option, argument, fd = request
        if option.endswith(b"s") and verb not in _IN_SESSION:
            self._desk.front.reply(connection, number, clamd.INVALID, True)
            self._desk.front.end(connection)
        elif verb == serve.INSTREAM:
            self._scan(connection, number, fd, clamd.STREAM)
        elif verb in _BY_PATH:
            self._by_path(request)
        elif verb == serve.FILDES and fd >= 0:
            self._scan(connection, number, fd, clamd.DESCRIPTOR)
        elif word := self._word(connection, verb, argument):
            self._desk.front.reply(connection, number, word, True)
        else:
            self._desk.front.end(connection)

    def _word(self, connection: int, verb: int, argument: bytes) -> bytes:
        """The answer to what needs no scan; b"": the connection ends without one."""
        if verb == serve.PING:
            return clamd.PONG
        if verb == serve.VERSION:
            return self._answers.version()
        if verb == serve.VERSIONCOMMANDS:
            return clamd.version_commands(self._answers.version())
        if verb == serve.STATS:
            return self._answers.stats()
        if verb == serve.RELOAD:
            self._answers.reload()
            return clamd.RELOADING
        if verb == serve.SHUTDOWN:
            return b"" if self._answers.shutdown(self._desk.peer(connection)) else clamd.NOT_SHUT_DOWN
        if verb == serve.TOO_LARGE:
            return clamd.TOO_LARGE
        if verb in (serve.FILDES, serve.BROKEN):
            return clamd.broken(argument)
        return b"" if argument in _WORDLESS else clamd.UNKNOWN

    # ---- one object ------------------------------------------------------------------------------------------------

    def _scan(self, connection: int, number: int, fd: int, shown: bytes) -> None:
        task = self._desk.begin(connection, number, shown)
        self._desk.scan(task, fd, shown, self._verdict)

    def _verdict(self, task: Task, answer: Result | Refusal) -> None:
        *lines, last = self._lines(task, clamd.shown(task.path, task.raw), answer)
        for line in lines:
            self._desk.say(task, line)
        self._desk.end(task, last)

    def _lines(self, task: Task, shown: bytes, answer: Result | Refusal | int) -> list[bytes]:
        if isinstance(answer, Result):
            return clamd.verdict(answer, shown, task.all_match, self.strict)
        if isinstance(answer, Refusal):
            return [clamd.error(shown, _REFUSALS[answer])]
        return [clamd.error(shown, clamd.not_opened(answer))]

    # ---- paths -----------------------------------------------------------------------------------------------------

    def _by_path(self, request: serve.Request) -> None:
        connection, number, verb, option, argument, _ = request
        path = argument.rstrip(b"/") or argument[:1]
        task = self._desk.begin(connection, number, path, all_match=verb == serve.ALLMATCHSCAN)
        task.raw = option.startswith(b"z")
        directory = partial(self._directory, goes_on=verb != serve.SCAN)
        self._desk.open(task, path, self._verdict, self._refused, directory)

    def _refused(self, task: Task, error: int) -> None:
        self._desk.end(task, self._lines(task, clamd.shown(task.path, task.raw), error)[0])

    def _directory(self, task: Task, fd: int, goes_on: bool) -> None:
        """Lines of what was found, or not scanned; OK for the whole when there are none. One line is held back, so
        that the last is known to be it."""
        held: list[bytes] = []

        def tell(path: bytes, what: Result | Refusal | int) -> bool:
            whole = self._lines(task, clamd.shown(path, task.raw), what)
            lines = [line for line in whole if not line.endswith(b": OK")]
            for line in lines:
                if held:
                    self._desk.say(task, held.pop())
                held.append(line)
            return goes_on or not any(clamd.is_found(line) for line in lines)

        def end() -> None:
            self._desk.end(task, held[0] if held else clamd.shown(task.path, task.raw) + b": OK")

        Tree(self._desk, task, tell, end).begin(fd)

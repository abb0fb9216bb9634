"""What aveserver's own protocol asks for, and how it is answered: files by name, one at a time on each connection."""

from __future__ import annotations

import errno
import os

from kavfs._native import serve
from kavfs.daemon import ave
from kavfs.daemon.desk import Desk
from kavfs.daemon.task import Task
from kavfs.model import Result
from kavfs.scan.service import Refusal

_REFUSALS = {
    Refusal.BUSY: ave.BUSY,
    Refusal.LATE: ave.LATE,
    Refusal.FAILED: ave.FAILED,
}
_ERRORS = {
    errno.EACCES: ave.NO_ACCESS,
    errno.EPERM: ave.OUTSIDE,
    errno.EXDEV: ave.OUTSIDE,  # it leads out of a folder
    errno.ENOENT: ave.NOT_FOUND,
    errno.ENOTDIR: ave.NOT_FOUND,
    errno.ENAMETOOLONG: ave.NOT_FOUND,
    errno.EINVAL: ave.NOT_FOUND,
    errno.ENXIO: ave.NOT_A_FILE,
}


class AveTalk:
    """Promises desk.Talk. *alert_unscanned*: all that is not known as harmless is called infected (ave.alert)."""

    def __init__(self, desk: Desk, alert_unscanned: bool = False) -> None:
        self._desk = desk
        self.alert_unscanned = alert_unscanned

    def take(self, request: serve.Request) -> None:
        connection, number, verb, _, argument, _ = request
        if verb == serve.SCAN:
            self._scan(connection, number, argument)
        elif verb == serve.QUIT:
            self._desk.front.reply(connection, number, ave.BYE, True)
            self._desk.front.end(connection)
        elif verb == serve.TOO_LONG:
            self._answer(self._desk.begin(connection, number), [ave.TOO_LONG])
        else:
            self._desk.front.reply(connection, number, ave.UNKNOWN, True)

    def _scan(self, connection: int, number: int, path: bytes) -> None:
        task = self._desk.begin(connection, number, path)
        if not path:
            self._answer(task, [ave.EMPTY_NAME])
        elif not path.startswith(b"/"):
            self._answer(task, [ave.RELATIVE])
        else:
            self._desk.open(task, path, self._verdict, self._refused, self._directory)

    def _answer(self, task: Task, lines: list[bytes]) -> None:
        *before, last = ave.alert(lines, task.path) if self.alert_unscanned else lines
        for number, line in enumerate(before, 1):  # a client may look only at the first bytes of what one recv brings
            self._desk.say(task, line, apart=number == len(before))
        self._desk.end(task, last)
        if last == ave.BUSY:
            self._desk.front.end(task.connection)

    def _verdict(self, task: Task, answer: Result | Refusal) -> None:
        if answer is Refusal.CLOSING:
            self._leave(task)
            return
        self._answer(task, [_REFUSALS[answer]] if isinstance(answer, Refusal) else ave.verdict(answer, task.path))

    def _leave(self, task: Task) -> None:
        """This server ends. There is no line that each client takes for a failure; an end without one they all do."""
        self._desk.front.end(task.connection)

    def _refused(self, task: Task, error: int) -> None:
        if error == errno.ECANCELED:
            self._leave(task)
            return
        line = _ERRORS.get(error)
        self._answer(task, [line or ave.cannot_open(os.strerror(error), ave.NO_ACCESS)])

    def _directory(self, task: Task, fd: int) -> None:
        os.close(fd)
        self._answer(task, [ave.NOT_A_FILE])

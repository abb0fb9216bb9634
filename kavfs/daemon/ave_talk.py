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
    Refusal.CLOSING: ave.CLOSING,
    Refusal.FAILED: ave.FAILED,
}
_ERRORS = {
    errno.EACCES: ave.NO_ACCESS,
    errno.EPERM: ave.OUTSIDE,
    errno.ENOENT: ave.NOT_FOUND,
    errno.ENOTDIR: ave.NOT_FOUND,
    errno.ENAMETOOLONG: ave.NOT_FOUND,
    errno.EINVAL: ave.NOT_FOUND,
    errno.ENXIO: ave.NOT_A_FILE,
}


class AveTalk:
    """Promises desk.Talk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def take(self, request: serve.Request) -> None:
        connection, number, verb, _, argument, _ = request
        if verb == serve.SCAN:
            self._scan(connection, number, argument)
            return
        line = ave.BYE if verb == serve.QUIT else ave.TOO_LONG if verb == serve.TOO_LONG else ave.UNKNOWN
        self._desk.front.reply(connection, number, line, True)
        if verb == serve.QUIT:
            self._desk.front.end(connection)

    def _scan(self, connection: int, number: int, path: bytes) -> None:
        task = self._desk.begin(connection, number, path)
        if not path:
            self._desk.end(task, ave.EMPTY_NAME)
        elif not path.startswith(b"/"):
            self._desk.end(task, ave.RELATIVE)
        else:
            self._desk.open(task, path, self._verdict, self._refused, self._directory)

    def _verdict(self, task: Task, answer: Result | Refusal) -> None:
        if isinstance(answer, Refusal):
            self._desk.end(task, _REFUSALS[answer])
            return
        *lines, last = ave.verdict(answer, task.path)
        for line in lines:
            self._desk.say(task, line)
        self._desk.end(task, last)

    def _refused(self, task: Task, error: int) -> None:
        line = _ERRORS.get(error)
        self._desk.end(task, line or ave.cannot_open(os.strerror(error), ave.NO_ACCESS))

    def _directory(self, task: Task, fd: int) -> None:
        os.close(fd)
        self._desk.end(task, ave.NOT_A_FILE)

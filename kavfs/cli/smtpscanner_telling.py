"""Telling: what a running smtpscanner says about itself: lines of the mail service in its log, status, metrics."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

from kavfs.cli.smtpscanner import PROGRAM, Start
from kavfs.cli.smtpscanner_front import Front
from kavfs.daemon.log import Log
from kavfs.daemon.renewing import Renewed, Renewer
from kavfs.daemon.status import Status, StatusSocket, Tree
from kavfs.errors import SystemFailure

if TYPE_CHECKING:
    from kavfs.daemon.metrics import MetricsServer

MAIL = "kavfs.mail"  # the logger of the mail service


class LogLines(logging.Handler):
    """What the mail service logs, as lines of our log. Threads hand theirs over to the loop's."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.INFO)
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        letter = "E" if record.levelno >= logging.ERROR else "W" if record.levelno >= logging.WARNING else "I"
        text = self.format(record)
        if threading.get_ident() == self._thread:
            self._log.note(text, letter)
        else:
            self._loop.call_soon_threadsafe(self._log.note, text, letter)

    def begin(self) -> None:
        logger = logging.getLogger(MAIL)
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        logger.propagate = False

    def end(self) -> None:
        logging.getLogger(MAIL).removeHandler(self)


class Telling:
    """Made in the running loop, begun with the daemon, closed behind it."""

    def __init__(self, start: Start, front: Front) -> None:
        self._start = start
        self._front = front
        self._socket: StatusSocket | None = None
        self._metrics: MetricsServer | None = None

    async def begin(self, renewer: Renewer) -> None:
        wanted, log = self._start.wanted, self._start.log
        status = Status(PROGRAM, self._start.service, renewer, None, self._tree)
        if (listener := wanted.status()) is not None:
            try:
                self._socket = StatusSocket(listener, status.tree)
                await self._socket.begin()
            except SystemFailure as error:
                if wanted.settings.status_socket:
                    raise
                log.note(str(error), "E")  # nobody asked for it
        if wanted.metrics():
            from kavfs.daemon.metrics import MetricsServer  # its library, for whoever collects

            self._metrics = MetricsServer(wanted.metrics(), status)
            await self._metrics.begin()

    def renewed(self, what: Renewed) -> None:
        """A change is over."""

    async def close(self) -> None:
        for one in (self._socket, self._metrics):
            if one is not None:
                await one.close()

    def _tree(self) -> Tree:
        receiver, milter, front = self._front.receiver, self._front.milter, self._front
        return {
            "mail": {
                **vars(receiver.counts),
                "statuses": dict(front.statuses),
                "notices": front.notices(),
                "connections": receiver.connections + milter.connections,
                "accepted": receiver.accepted + milter.accepted,
                "turned_away": receiver.turned_away + milter.turned_away,
            }
        }

"""Mail log: what the mail service says to Python's logging becomes lines of our log."""

from __future__ import annotations

import asyncio
import logging
import threading

from kavfs.daemon.log import Log

MAIL = "kavfs.mail"  # the logger of the mail service


class MailLog(logging.Handler):
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

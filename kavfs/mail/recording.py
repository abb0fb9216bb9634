"""Recording: one case told to all who write it down: log, statistics, counters."""

from __future__ import annotations

import logging
from collections.abc import Callable

from kavfs.mail.case import Case, Record

log = logging.getLogger(__name__)


def recording(*writers: Callable[[Case], None]) -> Record:
    """Each is told, whatever becomes of the others."""

    def record(case: Case) -> None:
        for write in writers:
            try:
                write(case)
            except Exception:  # the message is judged, and on its way
                log.exception("%s: cannot be recorded", case.id)

    return record

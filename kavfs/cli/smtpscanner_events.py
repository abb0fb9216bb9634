"""Events of mail: what was found in messages, in the event store, for `kavfs report`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from kavfs.cli.history import store_path
from kavfs.cli.smtpscanner import PROGRAM, Start
from kavfs.daemon.keeping import Keeper
from kavfs.mail.about import text_of
from kavfs.mail.case import Case
from kavfs.model import Result, Status, Threat
from kavfs.options import NATIVE
from kavfs.report.events import Retention
from kavfs.report.summary import Signatures


def keeper_of(start: Start) -> Keeper | None:
    """Made in the running loop. None: nothing is to be kept (EventStore=no)."""
    scan, stats = start.wanted.settings.scan, start.service.stats()
    if scan.event_store is None:
        return None
    loop = asyncio.get_running_loop()

    def warn(text: str) -> None:
        loop.call_soon_threadsafe(start.log.note, text, "E")  # from the keeper's thread

    about = Signatures(stats.signatures, stats.newest, start.service.image.demonstration, stats.generation)
    path = store_path(scan.event_store, start.state)
    return Keeper(path, about, warn, Retention(scan.event_retention), program=PROGRAM)


def results(case: Case) -> Iterator[Result]:
    """One for each finding; one that is clean for a message without any. Each is called mail/ID/NAME of <sender>."""
    sender = text_of(case.envelope.sender)
    if case.message is not None and not case.findings:
        yield Result(_name(case.id, "message", sender), Status.CLEAN, size=case.spool.size)
    for one in case.findings:
        threats = tuple(Threat(name, one.status, NATIVE.name) for name in one.threats)
        yield Result(
            _name(case.id, one.name, sender), one.status, threats=threats, size=one.size, error=one.why or None
        )


def _name(id_: str, name: str, sender: str) -> bytes:
    return f"mail/{id_}/{name} of <{sender}>".encode("utf-8", "backslashreplace")

"""Remembering: a scan's findings, deeds and totals on their way into the event store (events.py).

Whoever makes this report wants the scan to be kept, whatever comes (cli/history.py says when that is). Rows are
written many at once.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable

from kavfs.model import FOUND, Reason, Result, Skip, Status, Totals
from kavfs.report.events import EventsFailed, EventStore, Found, Retention, SetAside
from kavfs.report.names import shown_path
from kavfs.report.summary import Signatures
from kavfs.version import VERSION

BATCH = 500  # rows
PATIENCE = 2.0  # seconds until fewer are written
KEPT_MAX = 100_000  # findings of one scan; half of them is for what was found
NOTES_MAX = 1_000
AGAIN_MAX = 10_000
TEXT_MAX = 2_000  # characters of a text that is shown


class EventReport:
    """Promises ports.Report. *warn* is told, once, why nothing more is kept. *again*: findings that are held to be
    written again, should the store turn out to be damaged; what lies beyond is counted as not kept then."""

    wants_clean = False

    def __init__(
        self,
        path: bytes,
        program: str,
        signatures: Signatures,
        roots: tuple[bytes, ...],
        exit_code: Callable[[Totals], int],
        warn: Callable[[str], None],
        *,
        begun: float,
        keep: Retention = Retention(),  # noqa: B008  # a value
        again: int = AGAIN_MAX,
    ) -> None:
        self._path = path
        self._about = (program, signatures, roots)
        self._exit_code = exit_code
        self._warn = warn
        self._keep = keep
        self._again_max = again
        self._begun = begun
        self._last = time.monotonic()
        self._store: EventStore | None = None
        self._scan = 0
        self._failed = False
        self._waiting: list[Found] = []
        self._notes: list[tuple[object, ...]] = []
        self._kept = 0
        self._unkept = 0
        self._again: list[Found] = []  # written already, like these notes
        self._notes_again: list[tuple[object, ...]] = []
        self._beyond = 0  # written, and not held
        self._lost = 0
        self._noted = 0

    def add(self, result: Result) -> None:
        if result.status is Status.CLEAN and not (result.threats or result.deeds or result.allowed):
            return
        if self._kept >= (KEPT_MAX if result.status in FOUND else KEPT_MAX // 2):
            self._unkept += 1
            return
        self._kept += 1
        if self._failed:
            return
        self._waiting.append(_found(result))
        if len(self._waiting) >= BATCH or time.monotonic() - self._last >= PATIENCE:
            self._write()

    def known(self, directory: bytes, names: bytes, sizes: bytes) -> None:
        """Clean files are no events."""

    def listed(self, paths: bytes, results: Callable[[], Iterable[Result]]) -> None:
        """Clean files are no events."""

    def skip(self, skip: Skip) -> None:
        """The totals count it."""

    def note(self, text: str) -> None:
        self._noted += 1
        if self._noted <= NOTES_MAX:
            self._notes.append((time.time(), _text(text)))

    def flush(self) -> None:
        """Write what waits for more; what is added next is written together, if it comes soon."""
        if self._waiting or self._notes:
            self._write()
        self._last = time.monotonic()

    @property
    def failed(self) -> bool:
        """Whether nothing more is kept."""
        return self._failed

    def finish(self, totals: Totals) -> None:
        self._end(totals)
        if self._store is not None:
            self._store.close()

    def _end(self, totals: Totals) -> None:
        now = time.time()
        for _ in range(2):  # a second time in a store that was begun anew
            self._write()
            if self._store is None:
                return
            try:
                unkept = self._unkept + self._lost
                self._store.end_scan(self._scan, now, _totals(totals), self._exit_code(totals), unkept)
                self._store.confirm(self._scan)
                self._store.prune(self._keep, now)
                return
            except SetAside as error:
                self._begin_anew(error)
            except EventsFailed as error:
                self._fail(error)
                return

    def _write(self) -> None:
        """Write what waits; into a store that is begun anew because it was damaged, what was written before as well."""
        self._last = time.monotonic()
        try:
            for _ in range(2):
                try:
                    self._write_once()
                    return
                except SetAside as error:
                    self._begin_anew(error)
        except EventsFailed as error:
            self._fail(error)

    def _write_once(self) -> None:
        if self._failed:
            return
        if self._store is None:
            self._store = EventStore(self._path)
            if self._store.note:
                self._warn(self._store.note)
        if not self._scan:
            program, signatures, roots = self._about
            listed = b"".join(root + b"\0" for root in roots)
            row = (self._begun, program, VERSION, os.getuid(), listed, _signatures(signatures))
            self._scan = self._store.begin_scan(row)
        if self._waiting or self._notes:
            self._store.add(self._scan, self._waiting, self._notes)
            held = self._waiting[: max(0, self._again_max - len(self._again))]
            self._beyond += len(self._waiting) - len(held)
            self._again += held
            self._notes_again += self._notes
            self._waiting, self._notes = [], []

    def _begin_anew(self, error: SetAside) -> None:
        self._warn(str(error))
        self._scan = 0
        self._waiting, self._again = [*self._again, *self._waiting], []
        self._notes, self._notes_again = [*self._notes_again, *self._notes], []
        self._lost, self._beyond = self._lost + self._beyond, 0

    def _fail(self, error: EventsFailed) -> None:
        self._failed = True
        if self._store is not None:
            self._store.close()
        self._store = None
        self._waiting, self._notes = [], []
        self._warn(f"{error}; this scan is not in the history")


def _found(result: Result) -> Found:
    row = (
        time.time(),
        result.path,
        shown_path(result.path).decode("utf-8", "backslashreplace"),
        result.status.name.lower(),
        _reasons(result.reasons),
        min(result.size, 2**63 - 1),
        result.format,
        result.sha256,
        result.engine,
        _text(result.error) if result.error else None,
        _text(result.allowed) if result.allowed else None,
    )
    threats = [
        (
            _text(t.name),
            t.status.name.lower(),
            t.engine,
            t.member,
            None if t.offset is None else min(t.offset, 2**63 - 1),
        )
        for t in result.threats
    ]
    return Found(row, threats, [(deed.verb, int(deed.done), _text(deed.text)) for deed in result.deeds])


def _reasons(reasons: Reason) -> str:
    return ",".join(r.name.lower() for r in Reason if r & reasons and r.name)


def _text(text: str) -> str:
    """Any text as one that is UTF-8 and not without end."""
    return text[:TEXT_MAX].encode("utf-8", "backslashreplace").decode("utf-8")


def _signatures(signatures: Signatures) -> str:
    tree = {
        "count": signatures.loaded,
        "newest": signatures.newest,
        "demonstration": signatures.demonstration,
        "generation": signatures.generation.hex(),
        "engines": [list(engine) for engine in signatures.engines],
    }
    return json.dumps(tree, separators=(",", ":"))


def _totals(totals: Totals) -> str:
    """Everything that is counted, by the names of JSON lines."""
    tree = {
        "files": totals.files,
        "bytes": totals.bytes,
        "scanned": totals.scanned,
        "members": totals.members,
        "directories": totals.directories,
        "seconds": round(totals.seconds, 6),
        "statuses": {status.name.lower(): n for status, n in totals.statuses.items() if n},
        "reasons": {reason.name.lower(): n for reason, n in totals.reasons.items() if n and reason.name},
        "entries": {kind.name.lower(): n for kind, n in totals.entries.items() if n},
        "unchanged": totals.known,
        "suppressed": totals.suppressed,
        "interrupted": totals.interrupted,
        "window_ended": totals.window_ended,
    }
    return json.dumps(tree, separators=(",", ":"))

"""Past: scans and findings read back from the event store, as values, JSON records, and one page over all of them.

A store is read row by row: it may hold hundreds of thousands. Rows that make no sense are an EventsFailed.
"""

from __future__ import annotations

import fnmatch
import json
import os
import socket
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from kavfs.model import OUTCOMES, REASON_WORDS, Entry, Reason, Status, Totals
from kavfs.report.events import EventsFailed, EventStore
from kavfs.report.html import ROWS_MAX, Finding, Page
from kavfs.report.html_report import signature_facts, tiles, verdict
from kavfs.report.kept import Kept
from kavfs.report.lines import deed_text
from kavfs.report.summary import Signatures, counted
from kavfs.version import VERSION

T = TypeVar("T")

LAST_MOMENT = 253_402_214_400.0  # seconds since 1970: the last day of the year 9999


class PastScan(NamedTuple):
    """One scan."""

    number: int
    begun: float
    ended: float | None  # None: it is running, or was cut off
    program: str
    version: str
    user: int
    roots: tuple[bytes, ...]
    signatures: Signatures
    totals: Totals | None  # None likewise
    exit_code: int | None
    unkept: int


class PastThreat(NamedTuple):
    name: str
    status: str
    engine: str
    member: bytes
    offset: int | None


class PastFinding(NamedTuple):
    """One object of a scan about which there was something to say."""

    number: int
    scan: int
    at: float
    path: bytes
    status: str
    reasons: tuple[str, ...]
    size: int
    format: str
    sha256: bytes | None
    engine: str
    error: str | None
    allowed: str | None
    threats: tuple[PastThreat, ...]
    deeds: tuple[tuple[str, bool, str], ...]

    @property
    def word(self) -> str:
        """Its status, or that it was allowed."""
        return "allowed" if self.allowed and self.status == "clean" else self.status


class Wanted(NamedTuple):
    """What is asked for. Nothing given: everything."""

    since: float = 0.0
    until: float = float("inf")
    statuses: frozenset[str] = frozenset()  # words
    mask: bytes = b""

    def wants(self, finding: PastFinding) -> bool:
        return (not self.statuses or finding.word in self.statuses) and self._fits(finding.path)

    def _fits(self, path: bytes) -> bool:
        mask = self.mask
        if not any(sign in mask for sign in b"*?["):
            return not mask or path == mask or path.startswith(mask.rstrip(b"/") + b"/")
        return fnmatch.fnmatchcase(path if b"/" in mask else os.path.basename(path), mask)


def scans(store: EventStore, wanted: Wanted) -> Iterator[PastScan]:
    """Those that began in the time asked for, oldest first."""
    columns = "id, begun, ended, program, version, user, roots, signatures, totals, exit_code, unkept"
    query = f"SELECT {columns} FROM scan WHERE begun >= ? AND begun < ? ORDER BY begun, id"
    for row in store.rows(query, (wanted.since, wanted.until)):
        yield _sound(_scan, row)


def findings(store: EventStore, wanted: Wanted, scan: int) -> Iterator[PastFinding]:
    """What one scan found, of what is asked for, in its order."""
    columns = "id, scan, at, path, status, reasons, size, format, sha256, engine, error, allowed"
    for row in store.rows(f"SELECT {columns} FROM finding WHERE scan = ? ORDER BY id", (scan,)):
        threats = store.rows(
            "SELECT name, status, engine, member, offset FROM threat WHERE finding = ? ORDER BY place", row[:1]
        )
        deeds = store.rows("SELECT verb, done, text FROM deed WHERE finding = ? ORDER BY place", row[:1])
        finding = _sound(_finding, (row, tuple(threats), tuple(deeds)))
        if wanted.wants(finding):
            yield finding


def notes(store: EventStore, scan: int) -> Iterator[str]:
    for row in store.rows("SELECT text FROM note WHERE scan = ? ORDER BY rowid", (scan,)):
        yield str(row[0])


def _sound(make: Callable[[Any], T], row: object) -> T:
    try:
        return make(row)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise EventsFailed("the event store is damaged: a row in it makes no sense") from None


# A column holds whatever was put into it, not what the schema says: bytes(5) are five, and not all numbers are dates.


def _whole(value: object) -> int:
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        raise ValueError
    return value


def _moment(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= LAST_MOMENT:
        raise ValueError
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _blob(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError
    return value


def _if_there(check: Callable[[object], T], value: object) -> T | None:
    return None if value is None else check(value)


def _scan(row: tuple[Any, ...]) -> PastScan:
    number, begun, ended, program, version, user, roots, signatures, totals, exit_code, unkept = row
    listed = tuple(_blob(roots).split(b"\0")[:-1])
    tree = json.loads(signatures)
    known = Signatures(
        _whole(tree["count"]),
        _moment(tree["newest"]),
        bool(tree["demonstration"]),
        bytes.fromhex(tree["generation"]),
        tuple((str(name), str(knowledge)) for name, knowledge in tree["engines"]),
    )
    done = None if totals is None else _totals(json.loads(totals))
    return PastScan(
        _whole(number),
        _moment(begun),
        _if_there(_moment, ended),
        _text(program),
        _text(version),
        _whole(user),
        listed,
        known,
        done,
        _if_there(_whole, exit_code),
        _whole(unkept),
    )


def _totals(tree: dict[str, Any]) -> Totals:
    return Totals(
        files=_whole(tree["files"]),
        bytes=_whole(tree["bytes"]),
        scanned=_whole(tree["scanned"]),
        members=_whole(tree["members"]),
        directories=_whole(tree["directories"]),
        suppressed=_whole(tree["suppressed"]),
        seconds=_moment(tree["seconds"]),
        known=_whole(tree["unchanged"]),
        statuses={Status[word.upper()]: _whole(n) for word, n in tree["statuses"].items()},
        reasons={Reason[word.upper()]: _whole(n) for word, n in tree["reasons"].items()},
        entries={Entry[word.upper()]: _whole(n) for word, n in tree["entries"].items()},
        interrupted=bool(tree["interrupted"]),
        window_ended=bool(tree["window_ended"]),
    )


def _finding(rows: tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]) -> PastFinding:
    (number, scan, at, path, status, reasons, size, form, sha256, engine, error, allowed), threats, deeds = rows
    return PastFinding(
        _whole(number),
        _whole(scan),
        _moment(at),
        _blob(path),
        Status[status.upper()].name.lower(),
        tuple(Reason[word.upper()].name.lower() for word in reasons.split(",") if word),  # type: ignore[union-attr]  # one bit
        _whole(size),
        _text(form),
        _if_there(_blob, sha256),
        _text(engine),
        _if_there(_text, error),
        _if_there(_text, allowed),
        tuple(
            PastThreat(_text(n), Status[s.upper()].name.lower(), _text(e), _blob(m), _if_there(_whole, o))
            for n, s, e, m, o in threats
        ),
        tuple((_text(verb), bool(done), _text(text)) for verb, done, text in deeds),
    )


# -- JSON --------------------------------------------------------------------------------------------------------------

Record = dict[str, object]


def scan_record(scan: PastScan) -> Record:
    """As history.schema.json describes it."""
    totals = scan.totals
    counts: Record | None = None
    if totals is not None:
        counts = {
            "files": totals.files,
            "bytes": totals.bytes,
            "scanned": totals.scanned,
            "seconds": totals.seconds,
            "unchanged": totals.known,
            "suppressed": totals.suppressed,
            "statuses": {status.name.lower(): n for status, n in totals.statuses.items()},
            "reasons": {r.name.lower(): n for r, n in totals.reasons.items() if r.name},
            "interrupted": totals.interrupted,
        }
    return {
        "type": "scan",
        "schema": 1,
        "scan": scan.number,
        "begun": moment(scan.begun),
        "ended": None if scan.ended is None else moment(scan.ended),
        "program": scan.program,
        "version": scan.version,
        "user": scan.user,
        "roots": [_bytes("path", root) for root in scan.roots],
        "signatures": {"count": scan.signatures.loaded, "generation": scan.signatures.generation.hex()},
        "engines": [name for name, _ in scan.signatures.engines],
        "totals": counts,
        "exit_code": scan.exit_code,
        "unkept": scan.unkept,
    }


def finding_record(finding: PastFinding) -> Record:
    """Likewise."""
    return {
        "type": "finding",
        "scan": finding.scan,
        "time": moment(finding.at),
        **_bytes("path", finding.path),
        "status": finding.status,
        "threats": [
            {"name": t.name, "status": t.status, "engine": t.engine, **_bytes("member", t.member), "offset": t.offset}
            for t in finding.threats
        ],
        "reasons": list(finding.reasons),
        "size": finding.size,
        "format": finding.format,
        "sha256": finding.sha256.hex() if finding.sha256 else None,
        "engine": finding.engine,
        "error": finding.error,
        "allowed": finding.allowed,
        "deeds": [{"verb": verb, "done": done, "text": text} for verb, done, text in finding.deeds],
    }


def _bytes(key: str, value: bytes) -> Record:
    try:
        return {key: value.decode("utf-8")}
    except UnicodeDecodeError:
        return {key: None, f"{key}_b64": b64encode(value).decode("ascii")}


def moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


# -- a page ------------------------------------------------------------------------------------------------------------


def page_of(store: EventStore, wanted: Wanted, about: str) -> Page:
    """One page over all scans that are asked for; *about* says which time that is."""
    sums, threats = Totals(), Counter[str]()
    rows: Kept[PastFinding] = Kept(ROWS_MAX)
    unkept = cut_off = number = 0
    last: PastScan | None = None
    for scan in scans(store, wanted):
        number += 1
        last = scan
        unkept += scan.unkept
        if scan.totals is None:
            cut_off += 1
        else:
            _add(sums, scan.totals)
        for finding in findings(store, wanted, scan.number):
            threats.update({threat.name for threat in finding.threats})
            rows.add(finding, found=bool(finding.threats))
    facts = [("Scans", f"{number:,}{f', of which {cut_off:,} did not end or are running' if cut_off else ''}")]
    return Page(
        title="History of scans",
        about=f"{socket.gethostname()} · {about}",
        verdict=verdict(sums) if number else ("warn", "There was no scan", "Nothing is known of this time."),
        tiles=tiles(sums),
        statuses=[(status.name.lower(), sums.statuses.get(status, 0)) for status in OUTCOMES],
        threats=threats.most_common(),
        coverage=[(word, sums.reasons.get(reason, 0)) for reason, word in REASON_WORDS.items()],
        findings=[_row(finding) for finding in sorted(rows.things, key=lambda finding: finding.at)],
        left_out=unkept + rows.left_out,
        facts=[*facts, *(signature_facts(last.signatures) if last else [])],
        footer=f"kavfs {VERSION} · {counted(number, 'scan')}",
    )


def _add(sums: Totals, totals: Totals) -> None:
    for name in ("files", "bytes", "scanned", "members", "directories", "seconds", "known", "suppressed"):
        setattr(sums, name, getattr(sums, name) + getattr(totals, name))
    for status, n in totals.statuses.items():
        sums.statuses[status] = sums.statuses.get(status, 0) + n
    for reason, n in totals.reasons.items():
        sums.reasons[reason] = sums.reasons.get(reason, 0) + n
    sums.interrupted |= totals.interrupted


def _row(finding: PastFinding) -> Finding:
    words = [REASON_WORDS[Reason[word.upper()]] for word in finding.reasons]
    remark = f"allowed: {finding.allowed}" if finding.allowed else finding.error or ", ".join(words)
    names = tuple(dict.fromkeys((threat.name, threat.member) for threat in finding.threats))
    deeds = tuple(deed_text(*deed) for deed in finding.deeds)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(finding.at))
    return Finding(finding.path, finding.word, names, remark, finding.engine, deeds, when)

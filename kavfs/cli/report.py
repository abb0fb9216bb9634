"""kavfs report: what earlier scans found and what was done about it, from the event store."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import time
from collections.abc import Iterator

from kavfs.cli import moments
from kavfs.cli.history import store_path
from kavfs.cli.program import answer
from kavfs.cli.request import absolute, configuration
from kavfs.errors import SystemFailure, UsageError
from kavfs.model import OUTCOMES, Status
from kavfs.report.events import EventsFailed, EventStore
from kavfs.report.html import render
from kavfs.report.html_report import clock
from kavfs.report.lines import deed_text
from kavfs.report.names import shown_path, shown_text
from kavfs.report.output import Output, open_output
from kavfs.report.past import (
    PastFinding,
    PastScan,
    Wanted,
    finding_record,
    findings,
    notes,
    page_of,
    scan_record,
    scans,
)
from kavfs.report.summary import counted, human

STATUSES = (*(status.name.lower() for status in Status if status is not Status.CLEAN), "allowed")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register ``report``; the parsed arguments then go to run()."""
    parser = subparsers.add_parser("report", help="what earlier scans found", description=__doc__)
    parser.add_argument("--since", default="7d", metavar="WHEN", help="from when on: 24h, 30d, today, 2027-01-31 (7d)")
    parser.add_argument("--until", default="", metavar="WHEN", help="until when; a day with all of it")
    parser.add_argument("--status", action="append", default=[], metavar="STATUS", help="only what has this status, or "
                        f"one of several with commas between them: {', '.join(STATUSES)}")  # fmt: skip
    parser.add_argument("--path", default="", metavar="MASK", help="only this file, what is below this folder, or what "
                        "fits this mask")  # fmt: skip
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON lines (kavfs/report/history.schema.json)")
    form.add_argument("--html", metavar="FILE", help="as one page with charts, written to FILE")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--store", default="", metavar="FILE", help="the event store (default: as configured)")
    place.add_argument("--state", default="", metavar="DIR", help="the state folder in which it lies")


def run(args: argparse.Namespace) -> int:
    """Carry out ``kavfs report``; the return value is the exit code."""
    wanted = _wanted(args)
    path = _place(args)
    try:
        with EventStore(path, create=False) as store:
            if args.html:
                _write_page(store, wanted, os.fsencode(args.html))
            else:
                _print(_json(store, wanted) if args.json else _text(store, wanted))
    except FileNotFoundError:
        if args.html:
            raise SystemFailure(_none(path)) from None
        if not args.json:
            _print(iter([_none(path)]))
    except EventsFailed as error:
        raise SystemFailure(shown_text(str(error))) from None
    return 0


def _place(args: argparse.Namespace) -> bytes:
    if args.store:
        return absolute(os.fsencode(args.store))
    state = absolute(os.fsencode(args.state)) if args.state else b""
    return store_path(None if state else configuration([]).event_store, state)


def _none(path: bytes) -> str:
    return f"no scan is kept yet: there is no {_shown(path)}"


def _wanted(args: argparse.Namespace) -> Wanted:
    statuses = frozenset(word for words in args.status for word in words.lower().split(",") if word)
    if unknown := statuses - set(STATUSES):
        raise UsageError(f"there is no status '{shown_text(min(unknown))}'; there are {', '.join(STATUSES)}")
    option = "--since"
    try:
        since = moments.past(args.since)
        option = "--until"
        until = moments.end_of(args.until) if args.until else float("inf")
    except ValueError as error:
        raise UsageError(f"{option}: {shown_text(str(error))}") from None
    if until <= since:
        raise UsageError("--until lies before --since")
    mask = os.fsencode(args.path)
    is_mask = any(sign in mask for sign in b"*?[")
    return Wanted(since, until, statuses, absolute(mask) if mask and not is_mask else mask)


def _print(lines: Iterator[str]) -> None:
    output = answer()
    with contextlib.suppress(BrokenPipeError):
        for line in lines:
            output.write(line.encode("utf-8", "backslashreplace") + b"\n")
        output.flush()


def _json(store: EventStore, wanted: Wanted) -> Iterator[str]:
    for scan in scans(store, wanted):
        yield json.dumps(scan_record(scan))
        for finding in findings(store, wanted, scan.number):
            yield json.dumps(finding_record(finding))


# -- text --------------------------------------------------------------------------------------------------------------


def _text(store: EventStore, wanted: Wanted) -> Iterator[str]:
    some = False
    narrow = bool(wanted.statuses or wanted.mask)
    for scan in scans(store, wanted):
        rows = [line for finding in findings(store, wanted, scan.number) for line in _finding(finding)]
        if narrow and not rows:
            continue
        if some:
            yield ""
        some = True
        yield from _heading(scan)
        yield from rows
        if scan.unkept:
            yield f"    and {scan.unkept:,} more that were not kept"
        if not narrow:
            yield from (f"    note: {shown_text(note)}" for note in notes(store, scan.number))
    if not some:
        yield "no scan of this time found such a thing" if narrow else "there was no scan that is worth a line"


def _heading(scan: PastScan) -> Iterator[str]:
    roots = ", ".join(_shown(root) for root in scan.roots[:5]) + (" ..." if len(scan.roots) > 5 else "")
    yield f"{_date(scan.begun)}  scan {scan.number}: {roots}"
    if scan.totals is None:
        yield "    it did not end, or is running"
        return
    t = scan.totals
    counts = [
        f"{OUTCOMES[status].word.lower()} {t.statuses[status]:,}"
        for status in OUTCOMES
        if t.statuses.get(status) and status is not Status.CLEAN
    ]
    counts += [f"allowed or excepted {t.suppressed:,}"] if t.suppressed else []
    parts = [counted(t.files, "file"), human(t.bytes), clock(t.seconds), *(counts or ["nothing found"])]
    end = "; interrupted" if t.interrupted else ""
    yield f"    {', '.join(parts)}; exit code {scan.exit_code}{end}"


def _finding(finding: PastFinding) -> Iterator[str]:
    word = "ALLOWED" if finding.word == "allowed" else OUTCOMES[Status[finding.status.upper()]].word
    names = list(dict.fromkeys(threat.name for threat in finding.threats))
    why = finding.allowed or finding.error or ", ".join(finding.reasons)
    parts = [
        word,
        ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else ""),
        _shown(finding.path),
    ]
    remark = f"  ({shown_text(why)})" if why else ""
    yield "    " + "  ".join(shown_text(part) for part in parts if part) + remark
    yield from (f"        {shown_text(deed_text(*deed))}" for deed in finding.deeds)


def _shown(path: bytes) -> str:
    return shown_path(path).decode("utf-8", "backslashreplace")


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


# -- page --------------------------------------------------------------------------------------------------------------


def _write_page(store: EventStore, wanted: Wanted, path: bytes) -> None:
    until = "now" if wanted.until == float("inf") else _date(wanted.until)
    data = render(page_of(store, wanted, f"{_date(wanted.since)} to {until}"))
    try:
        output = open_output(path, _lost)
    except OSError as error:
        why = "is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise UsageError(f"cannot write {_shown(path)}: {why}") from None
    output.write(data)
    output.close()


def _lost(output: Output, error: OSError) -> None:
    raise SystemFailure(f"cannot write {shown_text(output.name)}: {error.strerror}") from None

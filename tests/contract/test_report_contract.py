"""ports.Report: every report is held to one suite, whatever it writes and wherever."""

from __future__ import annotations

import importlib
import inspect
import itertools
import os
import pkgutil
import syslog
import time
from collections.abc import Callable, Iterator

import pytest

import kavfs.report
from kavfs.model import Entry, Member, Reason, Result, Skip, Status, Target, Threat, Totals, status_of_reasons
from kavfs.ports import Report
from kavfs.report.html_report import HtmlReport
from kavfs.report.journald import JournalReport
from kavfs.report.json_lines import JsonReport
from kavfs.report.lines import Show
from kavfs.report.lists import LETTERS, ListReport
from kavfs.report.many import Many
from kavfs.report.notify import NotifyReport
from kavfs.report.output import Output
from kavfs.report.remembering import EventReport
from kavfs.report.sinks import FileSink, StreamSink
from kavfs.report.summary import Signatures
from kavfs.report.system_log import SyslogSink
from kavfs.report.text import TextReport

SIGNATURES = Signatures(7, 1_700_000_000.0, False, bytes(16))
QUIET = Show(ok=False)
ROOTS = (b"/srv",)


def text(sink: Callable[[Output], object], show: Show = Show()) -> Callable[[Output], Report]:  # noqa: B008
    return lambda output: TextReport(sink(output), show, SIGNATURES, ROOTS)  # type: ignore[arg-type]


def file_sink(level: int) -> Callable[[Output], FileSink]:
    return lambda output: FileSink(output, level, "%d-%m-%Y", "%H:%M:%S")


def several(output: Output) -> Many:
    """A report that names clean objects beside one that must not see them, on one output."""
    return Many([TextReport(StreamSink(output, False), Show(), SIGNATURES), ListReport(output, LETTERS["i"])])


REPORTS: dict[str, Callable[[Output], Report]] = {
    "text, pipe": text(lambda output: StreamSink(output, terminal=False)),
    "text, terminal": text(lambda output: StreamSink(output, terminal=True)),
    "text, findings only": text(lambda output: StreamSink(output, terminal=False), QUIET),
    "text, one line an object": text(lambda output: StreamSink(output, terminal=False), Show(True, True, True)),
    "text, file": text(file_sink(9)),
    "text, file with errors only": text(file_sink(1)),
    "text, system log": text(lambda output: SyslogSink("kavscanner", 9)),
    **{f"list -p{letter}": lambda output, s=statuses: ListReport(output, s) for letter, statuses in LETTERS.items()},
    "json": lambda output: JsonReport(output, SIGNATURES, ROOTS, lambda totals: 0),
    "json, findings only": lambda output: JsonReport(output, SIGNATURES, ROOTS, lambda totals: 0, False, False),
    "many": several,
    "many of none": lambda output: Many([]),
}

NAMES = (
    b"/srv/plain",
    b"/srv/not \xff\xfe utf-8",
    b"/srv/two\n/srv/forged INFECTED Some.Name",
    b"/srv/return\r/srv/forged OK",
    b"/srv/\x1b[2J\x1b]0;title\x07",
    "/srv/\u202egpj.exe\u2028\x9b".encode(),
    b"/srv/back\\slash \xed\xa0\x80",
    b"/" + b"long" * 1_100,
    b"/",
    b"",
)


def objects() -> Iterator[Result]:
    """Every status, every reason, every kind of name, alone and in containers."""
    for path, status in itertools.product(NAMES, Status):
        yield Result(path, status, error="half \udc80 of\n a word" if status is Status.ERROR else None)
    for reason in (*Reason, Reason(0b1111111111111)):
        yield Result(b"/srv/partial", status_of_reasons(reason), reason, error=None)
    for name, status in itertools.product(NAMES, Status):
        threats = (
            Threat("Name with\nblank \udcff", status, "native", name, None),
            Threat("", status, "native", b"", 0),
        )
        members = (
            Member(name, status, Reason.DEPTH, 2**64 - 1, container=True),
            Member(name + b"/inner", Status.CLEAN, Reason(0), 0),
            Member(b"", Status.CLEAN, Reason(0), 0),
        )
        some = {"threats": threats, "members": members, "container": True, "target": Target.MAIL, "member_count": 2}
        yield Result(b"/srv/box", status, Reason.DEPTH, size=2**63, sha256=bytes(32), **some)  # type: ignore[arg-type]
        yield Result(name, status, members=members, container=True, suppressed=True, cached=True)
        yield Result(name, status, threats=threats)


def others() -> tuple[list[Skip], list[str]]:
    return [Skip(path, kind) for path in NAMES for kind in Entry if kind not in (Entry.FILE, Entry.ERROR)], [
        "a process was lost",
        "two\nlines \x1b[0m \udc80",
        "",
    ]


FULL = Totals(
    files=3,
    bytes=2**62,
    scanned=2**63,
    members=5,
    directories=1,
    seconds=1e6,
    statuses=dict.fromkeys(Status, 1),
    reasons=dict.fromkeys(Reason, 1),
    entries=dict.fromkeys(Entry, 1),
    unopened=1,
    suppressed=1,
    worker_deaths=1,
    interrupted=True,
)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The same moment in every run."""
    monkeypatch.setattr(time, "time", lambda: 1_700_000_100.0)


@pytest.fixture(params=REPORTS)
def write(request, tmp_path, monkeypatch):
    """Runs a report over what it is given and returns the bytes that it left, from system log or file."""
    logged: list[str] = []
    monkeypatch.setattr(syslog, "syslog", lambda priority, line: logged.append(line))
    numbers = itertools.count()

    def run(results, skips=(), notes=(), totals=None, clean=True) -> bytes:
        path = tmp_path / str(next(numbers))
        failures: list[OSError] = []
        output = Output(os.open(path, os.O_WRONLY | os.O_CREAT), "report", lambda _, error: failures.append(error))
        report = REPORTS[request.param](output)
        logged.clear()
        for result in results:
            if report.wants_clean or (result.status, result.reasons, result.members) != (Status.CLEAN, Reason(0), ()):
                report.add(result)
        for skip in skips:
            report.skip(skip)
        for note in notes:
            report.note(note)
        report.finish(Totals() if totals is None else totals)
        output.close()
        assert failures == []
        return path.read_bytes() + "".join(f"{line}\n" for line in logged).encode("utf-8", "surrogateescape")

    return run


def test_the_suite_knows_every_report():
    """A class with these six methods in kavfs.report is a report."""
    found = set()
    for module in pkgutil.iter_modules(kavfs.report.__path__, "kavfs.report."):
        for _, one in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if (
                all(hasattr(one, name) for name in ("add", "known", "listed", "skip", "note", "finish"))
                and one is not Report
            ):
                found.add(one)
    assert found == {TextReport, ListReport, JsonReport, JournalReport, HtmlReport, NotifyReport, EventReport, Many}


def test_nothing_at_all_ends_well(write):
    assert write([]) == write([])


def test_everything_is_taken_and_no_name_fakes_a_line_or_an_escape(write):
    skips, notes = others()
    out = write(objects(), skips, notes, FULL)
    assert not [line for line in out.split(b"\n") if line.startswith(b"/srv/forged")]
    assert b"\r/srv" not in out


def test_escapes_reach_only_lists_which_are_for_programs(write, request):
    out = write(objects(), *others(), totals=FULL)
    if not request.node.callspec.params["write"].startswith(("list", "many")):
        assert b"\x1b" not in out
        assert "\u202e".encode() not in out


def test_the_same_scan_gives_the_same_report(write):
    results = list(objects())
    assert write(results, *others(), totals=FULL) == write(results, *others(), totals=FULL)


def test_results_stand_in_the_order_in_which_they_came(write):
    """Forwards and backwards: whoever names both names them in that order."""
    first = Result(b"/srv/first", Status.INFECTED, threats=(Threat("A", Status.INFECTED, "native"),))
    second = first._replace(path=b"/srv/second")
    for one, other in ((first, second), (second, first)):
        out = write([one, other])
        at = out.find(one.path), out.find(other.path)
        assert at == (-1, -1) or 0 <= at[0] < at[1]


def test_a_report_that_wants_no_clean_objects_says_nothing_about_them(tmp_path):
    for name, make in REPORTS.items():
        path = tmp_path / "out"
        output = Output(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), name, lambda _, error: None)
        report = make(output)
        assert isinstance(report.wants_clean, bool)
        if "system log" not in name:
            report.add(Result(b"/srv/clean", Status.CLEAN))
            report.finish(Totals())
            assert (b"/srv/clean" in path.read_bytes()) is report.wants_clean, name
        output.close()


@pytest.mark.parametrize(("clean", "answer"), [((True, False), True), ((False, True), True), ((False, False), False)])
def test_several_reports_want_what_one_of_them_wants(tmp_path, clean, answer):
    output = Output(os.open(os.devnull, os.O_WRONLY), "null", lambda _, error: None)
    sink = StreamSink(output, terminal=False)
    assert Many([TextReport(sink, Show(ok=ok), SIGNATURES) for ok in clean]).wants_clean is answer
    output.close()

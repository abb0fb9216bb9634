"""Unchanged files in reports: thousands at once, and on every line what a line for one file would say."""

from __future__ import annotations

import io
import json
import os
import struct
import syslog
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kavfs.model import Member, Reason, Result, Status, Totals
from kavfs.ports import Report
from kavfs.report.json_lines import JsonReport
from kavfs.report.lines import Show
from kavfs.report.lists import LETTERS, ListReport
from kavfs.report.many import Many
from kavfs.report.names import shown_as_they_are
from kavfs.report.output import Output
from kavfs.report.progress import Progress
from kavfs.report.sinks import FileSink, StreamSink
from kavfs.report.summary import Signatures, summary_lines
from kavfs.report.system_log import SyslogSink
from kavfs.report.text import TextReport

SIGNATURES = Signatures(7, 1_700_000_000.0, False, bytes(16))

GROUPS = {
    "plain": (b"/srv/data/", [b"one", b"two words", b"three.txt"]),
    "one": (b"/", [b"only"]),
    "a root": (b"", [b"/etc/hostname"]),
    "UTF-8": ("/srv/d\u00e9j\u00e0/".encode(), ["\u0444\u0430\u0439\u043b".encode(), b"plain"]),
    "not UTF-8": (b"/srv/", [b"a\xffb", b"plain", b"\xed\xa0\x80"]),
    "a directory that is not UTF-8": (b"/srv/\xfe/", [b"a", b"b"]),
    "line breaks": (b"/srv/", [b"a\n/srv/forged OK", b"b\rc", b"plain"]),
    "escapes": (b"/srv/\x1b[2J/", [b"a\x07", b"b\\n"]),
    "marks and controls": (b"/srv/", ["\u202egpj.exe".encode(), b"\x9b", "\u2028".encode(), b"\x7f"]),
    "verdicts": (b"/srv/", [b"INFECTED", b"x SUSPICION y", b"WARNING.txt", b"OK"]),
    "a directory like a verdict": (b"/srv/INFECTED /", ["\u00e9".encode(), b"b"]),
}

SILENT_FILE = "file without lines of clean files"

SINKS: dict[str, Callable[[Output], object]] = {
    "pipe": lambda output: StreamSink(output, terminal=False),
    "terminal": lambda output: StreamSink(output, terminal=True),
    "file": lambda output: FileSink(output, 9, "%d-%m-%Y", "%H:%M:%S"),
    SILENT_FILE: lambda output: FileSink(output, 3, "%d-%m-%Y", "%H:%M:%S"),
    "system log": lambda output: SyslogSink("kavscanner", 9),
}

REPORTS: dict[str, Callable[[Output], Report]] = {
    **{
        name: lambda output, sink=sink: TextReport(sink(output), Show(), SIGNATURES)  # type: ignore[arg-type, misc]
        for name, sink in SINKS.items()
    },
    "findings only": lambda output: TextReport(StreamSink(output, False), Show(ok=False), SIGNATURES),
    "list": lambda output: ListReport(output, LETTERS["i"]),
    "json": lambda output: JsonReport(output, SIGNATURES, (), lambda totals: 0),
    "json, findings only": lambda output: JsonReport(output, SIGNATURES, (), lambda totals: 0, clean=False),
    "many": lambda output: Many(
        [ListReport(output, LETTERS["i"]), TextReport(StreamSink(output, False), Show(), SIGNATURES)]
    ),
}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """What a report leaves in its file, or in the system log, of what *tell* tells it."""
    monkeypatch.setattr(time, "time", lambda: 1_700_000_100.0)
    logged: list[str] = []
    monkeypatch.setattr(syslog, "syslog", lambda priority, line: logged.append(line))

    def run(name: str, tell: Callable[[Report], object]) -> bytes:
        path = tmp_path / "out"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        output = Output(fd, name, lambda _, error: pytest.fail(str(error)))
        logged.clear()
        tell(REPORTS[name](output))
        output.close()
        return path.read_bytes() + "".join(f"{line}\n" for line in logged).encode("utf-8", "surrogateescape")

    return run


def known(report: Report, directory: bytes, names: list[bytes]) -> None:
    sizes = struct.pack(f"={len(names)}Q", *range(len(names)))
    report.known(directory, b"".join(name + b"\0" for name in names), sizes)


def one_by_one(report: Report, directory: bytes, names: list[bytes]) -> None:
    for size, name in enumerate(names):
        result = Result(directory + name, Status.CLEAN, size=size, scanned=size, cached=True)
        if report.wants_clean:
            report.add(result)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("name", REPORTS)
def test_many_at_once_are_written_like_each_for_itself(write, name: str, group: str) -> None:
    directory, names = GROUPS[group]
    assert write(name, lambda report: known(report, directory, names)) == write(
        name, lambda report: one_by_one(report, directory, names)
    )


@pytest.mark.parametrize("group", GROUPS)
def test_short_cut_is_taken_only_for_names_that_stay_as_they_are(group: str) -> None:
    directory, names = GROUPS[group]
    expected = group in ("plain", "one", "a root", "UTF-8")
    assert shown_as_they_are(directory + b"\0" + b"".join(name + b"\0" for name in names)) is expected


def test_record_of_a_known_file_says_that_it_is_from_a_store(write) -> None:
    out = write("json", lambda report: known(report, b"/srv/", [b"a", b"b\xff"]))
    records = [json.loads(line) for line in io.BytesIO(out) if b'"result"' in line]
    assert [record["cached"] for record in records] == [True, True]
    assert [record["size"] for record in records] == [0, 1]
    assert records[1]["path"] is None


def test_summary_says_how_many_files_are_unchanged() -> None:
    lines = list(summary_lines(Totals(files=400_000, known=399_998, known_bytes=1_288_490_188), SIGNATURES))
    assert "Unchanged: 399,998 files (99.9 %), 1.2 GiB" in lines
    assert "Unchanged: 1 file (100 %), 0 bytes" in list(summary_lines(Totals(files=1, known=1), SIGNATURES))
    assert not [line for line in summary_lines(Totals(files=1), SIGNATURES) if "nchanged" in line]


def test_summary_says_how_many_files_were_compared_with_the_delta_only() -> None:
    lines = list(summary_lines(Totals(files=9, delta=5), SIGNATURES))
    assert "Compared with new signatures only: 5 files" in lines
    assert not [line for line in summary_lines(Totals(files=9), SIGNATURES) if "new signatures" in line]


def test_progress_says_how_many_files_are_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "line"
    output = Output(os.open(path, os.O_WRONLY | os.O_CREAT), "terminal", lambda _, error: None)
    Progress(output).tick(Totals(files=7, known=5))
    output.close()
    assert b"unchanged 5" in path.read_bytes()


BOXES = {
    "plain": {b"/srv/a.zip": (b"one", b"two/three"), b"/srv/empty.zip": (), b"/srv/b.tar": (b"x", b"x")},
    "no members": {b"/srv/empty.zip": ()},
    "UTF-8": {"/srv/d\u00e9j\u00e0.zip".encode(): ("\u0444".encode(), b"plain")},
    "a name that is not UTF-8": {b"/srv/a": (b"x",), b"/srv/\xff": (b"y",)},
    "a member that is not UTF-8": {b"/srv/a": (b"x",), b"/srv/b": (b"y", b"\xed\xa0\x80")},
    "half a character": {b"/srv/a\xc3": (b"\xa9",), b"/srv/b": (b"x\xe2\x80", b"\xa9y")},
    "line breaks": {b"/srv/a": (b"x\n/srv/forged OK",), b"/srv/b\n/srv/forged OK": (b"y\r",)},
    "escapes": {b"/srv/a": (b"\x1b[2J",), b"/srv/b": (b"back\\slash", b"\x9b", "\u202e".encode(), "\u2028".encode())},
    "verdicts": {b"/srv/INFECTED": (b"x",), b"/srv/b": (b"says WARNING ", b"SUSPICION")},
    "slashes": {b"/srv/a": (b"/x", b"y/", b"a//b")},
}

SHOWS = [Show(), Show(ok=False), Show(containers_only=True), Show(objects_only=True), Show(True, True, True)]


def boxes(group: str) -> list[Result]:
    """Clean containers, as a store remembers them."""
    return [
        Result(
            path,
            Status.CLEAN,
            members=tuple(Member(name, Status.CLEAN, Reason(0), 1) for name in names),
            member_count=len(names),
            container=True,
            cached=True,
        )
        for path, names in BOXES[group].items()
    ]


def listed(report: Report, results: list[Result]) -> None:
    paths = b""
    for result in results:
        paths += result.path + (b"\0\0" if result.members else b"\0")
        paths += b"".join(result.path + b"/" + member.path + b"\0" for member in result.members)
    report.listed(paths, lambda: iter(results))


def add_each(report: Report, results: list[Result]) -> None:
    for result in results:
        if report.wants_clean:
            report.add(result)


@pytest.mark.parametrize("group", BOXES)
@pytest.mark.parametrize("name", REPORTS)
def test_many_containers_at_once_are_written_like_each_for_itself(write, name: str, group: str) -> None:
    results = boxes(group)
    out = write(name, lambda report: listed(report, results))
    assert out == write(name, lambda report: add_each(report, results))
    assert (b"/srv/" in out) is (name not in ("list", "findings only", "json, findings only", SILENT_FILE))


@pytest.mark.parametrize("group", BOXES)
@pytest.mark.parametrize("show", SHOWS)
def test_containers_are_shown_as_the_letters_say(group: str, show: Show) -> None:
    def written(tell: Callable[[Report, list[Result]], None]) -> bytes:
        with tempfile.TemporaryFile() as file:
            output = Output(file.fileno(), "a file", lambda output, error: None, owned=False)
            tell(TextReport(StreamSink(output, terminal=False), show, SIGNATURES), boxes(group))
            output.flush()
            file.seek(0)
            return file.read()

    assert written(listed) == written(add_each)


def test_results_are_not_made_where_lines_are_all_that_is_asked_for(write) -> None:
    def tell(report: Report) -> None:
        report.listed(b"/srv/a.zip\0\0/srv/a.zip/one\0", lambda: pytest.fail("a result for each file"))

    assert write("pipe", tell).endswith(b"\n/srv/a.zip\n/srv/a.zip/one OK\n")
    for name in ("findings only", "list", "json, findings only", SILENT_FILE):
        write(name, tell)

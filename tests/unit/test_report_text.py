"""Text reports: banner, lines, notes and summary on a terminal, in a pipe and in a report file."""

from __future__ import annotations

import os
import re
import time
import tomllib
from pathlib import Path

import pytest

from kavfs.model import Entry, Reason, Result, Skip, Status, Threat, Totals
from kavfs.report.lines import Show
from kavfs.report.output import Output, open_output
from kavfs.report.sinks import FileSink, StreamSink
from kavfs.report.summary import Signatures, human, summary_lines
from kavfs.report.text import TextReport
from kavfs.version import VERSION

SIGNATURES = Signatures(3, time.time() - 3 * 86400 - 60, False)
CLEAN = Result(b"/clean", Status.CLEAN)
INFECTED = Result(b"/bad\n", Status.INFECTED, threats=(Threat("Eicar", Status.INFECTED, "native"),))
FAILED = Result(b"/caf\xe9", Status.ERROR, Reason.UNREADABLE, error="Permission denied")


def broken(output: Output, error: OSError) -> None:
    raise AssertionError(f"{output.name}: {error}")


@pytest.fixture
def log(tmp_path: Path):
    """A report file of a level: the lines that these results leave in it."""

    def write(level: int, show: Show | None = None) -> list[str]:
        path = os.fsencode(tmp_path / f"report-{level}")
        sink = FileSink(open_output(path, broken), level, "%d-%m-%Y", "%H:%M:%S")
        report = TextReport(sink, show or Show(), SIGNATURES, (b"/fifo",))
        for result in (CLEAN, INFECTED, FAILED):
            report.add(result)
        report.skip(Skip(b"/link", Entry.SYMLINK))
        report.skip(Skip(b"/fifo", Entry.SPECIAL))
        report.note("a worker died")
        report.finish(Totals(files=3))
        return Path(os.fsdecode(path)).read_text().splitlines()

    return write


BY_TWO = INFECTED._replace(
    path=b"/two\x1b",
    threats=(Threat("Eicar", Status.INFECTED, "native"), Threat("X INFECTED Y", Status.WARNING, "clamav", b"in.com")),
)


@pytest.mark.parametrize("engines", [("native",), ("native", "clamav"), ("clamav",)])
@pytest.mark.parametrize("level", [2, 3, 4, 9])
def test_the_engine_that_found_something_is_told_where_several_are_asked(
    tmp_path: Path, engines: tuple[str, ...], level: int
) -> None:
    path = os.fsencode(tmp_path / "report")
    signatures = SIGNATURES._replace(engines=tuple((engine, "1") for engine in engines))
    report = TextReport(FileSink(open_output(path, broken), level, "%d-%m-%Y", "%H:%M:%S"), Show(), signatures)
    for result in (CLEAN, INFECTED, FAILED, BY_TWO):
        report.add(result)
    report.finish(Totals())
    lines = Path(os.fsdecode(path)).read_text().splitlines()
    told = [line.partition("] ")[2] for line in lines if "found by" in line]
    wanted = [
        "/bad\\n: found by native: Eicar",
        "/two\\x1b: found by native: Eicar",
        "/two\\x1b: found by clamav: X_INFECTED_Y",
    ]
    assert told == (wanted if level >= 4 and len(engines) > 1 else [])
    assert not [line for line in told if re.search(r"\s(INFECTED|SUSPICION|WARNING)\s", line, re.IGNORECASE)]


@pytest.fixture
def stream(tmp_path: Path):
    """Standard output as a terminal or a pipe: the bytes that these results leave there."""

    def write(terminal: bool, show: Show | None = None) -> bytes:
        path = os.fsencode(tmp_path / "stream")
        said: list[str] = []
        report = TextReport(
            StreamSink(open_output(path, broken), terminal), show or Show(), SIGNATURES, (), said.append
        )
        for result in (CLEAN, INFECTED, FAILED):
            report.add(result)
        report.note("a worker died")
        report.finish(Totals(files=3))
        assert said == ["a worker died"]
        return Path(os.fsdecode(path)).read_bytes()

    return write


def test_the_version_is_the_one_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION


def test_the_banner_comes_first_and_names_a_version(stream) -> None:
    assert re.search(rb"Version\D+[\d.]+", stream(False).splitlines()[0])


def test_a_terminal_gets_every_odd_byte_escaped(stream) -> None:
    lines = stream(True).split(b"\n")
    assert lines[1:4] == [b"/clean OK", rb"/bad\n INFECTED Eicar", rb"/caf\xe9 (unreadable: Permission denied) ERROR"]


def test_a_pipe_gets_names_that_can_be_opened_but_no_line_breaks(stream) -> None:
    lines = stream(False).split(b"\n")
    assert lines[1:4] == [b"/clean OK", rb"/bad\n INFECTED Eicar", b"/caf\xe9 (unreadable: Permission denied) ERROR"]


def test_clean_objects_can_be_left_out(stream) -> None:
    assert b" OK\n" not in stream(False, Show(ok=False))


def test_lines_of_a_report_file_begin_with_date_time_and_letter(log) -> None:
    lines = log(4)
    assert all(re.match(r"\[\d\d-\d\d-\d{4} \d\d:\d\d:\d\d [FEWIA]\] ", line) for line in lines)
    assert "Version" in lines[0]
    assert [line.split("] ")[1] for line in lines[1:4]] == [
        "/clean OK",
        r"/bad\n INFECTED Eicar",
        r"/caf\xe9 (unreadable: Permission denied) ERROR",
    ]


@pytest.mark.parametrize(
    ("level", "letters"), [(0, "I"), (1, "IE"), (2, "IWEW"), (3, "IWEIW"), (4, "IAWEIW"), (9, "IAWEDIW")]
)
def test_levels_choose_lines(log, level: int, letters: str) -> None:
    found = "".join(line.split("]")[0][-1] for line in log(level))
    assert found.startswith(letters)
    assert set(found[len(letters) :]) <= {"I"}  # the summary
    assert (found[len(letters) :] != "") == (level >= 3)


def test_a_skip_of_what_the_user_named_is_always_told(log) -> None:
    told = [line for line in log(3) if "not scanned" in line]
    assert [line.split("] ")[1] for line in told] == ["not scanned (FIFO, socket or device): /fifo"]


def summary(totals: Totals, signatures: Signatures = SIGNATURES) -> str:
    return "\n".join(summary_lines(totals, signatures))


def test_the_summary_says_what_was_done_and_what_was_not() -> None:
    totals = Totals(
        files=1234,
        bytes=5 << 20,
        scanned=6 << 20,
        members=7,
        directories=2,
        seconds=2.0,
        statuses={Status.CLEAN: 1230, Status.INFECTED: 3, Status.ERROR: 1},
        reasons={Reason.TIME: 1},
        entries={Entry.FILE: 1234, Entry.SYMLINK: 5, Entry.VANISHED: 1},
    )
    text = summary(totals)
    assert "Scan finished" in text
    assert "Files: 1,234, 7 members in containers, 2 directories" in text
    assert "Bytes: 5.0 MiB, read 6.0 MiB" in text
    assert "Statuses: infected: 3, error: 1, clean: 1,230" in text
    assert "Partial coverage: time limit: 1" in text
    assert "Not scanned: symbolic link: 5, gone before it was opened: 1" in text
    assert "Time: 2.00 s, 617 files/s, 2.6 MB/s" in text
    assert "Signatures: 3, the newest 3 days old (" in text
    assert "demonstration" not in text


def test_the_summary_of_an_interrupted_scan_begins_with_that() -> None:
    assert summary(Totals(interrupted=True)).startswith("Scan interrupted")


def test_the_summary_warns_of_the_starter_set() -> None:
    assert "demonstration, not protection" in summary(Totals(), Signatures(3, time.time(), True))


@pytest.mark.parametrize(
    ("age", "words"), [(0, "of today"), (86400, "1 day old"), (90 * 86400, "90 days old"), (-90000, "in the future")]
)
def test_the_age_of_the_signatures_is_always_named(age: int, words: str) -> None:
    assert words in summary(Totals(), Signatures(3, time.time() - age - 1, False))


@pytest.mark.parametrize("newest", [0.0, 1e30, -1e30])
def test_an_impossible_date_of_signatures_stops_no_report(newest: float) -> None:
    assert "Signatures: 3" in summary(Totals(), Signatures(3, newest, False))


def test_no_line_of_the_summary_looks_like_a_finding_to_a_mail_gateway() -> None:
    totals = Totals(
        statuses=dict.fromkeys(Status, 1), reasons=dict.fromkeys(Reason, 1), entries=dict.fromkeys(Entry, 1)
    )
    for line in summary_lines(totals, SIGNATURES):
        assert not re.search(r"\s(INFECTED|SUSPICION)\s", line, re.IGNORECASE)
        assert not re.search(r"INFECTED|SUSPICION|SUSPICIOUS|WARNING", line)
        assert not line.startswith("/")


def test_sizes_are_written_for_people() -> None:
    assert [human(n) for n in (0, 1023, 1024, 1536 << 10, 5 << 40)] == [
        "0 bytes",
        "1,023 bytes",
        "1.0 KiB",
        "1.5 MiB",
        "5,120.0 GiB",
    ]

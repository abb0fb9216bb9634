"""Lists and fan-out: the names of one status, and one result in several reports."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kavfs.model import Entry, Result, Skip, Status, Totals
from kavfs.report.lists import LETTERS, ListReport
from kavfs.report.many import Many
from kavfs.report.output import Output, open_output


def broken(output: Output, error: OSError) -> None:
    raise AssertionError(f"{output.name}: {error}")


@pytest.mark.parametrize(
    ("letter", "expected"),
    [
        ("i", b"/infected\n/curefailed\n"),
        ("s", b"/suspicious\n"),
        ("w", b"/warning\n"),
        ("c", b"/corrupted\n"),
        ("p", b"/protected\n"),
        ("e", b"/error\n"),
    ],
)
def test_a_list_holds_the_names_of_its_status(tmp_path: Path, letter: str, expected: bytes) -> None:
    report = ListReport(open_output(os.fsencode(tmp_path / "list"), broken), LETTERS[letter])
    for status in Status:
        report.add(Result(b"/" + status.name.lower().encode(), status))
    report.skip(Skip(b"/link", Entry.SYMLINK))
    report.note("something")
    report.finish(Totals())
    assert (tmp_path / "list").read_bytes() == expected


def test_names_are_exact_unless_they_would_become_two_lines(tmp_path: Path) -> None:
    report = ListReport(open_output(os.fsencode(tmp_path / "list"), broken), LETTERS["i"])
    for path in (b"/caf\xe9 \\x", b"/x\n/etc/passwd", b"/y\rz"):
        report.add(Result(path, Status.INFECTED))
    report.finish(Totals())
    assert (tmp_path / "list").read_bytes() == b"/caf\xe9 \\x\n/x\\n/etc/passwd\n/y\\rz\n"


class Recorder:
    def __init__(self, wants_clean: bool) -> None:
        self.wants_clean = wants_clean
        self.seen: list[object] = []

    def add(self, result: Result) -> None:
        self.seen.append(result)

    def skip(self, skip: Skip) -> None:
        self.seen.append(skip)

    def note(self, text: str) -> None:
        self.seen.append(text)

    def finish(self, totals: Totals) -> None:
        self.seen.append(totals)


def test_many_hands_everything_to_each() -> None:
    first, second = Recorder(False), Recorder(True)
    many = Many([first, second])
    items = (Result(b"/f", Status.CLEAN), Skip(b"/l", Entry.SYMLINK), "note", Totals())
    many.add(items[0])
    many.skip(items[1])
    many.note(items[2])
    many.finish(items[3])
    assert first.seen == second.seen == list(items)


@pytest.mark.parametrize(("wishes", "expected"), [((), False), ((False,), False), ((False, True), True)])
def test_many_wants_clean_objects_if_one_does(wishes: tuple[bool, ...], expected: bool) -> None:
    assert Many([Recorder(wish) for wish in wishes]).wants_clean is expected

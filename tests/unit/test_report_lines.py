"""Lines: the product's text for every kind of result."""

from __future__ import annotations

import time

import pytest

from kavfs.model import Member, Reason, Result, Status, Threat
from kavfs.report.lines import Show, lines_of

EICAR = Threat("EICAR-Test-File", Status.INFECTED, "native", offset=0)
NONE = Reason(0)


def text(result: Result, **show: bool) -> list[str]:
    """The lines as a report writes them."""
    lines = []
    for line in lines_of(result, Show(**show)):
        path = result.path + b"/" + line.member if line.member else result.path
        lines.append((path + (b" " + line.tail if line.tail else b"")).decode())
    return lines


def letters(result: Result) -> str:
    return "".join(line.letter for line in lines_of(result, Show()))


def threat(member: bytes, name: str = "EICAR-Test-File") -> Threat:
    return Threat(name, Status.INFECTED, "native", member, 0)


def member(path: bytes, status: Status = Status.CLEAN, reasons: Reason = NONE, container: bool = False) -> Member:
    return Member(path, status, reasons, 68, container)


@pytest.mark.parametrize(
    ("status", "name", "line"),
    [
        (Status.INFECTED, "Eicar", "/f INFECTED Eicar"),
        (Status.WARNING, "PUA.Tool", "/f WARNING PUA.Tool"),
        (Status.SUSPICIOUS, "Heuristics.X", "/f SUSPICION Heuristics.X"),
    ],
)
def test_a_finding_has_the_word_and_then_the_name(status: Status, name: str, line: str) -> None:
    assert text(Result(b"/f", status, threats=(Threat(name, status, "native"),))) == [line]


def test_a_clean_file_is_ok_and_can_be_left_out() -> None:
    assert text(Result(b"/f", Status.CLEAN)) == ["/f OK"]
    assert text(Result(b"/f", Status.CLEAN), ok=False) == []


@pytest.mark.parametrize(
    ("status", "reasons", "error", "line"),
    [
        (Status.ERROR, Reason.UNREADABLE, "Permission denied", "/f (unreadable: Permission denied) ERROR"),
        (Status.ERROR, Reason.TIME | Reason.DAMAGED, None, "/f (time limit, damaged) ERROR"),
        (Status.ERROR, NONE, "odd\nthing", "/f (odd\\nthing) ERROR"),
        (Status.ERROR, NONE, None, "/f ERROR"),
        (Status.ERROR, Reason.TIME, "time limit", "/f (time limit) ERROR"),
        (Status.ERROR, Reason.WORKER, "scanning process died: signal 9", "/f (scanning process died: signal 9) ERROR"),
        (Status.ERROR, Reason.TIME | Reason.WORKER, "killed", "/f (time limit, scanning process died: killed) ERROR"),
        (Status.PROTECTED, Reason.ENCRYPTED, None, "/f (encrypted) PROTECTED"),
        (Status.CORRUPTED, Reason.DAMAGED, None, "/f (damaged) CORRUPTED"),
    ],
)
def test_the_reason_stands_before_the_word(status: Status, reasons: Reason, error: str | None, line: str) -> None:
    assert text(Result(b"/f", status, reasons, error=error)) == [line]


def test_a_finding_with_partial_coverage_keeps_its_shape() -> None:
    assert text(Result(b"/f", Status.INFECTED, Reason.SIZE, (EICAR,))) == ["/f INFECTED EICAR-Test-File"]


def test_all_matches_are_lines_unless_one_line_an_object_is_wanted() -> None:
    result = Result(b"/f", Status.INFECTED, threats=(EICAR, Threat("B", Status.WARNING, "native")))
    assert text(result) == ["/f INFECTED EICAR-Test-File", "/f WARNING B"]
    assert text(result, objects_only=True) == ["/f INFECTED EICAR-Test-File"]


def test_a_container_has_its_own_line_and_then_one_for_each_member() -> None:
    members = (member(b"readme.txt"), member(b"eicar.com", Status.INFECTED))
    result = Result(b"/m.zip", Status.INFECTED, threats=(threat(b"eicar.com"),), members=members, container=True)
    assert text(result) == ["/m.zip", "/m.zip/readme.txt OK", "/m.zip/eicar.com INFECTED EICAR-Test-File"]
    assert text(result, ok=False) == ["/m.zip", "/m.zip/eicar.com INFECTED EICAR-Test-File"]
    assert text(result, containers_only=True) == ["/m.zip INFECTED EICAR-Test-File"]


def test_a_threat_in_a_member_that_is_not_listed_is_told() -> None:
    result = Result(b"/m.zip", Status.INFECTED, threats=(threat(b"x/eicar.com"),), container=True)
    assert text(result) == ["/m.zip", "/m.zip/x/eicar.com INFECTED EICAR-Test-File"]


def test_a_clean_container_without_listed_members_is_one_line() -> None:
    assert text(Result(b"/m.zip", Status.CLEAN, container=True)) == ["/m.zip OK"]


def test_a_protected_member_is_told_once() -> None:
    members = (member(b"a.txt"), member(b"secret", Status.PROTECTED, Reason.ENCRYPTED))
    result = Result(b"/m.zip", Status.PROTECTED, Reason.ENCRYPTED, members=members, container=True)
    assert text(result, ok=False) == ["/m.zip", "/m.zip/secret (encrypted) PROTECTED"]
    assert letters(result) == "WAW"


def test_damage_of_the_container_itself_follows_its_members() -> None:
    members = (member(b"a.txt"), member(b"b", Status.INFECTED))
    result = Result(b"/m.zip", Status.INFECTED, Reason.DAMAGED, (threat(b"b"),), members, container=True)
    assert text(result, ok=False) == [
        "/m.zip",
        "/m.zip/b INFECTED EICAR-Test-File",
        "/m.zip (damaged) CORRUPTED",
    ]
    clean = Result(b"/m.zip", Status.CORRUPTED, Reason.DAMAGED, members=(member(b"a.txt"),), container=True)
    assert text(clean) == ["/m.zip", "/m.zip/a.txt OK", "/m.zip (damaged) CORRUPTED"]
    assert text(clean, ok=False) == ["/m.zip (damaged) CORRUPTED"]


def test_a_match_in_the_bytes_of_a_container_is_told_besides_its_members() -> None:
    result = Result(b"/m.zip", Status.INFECTED, threats=(EICAR,), members=(member(b"a"),), container=True)
    assert text(result) == ["/m.zip", "/m.zip/a OK", "/m.zip INFECTED EICAR-Test-File"]


@pytest.mark.parametrize("inner_first", [True, False])
def test_a_container_inside_leaves_the_verdict_to_its_members(inner_first: bool) -> None:
    inner = member(b"i.tgz", Status.INFECTED, container=True)
    leaf = member(b"i.tgz/eicar.com", Status.INFECTED)
    members = (inner, leaf) if inner_first else (leaf, inner)
    result = Result(b"/m.zip", Status.INFECTED, threats=(threat(b"i.tgz/eicar.com"),), members=members, container=True)
    assert text(result, ok=False) == ["/m.zip", "/m.zip/i.tgz/eicar.com INFECTED EICAR-Test-File"]
    assert text(result) == ["/m.zip", "/m.zip/i.tgz", "/m.zip/i.tgz/eicar.com INFECTED EICAR-Test-File"]


def test_containers_in_containers_are_each_named_once_before_what_they_hold() -> None:
    paths = (b"a/1", b"a/2", b"a", b"b/c/1", b"b/c", b"b/2", b"b", b"e")
    members = tuple(member(path, container=path in (b"a", b"b", b"b/c", b"e")) for path in paths)
    result = Result(b"/m", Status.CLEAN, members=members, container=True)
    assert [line.removeprefix("/m").removeprefix("/") for line in text(result)] == [
        "",
        "a",
        "a/1 OK",
        "a/2 OK",
        "b",
        "b/c",
        "b/c/1 OK",
        "b/2 OK",
        "e OK",
    ]


def test_damage_of_a_container_inside_is_told_of_it() -> None:
    members = (member(b"i.tgz", Status.CORRUPTED, Reason.DAMAGED, container=True), member(b"i.tgz/a"))
    result = Result(b"/m.zip", Status.CORRUPTED, Reason.DAMAGED, members=members, container=True)
    assert text(result, ok=False) == ["/m.zip", "/m.zip/i.tgz (damaged) CORRUPTED"]


def test_a_sibling_whose_name_begins_alike_is_not_taken_for_a_member() -> None:
    members = (
        member(b"i", Status.CORRUPTED, Reason.DAMAGED, container=True),
        member(b"i!", Status.CORRUPTED, Reason.DAMAGED),
    )
    result = Result(b"/m", Status.CORRUPTED, Reason.DAMAGED, members=members, container=True)
    assert text(result, ok=False) == ["/m", "/m/i (damaged) CORRUPTED", "/m/i! (damaged) CORRUPTED"]


def test_two_members_of_one_name_are_told_with_all_their_threats() -> None:
    members = (member(b"a", Status.INFECTED), member(b"a", Status.INFECTED))
    result = Result(b"/m", Status.INFECTED, threats=(threat(b"a", "One"), threat(b"a", "Two")), members=members)
    assert text(result, ok=False) == ["/m", "/m/a INFECTED One", "/m/a INFECTED Two"]


def test_what_a_member_says_is_not_said_again_of_its_container() -> None:
    members = (member(b"a", Status.ERROR, Reason.DEPTH),)
    result = Result(b"/z", Status.ERROR, Reason.DEPTH, members=members, error="nested too deep", container=True)
    assert text(result) == ["/z", "/z/a (nested too deep) ERROR"]
    killed = Result(b"/z", Status.ERROR, Reason.DEPTH, members=members, error="nested too deep: killed")
    assert text(killed)[-1] == "/z (nested too deep: killed) ERROR"


def test_levels_let_findings_through_where_errors_are_not_asked_for() -> None:
    assert letters(Result(b"/f", Status.CLEAN)) == "A"
    assert letters(Result(b"/f", Status.INFECTED, threats=(EICAR,))) == "W"
    assert letters(Result(b"/f", Status.ERROR, Reason.TIME)) == "E"


def test_a_container_of_containers_does_not_cost_the_square_of_its_members() -> None:
    members = tuple(member(b"%06d.gz" % i, container=True) for i in range(20_000))
    deep = tuple(member(b"/".join([b"d"] * depth), container=True) for depth in range(1, 500))
    start = time.monotonic()
    lines = lines_of(Result(b"/m.zip", Status.CLEAN, members=members + deep, container=True), Show())
    assert len(lines) > 20_000
    assert time.monotonic() - start < 5


def test_one_name_that_two_engines_give_stands_once() -> None:
    threats = tuple(Threat(name, Status.INFECTED, engine) for name in ("A", "B") for engine in ("native", "clamav"))
    lines = lines_of(Result(b"/f", Status.INFECTED, threats=threats), Show())
    assert [line.tail for line in lines] == [b"INFECTED A", b"INFECTED B"]

"""kavscanner's own part, with a job that finds what a test wants: exit codes, outputs, what happens when they fail."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from kavfs.cache.stores import OpenStores
from kavfs.cli import kavscanner
from kavfs.errors import DatabaseDamaged, DatabaseMissing, KavfsError, SystemFailure
from kavfs.model import OUTCOMES, Member, Reason, Result, Status, Switch, Threat, Totals
from kavfs.signatures.allow import AllowList


class Image:
    signature_count = 3
    newest = time.time() - 86400 * 2
    demonstration = True
    generation = b"\0" * 16
    notes = ("one database is odd",)
    parts = ()
    allow = AllowList()

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Server:
    closed = False

    def close(self) -> None:
        self.closed = True


class World:
    """What the fake job reports, and what it was given."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.before_end: Callable[[], None] = lambda: None
        self.open_error: KavfsError | None = None
        self.options = None
        self.stopped = False
        self.paused: list[bool] = []
        self.server = Server()

    def job(self, image, options, report, *, server, tick, count, stores):
        world = self
        world.options = options

        class Job:
            def run(self) -> Totals:
                totals = Totals(files=len(world.results))
                for result in world.results:
                    totals.statuses[result.status] = totals.statuses.get(result.status, 0) + 1
                    if not world.stopped and (result.status is not Status.CLEAN or report.wants_clean):
                        report.add(result)
                world.before_end()
                totals.interrupted = world.stopped
                report.finish(totals)
                return totals

            def stop(self) -> None:
                world.stopped = True

            def pause(self) -> None:
                world.paused.append(True)

            def go_on(self) -> None:
                world.paused.append(False)

        return Job()

    def open_signatures(self, databases, state, used=None):
        if self.open_error is not None:
            raise self.open_error
        return Image(), b"/nonexistent"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    from kavfs.cli import running

    world = World()
    job, roles = ModuleType("job"), ModuleType("roles")
    job.Job = world.job
    roles.start_server = lambda: world.server
    monkeypatch.setitem(sys.modules, "kavfs.scan.job", job)
    monkeypatch.setitem(sys.modules, "kavfs.scan.roles", roles)
    monkeypatch.setattr(running, "open_signatures", world.open_signatures)
    monkeypatch.setattr(running, "open_cache", lambda *_: OpenStores(None, ()))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    return world


def run(*words: str) -> int:
    return kavscanner.kavscanner([os.fsencode(word) for word in words])


def found(status: Status, path: bytes = b"/x") -> Result:
    threats = (Threat("Eicar", status, "native"),) if status in (Status.INFECTED, Status.WARNING) else ()
    return Result(path, status, threats=threats)


@pytest.mark.parametrize("status", Status)
def test_one_status_gives_its_exit_code(world: World, status: Status) -> None:
    world.results = [found(Status.CLEAN), found(status)]
    assert run("-q", "/x") == OUTCOMES[status].exit_code


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ((Status.ERROR, Status.INFECTED), 25),
        ((Status.PROTECTED, Status.WARNING, Status.ERROR), 21),
        ((Status.ERROR, Status.SUSPICIOUS), 20),
        ((Status.CORRUPTED, Status.ERROR), 30),
        ((Status.PROTECTED, Status.CORRUPTED), 15),
        ((Status.CURED, Status.PROTECTED), 10),
        ((Status.CURED, Status.CLEAN), 5),
        ((), 0),
    ],
)
def test_the_gravest_of_several_gives_the_exit_code(world: World, statuses: tuple[Status, ...], code: int) -> None:
    world.results = [found(status) for status in statuses]
    assert run("-q", "/x") == code


def test_quiet_leaves_the_terminal_alone(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.results = [found(Status.INFECTED)]
    assert run("-q", "/x") == 25
    assert capfd.readouterr().out == ""


def test_the_terminal_shows_banner_lines_and_summary(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.results = [found(Status.CLEAN, b"/a"), found(Status.INFECTED, b"/b")]
    run("/x")
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert "Version" in lines[0]
    assert lines[1:3] == ["/a OK", "/b INFECTED Eicar"]
    assert "demonstration, not protection" in out
    assert "2 days old" in out
    assert err == "kavscanner: one database is odd\n"


def test_json_on_standard_output_is_nothing_but_json(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.results = [found(Status.CLEAN), found(Status.INFECTED)]
    assert run("--json", "-", "/x") == 25
    records = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [record["type"] for record in records] == ["start", "note", "result", "result", "summary"]
    assert records[-1]["exit_code"] == 25


def test_reports_of_every_kind_are_written_in_one_run(world: World, tmp_path: Path) -> None:
    world.results = [found(Status.CLEAN, b"/a"), found(Status.INFECTED, b"/b"), found(Status.ERROR, b"/c")]
    code = run(
        "-q", "-mn", f"-o{tmp_path}/log", f"--json={tmp_path}/json", f"-pi{tmp_path}/i", f"-pe{tmp_path}/e", "/x"
    )
    assert code == 25
    log = (tmp_path / "log").read_text()
    assert "/b INFECTED Eicar" in log
    assert "/a OK" not in log
    results = [r for r in map(json.loads, (tmp_path / "json").read_text().splitlines()) if r["type"] == "result"]
    assert [r["path"] for r in results] == ["/b", "/c"]
    assert (tmp_path / "i").read_text() == "/b\n"
    assert (tmp_path / "e").read_text() == "/c\n"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [(["/x"], True), (["-xn", "/x"], False), (["-xC", "/x"], False), (["-xn", "-o/dev/null", "/x"], True),
     (["-xn", "-mn", "-o/dev/null", "/x"], False), (["-xn", "-j3", "-o/dev/null", "/x"], False), (["-q", "/x"], False)],
)  # fmt: skip
def test_clean_members_are_asked_for_only_when_somebody_shows_them(
    world: World, words: list[str], wanted: bool
) -> None:
    run(*words)
    assert (Switch.ALL_MEMBERS in world.options.switches) is wanted


@pytest.mark.parametrize("error", [DatabaseMissing("none"), DatabaseDamaged("broken"), SystemFailure("no memory")])
def test_a_start_that_fails_is_told_to_every_reader(world: World, tmp_path: Path, error: KavfsError) -> None:
    world.open_error = error
    with pytest.raises(type(error)):
        run("-q", "-j0", f"-o{tmp_path}/log", f"--json={tmp_path}/json", "/x")
    banner, line = (tmp_path / "log").read_text().splitlines()
    assert "Version" in banner
    assert line.endswith(f" F] {error}")
    record = json.loads((tmp_path / "json").read_text())
    assert (record["type"], record["exit_code"]) == ("failure", error.exit_code)
    assert world.server.closed


@pytest.mark.parametrize("option", ["-o", "-pi", "--json"])
def test_a_report_that_cannot_be_opened_is_refused_before_the_scan(world: World, tmp_path: Path, option: str) -> None:
    (tmp_path / "link").symlink_to("target")
    for place, why in ((tmp_path / "none" / "x", "No such file"), (tmp_path / "link", "is a symbolic link")):
        with pytest.raises(KavfsError, match=why) as caught:
            run(option, str(place), "/x")
        assert caught.value.exit_code == 66
    assert world.options is None
    assert world.server.closed


@pytest.mark.parametrize("option", ["-o", "--json"])
def test_a_full_disk_costs_the_report_and_not_the_scan(
    world: World, capfd: pytest.CaptureFixture[str], option: str
) -> None:
    world.results = [found(Status.PROTECTED, b"/a"), found(Status.CLEAN, b"/b")]
    assert run(option, "/dev/full", "/x") == 30
    out, err = capfd.readouterr()
    assert "/a PROTECTED\n/b OK\n" in out
    assert err.count("cannot write /dev/full: No space left on device") == 1


def test_a_full_disk_does_not_hide_what_was_found(world: World) -> None:
    world.results = [found(Status.INFECTED)]
    assert run("-q", "-o", "/dev/full", "/x") == 25


@contextmanager
def nobody_reads() -> Iterator[None]:
    """Standard output is a pipe that nobody reads."""
    keep = os.dup(1)
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)
    os.close(writer)
    try:
        yield
    finally:
        os.dup2(keep, 1)
        os.close(keep)


@pytest.mark.parametrize(("status", "code"), [(Status.INFECTED, 25), (Status.CLEAN, 30)])
def test_when_nobody_reads_any_more_the_scan_ends_quietly(world: World, capfd, status: Status, code: int) -> None:
    world.results = [found(status)]
    with nobody_reads():
        assert run("-r", "/x") == code  # what was found counts; else: not everything was scanned
    assert world.stopped
    assert "Broken pipe" not in capfd.readouterr().err


def test_when_a_report_file_is_written_too_the_scan_goes_on(world: World, tmp_path: Path) -> None:
    world.results = [found(Status.PROTECTED), found(Status.CORRUPTED)]
    with nobody_reads():
        assert run("-o", str(tmp_path / "log"), "/x") == 15
    assert not world.stopped
    assert "CORRUPTED" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_scan_with_the_report_of_what_was_done(
    world: World, capfd: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    world.results = [found(Status.CLEAN)]
    world.before_end = lambda: signal.raise_signal(number)
    assert run("/x") == 30
    assert "Scan interrupted" in capfd.readouterr().out
    assert signal.getsignal(number) is before


def test_an_interrupted_scan_that_found_something_says_so(world: World) -> None:
    world.results = [found(Status.INFECTED)]
    world.before_end = lambda: signal.raise_signal(signal.SIGINT)
    assert run("-q", "/x") == 25


def test_an_empty_list_of_paths_is_nothing_to_do(world: World, tmp_path: Path, capfd) -> None:
    (tmp_path / "empty").touch()
    assert run("-@", str(tmp_path / "empty")) == 0
    assert "Files: 0" in capfd.readouterr().out
    assert world.options is None


def test_a_container_with_partial_coverage_keeps_its_reasons_in_json(world: World, tmp_path: Path) -> None:
    members = (Member(b"s", Status.PROTECTED, Reason.ENCRYPTED, 5),)
    world.results = [Result(b"/z", Status.PROTECTED, Reason.ENCRYPTED, members=members, container=True)]
    assert run("-q", f"--json={tmp_path}/json", "/x") == 10
    record = json.loads((tmp_path / "json").read_text().splitlines()[2])
    assert record["coverage"] == {"complete": False, "reasons": ["encrypted"]}
    assert record["members"][0]["status"] == "protected"

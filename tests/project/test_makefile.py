"""The Makefile's own work: what it hands to the programs, and what it makes of their answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
FINISHED = "[2026-01-01 12:00:00 I] Scan finished"


@pytest.fixture
def scan(tmp_path):
    """``make scan`` with a kavscanner that writes down its words and a report, and gives the exit code wanted."""

    def run(code: int, *variables: str, report: str = FINISHED) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        (tmp_path / "python").write_text("#!/bin/sh\n")
        lines = [f"printf '%s\\n' \"$@\" >'{tmp_path}/words'", f"printf '%s\\n' '{report}' >\"$3\"", f"exit {code}"]
        (tmp_path / "kavscanner").write_text("\n".join(["#!/bin/sh", *lines, ""]))
        for program in ("python", "kavscanner"):
            (tmp_path / program).chmod(0o755)
        own = [f"BIN={tmp_path}", f"REPORT={tmp_path}/report"]
        command = ["make", "-s", "-o", "build", "scan", *own, *variables]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
        words = (tmp_path / "words").read_text().splitlines()
        assert words[:5] == ["-xn", "-o", f"{tmp_path}/report", "-mn", "-j3"]
        return done, words[5:]

    return run


def test_without_a_target_the_demonstration_and_the_programs_are_scanned(scan):
    done, words = scan(0)
    assert words == ["--", "demo", "/usr/bin"]
    assert done.returncode == 0


@pytest.mark.parametrize("folder", ["/srv/data", "/srv/two words", "-dash", 'it\'s "quoted"', "$(HOME) `x` *"])
def test_a_target_is_one_folder_whatever_its_name(scan, folder):
    _, words = scan(0, "TARGET=" + folder.replace("$", "$$"), "STATE=/a state")
    assert words == ["--state", "/a state", "--", folder]


@pytest.mark.parametrize("code", [0, 10, 25, 30])
def test_it_succeeds_when_the_scan_did_its_job_and_names_the_exit_code(scan, code):
    done, _ = scan(code, "TARGET=/srv")
    assert f"kavscanner's exit code: {code}" in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("code", [0, 30, 50, 66])
@pytest.mark.parametrize(
    "report",
    [
        "",
        "[2026-01-01 12:00:00 F] no signatures",
        "[2026-01-01 12:00:00 I] Scan interrupted: what follows was done before",
        "[2026-01-01 12:00:00 A] /srv/[0 0 I] Scan finished",
    ],
)
def test_it_fails_when_the_report_does_not_say_that_the_scan_finished(scan, code, report):
    done, _ = scan(code, "TARGET=/srv", report=report)
    assert f"kavscanner's exit code: {code}" in done.stdout
    assert done.returncode != 0


def test_a_report_of_before_does_not_count(scan, tmp_path):
    (tmp_path / "report").write_text(FINISHED + "\n")
    assert scan(30, "TARGET=/srv", report="")[0].returncode != 0


def test_a_scan_that_cannot_start_fails_with_the_program_itself(tmp_path):
    """The real kavscanner: a state folder that cannot be made is exit code 30, as is a file that cannot be read."""
    for program, words in (("python", '"$@"'), ("kavscanner", '-m kavfs.cli.kavscanner "$@"')):
        (tmp_path / program).write_text(f"#!/bin/sh\nexec '{sys.executable}' {words}\n")
        (tmp_path / program).chmod(0o755)
    own = [f"BIN={tmp_path}", f"REPORT={tmp_path}/report", f"DEMO={tmp_path}/demo"]
    (tmp_path / "target").mkdir()
    for state, answer in ((tmp_path / "state", 0), ("/dev/null/x", 2)):
        command = ["make", "-s", "-o", "build", "scan", *own, f"TARGET={tmp_path}/target", f"STATE={state}"]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
        assert done.returncode == answer, done.stderr

"""The Makefile's own work: what it hands to the programs, and what it makes of their answers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def scan(tmp_path):
    """``make scan`` with a kavscanner that writes down its words and gives the exit code wanted."""

    def run(code: int, *variables: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        (tmp_path / "python").write_text("#!/bin/sh\n")
        (tmp_path / "kavscanner").write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >'{tmp_path}/words'\nexit {code}\n")
        for program in ("python", "kavscanner"):
            (tmp_path / program).chmod(0o755)
        command = ["make", "-s", "-o", "build", "scan", f"BIN={tmp_path}", *variables]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
        return done, (tmp_path / "words").read_text().splitlines()

    return run


def test_without_a_target_the_demonstration_and_the_programs_are_scanned(scan):
    done, words = scan(0)
    assert words == ["-xn", "--", "demo", "/usr/bin"]
    assert done.returncode == 0


@pytest.mark.parametrize("folder", ["/srv/data", "/srv/two words", "-dash", 'it\'s "quoted"', "$(HOME) `x` *"])
def test_a_target_is_one_folder_whatever_its_name(scan, folder):
    _, words = scan(0, "TARGET=" + folder.replace("$", "$$"), "STATE=/a state")
    assert words == ["-xn", "--state", "/a state", "--", folder]


@pytest.mark.parametrize(("code", "answer"), [(25, 0), (10, 0), (50, 2), (66, 2)])
def test_it_succeeds_when_the_scan_did_its_job_and_names_the_exit_code(scan, code, answer):
    done, _ = scan(code, "TARGET=/srv")
    assert f"kavscanner's exit code: {code}" in done.stdout
    assert done.returncode == answer

"""The real engines in whole scans: kavscanner with each of them, and several at once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.archives import make_zip
from tests.support.clamd import real_clamd
from tests.support.engines import NAMES, installed, wait_until, write_signatures
from tests.support.programs import EICAR, Run, Word, kavscanner

ALL = ["native", *NAMES]
FOUND = {"native": "Test.Eicar.UNOFFICIAL", **NAMES}


class Machine:
    """Databases, rules and a server, and a tree to scan."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address = folder, address
        self.tree = folder / "tree"
        self.tree.mkdir()
        (self.tree / "eicar").write_bytes(EICAR)
        (self.tree / "near").write_bytes(EICAR[:-1] + b"+")
        (self.tree / "plain").write_text("nothing")
        (self.tree / "packed.zip").write_bytes(make_zip({"inside": EICAR}))

    def scan(self, engines: str, *words: Word) -> Run:
        places: list[Word] = ["--db", self.folder / "databases", "--yara-rules", self.folder / "rules"]
        if self.address:
            places += ["--clamd", self.address]
        return kavscanner(*places, "--state", self.folder / "state", "--engine", engines, *words, self.tree)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("engines")
    databases, _ = write_signatures(folder)
    folder.chmod(0o755)
    with ExitStack() as stack:
        address = ""
        if installed("clamd"):
            address = stack.enter_context(real_clamd(folder, databases))[1]
        yield Machine(folder, address)


def needs(name: str) -> None:
    if not installed(name):
        pytest.skip(f"what the engine {name} needs is not installed (make system-test)")


def said(run: Run, path: Path) -> list[tuple[str, str]]:
    return [(threat["engine"], threat["name"]) for threat in run.results[os.fsencode(path)]["threats"]]


@pytest.mark.parametrize("name", ALL)
def test_each_finds_it_and_says_who_it_is(machine: Machine, name: str) -> None:
    needs(name)
    run = machine.scan(name)
    assert run.exit_code == 25
    assert said(run, machine.tree / "eicar") == [(name, FOUND[name])]
    assert run.status(machine.tree / "near") == "clean"
    assert run.status(machine.tree / "plain") == "clean"
    assert run.results[os.fsencode(machine.tree / "plain")]["engine"] == name
    packed = [] if name == "yara" else [(name, FOUND[name])]  # rules see files as they lie on disk
    assert said(run, machine.tree / "packed.zip") == packed
    assert run.summary["found_by"] == {name: 1 if name == "yara" else 2}


def test_all_of_them_in_one_scan(machine: Machine) -> None:
    needs("clamd")
    run = machine.scan(",".join(ALL), "--all-match")
    assert said(run, machine.tree / "eicar") == [(name, FOUND[name]) for name in ALL]
    assert run.status(machine.tree / "plain") == "clean"


def test_a_server_alone_needs_no_signatures_of_ours(machine: Machine) -> None:
    needs("clamd")
    state = machine.folder / "new-state"
    run = kavscanner("--clamd", machine.address, "--state", state, "--engine", "clamd", machine.tree)
    assert said(run, machine.tree / "eicar") == [("clamd", FOUND["clamd"])]
    assert not (state / "segments").exists()


def test_auto_asks_those_that_are_there(machine: Machine) -> None:
    run = machine.scan("auto")
    assert said(run, machine.tree / "eicar") == [("native", FOUND["native"])]
    assert run.notes == []


def test_nothing_is_left_in_the_folder_for_temporary_files(machine: Machine) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as spill:  # workers of root's scan must reach it
        os.chmod(spill, 0o1777)
        settings = machine.folder / "kavfs.conf"
        settings.write_text(f"[path]\nTempPath={spill}\n")
        run = machine.scan("clamav", "-c", settings)
        assert run.exit_code == 25
        wait_until(lambda: os.listdir(spill) == [])  # by those who outlive the workers


def test_a_database_that_libclamav_refuses_is_named(tmp_path: Path) -> None:
    databases, _ = write_signatures(tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "wrong.hdb").write_text("no signature\n")
    (tmp_path / "file").write_text("text")
    run = kavscanner(
        "--db", databases, "--clamav-db", broken, "--state", tmp_path / "state", "--engine", "clamav", tmp_path / "file"
    )
    assert run.exit_code == 30
    assert (
        run.results[os.fsencode(tmp_path / "file")]["error"] == f"engine failed: clamav: {broken}: Malformed database"
    )


def test_a_broken_rule_keeps_a_scan_from_starting(tmp_path: Path) -> None:
    databases, rules = write_signatures(tmp_path)
    (rules / "wrong.yar").write_text("rule a {\n condition: b }\n")
    words = ["--db", databases, "--yara-rules", rules, "--state", tmp_path / "state", tmp_path / "rules"]
    run = kavscanner("--engine", "yara", *words)
    assert run.exit_code == 66
    assert f"{rules}/wrong.yar:2: unknown identifier `b`" in run.errors
    run = kavscanner("--engine", "auto", *words)
    assert run.exit_code == 0
    assert f"{rules}/wrong.yar:2" in run.errors + "".join(run.notes)


def test_rules_that_changed_are_asked_again(tmp_path: Path) -> None:
    databases, rules = write_signatures(tmp_path)
    file = tmp_path / "file"
    file.write_text("a new needle")
    words = ["--db", databases, "--yara-rules", rules, "--state", tmp_path / "state", "--engine", "native,yara", file]
    assert kavscanner(*words).exit_code == 0
    (rules / "more.yar").write_text('rule More { strings: $a = "a new needle" condition: $a }\n')
    assert kavscanner(*words).threats(file) == ["YARA.More.UNOFFICIAL"]

"""kavscanner and kavfs report together: what a scan leaves behind, what it does not, and what is told of it later."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

import kavfs.report
from kavfs.cli.demo import eicar, write_tree
from kavfs.signatures.sources import STARTER
from tests.support.hostile import hostile_names
from tests.support.jsonschema import violations
from tests.support.kavscanner import Run, run

SCHEMA = json.loads((Path(kavfs.report.__file__).parent / "history.schema.json").read_text())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "fine").write_text("fine")
    return tmp_path


@pytest.fixture
def scan(home: Path):
    def start(*words: str | bytes | Path) -> Run:
        return run(["--db", os.fsdecode(STARTER), "--state", home / "state", "-q", *words], home)

    return start


@pytest.fixture
def report(home: Path):
    def start(*words: str | Path, code: int = 0) -> Run:
        done = run(["report", "--state", home / "state", *words], home, module="kavfs")
        assert done.code == code, done.err
        return done

    return start


def records(done: Run) -> list[dict]:
    found = [json.loads(line) for line in done.lines]
    assert [wrong for record in found for wrong in violations(record, SCHEMA)] == []
    return found


def test_a_short_scan_without_findings_leaves_nothing_unless_asked(scan, report, home: Path) -> None:
    assert scan(home / "clean").code == 0
    assert not (home / "state" / "events.db").exists()
    assert b"no scan is kept yet" in report().out
    assert records(report("--json")) == []
    assert scan("--events", home / "clean").code == 0
    (record,) = records(report("--json"))
    assert (record["totals"]["files"], record["exit_code"]) == (1, 0)


def test_findings_are_told_later_as_they_were(scan, report, home: Path) -> None:
    write_tree(os.fsencode(home / "demo"))
    assert scan(home / "demo").code == 25
    assert scan("--no-events", home / "demo").code == 25
    first, *found = records(report("--json"))
    assert (first["type"], first["exit_code"], first["roots"]) == ("scan", 25, [{"path": str(home / "demo")}])
    statuses = {record["status"] for record in found}
    assert {"infected", "warning", "suspicious", "protected", "corrupted", "error"} <= statuses
    (evil,) = [r for r in found if r["path"] == str(home / "demo/infected/eicar.com")]
    assert evil["threats"][0]["name"] == "EICAR-Test-File"
    text = report().out.decode()
    assert f"INFECTED  EICAR-Test-File  {home}/demo/infected/eicar.com" in text
    only = records(report("--json", "--status", "protected,corrupted"))
    assert {record["status"] for record in only if record["type"] == "finding"} == {"protected", "corrupted"}
    below = records(report("--json", "--path", home / "demo/infected"))
    assert all(r["path"].startswith(f"{home}/demo/infected/") for r in below if r["type"] == "finding")
    assert records(report("--json", "--until", "1h")) == []
    assert "no scan of this time" in report("--path", "/elsewhere").out.decode()


def test_hostile_names_through_all_of_it(scan, report, home: Path) -> None:
    tree = home / "tree"
    tree.mkdir()
    names = hostile_names()
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(tree), name))).write_bytes(eicar())
    assert scan(tree, "--html", home / "page.html").code == 25
    found = [record for record in records(report("--json")) if record["type"] == "finding"]
    assert len(found) == len(names)
    text = report().out
    assert len([line for line in text.split(b"\n") if line.startswith(b"    INFECTED  ")]) == len(names)
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", text)
    report("--html", home / "history.html")
    for page in ("page.html", "history.html"):
        data = (home / page).read_bytes()
        assert data.count(b'<td class="path">') == len(names)
        assert data.count(b"<script>") == 1


def test_a_damaged_store_costs_a_warning_and_no_scan(scan, report, home: Path) -> None:
    (home / "clean" / "evil").write_bytes(eicar())
    scan(home / "clean")
    (home / "state" / "events.db").write_bytes(b"x" * 5_000)
    assert b"cannot be used" in report(code=30).err
    done = scan(home / "clean")
    assert done.code == 25
    assert done.err.count(b"\n") == 1
    assert b"was damaged and has been set aside" in done.err
    assert len(records(report("--json"))) == 2


def test_the_configuration_says_where_and_whether(home: Path) -> None:
    (home / "clean" / "evil").write_bytes(eicar())
    folder = home / ".config" / "kavfs"
    words = ["--db", os.fsdecode(STARTER), "--state", home / "state", "-q", home / "clean", "-c", folder / "kavfs.conf"]
    folder.mkdir(parents=True)
    (folder / "kavfs.conf").write_text("[scanner.report]\nEventStore=no\n")
    assert run(words, home).code == 25
    assert not (home / "state" / "events.db").exists()
    mail = home / "sendmail"
    mail.write_text(f"#!/bin/sh\ncat > {home}/mail\n")
    mail.chmod(0o755)
    (folder / "kavfs.conf").write_text(
        f"[scanner.report]\nEventStore={home}/mine.db\nHtml={home}/page.html\n"
        f"[scanner.notify]\nMail=root\nSendmail={mail}\nCommand=env > {home}/env\n"
    )
    assert run(words, home).code == 25
    assert (home / "page.html").read_bytes().startswith(b"<!DOCTYPE html>")
    assert "KAVFS_INFECTED=1" in (home / "env").read_text().split("\n")
    assert f"{home}/clean/evil INFECTED EICAR-Test-File" in (home / "mail").read_text().replace("=\n", "")
    done = run(["report", "--store", home / "mine.db", "--json"], home, module="kavfs")
    assert [record["type"] for record in records(done)] == ["scan", "finding"]
    mail.write_text("#!/bin/sh\necho full >&2; exit 75\n")
    done = run(words, home)
    assert done.code == 25
    assert b"the mail ended with code 75: full" in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--since", "soon"], b"--since: 'soon' is not a time"),
        (["--since", "1h", "--until", "2h"], b"--until lies before --since"),
        (["--status", "bad"], b"there is no status 'bad'"),
        (["--json", "--html", "x"], b"not allowed with"),
    ],
)
def test_what_makes_no_sense_is_refused(report, words: list[str], told: bytes) -> None:
    assert told in report(*words, code=66).err


def test_a_plain_run_loads_nothing_of_it(home: Path) -> None:
    words = ["--db", os.fsdecode(STARTER), "--state", home / "state", "-q", home / "clean" / "fine"]
    run(words, home)
    done = run(words, home, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.code == 0
    loaded = {line.rpartition(b"|")[2].strip() for line in done.err.split(b"\n")}
    assert b"kavfs.cli.kavscanner" in loaded or b"kavfs.cli.reports" in loaded
    unwanted = (b"sqlite3", b"email", b"html", b"subprocess", b"tempfile", b"argparse")
    assert [name for name in loaded if name.split(b".")[0] in unwanted] == []

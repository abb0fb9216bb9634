"""kavscanner from end to end: what a user sees of the demonstration tree, and of trees that are harder."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

import kavfs.report
from kavfs.cli.demo import eicar, write_tree
from kavfs.signatures.sources import STARTER
from tests.support.jsonschema import violations
from tests.support.kavscanner import Run, run

EICAR_NAME = "EICAR-Test-File"
SCHEMA = json.loads((Path(kavfs.report.__file__).parent / "schema.json").read_text())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_tree(os.fsencode(home / "demo"))
    return home


@pytest.fixture
def scan(home: Path):
    """Runs kavscanner with the starter signatures alone; the state folder is shared by the tests of this file."""

    def start(*words: str | bytes | Path, **more) -> Run:
        return run(["--db", os.fsdecode(STARTER), "--state", home / "state", *words], home, **more)

    return start


def summary(done: Run) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in done.lines if ": " in line and not line.startswith("/"))


def test_the_demonstration_tree_shows_every_status(scan, home: Path) -> None:
    done = scan("-xn", home / "demo")
    demo = str(home / "demo")
    assert done.code == 25
    assert done.err == b""
    found = done.findings
    assert f"{demo}/infected/eicar.com INFECTED {EICAR_NAME}" in found
    assert f"{demo}/infected/eicar.zip/eicar.com INFECTED {EICAR_NAME}" in found
    assert any(re.fullmatch(rf"{demo}/infected/nested.zip/.*eicar\.com INFECTED {EICAR_NAME}", line) for line in found)
    assert any(re.fullmatch(rf"{demo}/infected/mail.eml/.* INFECTED {EICAR_NAME}", line) for line in found)
    assert f"{demo}/infected/digest.txt INFECTED Kavfs.Test-Digest" in found
    assert f"{demo}/unwanted/phrases.txt WARNING PUA.Kavfs.Test-Phrases" in found
    assert f"{demo}/suspicious/doubtful.txt SUSPICION Heuristics.Kavfs.Test-Phrases" in found
    assert f"{demo}/error/method.zip/packed.bin (unknown packing method) ERROR" in found
    assert f"{demo}/protected/secret.zip/secret.txt (encrypted) PROTECTED" in found
    assert any(line.startswith(f"{demo}/corrupted/truncated.zip") and line.endswith(" CORRUPTED") for line in found)
    assert not [line for line in found if "/clean/" in line or "/names/" in line or "/skipped/" in line]
    said = summary(done)
    assert said["Statuses"] == "infected: 5, warning: 1, suspicious: 1, error: 1, corrupted: 1, protected: 1, clean: 5"
    assert said["Not scanned"] == "symbolic link: 1, FIFO, socket or device: 1"
    assert "encrypted: 1" in said["Partial coverage"]
    assert "damaged: 1" in said["Partial coverage"]
    assert "demonstration, not protection" in done.out.decode("utf-8", "replace")
    assert re.search(r"the newest .*(of today|days? old)", done.out.decode("utf-8", "replace"))


def test_clean_files_and_members_are_ok_lines_unless_left_out(scan, home: Path) -> None:
    done = scan(home / "demo" / "clean", home / "demo" / "names")
    assert done.code == 0
    archive = f"{home}/demo/clean/archive.zip"
    assert archive in done.findings
    assert {f"{archive}/one.txt OK", f"{archive}/two.txt OK", f"{home}/demo/clean/letter.txt OK"} <= set(done.findings)
    assert os.fsencode(home) + b"/demo/names/caf\xe9.txt OK\n" in done.out


def test_json_lines_say_the_same_and_fit_their_schema(scan, home: Path) -> None:
    done = scan("--json", "-", home / "demo")
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [wrong for record in records for wrong in violations(record, SCHEMA)] == []
    assert records[0]["type"] == "start"
    assert records[0]["signatures"]["demonstration"] is True
    results = {os.path.basename(r["path"] or "?"): r for r in records if r["type"] == "result"}
    nested = {threat["member"] for threat in results["nested.zip"]["threats"]}
    assert any(member.startswith("inner.tar.gz/") and member.endswith("eicar.com") for member in nested)
    assert results["secret.zip"]["coverage"] == {"complete": False, "reasons": ["encrypted"]}
    assert results["?"]["path_b64"]
    assert {r["kind"] for r in records if r["type"] == "skip"} == {"symlink", "special"}
    last = records[-1]
    assert (last["type"], last["exit_code"], done.code, last["interrupted"]) == ("summary", 25, 25, False)
    assert last["files"] == len(results) == sum(last["statuses"].values())


def test_a_missing_path_costs_one_line_and_not_the_others(scan, home: Path) -> None:
    done = scan("-xn", home / "none", home / "demo" / "clean")
    assert done.code == 30
    assert done.findings == [f"{home}/none (unreadable: No such file or directory) ERROR"]
    assert summary(done)["Statuses"].startswith("error: 1, clean: ")


def test_without_a_path_the_current_directory_is_scanned(scan, home: Path) -> None:
    done = scan("-xn", cwd=home / "demo" / "infected")
    assert f"{home}/demo/infected/eicar.com INFECTED {EICAR_NAME}" in done.findings


def test_a_list_of_paths_is_scanned(scan, home: Path) -> None:
    names = os.fsencode(home) + b"/demo/names/caf\xe9.txt\0demo/infected/eicar.com\0"
    done = scan("--files0-from", "-", stdin=names)
    assert done.code == 25
    assert len(done.findings) == 2


def test_recursion_and_exclusion(scan, tmp_path: Path) -> None:
    for name in ("a/eicar.com", "a/b/eicar.com", "a/c/eicar.iso"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(eicar())

    def found(*words: str | Path) -> set[str]:
        return {line.split()[0].removeprefix(f"{tmp_path}/") for line in scan("-xn", *words).findings}

    assert found(tmp_path) == {"a/eicar.com", "a/b/eicar.com", "a/c/eicar.iso"}
    assert found("-r", tmp_path / "a") == {"a/eicar.com"}
    assert found("--exclude", "*.iso", tmp_path) == {"a/eicar.com", "a/b/eicar.com"}
    assert found("--exclude-dir", tmp_path / "a" / "b", tmp_path) == {"a/eicar.com", "a/c/eicar.iso"}


def test_links_are_followed_only_when_asked_for(scan, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "eicar.com").write_bytes(eicar())
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to("../outside")
    assert scan(tmp_path / "tree").code == 0
    assert scan("--follow-symlinks", tmp_path / "tree").code == 25
    assert scan(tmp_path / "tree" / "link").code == 25, "a path that the user names is followed"


def test_a_limit_that_is_reached_is_an_error_with_its_reason(scan, home: Path, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 5000)
    done = scan("--max-file-size", "4k", tmp_path)
    assert done.code == 30
    assert done.findings == [f"{tmp_path}/big (too large) ERROR"]
    done = scan("-xn", "--max-depth", "1", home / "demo" / "infected" / "nested.zip")
    assert done.code == 30
    assert any("(nested too deep) ERROR" in line for line in done.findings)


def test_what_an_option_keeps_closed_is_counted(scan, home: Path) -> None:
    done = scan("-ea", home / "demo" / "infected" / "eicar.zip")
    assert done.code == 0
    assert summary(done)["Containers kept closed by an option"] == "1"


def test_names_that_try_to_fake_lines_are_escaped(scan, tmp_path: Path) -> None:
    (tmp_path / "x\n" / "etc").mkdir(parents=True)
    (tmp_path / "x\n" / "etc" / "passwd INFECTED y").write_bytes(b"clean")
    done = scan(tmp_path)
    assert done.code == 0
    assert done.findings == [f"{tmp_path}/x\\n/etc/passwd \\x49NFECTED y OK"]


def test_lists_hold_the_names_of_a_status(scan, home: Path, tmp_path: Path) -> None:
    demo = home / "demo"
    words = [f"-p{letter}{tmp_path}/{letter}" for letter in "iwcp"]
    assert scan("-q", *words, demo).code == 25
    assert set((tmp_path / "i").read_text().splitlines()) == {str(path) for path in (demo / "infected").iterdir()}
    assert (tmp_path / "w").read_text() == f"{demo}/unwanted/phrases.txt\n"
    assert (tmp_path / "c").read_text() == f"{demo}/corrupted/truncated.zip\n"
    assert (tmp_path / "p").read_text() == f"{demo}/protected/secret.zip\n"


def test_the_result_does_not_depend_on_the_number_of_workers(scan, home: Path) -> None:
    runs = [sorted(scan("--jobs", jobs, home / "demo").findings) for jobs in ("1", "2", "4")]
    assert runs[0] == runs[1] == runs[2]


def test_why_names_signature_layer_offset_and_database(home: Path) -> None:
    words = ["why", "--db", os.fsdecode(STARTER), "--state", str(home / "state")]
    done = run([*words, str(home / "demo" / "infected" / "eicar.zip")], home, module="kavfs")
    text = done.out.decode()
    assert done.code == 25
    assert f"{EICAR_NAME}: in member eicar.com, at offset 0, engine native" in text
    assert re.search(r"starter\.ndb:\d+\n", text)
    assert "coverage: complete" in text
    clean = run([*words, str(home / "demo" / "clean" / "letter.txt")], home, module="kavfs")
    assert (clean.code, "nothing matches" in clean.out.decode()) == (0, True)

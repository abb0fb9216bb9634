"""kavfs allow: what it does to scans, at once and when it is withdrawn or over; with caches, images, the library."""

from __future__ import annotations

import json
import os
import re
import time
import zipfile
from pathlib import Path

import pytest

from kavfs.cli.demo import eicar
from kavfs.model import Status
from kavfs.scan.scanner import Scanner
from kavfs.signatures.allow import FILE
from kavfs.signatures.allowwriter import add
from kavfs.signatures.image import open_image
from kavfs.signatures.imagewriter import compile_image_file
from kavfs.signatures.sources import STARTER
from tests.support.kavscanner import Run, run

NAME = "EICAR-Test-File"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A find, the same packed without compression, and a clean file."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "evil.com").write_bytes(eicar())
    with zipfile.ZipFile(tree / "box.zip", "w", zipfile.ZIP_DEFLATED) as box:
        box.writestr("in/evil.com", eicar())
        box.writestr("in/fine", "fine")
    (tree / "fine").write_text("fine")
    hour_ago = time.time() - 3600
    for path in tree.iterdir():
        os.utime(path, (hour_ago, hour_ago))
    return tree


@pytest.fixture
def scan(tmp_path: Path, tree: Path):
    def start(*words: str | Path) -> Run:
        return run(["--db", os.fsdecode(STARTER), "--state", tmp_path / "state", *words, tree], tmp_path)

    return start


@pytest.fixture
def allow(tmp_path: Path):
    def start(*words: str | Path, code: int = 0) -> Run:
        done = run(["allow", *words, "--state", tmp_path / "state"], tmp_path, module="kavfs")
        assert done.code == code, done.err
        return done

    return start


def add_words(tree: Path, kind: str) -> list[str]:
    value = {"file": str(tree / "evil.com"), "signature": NAME, "path": str(tree)}[kind]
    return ["add", f"--{kind}", value, "--reason", "a test of ours"]


@pytest.mark.parametrize("kind", ["file", "signature", "path"])
def test_what_is_allowed_is_clean_everywhere_until_it_is_withdrawn(scan, allow, tree: Path, kind: str) -> None:
    assert scan().code == 25
    allow(*add_words(tree, kind))
    for _ in range(2):
        done = scan()
        assert done.code == 0, done.lines
        assert NAME not in re.sub(r"\(allowed: .*?\)", "", "\n".join(done.findings))
        assert "Objects with a match lifted by an exception, or trusted by their signature: 2" in done.lines
        assert "Statuses: clean: 3" in done.lines
    allow("remove", "1")
    done = scan()
    assert done.code == 25
    assert f"{tree}/evil.com INFECTED {NAME}" in done.findings
    assert f"{tree}/box.zip/in/evil.com INFECTED {NAME}" in done.findings


def test_a_finding_under_an_allowed_path_is_told_and_no_finding(scan, allow, tree: Path, tmp_path: Path) -> None:
    allow(*add_words(tree, "path"))
    done = scan("-xn", "--json", tmp_path / "json")
    assert f"{tree}/evil.com (allowed: a test of ours; {NAME}) OK" in done.findings
    assert len(done.findings) == 2
    records = [json.loads(line) for line in (tmp_path / "json").read_text().splitlines()]
    (record,) = [r for r in records if r.get("path") == f"{tree}/evil.com"]
    assert (record["status"], record["threats"], record["suppressed"]) == ("clean", [], True)
    assert record["allowed"] == f"a test of ours; {NAME}"
    assert records[-1]["suppressed"] == 2
    assert records[-1]["exit_code"] == 0
    assert records[-1]["found_by"] == {}


def test_only_what_is_allowed(scan, allow, tree: Path) -> None:
    allow("add", "--path", tree / "evil.com", "--reason", "this one")
    done = scan()
    assert done.code == 25
    assert f"{tree}/box.zip/in/evil.com INFECTED {NAME}" in done.findings
    (tree / "evil.com.bak").write_bytes(eicar())
    assert f"{tree}/evil.com.bak INFECTED {NAME}" in scan().findings


def test_an_entry_that_is_over_is_left_out_though_nobody_touched_the_list(scan, tmp_path: Path, tree: Path) -> None:
    state = os.fsencode(tmp_path / "state")
    for kind, value in (("signature", NAME), ("path", str(tree))):
        add(state, kind, value, reason="for now", by="me", expires=time.time() + 3600)
    assert scan().code == 0
    path = Path(os.fsdecode(state), os.fsdecode(FILE))
    before = path.stat()
    path.write_text(re.sub(r'"expires": [0-9.]+', '"expires": 1000.0', path.read_text()))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert scan().code == 25


def test_the_generation_changes_with_content_and_names_and_comes_back(tmp_path: Path) -> None:
    state = os.fsencode(tmp_path / "state")

    def generation() -> bytes:
        with open_image([STARTER], state) as image:
            return image.generation

    bare = generation()
    add(state, "signature", NAME, reason="x", by="me")
    named = generation()
    add(state, "md5", "ab" * 16, size=5, reason="x", by="me")
    assert len({bare, named, generation()}) == 3
    os.unlink(os.path.join(state, FILE))
    assert generation() == bare


@pytest.mark.parametrize("kind", ["file", "signature", "path"])
def test_the_list_holds_beside_an_image_file_too(tmp_path: Path, allow, tree: Path, kind: str) -> None:
    image = tmp_path / "all.image"
    compile_image_file([STARTER], os.fsencode(image)).close()
    words = ["--db", image, "--state", tmp_path / "state", tree]
    assert run(words, tmp_path).code == 25
    allow(*add_words(tree, kind))
    assert run(words, tmp_path).code == 0
    allow("remove", "1")
    assert run(words, tmp_path).code == 25


@pytest.mark.parametrize("kind", ["file", "signature", "path"])
def test_the_library_heeds_the_list(tmp_path: Path, allow, tree: Path, kind: str) -> None:
    allow(*add_words(tree, kind))
    with Scanner(db=STARTER, state=tmp_path / "state", jobs=1) as scanner:
        one = scanner.scan_path(tree / "evil.com")
        assert (one.status, one.suppressed) == (Status.CLEAN, True)
        assert {result.status for result in scanner.scan(tree)} == {Status.CLEAN}
        assert scanner.scan_bytes(eicar() + b" and more").status is not Status.CLEAN or kind == "signature"


def test_a_list_that_cannot_be_used_is_told_and_allows_nothing(scan, allow, tree: Path, tmp_path: Path) -> None:
    allow(*add_words(tree, "path"))
    (tmp_path / "state" / os.fsdecode(FILE)).chmod(0o666)
    done = scan()
    assert done.code == 25
    assert b"allow.json is not used: another user could have written it" in done.err
    assert b"is not used" in allow("list", code=30).err


def test_list_and_check(allow, tree: Path) -> None:
    assert b"nothing is allowed" in allow("list").out
    for kind in ("file", "signature", "path"):
        allow(*add_words(tree, kind), "--expires", "30d")
    allow("add", "--digest", "AB" * 32, "--reason", "no size")
    assert len(allow("list").lines) == 4
    entries = [json.loads(line) for line in allow("list", "--json").lines]
    assert [entry["kind"] for entry in entries] == ["sha256", "signature", "path", "sha256"]
    assert [entry["size"] for entry in entries] == [68, None, None, None]
    assert all(entry["reason"] for entry in entries)
    assert len(allow("check", tree / "evil.com").lines) == 2
    assert len(allow("check", tree / "fine").lines) == 1
    assert len(allow("check", NAME).lines) == 1
    assert allow("check", "Other.Name", code=1).lines == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--path", "*"], b"covers everything"),
        (["--path", "/"], b"covers everything"),
        (["--digest", "ab" * 16], b"needs the size"),
        (["--digest", "xy" * 16 + ":3"], b"is not SHA256"),
        (["--signature", "a b"], b"cannot be allowed"),
        (["--signature", "X", "--expires", "2001-01-01"], b"over already"),
        (["--signature", "X", "--expires", "soon"], b"is not a time"),
        (["--file", "/nowhere/to/be/found"], b"cannot be read"),
        (["--path", "/x", "--file", "/y"], b"not allowed with"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(tmp_path: Path, words: list[str], told: bytes) -> None:
    done = run(["allow", "add", *words, "--reason", "x", "--state", tmp_path / "state"], tmp_path, module="kavfs")
    assert done.code in (66, 30)
    assert told in done.err
    assert done.err.count(b"\n") == 1

"""kavfs: sub-commands, their mistakes, and the explanation that ``kavfs why`` gives."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from kavfs.cli.kavfs import COMMANDS, kavfs
from kavfs.cli.why import explain, places_of
from kavfs.errors import UsageError
from kavfs.model import Member, Reason, Result, Status, Threat
from kavfs.signatures.sources import Identity, Source
from kavfs.version import VERSION


def run(*words: str) -> int:
    return kavfs([os.fsencode(word) for word in words])


def test_version_and_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capfd.readouterr().out == f"kavfs {VERSION}\n"
    for words in ((), ("help",), ("-h",)):
        assert run(*words) == 0
        text = capfd.readouterr().out
        assert all(f"  {name}" in text for name in COMMANDS)


@pytest.mark.parametrize("command", ["db", "why", "demo"])
def test_every_command_has_a_help_of_its_own(capfd: pytest.CaptureFixture[str], command: str) -> None:
    assert run("help", command) == 0
    text = capfd.readouterr().out
    assert f"kavfs {command}" in text
    assert "``" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["wy"], "unknown command wy; did you mean why?"),
        (["frobnicate"], "unknown command frobnicate; kavfs help lists the commands"),
        (["help", "wy"], "unknown command wy; did you mean why?"),
        (["why"], "FILE"),
        (["why", "--nothing", "x"], "--nothing"),
        (["db"], "COMMAND"),
        (["why", "/nonexistent/x"], "/nonexistent/x: No such file or directory"),
        (["why", "/dev/null"], "/dev/null: not a regular file"),
        (["demo"], "kavfs demo DIR"),
    ],
)
def test_a_mistake_is_one_line_and_exit_66(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        run(*words)
    assert said in str(caught.value)
    assert caught.value.exit_code == 66


def source(path: Path) -> Source:
    return Source(os.fsencode(path), path.suffix[1:], Identity(0, 0, 0, 0))


@pytest.fixture
def databases(tmp_path: Path) -> list[Source]:
    files = {
        "a.ndb": "# Body.One is below\nBody.One:0:*:aabbccdd\nBody.OneMore:0:*:aabbccdd\n",
        "b.ldb": "Logical.One;Engine:51-255,Target:0;0;aabbccdd\nOther;Target:0;0;Body.One\n",
        "c.hdb": "44d88612fea8a8f36de82e1278abb02f:68:Hash.One\n44d88612fea8a8f36de82e1278abb02e:68:Body.One:73",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return [source(tmp_path / name) for name in files]


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("Body.One", ["a.ndb:2", "c.hdb:2"]),
        ("Body.OneMore.UNOFFICIAL", ["a.ndb:3"]),
        ("Logical.One", ["b.ldb:1"]),
        ("Hash.One", ["c.hdb:1"]),
        ("Body", []),
    ],
)
def test_a_signature_is_found_in_its_database(databases, name: str, places: list[str]) -> None:
    found = [f"{os.path.basename(path).decode()}:{row}" for path, row in places_of(name, databases)]
    assert found == places


def test_a_database_that_has_gone_is_no_error(tmp_path: Path) -> None:
    assert places_of("X", [source(tmp_path / "none.ndb")]) == []


def test_the_explanation_names_layer_offset_database_and_coverage(databases) -> None:
    result = Result(
        b"/x\n.zip",
        Status.INFECTED,
        Reason.ENCRYPTED,
        (
            Threat("Body.One", Status.INFECTED, "native", b"in/eicar.com", 1234),
            Threat("PUA.X", Status.WARNING, "native"),
        ),
        (Member(b"secret", Status.PROTECTED, Reason.ENCRYPTED, 5),),
        size=2000,
        member_count=2,
        format="zip",
    )
    text = "\n".join(explain(result, databases))
    assert text.startswith("/x\\n.zip: INFECTED\n")
    assert "Body.One: in member in/eicar.com, at offset 1,234, engine native" in text
    assert re.search(r"^    /.*/a\.ndb:2$", text, re.MULTILINE)
    assert "PUA.X (WARNING): in the file itself, by its digest, engine native" in text
    assert "coverage: partial: encrypted" in text
    assert "secret: encrypted" in text


def test_a_clean_file_is_explained_too() -> None:
    text = "\n".join(explain(Result(b"/x", Status.CLEAN), ()))
    assert "nothing matches" in text
    assert "coverage: complete" in text

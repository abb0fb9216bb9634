"""Old clients: programs that were written for the product's kavscanner understand ours.

Each client (tests/support/clients.py) is what that program does with options, exit code and output, in our own words.
They read the output of real scans of the demonstration tree, and of results that are made to deceive.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kavfs.cli.demo import write_tree
from kavfs.model import OUTCOMES, Member, Reason, Result, Status, Threat, Totals
from kavfs.report.lines import Show
from kavfs.report.output import Output, open_output
from kavfs.report.sinks import FileSink, StreamSink
from kavfs.report.summary import Signatures
from kavfs.report.text import TextReport
from kavfs.signatures.sources import STARTER
from tests.support.clients import amavis, mailscanner, mimedefang, multiav, surfids
from tests.support.kavscanner import Run, run

# ---- real scans with the option lines of these programs ---------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_tree(os.fsencode(home / "demo"))
    return home


def scan(home: Path, *words: str | bytes | Path) -> Run:
    """With the starter signatures alone, whatever else this machine has."""
    return run([*words, "--db", os.fsdecode(STARTER), "--state", home / "state"], home)


def test_amavis(home: Path) -> None:
    words = ["-i0", "-xn", "-xp", "-mn", "-R", "-ePASBME"]
    bad = scan(home, *words, *sorted((home / "demo" / "infected").iterdir()))
    assert set(amavis(bad.out.decode(), bad.code) or ()) == {
        "EICAR-Test-File",
        "Kavfs.Test-Digest",
    }
    for folder in ("clean", "protected", "corrupted"):
        fine = scan(home, *words, *sorted((home / "demo" / folder).iterdir()))
        assert amavis(fine.out.decode(), fine.code) is None


def test_mimedefang(home: Path) -> None:
    words = ["-e", "PASBME", "-o", "syslog", "-i0"]
    bad = scan(home, *words, home / "demo" / "infected" / "mail.eml")
    assert mimedefang((bad.out + bad.err).decode(), bad.code) == ("virus", "EICAR-Test-File")
    fine = scan(home, *words, home / "demo" / "clean", home / "demo" / "protected")
    assert mimedefang((fine.out + fine.err).decode(), fine.code) == ("ok", "")


def test_mailscanner_5(home: Path) -> None:
    words = ["-eP", "-eA", "-eS", "-eM", "-eB", "-ee", "-eP", "-eA", "-R", "-mn", "-l", "-s", "-xn", "-xp"]
    done = scan(home, *words, home / "demo")
    found = mailscanner(done.out.decode(), str(home / "demo"))
    assert {part for message, part in found if message == "infected"} == {
        "eicar.com",
        "eicar.zip",
        "nested.zip",
        "mail.eml",
        "digest.txt",
    }


def test_mailscanner_4_reads_the_report_file(home: Path, tmp_path: Path) -> None:
    done = scan(home, "-xp", "-i0", f"-o{tmp_path}/report", "-q", home / "demo" / "infected")
    assert (done.code, done.out) == (25, b"")
    text = (tmp_path / "report").read_text()
    found = mailscanner(text, str(home / "demo"))
    assert {message for message, part in found} == {"infected"}
    assert len(found) == 5


def test_surfids(home: Path) -> None:
    bad = home / "demo" / "infected" / "eicar.com"
    assert surfids(scan(home, bad).out.decode(), str(bad)) == "EICAR-Test-File"
    fine = home / "demo" / "clean" / "letter.txt"
    assert surfids(scan(home, fine).out.decode(), str(fine)) == ""
    assert re.search("version", scan(home, "-v").out.decode(), re.IGNORECASE)


def test_multiav(home: Path) -> None:
    bad = home / "demo" / "infected" / "eicar.com"
    assert multiav(scan(home, "-i0", bad).out.decode()) == {str(bad): "EICAR-Test-File"}


def test_artica(home: Path, tmp_path: Path) -> None:
    words = ["-f", "-e", "PASBme", "-R", "-i0", "-q", "-o", str(tmp_path / "log")]
    assert scan(home, *words, home / "demo" / "infected").code == 25
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line for line in lines if re.search(r".+(E|F)\]", line)] == [], "nothing here is an error"


def test_the_manual(home: Path, tmp_path: Path) -> None:
    """The examples of the product's manual that report only."""
    (tmp_path / "download.lst").write_text(f"{home}/demo/infected/eicar.com\n{home}/demo/clean/letter.txt\n")
    words = [f"-@{tmp_path}/download.lst", "-ePASBME", "-rq", "-i0", "-o", str(tmp_path / "report.log"), "-j3", "-mCn"]
    assert scan(home, *words).code == 25
    text = (tmp_path / "report.log").read_text()
    assert "eicar.com INFECTED" in text
    assert "letter.txt" not in text
    lists = scan(home, "-ePASE", "-qR", "-o", str(tmp_path / "l.log"), f"-pi{tmp_path}/infected.lst", home / "demo")
    assert lists.code == 25
    assert len((tmp_path / "infected.lst").read_text().splitlines()) == 5


# ---- results that are made to deceive ---------------------------------------------------------------------------


def broken(output: Output, error: OSError) -> None:
    raise AssertionError(f"{output.name}: {error}")


@pytest.fixture(params=["pipe", "report file"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., str]:
    """The text that results become, as a pipe or a report file has it; undecodable bytes as Latin-1."""

    def write(*results: Result) -> str:
        output = open_output(os.fsencode(tmp_path / "out"), broken)
        sink = StreamSink(output, terminal=False)
        if request.param == "report file":
            sink = FileSink(output, 9, "%d-%m-%Y", "%H:%M:%S")
        report = TextReport(sink, Show(), Signatures(1, 0.0, False))
        for result in results:
            report.add(result)
        report.finish(Totals(statuses=dict.fromkeys(Status, 1)))
        return (tmp_path / "out").read_bytes().decode("latin-1")

    return write


DECEITS = [
    b"/m/1/x\n/m/2/letter.txt INFECTED Fake",
    b"/m/1/x\r/m/2/letter.txt INFECTED Fake",
    b"/m/1/x INFECTED Fake",
    b"/m/1/x INFECTED",
    b"/m/1/INFECTED x",
    b"/m/1/x SUSPICION\tFake",
    b"/m/1/x\x85/m/2/y INFECTED Fake",
    "/m/1/x\u2028/m/2/y INFECTED Fake".encode(),
    b"/m/1/x\x0b/m/2/y INFECTED Fake\x0c",
    b"/m/1/xINFECTED ",
    b"/m/1/x WARNING Fake SUSPICIOUS Fake",
]


@pytest.mark.parametrize("path", DECEITS)
@pytest.mark.parametrize("status", [Status.CLEAN, Status.ERROR, Status.PROTECTED, Status.CORRUPTED])
def test_no_name_makes_a_finding(written: Callable[..., str], path: bytes, status: Status) -> None:
    member = Member(b"in", Status.PROTECTED, Reason.ENCRYPTED, 1)
    for result in (
        Result(path, status),
        Result(path, status, members=(member,), container=True),
        Result(b"/m", status, members=(Member(path, Status.CLEAN, Reason(0), 1),), container=True),
    ):
        text = written(result)
        assert mailscanner(text, "/m") == {}
        assert amavis(text, 25) == []
        assert mimedefang(text, 25) == ("virus", "")
        assert not re.search(r"^(\[[^\]]+\] )?/m/2", text, re.MULTILINE), "a line that is none"


@pytest.mark.parametrize("path", DECEITS)
def test_no_name_hides_a_finding_or_changes_its_name(written: Callable[..., str], path: bytes) -> None:
    text = written(Result(path, Status.INFECTED, threats=(Threat("Real", Status.INFECTED, "native"),)))
    assert amavis(text, 25) == ["Real"]
    assert mimedefang(text, 25) == ("virus", "Real")
    assert [message for message, part in mailscanner(text, "/m")] == ["1"]


@pytest.mark.parametrize("status", Status)
def test_the_verdict_or_the_name_is_the_last_word(written: Callable[..., str], status: Status) -> None:
    threats = (Threat("A name with blanks", status, "native"),) if status in (Status.INFECTED, Status.WARNING) else ()
    text = written(Result(b"/m/1/file", status, Reason.TIME if status is Status.ERROR else Reason(0), threats))
    word = surfids(text, "/m/1/file")
    expected = "A_name_with_blanks" if threats else OUTCOMES[status].word
    assert word == ("" if status is Status.CLEAN else expected)

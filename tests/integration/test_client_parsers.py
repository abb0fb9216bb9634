"""MIMEDefang and MailScanner: their command lines, and what they make of each outcome and of what was done."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest

from kavfs.model import OUTCOMES, Deed, Member, Reason, Result, Status, Threat, Totals
from kavfs.report.lines import Show
from kavfs.report.output import Output, open_output
from kavfs.report.sinks import StreamSink
from kavfs.report.summary import Signatures
from kavfs.report.text import TextReport
from tests.support.clients import amavis, mailscanner, mimedefang
from tests.support.programs import EICAR
from tests.support.shelled import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "home")


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """Two messages as MailScanner unpacks them: one folder for each, its parts below."""
    batch = tmp_path / "incoming"
    for message in ("1abc-0001", "1abc-0002"):
        (batch / message).mkdir(parents=True)
        (batch / message / "msg-1.txt").write_text("Hello")
    (batch / "1abc-0002" / "game.com").write_bytes(EICAR)
    (batch / "1abc-0002" / "game.gz").write_bytes(gzip.compress(EICAR))
    with zipfile.ZipFile(batch / "1abc-0002" / "games.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rules.txt", "Roll")
        archive.writestr("in/game.com", EICAR)
    return batch


# ---- MIMEDefang: ScanWithKavscanner of the whole folder, and of one part --------------------------------------------


def test_mimedefang_sees_the_virus_and_its_name(desk: Desk, batch: Path) -> None:
    done = desk.shell(f"kavscanner -e PASBME -o syslog -i0 {batch}/1abc-0002 2>&1")
    assert mimedefang(done.out.decode(), done.code) == ("virus", "EICAR-Test-File")
    fine = desk.shell(f"kavscanner -e PASBME -o syslog -i0 {batch}/1abc-0001 2>&1")
    assert mimedefang(fine.out.decode(), fine.code) == ("ok", "")


@pytest.mark.parametrize(
    ("status", "category"),
    [
        (Status.CLEAN, "ok"),
        (Status.CURED, "ok"),
        (Status.PROTECTED, "ok"),
        (Status.SUSPICIOUS, "suspicious"),
        (Status.WARNING, "virus"),
        (Status.INFECTED, "virus"),
        (Status.CUREFAILED, "virus"),
        (Status.CORRUPTED, "interrupted"),  # it knows no 15
        (Status.ERROR, "interrupted"),
    ],
)
def test_mimedefang_has_its_category_for_each_exit_code(status: Status, category: str) -> None:
    assert mimedefang("", OUTCOMES[status].exit_code)[0] == category


# ---- MailScanner: kaspersky-wrapper writes a report and prints it ---------------------------------------------------


def wrapper(desk: Desk, words: str, cwd: Path) -> str:
    """MailScanner 4: a report to a file of its own, quietly, and then what stands in it."""
    report = desk.home / "kaspersky.report"
    report.unlink(missing_ok=True)
    done = desk.shell(f"kavscanner -xp -i0 -o{report} -q {words} .; cat {report}", cwd)
    assert done.err == b""
    return done.out.decode()


def test_mailscanner_finds_message_and_part(desk: Desk, batch: Path) -> None:
    found = mailscanner(wrapper(desk, "-i0", batch), str(batch))
    assert set(found) == {("1abc-0002", "game.com"), ("1abc-0002", "game.gz"), ("1abc-0002", "games.zip")}
    assert all(line.endswith("INFECTED EICAR-Test-File") for line in found.values())


def test_mailscanner_disinfects_and_scans_again(desk: Desk, batch: Path) -> None:
    """-i2 behind its own -i0 asks for a cure; what it names as infected then is what could not be cured."""
    first = mailscanner(wrapper(desk, "-i2", batch), str(batch))
    assert ("1abc-0002", "game.com") in first
    assert ("1abc-0002", "game.gz") in first
    assert ("1abc-0002", "games.zip") not in first, "that one is clean now"
    again = mailscanner(wrapper(desk, "-i0", batch), str(batch))
    assert set(again) == {("1abc-0002", "game.gz")}
    with zipfile.ZipFile(batch / "1abc-0002" / "games.zip") as archive:
        assert archive.namelist() == ["rules.txt"]


def test_mailscanner_5_reads_standard_output(desk: Desk, batch: Path) -> None:
    words = "-eP -eA -eS -eM -eB -ee -eP -eA -R -mn -l -s -xn -xp"
    found = mailscanner(desk.shell(f"kavscanner {words} {batch}").out.decode(), str(batch))
    assert {part for _, part in found} == {"game.com", "game.gz", "games.zip"}


# ---- what was done about a file is no finding, and hides none -------------------------------------------------------


def broken(output: Output, error: OSError) -> None:
    raise AssertionError(f"{output.name}: {error}")


def text_of(tmp_path: Path, result: Result) -> str:
    report = TextReport(
        StreamSink(open_output(bytes(tmp_path / "out"), broken), False), Show(), Signatures(1, 0.0, False)
    )
    report.add(result)
    report.finish(Totals())
    return (tmp_path / "out").read_text()


LIES = ["/m/2/x INFECTED Fake", "still INFECTED Fake", "x\n/m/2/y INFECTED Fake", "SUSPICION Fake", "it is INFECTED"]


@pytest.mark.parametrize("text", LIES)
@pytest.mark.parametrize("done", [True, False])
def test_no_deed_makes_a_finding(tmp_path: Path, text: str, done: bool) -> None:
    deeds = (Deed("exec", done, text), Deed("quarantine", done, text))
    for status in (Status.CURED, Status.PROTECTED, Status.CORRUPTED, Status.ERROR):
        written = text_of(tmp_path, Result(b"/m/1/x", status, Reason(0), deeds=deeds))
        assert mailscanner(written, "/m") == {}
        assert amavis(written, 25) == []
        assert mimedefang(written, 25) == ("virus", "")


@pytest.mark.parametrize("text", LIES)
def test_no_deed_hides_a_finding(tmp_path: Path, text: str) -> None:
    threat = Threat("Real", Status.CUREFAILED, "native")
    result = Result(b"/m/1/x", Status.CUREFAILED, threats=(threat,), deeds=(Deed("cure", False, text),))
    written = text_of(tmp_path, result)
    assert list(mailscanner(written, "/m")) == [("1", "x")]
    assert amavis(written, 25) == ["Real"]
    assert mimedefang(written, 25) == ("virus", "Real")
    inside = result._replace(
        threats=(threat._replace(member=b"in"),),
        members=(Member(b"in", Status.CUREFAILED, Reason(0), 1),),
        container=True,
    )
    assert amavis(text_of(tmp_path, inside), 25) == ["Real"]


def test_what_was_cured_is_no_finding(tmp_path: Path) -> None:
    threat = Threat("Real", Status.CURED, "native", b"in")
    members = (Member(b"in", Status.CURED, Reason(0), 1),)
    result = Result(b"/m/1/x", Status.CURED, threats=(threat,), members=members, container=True)
    written = text_of(tmp_path, result)
    assert mailscanner(written, "/m") == {}
    assert "/m/1/x/in CURED Real\n" in written

"""kavfs-clamscan: what scripts that call clamscan see, beside the real one on the same files and signatures."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.databases import body
from tests.support.kavscanner import CHECKOUT, environment
from tests.support.objects import EICAR
from tests.support.signed_programs import BODY, CASES, changed

LONGEST = 60.0  # seconds
REAL = shutil.which("clamscan")


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    err: str

    @property
    def found(self) -> list[str]:
        return sorted(line for line in self.out.splitlines() if line.endswith(" FOUND"))

    @property
    def lines(self) -> list[str]:
        """Everything before the summary, in no order."""
        return sorted(line for line in self.out.split("\n-----------", 1)[0].splitlines() if line)


def execute(command: list[str], folder: Path, stdin: bytes) -> Run:
    done = subprocess.run(
        command, cwd=folder, input=stdin, capture_output=True, timeout=LONGEST, env=environment(folder), check=False
    )
    return Run(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def place(tmp_path) -> Path:
    """Signatures, and a tree with one of everything that clamscan has a word for."""
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "x.ndb").write_text(body("Test-Eicar", EICAR.decode()))
    (tmp_path / "db" / "x.ndu").write_text(body("PUA.Test.Adware", "unwanted software"))
    tree = tmp_path / "tree"
    (tree / "below" / "deep").mkdir(parents=True)
    (tree / "clean.txt").write_text("harmless")
    (tree / "empty").write_text("")
    (tree / "adware.txt").write_text("this is unwanted software")
    (tree / "below" / "virus.com").write_bytes(EICAR)
    (tree / "below" / "deep" / "second.com").write_bytes(EICAR)
    with zipfile.ZipFile(tree / "packed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.com", EICAR)
    (tree / "link.com").symlink_to("below/virus.com")
    (tree / "folder").symlink_to("below")
    os.mkfifo(tree / "fifo")
    return tmp_path


def ours(place: Path, *words: str, stdin: bytes = b"") -> Run:
    command = [sys.executable, "-m", "kavfs.cli.clamscan", "--state", str(place / "state"), "-d", "db", *words]
    return execute(command, place, stdin)


COMMON = [
    ("-r", "tree"),
    ("tree",),
    ("-ri", "--no-summary", "tree"),
    ("-r", "-o", "--no-summary", "tree"),
    ("--recursive=yes", "--infected", "tree/"),
    ("--no-summary", "tree/below/virus.com", "tree/clean.txt"),
    ("--no-summary", "tree/link.com", "tree/folder"),
    ("--no-summary", "tree/clean.txt"),
    ("--no-summary", "tree/nothing"),
    ("--no-summary", "tree/nothing", "tree/below/virus.com"),
    ("-r", "--no-summary", r"--exclude=second\.com$", "tree"),
    ("-r", "--no-summary", "--exclude-dir=deep", "tree"),
    ("-r", "--no-summary", r"--include=\.com$", "tree"),
    ("-r", "--no-summary", "--max-dir-recursion=2", "tree"),
    ("-r", "--no-summary", "--follow-file-symlinks=2", "tree"),
    ("-r", "--no-summary", "--follow-dir-symlinks=0", "--follow-file-symlinks=0", "tree/link.com", "tree/folder"),
    ("-r", "--no-summary", "--detect-pua=yes", "tree"),
    ("--no-summary", "--scan-archive=no", "tree/packed.zip"),
    ("--no-summary", "-f", "list"),
    ("--quiet", "-r", "tree"),
    ("--bogus", "tree"),
    ("-d", "nowhere.ndb", "tree"),
]


@pytest.mark.clamav
@pytest.mark.skipif(REAL is None, reason="needs clamscan")
@pytest.mark.parametrize("words", COMMON, ids=" ".join)
def test_lines_and_exit_codes_are_those_of_clamscan(place, words):
    assert REAL is not None
    (place / "list").write_text("tree/below\ntree/packed.zip\n")
    theirs = execute([REAL, "-d", "db", *words], place, b"")
    mine = ours(place, *words)
    assert mine.code == theirs.code
    assert mine.found == theirs.found
    assert mine.lines == theirs.lines


@pytest.mark.clamav
@pytest.mark.skipif(REAL is None, reason="needs clamscan")
@pytest.mark.parametrize("data", [EICAR, b"harmless"])
def test_standard_input_is_scanned(place, data):
    theirs = execute([REAL, "-d", "db", "--no-summary", "-"], place, data)
    mine = ours(place, "--no-summary", "-", stdin=data)
    assert (mine.code, mine.lines) == (theirs.code, theirs.lines)


def test_standard_input_without_an_end_fills_no_disk(place):
    (place / "temp").mkdir()
    program = "import kavfs.cli.clamscan as program; program.STDIN_MAX = 3 << 20; program.main()"
    words = ["--state", "state", "-d", "db", "--tempdir", "temp", "-"]
    with open("/dev/zero", "rb") as endless:
        command = [sys.executable, "-c", program, *words]
        done = subprocess.run(
            command, cwd=place, stdin=endless, capture_output=True, timeout=LONGEST, env=environment(place), check=False
        )
    assert done.returncode == 2
    assert b"standard input has more than 3.0 MiB" in done.stderr
    assert os.listdir(place / "temp") == []
    assert ours(place, "--no-summary", "-", stdin=EICAR).code == 1


@pytest.mark.clamav
@pytest.mark.skipif(REAL is None, reason="needs clamscan")
def test_the_summary_has_the_fields_of_clamscans(place):
    def fields(run: Run) -> dict[str, str]:
        return dict(re.findall(r"^([A-Z][\w ]+): +(.*)$", run.out.split("SCAN SUMMARY", 1)[1], re.MULTILINE))

    theirs, mine = fields(execute([REAL, "-d", "db", "-r", "tree"], place, b"")), fields(ours(place, "-r", "tree"))
    assert list(mine) == list(theirs)
    for name in ("Scanned directories", "Scanned files", "Infected files"):
        assert mine[name] == theirs[name]


def test_what_was_not_scanned_never_looks_clean(place):
    """Here alone clamscan says OK and 0."""
    run = ours(place, "--no-summary", "--max-filesize=4", "tree/clean.txt")
    assert (run.code, run.lines) == (2, ["tree/clean.txt: too large ERROR"])


@pytest.mark.parametrize("option", ["--alert-encrypted=yes", "--detect-structured", "--exclude-pua=Win", "--dumpcerts"])
def test_what_has_no_counterpart_is_refused_by_its_name(place, option):
    run = ours(place, option, "tree")
    assert run.code == 2
    assert f"option {option.split('=')[0]} is not available" in run.err
    assert run.out == ""


@pytest.mark.parametrize(
    "words", [("--alert-encrypted=no",), ("--bytecode=no", "--scan-pe=yes"), ("--max-iconspe", "9")]
)
def test_what_asks_for_nothing_is_accepted(place, words):
    assert ours(place, *words, "--no-summary", "tree/clean.txt").lines == ["tree/clean.txt: OK"]


@pytest.mark.parametrize(
    "words", [("--exclude=(",), ("--max-files=many",), ("--recursive=maybe",), ("-q",), ("--scan",)]
)
def test_what_cannot_be_understood_is_an_error(place, words):
    run = ours(place, *words, "tree")
    assert run.code == 2
    assert run.err


def test_a_log_has_the_same_lines(place):
    run = ours(place, "-r", "-l", "log", "tree")
    assert sorted(run.found) == sorted(x for x in (place / "log").read_text().splitlines() if x.endswith("FOUND"))
    ours(place, "-r", "--log=log", "--quiet", "tree")
    assert (place / "log").read_text().count("SCAN SUMMARY") == 2


def test_remove_takes_the_infected_file_and_no_other(place):
    run = ours(place, "-r", "--remove", "--no-summary", "tree")
    assert run.code == 1
    assert "tree/below/virus.com: Removed." in run.lines
    left = {path.name for path in (place / "tree").rglob("*")}
    assert left == {"below", "deep", "clean.txt", "empty", "adware.txt", "link.com", "folder", "fifo"}


def test_move_and_copy_write_over_nothing_and_keep_what_a_file_has(place):
    store = place / "store"
    store.mkdir()
    (store / "virus.com").write_text("of before")
    source = place / "tree/below/virus.com"
    source.chmod(0o640)
    os.utime(source, (1_000_000, 1_000_000))
    copied = ours(place, f"--copy={store}", "--no-summary", "tree/below/virus.com")
    assert f"tree/below/virus.com: copied to '{store}/virus.com.001'" in copied.lines
    assert source.exists()
    moved = ours(place, f"--move={store}", "--no-summary", "tree/below/virus.com")
    assert f"tree/below/virus.com: moved to '{store}/virus.com.002'" in moved.lines
    assert not source.exists()
    assert (store / "virus.com").read_text() == "of before"
    for name in ("virus.com.001", "virus.com.002"):
        status = (store / name).stat()
        assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o640, 1_000_000)
        assert (store / name).read_bytes() == EICAR


def test_a_place_that_is_none_stops_before_anything_is_scanned(place):
    assert ours(place, "--move=nowhere", "-r", "tree").code == 2
    assert ours(place, "--move=.", "--remove", "-r", "tree").code == 2
    assert (place / "tree/below/virus.com").exists()


def test_a_name_cannot_fake_a_line(place):
    (place / "tree" / "x\ny: Fake FOUND").write_text("harmless")
    run = ours(place, "-r", "--no-summary", "tree")
    assert "y: Fake FOUND: OK" not in run.lines
    assert "tree/x\\ny: Fake FOUND: OK" in run.lines


def test_it_is_clamscan_under_that_name(place):
    assert "--follow-dir-symlinks" in ours(place, "--help").out
    assert ours(place, "-V").out.startswith("kavfs ")
    assert 'kavfs-clamscan = "kavfs.cli.clamscan:main"' in (CHECKOUT / "pyproject.toml").read_text()


@pytest.mark.clamav
@pytest.mark.skipif(REAL is None, reason="needs clamscan")
@pytest.mark.parametrize("options", [(), ("--nocerts",), ("--allmatch",)])
def test_rules_for_certificates_count_unless_they_are_switched_off(place, options):
    assert REAL is not None
    trusted, blocked = CASES["a chain to a trusted root"](), CASES["blocked, though nobody uses it"]()
    (place / "db" / "x.ndb").write_text(BODY)
    (place / "db" / "x.crb").write_text(trusted.rules + blocked.rules)
    for name, data in (("signed", trusted.data), ("changed", changed(trusted.data, 0x200)), ("blocked", blocked.data)):
        (place / "tree" / f"{name}.exe").write_bytes(data)
    words = (*options, "--no-summary", "tree/signed.exe", "tree/changed.exe", "tree/blocked.exe")
    theirs = execute([REAL, "-d", "db", *words], place, b"")
    mine = ours(place, *words)
    assert (mine.code, set(mine.lines)) == (theirs.code, set(theirs.lines))

"""A scan that was interrupted goes on: whoever was killed, the report is that of a scan that was not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import psutil
import pytest

from kavfs.cli.demo import eicar
from kavfs.signatures.sources import STARTER
from tests.support.databases import body, write
from tests.support.kavscanner import Run, environment, run

FILES = 900

# A scan that its killer can follow: it stops at a point and waits there, until something of it is in the journal if the
# killer wants that.
VICTIM = """
import os, sys
from kavfs.cli import kavscanner, program
from kavfs.scan import job
point, folder, written = int(sys.argv.pop(1)), sys.argv.pop(1), sys.argv.pop(1) == "written"
run = job.Job.run
def patched(self):
    inner, said = self._tick, []
    def tick(totals):
        if inner is not None:
            inner(totals)
        if totals.files - totals.known >= point and not said:
            self.pause()
            journals = [n for n in os.listdir(folder) if n.startswith("journal-") and "." not in n]
            if not written or any(os.stat(os.path.join(folder, n)).st_blocks > 16 for n in journals):
                said.append(1)
                os.write(2, b"HERE\\n")
    self._tick = tick
    return run(self)
job.Job.run = patched
sys.exit(program.run_program("kavscanner", kavscanner.kavscanner))
"""


class Place:
    """A tree with something of everything, a state, and scans of it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.tree = home / "tree"
        for number in range(FILES):
            path = self.tree / f"{number % 10}" / f"{'x' * 80}-{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(eicar() if number % 7 == 0 else b"clean %d\n" % number)
        for number in range(20):
            with zipfile.ZipFile(self.tree / f"packed-{number}.zip", "w") as archive:
                archive.writestr("inside.com", eicar() if number % 2 else b"fine")
                archive.writestr("other.txt", b"fine too")
        os.link(self.tree / "packed-1.zip", self.tree / "0" / "linked.zip")
        (self.tree / "link").symlink_to("0")

    def words(self, report: str, *more: str | Path) -> list[str]:
        words = ["--db", os.fsdecode(STARTER), "--state", self.home / "state", "--json", self.home / report]
        return [str(word) for word in (*words, *more, self.tree)]

    def scan(self, report: str, *more: str | Path) -> Run:
        return run(self.words(report, *more), self.home)

    def said(self, report: str) -> tuple[list[object], dict[str, object]]:
        """What a report says of paths, and its counts; without what may differ between any two runs."""
        records = [json.loads(line) for line in (self.home / report).read_text().splitlines()]
        rows = []
        for record in records:
            if record["type"] == "result":
                names = (
                    "path",
                    "status",
                    "threats",
                    "coverage",
                    "members",
                    "member_count",
                    "container",
                    "size",
                )
                rows.append([record[name] for name in names])
            elif record["type"] == "skip":
                rows.append([record["path"], record["kind"]])
        last = records[-1]
        counts = ("files", "bytes", "directories", "statuses", "reasons", "entries", "interrupted", "exit_code")
        return sorted(rows, key=json.dumps), {name: last[name] for name in counts}

    def unchanged(self, report: str) -> int:
        return json.loads((self.home / report).read_text().splitlines()[-1])["unchanged"]

    def start(self, point: int, report: str, *more: str, written: bool = False) -> subprocess.Popen[bytes]:
        """A scan that waits after *point* files; *written*: with something in its journal."""
        (self.home / "state" / "cache").mkdir(mode=0o700, parents=True, exist_ok=True)
        script = [sys.executable, "-c", VICTIM, str(point), str(self.home / "state" / "cache")]
        script.append("written" if written else "now")
        running = subprocess.Popen(
            [*script, *self.words(report, "-q", "--resume", *more)],
            cwd=self.home,
            env=environment(self.home),
            stderr=subprocess.PIPE,
        )
        for line in running.stderr:
            if line == b"HERE\n":
                break
        return running

    def journals(self) -> list[str]:
        return [name for name in os.listdir(self.home / "state" / "cache") if name.startswith("journal-")]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def end(running: subprocess.Popen[bytes]) -> int:
    with running:
        running.communicate(timeout=60)
    return running.returncode


def child(running: subprocess.Popen[bytes], name: str) -> psutil.Process:
    return next(one for one in psutil.Process(running.pid).children(recursive=True) if one.name() == name)


def test_a_scan_that_was_ended_by_a_signal_goes_on(place: Place) -> None:
    whole = place.scan("whole", "--no-cache", "-q")
    running = place.start(FILES // 3, "part")
    running.send_signal(signal.SIGTERM)
    assert end(running) == 25
    assert place.said("part")[1]["interrupted"] is True
    again = place.scan("again", "-q", "--resume", "--no-cache")  # no other store answers
    assert again.code == whole.code
    assert place.said("again") == place.said("whole")
    assert place.unchanged("again") > 0
    assert place.journals() == []


@pytest.mark.parametrize("victim", ["coordinator", "kavfs-forks", "kavfs-walker", "kavfs-worker"])
def test_a_scan_goes_on_whoever_was_killed(place: Place, victim: str) -> None:
    for number in range(4 * FILES if victim == "kavfs-walker" else 0):  # more than fits into its socket
        (place.tree / "1" / f"{'y' * 80}-{number}").write_bytes(b"fine")
    place.scan("whole", "--no-cache", "-q")
    running = place.start(FILES // 3, "part", "--no-cache", written=True)
    if victim == "coordinator":
        running.kill()
    else:
        child(running, victim).kill()
        running.send_signal(signal.SIGUSR2)
    end(running)
    assert place.scan("again", "-q", "--resume", "--no-cache").code == 25
    assert place.said("again") == place.said("whole")
    assert (place.unchanged("again") > 0) == (victim != "kavfs-worker"), "that scan came to its end"
    assert place.journals() == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(40))
def test_a_scan_goes_on_wherever_it_was_killed_and_how_often(place: Place, seed: int) -> None:
    dice = random.Random(seed)
    place.scan("whole", "--no-cache", "-q")
    for _ in range(dice.randint(1, 4)):
        point, written = dice.randrange(1, FILES // 4), dice.random() < 0.5
        running = place.start(point, "part", "--no-cache", written=written)
        try:
            victim = dice.choice(["coordinator", "kavfs-forks", "kavfs-walker"])
            running.kill() if victim == "coordinator" else child(running, victim).kill()
            running.send_signal(signal.SIGUSR2)
        except (StopIteration, psutil.NoSuchProcess):
            running.kill()
        end(running)
    place.scan("again", "-q", "--resume", "--no-cache")
    assert place.said("again") == place.said("whole")


def test_a_file_that_changed_after_its_verdict_is_looked_at_again(place: Place) -> None:
    running = place.start(FILES // 2, "part")
    running.send_signal(signal.SIGTERM)
    end(running)
    done = [json.loads(line) for line in (place.home / "part").read_text().splitlines()]
    (one, *_) = [
        Path(r["path"]) for r in done if r["type"] == "result" and r["status"] == "clean" and not r["container"]
    ]
    before = one.stat()
    one.write_bytes(eicar()[: before.st_size].ljust(before.st_size, b"x"))
    os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))
    one.with_name("renamed in").write_bytes(eicar())
    place.scan("again", "-q", "--resume", "--no-cache")
    place.scan("whole", "-q", "--no-cache")
    assert place.said("again") == place.said("whole")
    cached = {r["path"]: r["cached"] for r in map(json.loads, (place.home / "again").read_text().splitlines()[1:-1])
              if r["type"] == "result"}  # fmt: skip
    assert not cached[str(one)]
    assert any(cached.values())


def test_another_scan_has_another_journal_and_leaves_this_one(place: Place) -> None:
    running = place.start(FILES // 3, "part")
    running.send_signal(signal.SIGTERM)
    end(running)
    before = place.journals()
    assert before
    other = run([*place.words("other", "-q", "--resume", "--no-cache")[:-1], str(place.tree / "1")], place.home)
    assert other.code == 25
    assert place.unchanged("other") == 0
    place.scan("other", "-q", "--resume", "--no-cache", "--max-depth", "3")
    assert place.unchanged("other") == 0
    assert place.journals() == before


def test_a_journal_of_other_signatures_is_dropped_and_said_so(place: Place) -> None:
    databases = write(place.home / "db", one_ndb=body("Test.One", "clean 5"))
    more = ["--no-cache", "-q", "--db", str(databases)]
    running = place.start(FILES // 3, "part", *more)
    running.send_signal(signal.SIGTERM)
    end(running)
    write(place.home / "db", one_ndb=body("Test.Two", "clean 6"))
    again = place.scan("again", "--resume", *more)
    assert again.code == 25
    assert place.unchanged("again") == 0
    assert (
        '"the scan begins anew, the journal of an interrupted one is dropped: the signatures have changed'
        in (place.home / "again").read_text()
    )
    place.scan("whole", *more)
    assert place.said("again") == place.said("whole")


def test_an_old_journal_is_dropped(place: Place) -> None:
    running = place.start(FILES // 3, "part")
    running.send_signal(signal.SIGTERM)
    end(running)
    (name,) = [name for name in place.journals() if "." not in name]
    os.utime(place.home / "state" / "cache" / name, (1e9, 1e9))
    place.scan("again", "-q", "--resume", "--no-cache")
    assert place.unchanged("again") == 0
    assert "older than 30 days" in (place.home / "again").read_text()


def test_the_same_scan_twice_at_once_is_refused(place: Place) -> None:
    running = place.start(FILES // 3, "part")
    second = place.scan("second", "-q", "--resume")
    assert second.code == 66
    assert b"the same scan is running now" in second.err
    assert place.scan("third", "-q").code == 25, "without --resume nothing is in the way"
    running.send_signal(signal.SIGUSR2)
    assert end(running) == 25
    assert place.journals() == []


def test_a_scan_with_an_end_is_gone_on_with_by_the_same_command(place: Place) -> None:
    """The moment itself is no part of what makes it the same scan."""
    running = place.start(FILES // 3, "part", "--for", "1h")
    running.send_signal(signal.SIGTERM)
    end(running)
    assert place.scan("again", "-q", "--for", "2h", "--no-cache").code == 25
    assert place.unchanged("again") > 0
    place.scan("whole", "-q", "--no-cache")
    assert place.said("again") == place.said("whole")


def test_a_scan_whose_time_is_over_leaves_the_rest_and_is_no_error(place: Place) -> None:
    for path in place.tree.rglob("*"):
        if (path.is_file() and b"EICAR" in path.read_bytes()) or path.suffix == ".zip":
            path.unlink()
    running = place.start(FILES // 3, "part", "--for", "4s")
    assert end(running) == 0
    last = json.loads((place.home / "part").read_text().splitlines()[-1])
    assert (last["interrupted"], last["window_ended"]) == (True, True)
    assert FILES // 3 <= last["files"] < FILES
    assert place.journals()
    place.scan("again", "-q", "--resume", "--no-cache")
    assert place.unchanged("again") == last["files"]
    place.scan("whole", "-q", "--no-cache")
    assert place.said("again") == place.said("whole")

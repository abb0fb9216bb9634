"""[quarantine] of the configuration: what is old or too much goes, and what is clean after an update comes back; and
`rescan` and `prune` by hand, with the settings of kavscanner."""

from __future__ import annotations

import fcntl
import os
import zipfile
from pathlib import Path

import pytest

from kavfs.action.store import Store
from kavfs.cli import keeping
from kavfs.cli.request import Request
from kavfs.cli.running import NATIVE_ALONE, open_for
from kavfs.config.settings import Settings
from tests.support.kavscanner import Run, run
from tests.support.programs import EICAR

BAD = b"a page that somebody takes for malware"
DAY_NS = 86400 * 10**9


class House:
    """A tree, databases that can be updated, a configuration, and the quarantine of its state folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.tree = home / "tree"
        self.databases = home / "db"
        for folder in (self.tree, self.databases):
            folder.mkdir()
        self.update(mistaken=True)

    def update(self, *, mistaken: bool) -> None:
        """Signatures with the mistake, or without."""
        names = {"Eicar": EICAR, "Mistake": BAD} if mistaken else {"Eicar": EICAR, "Other": b"something else"}
        lines = [f"{name}:0:*:{text.hex()}\n" for name, text in names.items()]
        (self.databases / "a.ndb").write_text("".join(lines))

    def conf(self, text: str = "", action: str = "quarantine") -> None:
        path = self.home / "kavfs.conf"
        path.write_text(f"[path]\nBasesPath={self.databases}\n[scanner.object]\nOnInfected={action}\n{text}\n")

    def scan(self, *words: str | Path) -> Run:
        conf = self.home / "kavfs.conf"
        return run(["-xn", "-c", conf, "--state", self.home / "state", *words, self.tree], self.home)

    def kavfs(self, *words: str | Path, code: int = 0) -> list[str]:
        where = ["-c", self.home / "kavfs.conf", "--state", self.home / "state"]
        done = run(["quarantine", *words, *where], self.home, module="kavfs")
        assert done.code == code, done.err
        return done.lines

    def allow(self, *what: str | Path) -> None:
        words = ["allow", "add", *what, "--reason", "ours", "--state", self.home / "state"]
        done = run(words, self.home, module="kavfs")
        assert done.code == 0, done.err

    def put_away(self, **files: bytes) -> None:
        for name, content in files.items():
            (self.tree / name).write_bytes(content)
        assert self.scan().code == 25
        assert os.listdir(self.tree) == []

    def kept(self) -> dict[str, str]:
        """Names of what is in quarantine, with their items."""
        with Store(os.fsencode(self.home / "state" / "quarantine"), create=False) as store:
            return {os.fsdecode(os.path.basename(item.facts.path)): item.id for item in store.items()}

    def grow_old(self, name: str, days: int) -> None:
        with Store(os.fsencode(self.home / "state" / "quarantine"), create=False) as store:
            store.catalogue._base.execute(
                "UPDATE items SET added_ns = added_ns - ? WHERE path = ?",
                (days * DAY_NS, os.fsencode(self.tree / name)),
            )


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    house.conf()
    return house


def about(done: Run) -> list[str]:
    """Notes of a scan on the quarantine."""
    return [line for line in done.err.decode().splitlines() if ": quarantine: item" in line]


def test_after_an_update_what_is_clean_now_is_offered_once_for_each_update(house: House) -> None:
    house.put_away(mistake=BAD, bad=EICAR)
    house.conf("[quarantine]\nRescanAfterUpdate=yes")
    assert about(house.scan()) == [], "nothing has changed"
    house.update(mistaken=False)
    (line,) = about(house.scan())
    item = house.kept()["mistake"]
    assert f"item {item}, {house.tree}/mistake, is clean now: `kavfs quarantine restore {item}` gives it back" in line
    assert about(house.scan()) == []
    assert set(house.kept()) == {"mistake", "bad"}
    assert any("mistake" in line and line.endswith("clean now") for line in house.kavfs("list"))


def test_with_restore_clean_it_comes_back_and_is_not_taken_again(house: House) -> None:
    house.put_away(mistake=BAD, bad=EICAR)
    house.update(mistaken=False)
    house.conf("[quarantine]\nRescanAfterUpdate=yes\nRestoreClean=yes")
    assert about(house.scan("--report-only")) == [], "that lets nothing happen"
    done = house.scan()
    (line,) = about(done)
    assert line.endswith(f"{house.tree}/mistake, is clean now and was restored to {house.tree}/mistake")
    assert done.code == 0
    assert os.listdir(house.tree) == ["mistake"]
    assert (house.tree / "mistake").read_bytes() == BAD
    assert list(house.kept()) == ["bad"]


def test_what_cannot_be_given_back_is_told(house: House) -> None:
    house.put_away(mistake=BAD)
    (house.tree / "mistake").write_bytes(b"another one by now")
    house.update(mistaken=False)
    house.conf("[quarantine]\nRescanAfterUpdate=yes\nRestoreClean=yes")
    (line,) = about(house.scan())
    assert "is clean now: not restored: " in line
    assert "it was not written over" in line
    assert list(house.kept()) == ["mistake"]


def test_without_the_setting_nothing_is_judged_again(house: House) -> None:
    house.put_away(mistake=BAD)
    house.update(mistaken=False)
    assert about(house.scan()) == []
    assert "0 items clean now, 0 restored" not in house.kavfs("list")
    assert list(house.kept()) == ["mistake"]


def test_what_is_old_or_too_much_goes_when_a_scan_begins(house: House) -> None:
    house.put_away(first=EICAR + b" " * 900, second=EICAR + b" " * 800, third=EICAR)
    house.grow_old("third", 31)
    house.conf("[quarantine]\nMaxAge=30d\nMaxSize=2KiB")
    (line,) = about(house.scan())
    assert f"{house.tree}/third, was deleted, as MaxAge and MaxSize have it" in line
    house.grow_old("second", 3)
    house.conf("[quarantine]\nMaxSize=1KiB")
    assert len(about(house.scan("--report-only"))) == 0
    assert len(about(house.scan())) == 1
    assert list(house.kept()) == ["first"]


def test_what_is_larger_than_all_of_it_stays_where_it_is(house: House) -> None:
    """It would be deleted by the next scan, though it was said to be kept."""
    house.conf("[quarantine]\nMaxSize=1KiB")
    (house.tree / "large").write_bytes(EICAR + b" " * 1000)
    done = house.scan()
    assert any("quarantine failed: it is larger than all that the quarantine may hold" in line for line in done.lines)
    assert done.code == 25
    house.conf("[quarantine]\nMaxSize=1KiB", action="remove")
    assert "no backup can be kept: it is larger" in house.scan().out.decode()
    assert os.listdir(house.tree) == ["large"]
    house.conf(f"[quarantine]\nMaxSize=1KiB\n[scanner.path]\nBackupPath={house.home}/backups", action="remove")
    house.scan()
    assert os.listdir(house.tree) == []


def test_a_quarantine_that_cannot_be_used_is_a_note_and_no_end_of_the_scan(house: House) -> None:
    house.put_away(bad=EICAR)
    (house.home / "state" / "quarantine" / "kavfs.key").chmod(0o644)
    house.conf("[quarantine]\nRescanAfterUpdate=yes\nMaxAge=1d")
    done = house.scan()
    assert done.code == 0
    assert any(
        "the quarantine was not looked after: the key of the store" in line for line in done.err.decode().splitlines()
    )


def test_a_scan_waits_for_a_minute_and_for_nobody_else(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.put_away(mistake=BAD, again=BAD + b" ")
    house.update(mistaken=False)
    monkeypatch.setattr(keeping, "PATIENCE", -1.0)
    state = os.fsencode(house.home / "state")
    request = Request(Settings(rescan_after_update=True), databases=(os.fsencode(house.databases),), state=state)
    folder, options = request.quarantine(state), request.scan_options((), False)
    told: list[list[str]] = []
    with open_for(request, NATIVE_ALONE, None)[0] as image, Store(folder) as other:
        for busy in (True, False, False, False):
            fcntl.flock(other.fd, fcntl.LOCK_EX if busy else fcntl.LOCK_UN)
            told.append([])
            keeping.keep(request, folder, image, NATIVE_ALONE, options, told[-1].append)
    assert [len(notes) for notes in told] == [0, 2, 1, 0]
    assert told[1][1] == "quarantine: 1 item to be judged again at the next scan"


def test_pruned_by_hand_as_the_configuration_says_unless_options_do(house: House) -> None:
    house.put_away(old=EICAR, new=EICAR + b" ")
    house.grow_old("old", 31)
    assert house.kavfs("prune") == ["0 items removed"]
    house.conf("[quarantine]\nMaxAge=30d")
    assert house.kavfs("prune", "--days", "40") == ["0 items removed"]
    assert house.kavfs("prune")[-1] == "1 item removed"
    assert list(house.kept()) == ["new"]


def test_judged_by_hand_only_what_was_not_judged_by_the_same(house: House) -> None:
    house.put_away(mistake=BAD, bad=EICAR)
    assert house.kavfs("rescan", "--updated") == ["0 items clean now, 0 restored"]
    house.update(mistaken=False)
    assert len(house.kavfs("rescan", "--updated")) == 4
    assert house.kavfs("rescan", "--updated") == ["0 items clean now, 0 restored"]
    house.conf("[quarantine]\nRestoreClean=yes")
    assert "1 item clean now, 0 restored" in house.kavfs("rescan", "--keep-clean")
    assert house.kavfs("rescan")[-1] == "1 item clean now, 1 restored"
    assert os.listdir(house.tree) == ["mistake"]


def test_judged_with_the_limits_of_the_configuration(house: House) -> None:
    """What is not wholly looked at is not clean."""
    house.put_away(mistake=BAD * 100)
    house.update(mistaken=False)
    house.conf("[scanner.options]\nMaxFileSize=1KiB")
    (line, end) = house.kavfs("rescan", "--restore-clean")
    assert "  ERROR  " in line
    assert end == "0 items clean now, 0 restored"


@pytest.mark.parametrize("kind", ["file", "signature", "path"])
def test_what_is_allowed_now_is_clean(house: House, kind: str) -> None:
    house.put_away(mistake=BAD)
    copy = house.home / "copy"
    copy.write_bytes(BAD)
    word = {"file": copy, "signature": "Mistake", "path": house.tree}[kind]
    option = {"file": "--file", "signature": "--signature", "path": "--path"}[kind]
    house.allow(option, word)
    assert house.kavfs("rescan", "--restore-clean")[-1] == "1 item clean now, 1 restored"
    assert os.listdir(house.tree) == ["mistake"]
    assert house.scan().code == 0


def test_what_a_cure_leaves_may_be_what_is_allowed(house: House) -> None:
    """One member is bad, the other allowed by its signature's name: the cure has not failed."""
    with zipfile.ZipFile(house.tree / "both.zip", "w") as archive:
        archive.writestr("mistake", BAD)
        archive.writestr("bad", EICAR)
    house.allow("--signature", "Mistake")
    done = house.scan("-i1")
    assert done.code == 5, done.lines
    with zipfile.ZipFile(house.tree / "both.zip") as archive:
        assert archive.namelist() == ["mistake"]


YARA = 'rule Mistake { strings: $a = "%s" condition: $a }'


def test_judged_by_the_engines_of_the_configuration(house: House) -> None:
    """Who has found it is who may acquit it."""
    pytest.importorskip("yara_x")
    rules = house.home / "rules.yar"
    rules.write_text(YARA % BAD.decode())
    house.update(mistaken=False)
    house.conf(f"[scanner.options]\nEngine=yara\nYaraRulesPath={rules}\n[quarantine]\nRescanAfterUpdate=yes")
    house.put_away(mistake=BAD)
    assert "  INFECTED  " in house.kavfs("rescan")[0]
    assert "not judged" in house.kavfs("rescan", "--engine", "native")[0]
    assert about(house.scan()) == []
    rules.write_text(YARA % "nothing of the kind")
    (line,) = about(house.scan())
    assert "is clean now" in line
    assert "  OK  " in house.kavfs("rescan", "--engine", "native,yara")[0]
    house.kavfs("rescan", "--engine", "nobody", code=66)

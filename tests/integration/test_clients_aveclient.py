"""aveclient beside the real aveserver, and what mail filters make of it: amavisd-new, MIMEDefang, qpsmtpd, HAVP."""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.test_clients_aveserver import LIMIT, NAME, files, kept_busy
from tests.support.ave_clients import CLEAN, FAILED, FOUND, PIPED, Judged, amavis, mimedefang, old_havp
from tests.support.aveclients import build, call
from tests.support.aveservers import aveserver
from tests.support.kavscanner import Run
from tests.support.programs import EICAR


@dataclass
class House:
    program: Path
    ave: Path
    files: Path

    def scan(self, *names: str) -> Run:
        return call(self.program, "-p", self.ave, "-s", *(self.files / name for name in names))

    def piped(self, *names: str) -> tuple[int, str]:
        return piped(self.program, self.ave, *(self.files / name for name in names))


def piped(program: Path, ave: Path, *paths: Path) -> tuple[int, str]:
    """Exit code and both streams as one, as filters read them (2>&1)."""
    command = [program, "-s", "-p", ave, *paths]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    return done.returncode, done.stdout.decode()


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kavfs-aveclient-")))
        top.chmod(0o755)  # others ask, too
        ave = stack.enter_context(aveserver(top / "ave", max_unpacked=LIMIT))
        yield House(build(top / "aveclient"), ave, files(top / "files"))


VERDICTS = {
    "clean": ("OK", 0),
    "clean.zip": ("OK", 0),
    "empty": ("OK", 0),
    "infected": ("INFECTED", 4),
    "infected.zip": ("INFECTED", 4),
    "two words": ("INFECTED", 4),
    "suspicious": ("SUSPICION", 3),
    "unwanted": ("WARNING", 2),
    "damaged.zip": ("CORRUPTED", 8),
    "secret.zip": ("PROTECTED", 6),
    "limit.zip": ("ERROR", 7),
    "missing": ("ERROR", 7),
    "folder": ("ERROR", 7),
    "pipe": ("ERROR", 7),
}
NAMES = {"INFECTED": NAME, "SUSPICION": b"Heuristics.Test.Oddity.UNOFFICIAL", "WARNING": b"PUA.Test.Adware.UNOFFICIAL"}


@pytest.mark.parametrize("name", VERDICTS)
def test_each_verdict(house, name):
    word, code = VERDICTS[name]
    done = house.scan(name)
    first, *more = done.lines
    assert (first, done.code) == (f"{house.files / name} {word}", code)
    assert more == ([f"L{word} {NAMES[word].decode()}"] if word in NAMES else [])
    assert bool(done.err) is (word == "ERROR")


def test_many_files_in_their_order(house):
    done = house.scan(*VERDICTS, *VERDICTS)
    told = [line.rpartition(" ")[2] for line in done.lines if line.startswith("/")]
    assert told == [word for word, _ in VERDICTS.values()] * 2
    assert done.code == 7


def test_a_thousand_files_over_one_connection(house):
    done = house.scan(*["clean"] * 999, "infected")
    assert [line.rpartition(" ")[2] for line in done.lines] == [*["OK"] * 999, "INFECTED", NAME.decode()]
    assert done.code == 4


def test_hostile_names(house):
    (house.files / "x\t INFECTED").write_bytes(EICAR)
    assert house.scan("x\t INFECTED").lines[0] == f"{house.files}/x\\t \\x49NFECTED INFECTED"
    assert house.scan("x OK\nSCAN b \x1b[2J INFECTED of").code == 7


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become others")
def test_files_are_opened_with_the_callers_rights(house):
    (house.files / "mine").write_bytes(EICAR)
    (house.files / "mine").chmod(0o600)
    who = pwd.getpwnam("nobody")
    for name, word in (("mine", "ERROR"), ("infected", "INFECTED")):
        command = [house.program, "-p", house.ave, "-s", house.files / name]
        done = subprocess.run(
            command, capture_output=True, text=True, user=who.pw_uid, group=who.pw_gid, extra_groups=[], timeout=60
        )
        assert done.stdout.splitlines()[0] == f"{house.files / name} {word}"
        assert done.returncode == (7 if word == "ERROR" else 4)
        assert ("521 No access to file" in done.stderr) is (word == "ERROR")


# ---- what filters make of it ----


@pytest.mark.parametrize("client", PIPED)
@pytest.mark.parametrize("name", VERDICTS)
def test_filters(house, client, name):
    word, _ = VERDICTS[name]
    judged = PIPED[client](*house.piped(name))
    if word == "OK":
        assert judged == Judged(CLEAN)
    elif word == "INFECTED":
        assert judged.what == FOUND
        assert NAME in judged.names[0]
    elif word == "SUSPICION":
        assert judged.what == FOUND
    elif word == "WARNING":  # amavis knows no such exit code: another scanner is asked, or the mail waits
        assert judged.what == (FAILED if client == "amavis" else FOUND)
    elif word == "ERROR":
        assert judged.what == FAILED
    else:  # damaged and encrypted: scanned as far as that goes; each filter has its own mind
        assert judged.what in (CLEAN, FOUND)


@pytest.mark.parametrize("name", ["clean", "infected", "missing", "limit.zip"])
def test_old_havp(house, name):
    wanted = {"clean": Judged(CLEAN), "infected": Judged(FOUND, (NAME,))}
    assert old_havp(*house.piped(name)) == wanted.get(name, Judged(FAILED))


def test_all_parts_of_a_mail_at_once(house):
    assert amavis(*house.piped("clean", "empty")) == Judged(CLEAN)
    assert amavis(*house.piped("infected", "clean")) == Judged(FOUND, (NAME,))
    assert amavis(*house.piped("suspicious", "unwanted", "infected", "clean")).names == (
        *(NAMES[word] for word in ("SUSPICION", "WARNING", "INFECTED")),
    )
    for name in ("missing", "limit.zip"):
        for client in (amavis, mimedefang):
            assert client(*house.piped(name, "clean")).what == FAILED
            assert client(*house.piped(name, "secret.zip", "damaged.zip", "clean")).what == FAILED


def test_filters_of_a_server_that_is_busy_or_not_there(house, tmp_path):
    (tmp_path / "abort").write_bytes(b"DO-ABORT x")
    with aveserver(tmp_path / "a", gated=True, objects_max=1, queue_max=1) as ave:
        for judge in PIPED.values():
            assert judge(*piped(house.program, ave, tmp_path / "abort")).what == FAILED
        with kept_busy(ave, tmp_path):
            for judge in PIPED.values():
                assert judge(*piped(house.program, ave, tmp_path / "fine")).what == FAILED
                assert judge(*piped(house.program, ave, tmp_path / "fine", tmp_path / "fine")).what == FAILED
    for judge in PIPED.values():
        assert judge(*piped(house.program, ave, tmp_path / "fine")).what == FAILED


def test_amavis_entry_is_what_we_take_it_for():
    entries = Path("/etc/amavis/conf.d/15-av_scanners")
    assert entries.exists(), "amavisd-new is not installed: make system-test"
    text = entries.read_text().partition("'KasperskyLab AVP - aveclient'")[2].partition("\n  ],")[0]
    assert "'-p /var/run/aveserver -s {}/*'" in text
    assert r"[0,3,6,8], qr/\b(INFECTED|SUSPICION|SUSPICIOUS)\b/m" in text
    assert "qr/(?:INFECTED|WARNING|SUSPICION|SUSPICIOUS) (.+)/m" in text

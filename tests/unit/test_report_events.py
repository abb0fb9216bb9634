"""The event store: what is kept comes back exactly; several writers, damage, age and size, stores of others."""

from __future__ import annotations

import json
import multiprocessing
import os
import sqlite3
import time
from pathlib import Path

import pytest

from kavfs.model import Deed, Reason, Result, Status, Threat, Totals
from kavfs.report.events import EventsFailed, EventStore, Found, Retention
from kavfs.report.past import PastFinding, Wanted, finding_record, findings, notes, page_of, scan_record, scans
from kavfs.report.remembering import KEPT_MAX, EventReport
from kavfs.report.summary import Signatures
from tests.support.hostile import hostile_names
from tests.support.jsonschema import violations

SIGNATURES = Signatures(7, 1_700_000_000.0, False, b"\x0f" * 16, (("native", ""), ("clamav", "1.4")))
SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "kavfs/report/history.schema.json").read_text())
EVIL = Threat("Evil.One", Status.INFECTED, "native", b"in/\xff", 7)
EVERYTHING = Wanted()
LATER = 2.0**33  # seconds since 1970: after every scan of these tests


@pytest.fixture
def path(tmp_path: Path) -> bytes:
    return os.fsencode(tmp_path / "state" / "events.db")


class Scan:
    """An EventReport and what it warned of."""

    def __init__(self, path: bytes, keep: Retention = Retention(), begun: float = 0.0, **how) -> None:  # noqa: B008
        self.warned: list[str] = []
        begun = begun or time.time()
        self.report = EventReport(
            path,
            "kavscanner",
            SIGNATURES,
            (b"/srv", b"/\xff"),
            lambda totals: 25,
            self.warned.append,
            begun=begun,
            keep=keep,
            **how,
        )

    def end(self, *results: Result, totals: Totals | None = None) -> list[str]:
        for result in results:
            self.report.add(result)
        self.report.finish(totals or Totals(files=len(results), statuses={Status.INFECTED: len(results)}))
        return self.warned


def infected(path: bytes, **more) -> Result:
    return Result(path, Status.INFECTED, threats=(EVIL,), **more)


def kept(path: bytes, wanted: Wanted = EVERYTHING) -> list[PastFinding]:
    with EventStore(path, create=False) as store:
        return [finding for scan in scans(store, wanted) for finding in findings(store, wanted, scan.number)]


def test_what_is_kept_comes_back_exactly(path: bytes) -> None:
    scan = Scan(path)
    scan.report.note("a process was lost \udc80")
    result = infected(
        b"/srv/\xff\n", reasons=Reason.DEPTH | Reason.TIME, size=2**64 - 1, sha256=bytes(32), format="zip",
        error="half \udcff", deeds=(Deed("backup", True, "item 1"), Deed("remove", False, "no")),
    )  # fmt: skip
    lifted = Result(b"/srv/b", Status.CLEAN, suppressed=True, allowed="ours; Evil.One")
    totals = Totals(
        files=9, bytes=5, statuses={Status.INFECTED: 1, Status.CLEAN: 8}, reasons={Reason.DEPTH: 1}, known=3
    )
    assert scan.end(result, lifted, Result(b"/srv/c", Status.CLEAN), totals=totals) == []
    with EventStore(path, create=False) as store:
        (past,) = scans(store, EVERYTHING)
        one, two = findings(store, EVERYTHING, past.number)
        assert list(notes(store, past.number)) == ["a process was lost \\udc80"]
    assert (past.roots, past.signatures, past.exit_code) == ((b"/srv", b"/\xff"), SIGNATURES, 25)
    assert past.totals is not None
    assert (past.totals.files, past.totals.statuses, past.totals.known) == (9, totals.statuses, 3)
    assert (one.path, one.reasons, one.sha256, one.error) == (
        b"/srv/\xff\n",
        ("depth", "time"),
        bytes(32),
        "half \\udcff",
    )
    assert one.threats == (("Evil.One", "infected", "native", b"in/\xff", 7),)
    assert one.deeds == (("backup", True, "item 1"), ("remove", False, "no"))
    assert (two.word, two.allowed) == ("allowed", "ours; Evil.One")
    for record in (scan_record(past), finding_record(one), finding_record(two)):
        assert violations(json.loads(json.dumps(record)), SCHEMA) == []


def test_hostile_names_come_back_and_are_shown_on_one_line(path: bytes) -> None:
    names = [b"/srv/" + name for name in hostile_names()]
    assert Scan(path).end(*(infected(name) for name in names)) == []
    assert [finding.path for finding in kept(path)] == names
    shown = [row[0] for row in sqlite3.connect(os.fsdecode(path)).execute("SELECT shown FROM finding")]
    assert not [text for text in shown if not text.isprintable() and not text.replace("\u0301", "").isprintable()]


def test_the_file_is_its_owners_alone(path: bytes) -> None:
    Scan(path).end(infected(b"/x"))
    assert os.stat(path).st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("wanted", "paths"),
    [
        (Wanted(statuses=frozenset({"protected"})), [b"/srv/b/locked"]),
        (Wanted(mask=b"/srv/a"), [b"/srv/a/x.exe"]),
        (Wanted(mask=b"*.exe"), [b"/srv/a/x.exe", b"/srv/ab/y.exe"]),
        (Wanted(mask=b"/srv/*b/*"), [b"/srv/ab/y.exe", b"/srv/b/locked"]),
        (Wanted(since=LATER), []),
        (Wanted(until=1.0), []),
    ],
)
def test_only_what_is_asked_for(path: bytes, wanted: Wanted, paths: list[bytes]) -> None:
    locked = Result(b"/srv/b/locked", Status.PROTECTED, Reason.ENCRYPTED)
    Scan(path).end(infected(b"/srv/a/x.exe"), infected(b"/srv/ab/y.exe"), locked)
    assert [finding.path for finding in kept(path, wanted)] == paths


def _write_many(path: bytes, number: int) -> None:
    scan = Scan(path)
    assert scan.end(*(infected(b"/%d/%d" % (number, i)) for i in range(600))) == []


def test_several_scans_at_once_keep_all_they_found(path: bytes) -> None:
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_write_many, args=(path, number)) for number in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    found = kept(path)
    assert len(found) == 2_400
    for number in range(4):
        assert [f.path for f in found if f.path.startswith(b"/%d/" % number)] == [
            b"/%d/%d" % (number, i) for i in range(600)
        ]


def test_what_was_committed_is_there_though_the_scan_was_killed(path: bytes) -> None:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        scan = Scan(path)
        for i in range(600):
            scan.report.add(infected(b"/%d" % i))
        os.write(write, b"x")
        os.kill(os.getpid(), 9)
    os.read(read, 1)
    os.waitpid(child, 0)
    assert len(kept(path)) == 500
    with EventStore(path, create=False) as store:
        (past,) = scans(store, EVERYTHING)
    assert (past.ended, past.totals) == (None, None)
    assert Scan(path).end(infected(b"/after")) == []


# -- damage ------------------------------------------------------------------------------------------------------------


DAMAGE = {
    "no store at all": lambda data: b"not a store" * 400,
    "zeros": lambda data: bytes(len(data)),
    "cut": lambda data: data[: len(data) // 2 + 100],
    "a page in the middle": lambda data: data[:4096] + os.urandom(8192) + data[12288:],
    "the head": lambda data: os.urandom(100) + data[100:],
    "the schema": lambda data: data.replace(b"CREATE TABLE finding", b"CREATE TABLE fooding"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_store_is_set_aside_and_the_scan_is_kept(path: bytes, damage) -> None:
    Scan(path).end(*(infected(b"/%d" % i) for i in range(300)))
    data = Path(os.fsdecode(path)).read_bytes()
    Path(os.fsdecode(path)).write_bytes(damage(data))
    warned = Scan(path).end(infected(b"/new"))
    assert len(warned) == 1
    assert "was damaged and has been set aside as" in warned[0]
    assert [finding.path for finding in kept(path)] == [b"/new"]
    assert Scan(path).end(infected(b"/newer")) == []
    aside = [name for name in os.listdir(os.path.dirname(path)) if b".damaged-" in name]
    assert len(aside) == 1


def test_a_store_that_is_damaged_while_a_scan_writes(path: bytes) -> None:
    scan = Scan(path)
    for i in range(501):
        scan.report.add(infected(b"/%d" % i))
    os.truncate(path, 4096)
    (fd := os.open(path + b"-wal", os.O_WRONLY | os.O_TRUNC))
    os.close(fd)
    os.truncate(path, 0)
    Path(os.fsdecode(path)).write_bytes(b"x" * 8192)
    scan.end(*(infected(b"/late%d" % i) for i in range(600)))
    assert len(scan.warned) <= 2
    expected = [*(b"/%d" % i for i in range(501)), *(b"/late%d" % i for i in range(600))]
    assert sorted(finding.path for finding in kept(path)) == sorted(expected), "each of them once"


def test_what_is_not_held_to_be_written_again_is_counted(path: bytes) -> None:
    scan = Scan(path, again=100)
    for i in range(500):
        scan.report.add(infected(b"/%d" % i))
    (fd := os.open(path + b"-wal", os.O_WRONLY | os.O_TRUNC))
    os.close(fd)
    Path(os.fsdecode(path)).write_bytes(b"x" * 8192)
    scan.end(infected(b"/late"))
    assert len(kept(path)) == 100
    with EventStore(path, create=False) as store:
        (past,) = scans(store, EVERYTHING)
    assert past.unkept == 401


def test_a_store_of_another_version_is_left_alone(path: bytes) -> None:
    Scan(path).end(infected(b"/x"))
    with sqlite3.connect(os.fsdecode(path)) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    before = Path(os.fsdecode(path)).read_bytes()
    (warned,) = Scan(path).end(infected(b"/y"))
    assert "made by another version of this program (99)" in warned
    assert Path(os.fsdecode(path)).read_bytes() == before


def test_a_file_of_another_program_is_not_written_into(path: bytes, tmp_path: Path) -> None:
    os.makedirs(os.path.dirname(path))
    with sqlite3.connect(os.fsdecode(path)) as database:
        database.execute("CREATE TABLE theirs (x)")
        database.execute("PRAGMA application_id = 7")
    database.close()
    before = Path(os.fsdecode(path)).read_bytes()
    os.chmod(path, 0o600)
    (warned,) = Scan(path).end(infected(b"/y"))
    (aside,) = [name for name in os.listdir(os.path.dirname(path)) if b".damaged-" in name]
    assert os.fsdecode(aside) in warned
    assert Path(os.fsdecode(os.path.join(os.path.dirname(path), aside))).read_bytes() == before


@pytest.mark.parametrize(
    "data", [b"root:x:0:0\n" * 100, b"SQLite format 3\0" + bytes(4080)], ids=["text", "a database"]
)
def test_a_file_that_was_named_by_mistake_stays_where_it_is(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "important"
    path.write_bytes(data)
    path.chmod(0o600)
    (warned,) = Scan(os.fsencode(path)).end(infected(b"/y"))
    assert "it is no event store" in warned
    assert path.read_bytes() == data


def test_what_somebody_else_could_have_written_is_not_used(path: bytes) -> None:
    Scan(path).end(infected(b"/x"))
    os.chmod(path, 0o622)
    (warned,) = Scan(path).end(infected(b"/y"))
    assert "another user could have written it; this scan is not in the history" in warned
    os.chmod(path, 0o600)
    os.rename(path, path + b".real")
    os.symlink(path + b".real", path)
    assert len(Scan(path).end(infected(b"/y"))) == 1
    with pytest.raises(EventsFailed):
        kept(path)
    assert [finding.path for finding in kept(path + b".real")] == [b"/x"]


@pytest.mark.parametrize("place", ["a file", "/dev/full", "a fifo"])
def test_a_place_where_nothing_can_be_kept_costs_one_line(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "fifo")
    named = {"a file": tmp_path / "file" / "events.db", "/dev/full": Path("/dev/full"), "a fifo": tmp_path / "fifo"}
    warned = Scan(os.fsencode(named[place])).end(*(infected(b"/%d" % i) for i in range(1_200)))
    assert len(warned) == 1
    assert "this scan is not in the history" in warned[0]


def test_reading_makes_nothing(path: bytes) -> None:
    with pytest.raises(FileNotFoundError):
        kept(path)
    assert not os.path.exists(os.path.dirname(path))


# -- how much ----------------------------------------------------------------------------------------------------------


def test_old_scans_go_with_all_that_belongs_to_them(path: bytes) -> None:
    now = time.time()
    Scan(path, begun=now - 1_000).end(infected(b"/old", deeds=(Deed("remove", True),)))
    Scan(path, begun=now - 10).end(infected(b"/new"))
    assert {finding.path for finding in kept(path)} == {b"/old", b"/new"}
    Scan(path, keep=Retention(100.0), begun=now).end(infected(b"/now"))
    assert {finding.path for finding in kept(path)} == {b"/new", b"/now"}
    database = sqlite3.connect(os.fsdecode(path))
    assert database.execute("SELECT count(*) FROM deed").fetchone() == (0,)
    assert database.execute("SELECT count(*) FROM threat").fetchone() == (2,)
    database.close()


def test_the_oldest_go_when_there_is_too_much(path: bytes) -> None:
    keep = Retention(0.0, 600_000)
    for i in range(12):
        Scan(path, keep, begun=1_000.0 + i).end(*(infected(b"/%d/%d%s" % (i, k, b"x" * 200)) for k in range(200)))
    assert os.stat(path).st_size < 900_000
    with EventStore(path, create=False) as store:
        begun = [scan.begun for scan in scans(store, EVERYTHING)]
    assert begun[-1] == 1_011.0
    assert begun == sorted(begun)
    assert 1 < len(begun) < 12


def test_one_scan_cannot_fill_the_disk(path: bytes, monkeypatch) -> None:
    monkeypatch.setattr("kavfs.report.remembering.KEPT_MAX", 700)
    Scan(path).end(*(infected(b"/%d" % i) for i in range(1_000)))
    assert KEPT_MAX > 700
    assert len(kept(path)) == 700
    with EventStore(path, create=False) as store:
        assert next(scans(store, EVERYTHING)).unkept == 300


def test_what_was_found_is_kept_however_much_could_not_be_read(path: bytes, monkeypatch) -> None:
    monkeypatch.setattr("kavfs.report.remembering.KEPT_MAX", 100)
    unread = [Result(b"/u%d" % i, Status.ERROR, Reason.UNREADABLE) for i in range(200)]
    Scan(path).end(*unread, infected(b"/the-one"))
    assert kept(path)[-1].path == b"/the-one"
    monkeypatch.setattr("kavfs.report.past.ROWS_MAX", 20)
    with EventStore(path, create=False) as store:
        assert next(scans(store, EVERYTHING)).unkept == 150
        shown = page_of(store, EVERYTHING, "ever")
    assert [finding.path for finding in shown.findings][-1] == b"/the-one"
    assert (len(shown.findings), shown.left_out) == (20, 150 + 51 - 20)


def test_a_row_that_makes_no_sense_is_said_and_not_believed(path: bytes) -> None:
    with EventStore(path) as store:
        scan = store.begin_scan((1.0, "p", "v", 0, b"", "{}"))
        row = (1.0, b"/x", "/x", "no status", "", 0, "f", None, "native", None, None)
        store.add(scan, [Found(row)], [])
        with pytest.raises(EventsFailed, match="makes no sense"):
            list(scans(store, EVERYTHING))
        with pytest.raises(EventsFailed, match="makes no sense"):
            list(findings(store, EVERYTHING, scan))


def test_a_store_whose_own_words_are_damaged_is_set_aside(path: bytes) -> None:
    """What SQLite says of it holds bytes that are no text."""
    assert Scan(path).end(infected(b"/a")) == []
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(data.replace(b"CREATE TABLE finding", b"\xff\xff\xff\x7fTE TABLE finding"))
    with pytest.raises(EventsFailed):
        EventStore(path, create=False)
    assert any("damaged" in line for line in Scan(path).end(infected(b"/b")))
    with EventStore(path, create=False) as store:
        assert [one.path for scan in scans(store, EVERYTHING) for one in findings(store, EVERYTHING, scan.number)] == [
            b"/b"
        ]

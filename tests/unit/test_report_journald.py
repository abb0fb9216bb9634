"""journald: what arrives at a socket that stands in for the journal's."""

from __future__ import annotations

import array
import os
import queue
import re
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs.model import Deed, Reason, Result, Status, Threat, Totals
from kavfs.report import journald
from kavfs.report.journald import JournalReport, JournalSink
from kavfs.report.lines import Show
from kavfs.report.names import shown_path
from kavfs.report.summary import Signatures
from tests.support.hostile import hostile_names

SIGNATURES = Signatures(7, 1_700_000_000.0, False, bytes(16))
Entry = dict[str, list[bytes]]


class Journal:
    """A socket that takes datagrams, and reads them as journald does."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._own = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._own.connect(self.path)
        self.sinks: list[JournalSink] = []
        self._taken: queue.Queue[bytes] = queue.Queue()
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        """Until the datagram of close(): a sender waits when ten are on their way."""
        while True:
            data, rights, _, _ = self._socket.recvmsg(1 << 20, 64)
            for _, _, numbers in rights:
                (fd,) = array.array("i", numbers)
                with open(fd, "rb") as file:
                    file.seek(0)
                    data = file.read()
            self._taken.put(data)
            if data == b"end":
                return

    def entries(self) -> list[Entry]:
        """What was sent since the last time."""
        self._own.send(b"mark")
        return [read_entry(data) for data in iter(self._taken.get, b"mark")]

    def close(self) -> None:
        if self._thread.is_alive():
            self._own.send(b"end")
            self._thread.join()
        for one in (self._socket, self._own, *self.sinks):
            one.close()


def read_entry(data: bytes) -> Entry:
    """The fields of an entry, by the rules of the native protocol."""
    entry: Entry = {}
    while data:
        head, _, rest = data.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", rest[:8])
            value, data = rest[8 : 8 + length], rest[8 + length + 1 :]
            assert rest[8 + length : 8 + length + 1] == b"\n"
        else:
            data = rest
        assert re.fullmatch(rb"[A-Z][A-Z0-9_]{0,63}", name), name
        entry.setdefault(name.decode(), []).append(value)
    return entry


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "socket")
    yield journal
    journal.close()


def report(journal: Journal, level: int = 9, lost: list[str] | None = None) -> JournalReport:
    lost = [] if lost is None else lost
    sink = JournalSink("kavscanner", level, lost.append, journal.path)
    journal.sinks.append(sink)
    return JournalReport(sink, Show(), SIGNATURES, (b"/srv",))


def infected(path: bytes, **more) -> Result:
    return Result(path, Status.INFECTED, threats=(Threat("Evil.One", Status.INFECTED, "native"),), **more)


def test_an_entry_has_its_line_and_its_fields(journal: Journal) -> None:
    one = report(journal)
    deeds = (Deed("backup", True), Deed("remove", False, "no"))
    one.add(infected(b"/srv/x", size=5, sha256=bytes(32), deeds=deeds))
    one.add(Result(b"/srv/y", Status.PROTECTED, Reason.ENCRYPTED))
    one.note("a note")
    one.finish(Totals(files=2, statuses={Status.INFECTED: 1, Status.PROTECTED: 1}))
    begin, found, kept, failed, partial, note, *end = journal.entries()
    assert begin["MESSAGE_ID"] == [journald.BEGIN.encode()]
    assert found["MESSAGE"] == [b"/srv/x INFECTED Evil.One"]
    assert (kept["MESSAGE"], failed["MESSAGE"]) == ([b"/srv/x: backup"], [b"/srv/x: remove failed: no"])
    assert (kept["PRIORITY"], failed["PRIORITY"]) == ([b"4"], [b"3"])
    assert (found["PRIORITY"], found["MESSAGE_ID"]) == ([b"4"], [journald.FINDING.encode()])
    assert (found["KAVFS_PATH"], found["KAVFS_STATUS"]) == ([b"/srv/x"], [b"infected"])
    assert (found["KAVFS_THREAT"], found["KAVFS_SIZE"]) == ([b"Evil.One"], [b"5"])
    assert (found["KAVFS_DEED"], found["KAVFS_FAILED"]) == ([b"backup"], [b"remove"])
    assert found["KAVFS_SHA256"] == [b"00" * 32]
    assert found["SYSLOG_IDENTIFIER"] == [b"kavscanner"]
    assert (partial["MESSAGE_ID"], partial["KAVFS_REASON"]) == ([journald.PARTIAL.encode()], [b"encrypted"])
    assert note["MESSAGE_ID"] == [journald.MESSAGE.encode()]
    assert "KAVFS_PATH" not in note
    assert {entry["MESSAGE_ID"][0] for entry in end} == {journald.END.encode()}
    assert end[0]["KAVFS_INFECTED"] == [b"1"]


def test_kinds_of_messages_are_numbers_of_their_own() -> None:
    kinds = [journald.FINDING, journald.PARTIAL, journald.CLEAN, journald.MESSAGE, journald.BEGIN, journald.END]
    assert len(set(kinds)) == len(kinds)
    assert all(re.fullmatch("[0-9a-f]{32}", kind) for kind in kinds)


def test_hostile_names_make_no_field_and_no_entry(journal: Journal) -> None:
    names = [b"/srv/" + name for name in hostile_names()] + [b"/srv/x\nPRIORITY=0\nMESSAGE_ID=" + b"0" * 32]
    for name in names:
        one = report(journal)
        one.add(infected(name))
        _, found = journal.entries()
        assert found["KAVFS_PATH"] == [name]
        assert found["PRIORITY"] == [b"4"]
        assert found["MESSAGE"] == [shown_path(name) + b" INFECTED Evil.One"]
        assert b"\n" not in found["MESSAGE"][0]


def test_what_does_not_fit_into_a_datagram_arrives_too(journal: Journal) -> None:
    one = report(journal)
    path = b"/" + b"x" * 300_000
    one.add(infected(path))
    _, found = journal.entries()
    assert found["KAVFS_PATH"] == [path]


@pytest.mark.parametrize(("level", "count"), [(1, 1), (2, 2), (4, 3)])
def test_levels_choose_what_is_sent(journal: Journal, level: int, count: int) -> None:
    one = report(journal, level)
    journal.entries()
    one.add(Result(b"/e", Status.ERROR, Reason.UNREADABLE, error="unreadable: no"))
    one.add(infected(b"/x"))
    if one.wants_clean:
        one.add(Result(b"/c", Status.CLEAN))
    assert len(journal.entries()) == count


def test_unchanged_files_are_entries_too(journal: Journal) -> None:
    one = report(journal)
    journal.entries()
    one.known(b"/srv/", b"a\0b\0", bytes(16))
    one.listed(b"/srv/c\0", lambda: [])
    assert [entry["MESSAGE"] for entry in journal.entries()] == [[b"/srv/a OK"], [b"/srv/b OK"], [b"/srv/c OK"]]


def test_a_journal_that_goes_away_is_told_once(journal: Journal) -> None:
    lost: list[str] = []
    one = report(journal, lost=lost)
    journal.close()
    os.unlink(journal.path)
    for _ in range(3):
        one.add(infected(b"/x"))
    one.finish(Totals())
    assert len(lost) == 1


def test_a_journal_that_takes_nothing_holds_the_scan_up_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(journald, "PATIENCE", 0.2)
    lost: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
        full.bind(str(tmp_path / "full"))
        sink = JournalSink("kavscanner", 4, lost.append, str(tmp_path / "full"))
        one = JournalReport(sink, Show(), SIGNATURES)
        for i in range(2_000):
            one.add(infected(b"/%d" % i))
        sink.close()
    assert lost == ["cannot write to the journal: it takes nothing"]


def test_no_journal_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        JournalSink("kavscanner", 4, print, str(tmp_path / "none"))

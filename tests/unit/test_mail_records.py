"""Records: statistics, lines of the log, counters and what is kept of a message."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from kavfs.action.catalogue import MESSAGE, VERSION
from kavfs.action.place import ActionError
from kavfs.action.store import Store
from kavfs.action.vault import CATALOGUE
from kavfs.errors import KavfsError
from kavfs.mail import letter
from kavfs.mail.case import Case
from kavfs.mail.counts import Counts
from kavfs.mail.envelope import Recipient
from kavfs.mail.keeping import Keeping
from kavfs.mail.loglines import LogLines, received, scanned
from kavfs.mail.metrics import MailMetrics
from kavfs.mail.recording import recording
from kavfs.mail.relay import Counts as Relayed
from kavfs.mail.rules import Action
from kavfs.mail.statistics import WAITING, Statistics, line_of
from kavfs.model import Status
from kavfs.patterns.lists import read_patterns
from tests.support.acting import FINDING, hold
from tests.support.cases import TO, case, group, mail, spool_of
from tests.support.mailing import free_port

EVIL = b'"a\tb\r\n> , nrcpt=0"@x'


def clean(**more: object) -> Case:
    return case(status=Status.CLEAN, findings=(), action=Action.UNCHANGED, **more)  # type: ignore[arg-type]


# ---- statistics ------------------------------------------------------------------------------------------------------


def test_a_line_has_eight_fields() -> None:
    to = (Recipient(b"a@x"), Recipient(b'"b,c"@x'))
    one = case(mail(Message_ID="<1@x>"), to=to, threats=("One", "Two"))
    fields = line_of(one).removesuffix(b"\n").split(b"\t")
    assert fields[1:] == [
        b"%d" % one.spool.size,
        b"sender@example.org",
        b'a@x,"b\\x2cc"@x',
        b"infected",
        b"One,Two",
        b"192.0.2.7",
        b"<1@x>",
    ]
    assert len(fields[0]) == 19
    assert line_of(clean()).split(b"\t")[4:6] == [b"clean", b""]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (b"198.51.100.9", b"198.51.100.9"),
        (b"IPV6:2001:DB8::1", b"2001:db8::1"),
        (b"[UNAVAILABLE]", b"192.0.2.7"),
        (b"1.2.3.4]", b"192.0.2.7"),
    ],
)
def test_the_client_is_the_one_that_the_previous_hop_had(given: bytes, told: bytes) -> None:
    one = case()
    one = one._replace(envelope=one.envelope._replace(xforward=((b"NAME", b"1.2.3.4"), (b"ADDR", given))))
    assert line_of(one).split(b"\t")[6] == told
    assert f"client=[{told.decode()}]," in received(one)
    assert letter.letter_of(one).client == told.decode()


def test_nothing_of_a_message_begins_a_field_or_a_line() -> None:
    evil = mail().replace(b"Message-ID: <", b"Message-ID: <\tx\x1b[0m\xff")
    line = line_of(case(evil, sender=EVIL, to=(Recipient(EVIL),), threats=("A\tB\n", "\x1b")))
    assert (line.count(b"\t"), line.count(b"\n")) == (7, 1)
    assert not any(c < 0x20 and c not in b"\t\n" for c in line)


def test_lines_go_to_a_file_also_after_it_was_moved_away(tmp_path: Path) -> None:
    file = tmp_path / "stat"
    statistics, one = Statistics(str(file)), case()
    statistics.write(one)
    statistics.write(one)
    file.rename(tmp_path / "old")
    statistics.write(one)
    statistics.close()
    assert (tmp_path / "old").read_bytes() == line_of(one) * 2
    assert file.read_bytes() == line_of(one)
    assert file.stat().st_mode & 0o777 == 0o640
    assert statistics.lost == 0


def test_what_cannot_be_written_is_lost_and_counted(tmp_path: Path) -> None:
    statistics = Statistics(str(tmp_path / "no" / "stat"))
    statistics.write(case())
    (tmp_path / "no").mkdir()
    statistics.write(case())
    assert statistics.lost == 1
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    statistics = Statistics(str(link))
    statistics.write(case())
    assert statistics.lost == 1
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("kind", ["tcp", "unix", "path"])
def test_lines_go_to_a_socket(tmp_path: Path, kind: str) -> None:
    family = socket.AF_INET if kind == "tcp" else socket.AF_UNIX
    with closing(socket.socket(family, socket.SOCK_STREAM)) as server:
        server.bind(("127.0.0.1", 0) if kind == "tcp" else str(tmp_path / "s"))
        server.listen()
        name = f"127.0.0.1:{server.getsockname()[1]}" if kind == "tcp" else str(tmp_path / "s")
        statistics, one = Statistics(f"unix:{name}" if kind == "unix" else name), case()
        statistics.write(one)
        statistics.write(one)
        with closing(server.accept()[0]) as reader:
            statistics.close()
            assert reader.makefile("rb").read() == line_of(one) * 2
        assert statistics.lost == 0


def test_a_socket_that_nobody_reads_or_has_stalls_nobody(tmp_path: Path) -> None:
    statistics = Statistics(f"127.0.0.1:{free_port()}")
    statistics.write(case())
    statistics.close()
    assert statistics.lost == 1
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        statistics = Statistics(f"unix:{tmp_path / 's'}")
        one = case(to=tuple(Recipient(b"%d@example.com" % n) for n in range(1000)))
        for _ in range(WAITING + 200):  # 18 KB each: more than a socket holds
            statistics.write(one)
        assert statistics.lost >= 100
        statistics.close(0.1)


# ---- log -------------------------------------------------------------------------------------------------------------


def written(*cases: Case, ok: bool = False) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    log = LogLines(lambda text, letter: lines.append((letter, text)), ok)
    for one in cases:
        log.write(one)
    return lines


def test_a_message_has_a_line_when_it_came_and_one_for_each_group() -> None:
    one = case(mail(Message_ID="<1@x>"), items=("0123",))
    lines = written(one, one)
    assert [letter for letter, _ in lines] == ["A", "W", "W"]
    assert lines[0][1] == (
        f"ABCDEF123456: RECEIVED, from=<sender@example.org>, nrcpt=1, size={one.spool.size}, client=[192.0.2.7], "
        "helo=<client.example.org>, message_id=<1@x>, flags=E"
    )
    assert lines[1][1] == (
        'ABCDEF123456: SCANNED, group=<default>, nrcpt=1, status="infected", srcid=ABCDEF123456, '
        'names="Eicar-Test-Signature", action="remove", quarantine="0123"'
    )


def test_values_between_brackets_cannot_close_them_and_are_else_as_they_are() -> None:
    one = case()
    line = received(one._replace(envelope=one.envelope._replace(sender=b"a>, x=<b", helo=b"[192.0.2.7]")))
    assert "from=<a\\x3e, x=<b>, " in line
    assert "helo=<[192.0.2.7]>, " in line


def test_flags_say_what_was_asked_for() -> None:
    asked = case(to=(Recipient(TO, ((b"NOTIFY", b"NEVER"),)),))
    assert received(asked).endswith("flags=ED")
    assert received(asked._replace(envelope=asked.envelope._replace(protocol=b"SMTP"))).endswith("flags=D")


def test_clean_mail_is_written_down_only_if_wanted() -> None:
    assert written(clean()) == []
    assert [letter for letter, _ in written(clean(), ok=True)] == ["A", "A"]
    assert 'status="not checked"' in scanned(clean(message=None))
    assert 'action="block"' in scanned(case(blocked=True))
    assert written(case(status=Status.ERROR))[1][0] == "E"


def test_nothing_of_a_message_passes_for_a_field_of_the_log() -> None:
    evil = case(mail(Message_ID="<x>, nrcpt=0"), sender=EVIL, threats=('x", action="clean', "y\n[E] z"))
    for line in (received(evil), scanned(evil)):
        assert "\n" not in line
        assert "\t" not in line
    assert received(evil).count(">") == 3
    assert scanned(evil).count('"') == 6


def test_who_writes_down_does_not_stop_the_others() -> None:
    told: list[Case] = []

    def broken(one: Case) -> None:
        raise OSError("full")

    one = case()
    recording(broken, told.append)(one)
    assert told == [one]


# ---- counters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domains", "users"),
    [(r"example\.com", 2), (r"@example\.com$", 2), (r"*@example.com", 2), (r"^mail\.", 1), (r"^other\.", 0), ("", 4)],
)
def test_users_are_addresses_of_protected_domains_however_these_are_written(domains: str, users: int) -> None:
    counts = Counts(read_patterns(domains))
    addresses = (b"a@example.com", b"b@example.com", b"A@EXAMPLE.COM", b"mail.a@x.org", b"b@mail.example.org")
    for address in addresses:
        counts.write(clean(sender=b"", to=(Recipient(address),)))
    assert counts.users == users


def test_messages_are_counted_by_what_became_of_them() -> None:
    counts, relayed = Counts([lambda domain: domain == b"example.com"]), Relayed()
    relayed.deferred = 3
    scanned_clean = [clean(), clean()]
    for one in (*scanned_clean, case(), case(items=("x",)), clean(message=None), case(blocked=True)):
        counts.write(one)
    assert counts.clean_bytes == sum(one.spool.size for one in scanned_clean)
    assert counts.users == 1
    registry = CollectorRegistry()
    registry.register(MailMetrics(counts, relayed, {("admin", "sent"): 2}, lambda: 7))
    text = generate_latest(registry).decode()
    for line in (
        'kavfs_mail_messages_total{action="remove",policy="default"} 2.0',
        'kavfs_mail_messages_total{action="clean",policy="default"} 3.0',
        'kavfs_mail_messages_total{action="block",policy="default"} 1.0',
        'kavfs_mail_findings_total{status="infected"} 3.0',
        'kavfs_mail_notices_total{outcome="sent",role="admin"} 2.0',
        "kavfs_mail_tempfails_total 3.0",
        "kavfs_mail_quarantined_total 1.0",
        "kavfs_mail_statistics_lost_total 7.0",
        "kavfs_mail_users 1.0",
    ):
        assert line in text


# ---- quarantine ------------------------------------------------------------------------------------------------------


def test_a_message_is_kept_with_its_envelope(tmp_path: Path) -> None:
    one = case(mail(Subject="Hällo"), to=(Recipient(b"a@x"), Recipient("ü@x".encode())), sender=EVIL)
    (item,) = Keeping(os.fsencode(tmp_path / "q"))(one)
    with Store(os.fsencode(tmp_path / "q")) as store:
        row = store.get(item)
        assert b"".join(store.open(item)) == b"".join(one.spool.chunks())
        assert (row.kind, row.finding.threat, row.finding.status) == (MESSAGE, "Eicar-Test-Signature", Status.INFECTED)
        kept = letter.read(row.letter)
        with pytest.raises(ActionError, match="is a message"):
            store.restore(item)
    assert (kept.sender, kept.recipients) == (EVIL, (b"a@x", "ü@x".encode()))
    assert (kept.id, kept.group, kept.client, kept.subject) == ("ABCDEF123456", "default", "192.0.2.7", "Hällo")
    (found,) = kept.found
    assert (found.name, found.status, found.threats, found.place) == (
        *("bad.exe", "infected", ("Eicar-Test-Signature",)),
        "1.2",
    )
    plain = [path for path in (tmp_path / "q").rglob("*") if path.is_file() and b"ABCDEF" in path.read_bytes()]
    assert plain == [tmp_path / "q" / "kavfs.catalogue"], "beside the catalogue, which only we may read, all is sealed"


def test_the_envelope_is_in_the_item_too_where_the_catalogue_is_lost(tmp_path: Path) -> None:
    (item,) = Keeping(os.fsencode(tmp_path))(case())
    (tmp_path / os.fsdecode(CATALOGUE)).unlink()
    with Store(os.fsencode(tmp_path)) as store:
        assert letter.read(store.get(item).letter).recipients == (TO,)


def test_a_group_has_a_store_of_its_own(tmp_path: Path) -> None:
    own = group()._replace(quarantine_path=os.fsencode(tmp_path / "own"))
    keeping = Keeping(os.fsencode(tmp_path / "usual"))
    keeping(case(of=own))
    assert not (tmp_path / "usual").exists()
    with Store(os.fsencode(tmp_path / "own")) as store:
        assert len(store.items(MESSAGE)) == 1
    assert (tmp_path / "own" / "kavfs.store").exists(), "a scan of files does not enter it"


def test_what_is_too_much_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KavfsError, match="larger than all"):
        Keeping(os.fsencode(tmp_path / "q"), most=100)(case())
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(KavfsError, match="cannot be used"):
        Keeping(os.fsencode(tmp_path / "file"))(case())


def test_what_is_old_makes_room(tmp_path: Path) -> None:
    size = case().spool.size
    items = [Keeping(os.fsencode(tmp_path), most=size * 5 // 2)(case())[0] for _ in range(4)]
    with Store(os.fsencode(tmp_path)) as store:
        assert [item.id for item in store.items()] == items[2:]
    Keeping(os.fsencode(tmp_path), age=86400.0)(case())
    with Store(os.fsencode(tmp_path)) as store:
        assert len(store.items()) == 3


def test_many_threads_keep_at_once(tmp_path: Path) -> None:
    keeping, items = Keeping(os.fsencode(tmp_path / "q")), []
    threads = [threading.Thread(target=lambda: items.extend(keeping(case()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(items)) == 8


@pytest.mark.parametrize("version", [1, 2])
def test_a_store_of_an_older_version_opens_and_takes_messages(tmp_path: Path, version: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    with Store(os.fsencode(tmp_path / "q")) as store, hold(file) as held:
        old = store.put(held, FINDING)
    with closing(sqlite3.connect(tmp_path / "q" / os.fsdecode(CATALOGUE))) as base:
        for column in ("letter", *(("judged_by", "judged_ns") if version == 1 else ())):
            base.execute(f"ALTER TABLE items DROP COLUMN {column}")
        base.execute(f"PRAGMA user_version = {version}")
    (new,) = Keeping(os.fsencode(tmp_path / "q"))(case())
    with Store(os.fsencode(tmp_path / "q")) as store:
        assert [item.id for item in store.items()] == [old, new]
        assert store.get(old).letter == ""
    with closing(sqlite3.connect(tmp_path / "q" / os.fsdecode(CATALOGUE))) as base:
        assert base.execute("PRAGMA user_version").fetchone() == (VERSION,)
        base.execute("PRAGMA user_version = 2")  # by a program of before that had it in hand
    with Store(os.fsencode(tmp_path / "q")) as store:
        assert len(store.items(MESSAGE)) == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"sender": 1}', '{"sender": "", "recipients": 5}'])
def test_what_is_no_letter_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        letter.read(text)


def test_a_message_that_cannot_be_read_has_words_all_the_same() -> None:
    one = case(message=None)
    one.spool.close()
    one = one._replace(spool=spool_of(b""))
    assert line_of(one).endswith(b"\t\n")
    assert "message_id=<>" in received(one)

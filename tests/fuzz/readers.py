"""Readers: what is written in Python and reads bytes of others, each with what it begins with and what may come of it.

A trial gets broken bytes and raises only what its reader must not raise. A new reader gets a line in READERS.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import random
import tempfile
from collections.abc import Callable, Iterator

from kavfs.errors import DatabaseDamaged
from kavfs.mail.hop import Hop
from kavfs.mail.milter import MilterLimits, MilterSession, Passed
from kavfs.mail.milter_edits import edits
from kavfs.mail.milter_wire import Strange
from kavfs.mail.replies import OK
from kavfs.mail.session import Hello, Mail, Message, Rcpt, Session
from kavfs.mail.settings import PASSED, Settings
from kavfs.mail.spool import Spool
from kavfs.recipe import BadRecipe, DoesNotFit, parse
from kavfs.report.events import EventsFailed, EventStore, Found
from kavfs.report.html import render
from kavfs.report.past import Wanted, finding_record, findings, notes, page_of, scan_record, scans
from kavfs.signatures import dsig
from kavfs.signatures.allow import Allowed, AllowList, entries_from, to_bytes
from kavfs.signatures.ignore import read_ign2, without_muted
from kavfs.signatures.kinds import READ
from kavfs.signatures.lines import Tally
from kavfs.signatures.pack import read_members
from kavfs.signatures.segment import compile_segment
from kavfs.signatures.sources import Identity, Source
from tests.fuzz.breaking import broken
from tests.fuzz.curers import CURERS, Reader, Seeds
from tests.support import packs
from tests.support.milters import MailServer, frame, frames
from tests.support.objects import EICAR


def rounds(reader: Reader, seed: int) -> Iterator[bytes]:
    """Broken inputs without end, the same for the same seed."""
    seeds = [content for _, content in sorted(reader.seeds().items())]
    yield from seeds
    dice = random.Random(seed)
    while True:
        data = broken(dice.choice(seeds), dice, reader.words)
        yield reader.mended(data) if dice.random() < 0.8 else data


# -- signatures ----------------------------------------------------------------------------------------------------

MEMBERS = {"a.hdb": b"%s:68:A\n" % (b"ab" * 16), "b.ndb": b"B:0:*:616263646566\n"}


def _packs() -> Seeds:
    return {kind: packs.make_pack(MEMBERS, kind=kind) for kind in ("cvd", "cld", "cud")}


def _read_pack(data: bytes) -> None:
    """As each kind, whoever signed it."""
    trusted, dsig.TRUSTED = dsig.TRUSTED, packs.keys()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("cvd", "cld", "cud"):
                path = os.path.join(os.fsencode(folder), b"some." + kind.encode())
                with open(path, "wb") as file:
                    file.write(data)
                with contextlib.suppress(DatabaseDamaged):
                    for member in read_members(Source(path, kind, Identity(len(data), 0, 0, 0))):
                        assert member.text == MEMBERS[member.source.member.decode()] or kind == "cud"
    finally:
        dsig.TRUSTED = trusted


def _pack_mended(data: bytes) -> bytes:
    """Signed again over what it holds now."""
    return packs.seal(data[512:])


LINES: dict[str, bytes] = {
    "ndb": b"N-1:0:*:616263646566??{4-}6768:51:255\nN-2:1:EP-10,4:(61|62)!(64|65)(B)4d5a(L)[2-3]90\n",
    "db": b"Old=616263646566*676869\nOther (Clam)=4d5a909090909090\n",
    "ldb": b"A;Engine:51-255,Target:1;(0&1)>1,2|(2=0);EP+1,5:4d5a??(61|62);S1+2:aabb;616263\n",
    "hdb": b"%s:68:A\n%s:*:B:73\n" % (b"ab" * 16, b"cd" * 20),
    "mdb": b"512:%s:S\n" % (b"ab" * 16),
    "imp": b"%s:80:I\n" % (b"ab" * 16),
    "cdb": b"Name:CL_TYPE_ZIP:*:a[bc]+\\.exe$:10-20:*:1:2-3:*:*\n",
    "zmd": b"Z:1:.*\\.exe:100:50:0:8:1:1\n",
    "rmd": b"R:0:a.*:*:*:*:*:*:*\n",
    "pwdb": b"P;Engine:81-255;0;infected\nQ;Engine:81-255,Container:CL_TYPE_ZIP;1;76697275\n",
    "ftm": b"0:0:504b0304:ZIP:CL_TYPE_ANY:CL_TYPE_ZIP\n1:0,99:6?(62|63)64:T:CL_TYPE_ANY:CL_TYPE_ELF:1:255\n",
    "idb": b"I:G1:G2:20%s\n" % (b"0" * 122),
    "fp": b"%s:68:F\n" % (b"ab" * 16),
    "ign2": b"Some.Name\nOther:%s\n" % (b"ab" * 16),
    "cure": b"Evil:delete:hit-end=%s;replace:61626364=65:*\nE:keep:before(61626364)-3;truncate:5:%s\n"
    % (b"ab" * 32, b"cd" * 32),
    "crb": b"0;Name;1;%s;;%s;010001;;1;0;1;0;0\n" % (b"ab" * 20, b"cd" * 128),
}
LINE_WORDS = (
    *(bytes([sign]) for sign in b":;*/()[]{}<>&|!?#$,-+=\\^\n\r\0\xff"),
    b"CL_TYPE_",
    b"99999999999999999999",
    b"{-}",
)


def _read_lines(kind: str) -> Callable[[bytes], None]:
    def trial(text: bytes) -> None:
        """Every line is taken, a comment, or has its reason."""
        source = Source(b"/db/some." + kind.encode(), kind, Identity(len(text), 0, 0, 0))
        made = compile_segment(source, text, hashlib.sha256(text).hexdigest())
        told = made.tally.taken + made.tally.comments + sum(made.tally.reasons.values())
        assert made.tally.taken >= 0
        assert told >= len([line for line in text.split(b"\n") if line.strip()]) or kind in ("crb", "ign2")
        if kind == "ign2":
            without_muted(b"".join(LINES.values()), read_ign2(text, Tally())[1])

    return trial


def _recipe(data: bytes) -> None:
    file = b"head" + EICAR + b"abcdtail" * 3
    for line in data.decode("latin-1").splitlines():
        with contextlib.suppress(BadRecipe, DoesNotFit):
            parse(line).edits(file, 4)


# -- state ---------------------------------------------------------------------------------------------------------

ALLOWED = (
    Allowed(1, "sha256", "ab" * 32, None, "a reason", 1.7e9, "root", 1.8e9),
    Allowed(2, "md5", "ab" * 16, 5, "", 1.7e9, "root"),
    Allowed(3, "signature", "Evil.One", None, "x", 1.7e9, "root"),
    Allowed(4, "path", "/srv/*.txt", None, "x", 1.7e9, "root"),
)
JSON_WORDS = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b":",
    b"null",
    b"true",
    b"1e400",
    b"NaN",
    b"-1",
    b"9" * 5000,
    b"\\ud800",
)


def _read_allowed(data: bytes) -> None:
    try:
        entries = entries_from(data)
    except ValueError:
        return  # said in a note
    kept = AllowList(entries, path=b"/state/allow.json")
    for source in kept.sources():
        assert source.text.count(b"\n") <= len(entries)
    assert entries_from(to_bytes(entries)) == entries


TOTALS = {
    **dict.fromkeys(("files", "bytes", "scanned", "members", "directories", "suppressed", "unchanged"), 1),
    **{"seconds": 1.5, "statuses": {"infected": 1}, "reasons": {"damaged": 1}, "entries": {}},
    **{"interrupted": False, "window_ended": False},
}


@functools.cache
def history() -> Seeds:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(os.fsencode(folder), b"events.db")
        with EventStore(path) as store:
            told = '{"count":7,"newest":1.0,"demonstration":false,"generation":"0f","engines":[["native",""]]}'
            totals = json.dumps(TOTALS)
            scan = store.begin_scan((1.0, "kavscanner", "1", 0, b"/srv\0", told))
            row = (2.0, b"/srv/\xff", "shown", "infected", "damaged", 68, "pe", b"x" * 32, "native", None, None)
            threat, deed = ("Evil", "infected", "native", b"in", 7), ("delete", 1, "gone")
            store.add(scan, [Found(row, [threat], [deed])], [(2.0, "a note")])
            store.end_scan(scan, 3.0, totals, 25, 0)
        with open(path, "rb") as file:
            return {"store": file.read()}


HISTORY_WORDS = (*JSON_WORDS, b"1e999", b"infected", b"malformed", b"\xff\xff", b"9e307")


def _read_history(data: bytes) -> None:
    """All that `kavfs report` makes of a store."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(os.fsencode(folder), b"events.db")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(data)
        with contextlib.suppress(EventsFailed), EventStore(path, create=False) as store:
            for scan in scans(store, Wanted()):
                scan_record(scan)
                list(notes(store, scan.number))
                for finding in findings(store, Wanted(), scan.number):
                    finding_record(finding)
        with contextlib.suppress(EventsFailed), EventStore(path, create=False) as store:
            render(page_of(store, Wanted(), "all"))
        with contextlib.suppress(EventsFailed), EventStore(path) as store:
            store.begin_scan((1.0, "kavscanner", "1", 0, b"/srv\0", "{}"))


# -- mail ----------------------------------------------------------------------------------------------------------

MAIL_WORDS = (
    b"\r\n",
    b"\r\n.\r\n",
    b"\n",
    b"\r",
    b"MAIL FROM:<a@x>\r\n",
    b"RCPT TO:<b@x>\r\n",
    b"DATA\r\n",
    b"250-",
    b"421 ",
    b"<>",
)


def _dialogue() -> Seeds:
    client = b"EHLO x\r\nMAIL FROM:<a@x> SIZE=1\r\nRCPT TO:<b@x>\r\nDATA\r\n..hi\r\n.\r\nRSET\r\nNOOP\r\nQUIT\r\n"
    return {
        "client": client,
        "hop": b"220 x\r\n250-x\r\n250-SIZE 1\r\n250 DSN\r\n550-5.1.1 no\r\n550 5.1.1 no\r\n354 go\r\n421 x\r\n",
    }


def _talk(data: bytes) -> None:
    """Once as what a client says, once as what the next hop answers."""
    session = Session(Settings(offer=PASSED), Spool)
    for at in range(0, len(data), 7):
        session.receive(data[at : at + 7])
        while (event := session.next_event()) is not None:
            if isinstance(event, Hello):
                session.welcome(dict.fromkeys(PASSED, b""))
            elif isinstance(event, Mail | Rcpt):
                session.answer(event.slot, OK)
            elif isinstance(event, Message):
                event.spool.close()
                session.finish([OK] * len(event.envelope.recipients))
    session.close()
    hop = Hop()
    commands = [hop.command(b"NOOP", pipelined=True) for _ in range(9)]
    for at in range(0, len(data), 7):
        hop.output()
        hop.receive(data[at : at + 7])
    assert all(command.reply is None or 200 <= command.reply.code < 600 for command in commands)


MILTER_WORDS = (b"\0", b"\0\0\0\1", b"\0\0\0\x0d", b"L", b"B", b"E", b"M", b"R", b"A", b"\r\n", b"\n", b": ", b"\xff")


def _milter_dialogue() -> Seeds:
    server = MailServer()
    mails = [b"A: b\r\nC:\td\r\n e\r\n\r\nbody\r\n", b"\r\nbody"]
    return {
        f"mail-{number}": b"".join(data for _, data in [*server.hello(), *server.mail(mail, [b"<b@x>", b"<c@x>"])])
        for number, mail in enumerate(mails * 2)
    }


def _milter_mended(data: bytes) -> bytes:
    """In frames again."""
    made = b""
    while len(data) > 4:
        size = int.from_bytes(data[:4])
        if not 1 <= size <= len(data) - 4:
            size = min(len(data) - 4, 1 + size % 64)
        made += frame(data[4:5], data[5 : 4 + size])
        data = data[4 + size :]
    return made


def _ask(data: bytes) -> None:
    """Whatever header comes, edits of it can be said."""
    session = MilterSession(MilterLimits(size=1 << 16, recipients=3), Spool, lambda envelope, one: one.address != b"c")
    with contextlib.suppress(Strange):
        for at in range(0, len(data), 7):
            session.receive(data[at : at + 7])
            while (item := session.next_message()) is not None:
                list(frames(session.output() + b"".join(session.verdict(_changed(item.spool)))))
                item.spool.close()
    session.close()


def _changed(spool: Spool) -> Passed:
    made = Spool()
    made.write(b"X-Anti-Virus: x\r\n" + b"".join(spool.chunks()) + b"more\r\n")
    try:
        passed = Passed(edits(spool, made), spool, (0,))
    finally:
        made.close()
    assert passed.edits.inserted or passed.edits.changed
    return passed


READERS: dict[str, Reader] = {
    "milter": Reader(_milter_dialogue, _ask, MILTER_WORDS, _milter_mended),
    "smtp": Reader(_dialogue, _talk, MAIL_WORDS),
    **{f"cure-{form}": reader for form, reader in CURERS.items()},
    "pack": Reader(_packs, _read_pack, (b":", b"\n", b"COPYING", b"0", b"9" * 30), _pack_mended),
    **{f"lines-{kind}": Reader(lambda kind=kind: {kind: LINES[kind]}, _read_lines(kind), LINE_WORDS) for kind in LINES},
    "recipe": Reader(lambda: {"cure": LINES["cure"]}, _recipe, LINE_WORDS),
    "allow": Reader(lambda: {"list": to_bytes(ALLOWED)}, _read_allowed, JSON_WORDS),
    "history": Reader(history, _read_history, HISTORY_WORDS),
}
assert set(READ) - set(LINES) <= {"ndu", "sdb", "ldu", "hdu", "hsb", "hsu", "msb", "mdu", "msu", "sfp", "ign"}

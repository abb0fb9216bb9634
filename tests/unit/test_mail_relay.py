"""Relay: who gets what of a plan, what the next hop may say, which connections are used again."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kavfs.forwarding import Destination, parse
from kavfs.mail.envelope import Delivery, Envelope, Judge, Plan, Recipient, pass_on
from kavfs.mail.pool import KEPT_FOR, KNOWN_FOR, Pool
from kavfs.mail.relay import Counts, Relay
from kavfs.mail.replies import OK, Garbage, ReplyReader, reply
from kavfs.mail.session import Session
from kavfs.mail.settings import PASSED, Limits, Settings
from kavfs.mail.spool import Spool
from tests.support.hops import Client, Killed, NextHop, dialogue, drive

CONTENT = b"Subject: x\r\n\r\ntext\r\n"
TO = [b"a@x", b"b@x"]


class Way:
    """A next hop with a relay in front of it."""

    def __init__(self, hop: NextHop | None = None, judge: Judge = pass_on, lmtp: bool = False) -> None:
        self.hop = hop or NextHop()
        self.now = 0.0
        self.pool = Pool(self.hop.connect, self.hop.lmtp, b"us", clock=lambda: self.now)
        self.counts = Counts()
        self.judge, self.lmtp = judge, lmtp

    def send(self, to: list[bytes] = TO, settings: Settings | None = None, pipelined: bool = True) -> Client:
        client = Client(dialogue(CONTENT, to, self.lmtp, pipelined))
        self.run(client, settings)
        return client

    def run(self, client: Client, settings: Settings | None = None) -> None:
        session = Session(settings or Settings(b"us", lmtp=self.lmtp), Spool, b"192.0.2.1", trusted=True)
        drive(Relay(session, client, self.pool, self.judge, self.counts).run())


def codes(client: Client, name: str) -> list[int]:
    return [int(answer[:3]) for answer in client.answers(name)]


# ---- plans -----------------------------------------------------------------------------------------------------------


def other(text: bytes) -> Spool:
    spool = Spool()
    spool.write(text)
    return spool


async def split(envelope: Envelope, spool: Spool) -> Plan:
    """The first gets it as it is, the second another one, the third nothing, durably."""
    return Plan((Delivery((0,), spool), Delivery((1,), other(b"cured\r\n"))), {2: OK, 3: reply(550, b"5.7.1", b"no")})


@pytest.mark.parametrize("hop_lmtp", [False, True])
def test_each_recipient_gets_his_own(hop_lmtp: bool) -> None:
    way = Way(NextHop(lmtp=hop_lmtp), split, lmtp=True)
    client = way.send([b"a@x", b"b@x", b"c@x", b"d@x"])
    assert codes(client, "end") == [250, 250, 250, 550]
    assert way.hop.taken == [(b"a@x", CONTENT), (b"b@x", b"cured\r\n")]
    assert (way.counts.delivered, way.counts.settled, way.counts.refused) == (2, 1, 1)


def test_one_reply_for_all_is_250_only_if_it_is_true_of_all() -> None:
    way = Way(judge=split)
    assert codes(way.send([b"a@x", b"b@x", b"c@x", b"d@x"]), "end") == [550]
    way = Way(NextHop(lmtp=True, refuse={b"ENDb@x": b"452 4.2.2 full\r\n"}))
    assert codes(way.send(), "end") == [452]
    assert way.counts.repeated == 1


async def forgetful(envelope: Envelope, spool: Spool) -> Plan:
    return Plan((Delivery((0,), spool),))


async def broken(envelope: Envelope, spool: Spool) -> Plan:
    raise RuntimeError("no signatures")


@pytest.mark.parametrize("judge", [forgetful, broken])
def test_what_cannot_be_judged_comes_again(judge: Judge) -> None:
    way = Way(judge=judge, lmtp=True)
    assert codes(way.send(), "end") == [451, 451]
    assert way.hop.taken == []


# ---- the next hop ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keywords", [[], [b"PIPELINING"]])
def test_recipients_that_the_next_hop_refuses_are_refused(keywords: list[bytes]) -> None:
    way = Way(NextHop(keywords=keywords, refuse={b"RCPTa@x": b"550-5.1.1 no\r\n550 5.1.1 such user\r\n"}))
    client = way.send(pipelined=False)
    assert client.answers("RCPT0") == [b"550 5.1.1 such user"]
    assert codes(client, "end") == [250]
    assert way.hop.taken == [(b"b@x", CONTENT)]


@pytest.mark.parametrize(
    ("refuse", "said"),
    [
        ({b"DATA": b"452 4.3.1 full\r\n"}, 452),
        ({b"DATA": b"250 ok\r\n"}, 451),
        ({b"DATA": b"354 go\r\n250 taken\r\n"}, 451),
        ({b"END": b"554 5.6.0 no\r\n"}, 554),
        ({b"END": b"354 more\r\n"}, 451),
        ({b"END": b"421 4.3.2 bye\r\n"}, 451),
        ({b"END": b"200-\r\n" * 400}, 451),
        ({b"END": b"9" * 10_000}, 451),
        ({b"END": b"250-yes\r\n550 no\r\n"}, 451),
        ({b"END": b"\r\n"}, 451),
    ],
)
def test_what_is_no_yes_is_none(refuse: dict[bytes, bytes], said: int) -> None:
    way = Way(NextHop(refuse=refuse))
    assert codes(way.send(), "end") == [said]


def test_a_reply_cannot_carry_another_into_our_dialogue() -> None:
    way = Way(NextHop(refuse={b"RCPTa@x": b"550 5.1.1 no\r250 yes\x00\x1b[2J\r\n"}))
    assert way.send(pipelined=False).answers("RCPT0") == [b"550 5.1.1 no?250 yes??[2J"]


@pytest.mark.parametrize("verb", [b"EHLO", b"MAIL"])
def test_old_servers_and_unwilling_ones(verb: bytes) -> None:
    way = Way(NextHop(refuse={verb: b"500 what\r\n"}))
    client = way.send(pipelined=False) if verb == b"EHLO" else Client(dialogue(CONTENT, TO)[:2])
    if verb == b"EHLO":
        assert client.answers("EHLO") == [b"250 us"]
        assert way.hop.taken == [(to, CONTENT) for to in TO]
    else:
        way.run(client)
        assert client.answers("MAIL") == [b"500 what"]


def test_xforward_and_parameters_travel_on() -> None:
    hop = NextHop(keywords=[*PASSED, b"XFORWARD ADDR NAME", b"XCLIENT ADDR"])
    way = Way(hop)
    steps = dialogue(CONTENT, TO)
    steps[1] = ("MAIL", b"MAIL FROM:<> BODY=8BITMIME SIZE=9\r\n", 1)
    steps.insert(1, ("XFORWARD", b"XFORWARD ADDR=192.0.2.9 NAME=x\r\n", 1))
    way.run(Client(steps), Settings(b"us", offer=(*PASSED, b"XFORWARD")))
    assert hop.lines[1:4] == [b"XFORWARD ADDR=192.0.2.9", b"XFORWARD NAME=x", b"MAIL FROM:<> BODY=8BITMIME SIZE=9"]


def test_what_was_announced_and_is_gone_is_not_asked_for() -> None:
    way = Way()
    way.send()
    way.hop.keywords = []
    way.now += KEPT_FOR
    steps = dialogue(CONTENT, TO)
    steps[1:] = [("MAIL", b"MAIL FROM:<a@x> SMTPUTF8\r\n", 1)]
    client = Client(steps)
    way.run(client)
    assert codes(client, "MAIL") == [451]


# ---- connections -----------------------------------------------------------------------------------------------------


def test_a_connection_is_used_again() -> None:
    way = Way()
    for _ in range(3):
        assert codes(way.send(), "end") == [250]
    assert len(way.hop.streams) == 1
    way.now += KEPT_FOR
    way.send()
    assert len(way.hop.streams) == 2
    way.now += KNOWN_FOR
    way.hop.keywords = [b"PIPELINING"]
    client = way.send()
    assert b"DSN" not in client.heard


def test_what_nobody_needs_any_more_ends_with_a_goodbye() -> None:
    way = Way()
    way.send()
    way.now += KEPT_FOR - 1
    way.pool.tidy()
    assert not way.hop.streams[0].closed
    way.now += 1
    way.pool.tidy()
    assert way.hop.streams[0].closed
    assert way.hop.lines[-1] == b"QUIT"
    way.send()
    assert len(way.hop.streams) == 2
    way.hop.streams[1].dead = True
    way.pool.tidy()
    assert way.hop.streams[1].closed
    assert way.hop.lines.count(b"QUIT") == 1


def test_a_transaction_that_was_given_up_is_forgotten() -> None:
    way = Way()
    steps = dialogue(CONTENT, TO)
    way.run(Client(steps[:3]))
    way.send()
    assert len(way.hop.streams) == 1
    assert way.hop.lines.count(b"RSET") == 1
    assert [to for to, _ in way.hop.taken] == TO


def test_a_connection_closed_meanwhile_is_not_used() -> None:
    way = Way()
    way.send()
    way.hop.streams[0].outbox += b"421 4.4.2 timeout\r\n"
    way.hop.streams[0].dead = True
    assert codes(way.send(), "end") == [250]
    assert way.hop.streams[0].closed


# ---- replies, and where mail goes ------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=50)))
def test_any_bytes_are_replies_or_garbage(chunks: list[bytes]) -> None:
    reader = ReplyReader()
    try:
        for chunk in chunks:
            for answer in reader.feed(chunk):
                assert 200 <= answer.code < 600
                assert not any(c in text for text in answer.lines for c in b"\r\n\0")
    except Garbage:
        return


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("smtp:localhost:10026", Destination("smtp", "localhost", 10026)),
        ("smtp:mail.example.org", Destination("smtp", "mail.example.org", 25)),
        ("lmtp:[::1]:24", Destination("lmtp", "::1", 24)),
        ("lmtp:/run/lmtp.sock", Destination("lmtp", path="/run/lmtp.sock")),
        (
            "smtp:(exim -bs -C/etc/exim/exim.conf)",
            Destination("smtp", command=("exim", "-bs", "-C/etc/exim/exim.conf")),
        ),
        ("lmtp:(/bin/x 'a b' \"c\")", Destination("lmtp", command=("/bin/x", "a b", "c"))),
        ("qmail:(/var/qmail/bin/qmail-queue)", Destination("qmail", command=("/var/qmail/bin/qmail-queue",))),
    ],
)
def test_where_mail_goes(text: str, meant: Destination) -> None:
    assert parse(text) == meant
    assert parse(str(meant)) == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:25",
        "smtp:",
        "smtp:host:0",
        "smtp:host:65536",
        "smtp:a:b",
        "qmail:host",
        "smtp:()",
        "smtp:('x)",
        "imap:h",
    ],
)
def test_where_mail_cannot_go(text: str) -> None:
    with pytest.raises(ValueError, match="'"):
        parse(text)


# ---- broken off within a message -------------------------------------------------------------------------------------


async def unreadable(envelope: Envelope, spool: Spool) -> Plan:
    """The disk fails behind the first chunk."""
    bad = other(CONTENT)
    bad.size += 5
    return Plan((Delivery(tuple(range(len(envelope.recipients))), bad),))


def test_half_a_message_has_no_end() -> None:
    way = Way(judge=unreadable)
    assert codes(way.send(), "end") == [451]
    assert way.hop.taken == []
    way.judge = pass_on
    assert codes(way.send(), "end") == [250]
    assert way.hop.taken == [(to, CONTENT) for to in TO]


@pytest.mark.parametrize("at", range(12))
def test_a_connection_that_was_broken_off_is_not_used_again(at: int) -> None:
    """We are told to stop (a task that is cancelled) at any operation; the pool lives on."""
    way = Way()
    way.send()
    way.hop.taken.clear()
    fuse = way.hop.streams[0].fuse
    fuse.count, fuse.at = 0, at
    with suppress(Killed):
        way.send()
    fuse.at = -1
    way.hop.taken.clear()
    assert codes(way.send(), "end") == [250]
    assert way.hop.taken == [(to, CONTENT) for to in TO]


# ---- clients that take their time ------------------------------------------------------------------------------------

IDLE = 60.0


class Slow(Client):
    """Says all that it has to say in pieces, *pause* seconds before each."""

    def __init__(self, data: bytes, size: int, pause: float) -> None:
        super().__init__([])
        self.pieces = [data[at : at + size] for at in range(0, len(data), size)]
        self.pause, self.now = pause, 0.0

    async def read(self, timeout: float) -> bytes:
        if not self.pieces:
            return b""
        if self.pause > timeout:
            self.now += timeout
            raise TimeoutError
        self.now += self.pause
        return self.pieces.pop(0)


GROUP = b"EHLO me\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n"


def last_of(client: Slow) -> bytes:
    way = Way()
    session = Session(Settings(b"us", limits=Limits(idle=IDLE)), Spool)
    drive(Relay(session, client, way.pool, pass_on, way.counts, clock=lambda: client.now).run())
    assert len(way.hop.taken) == client.replies()[-1].startswith(b"250 2.0.0 taken")
    return client.replies()[-1]


@pytest.mark.parametrize(
    ("data", "size", "pause", "taken"),
    [
        (GROUP + b"x\r\n.\r\n", 1, 1.0, True),  # each command within its time
        (b"EHLO " + b"m" * 70 + b"\r\n", 1, 1.0, False),  # a byte now and then, and no command
        (GROUP + b"x" * 100 + b"\r\n.\r\n", 1, 1.0, False),  # the same in a message
        (GROUP + b"x" * 100_000 + b"\r\n.\r\n", 1000, 1.9, True),  # a slow line
        (GROUP + b"x" * 100_000 + b"\r\n.\r\n", 1000, 4.0, False),  # half of what must come
        (GROUP + b"x\r\n.\r\n", 8, 14.0, True),  # a few pieces for a command
    ],
)
def test_bytes_now_and_then_hold_no_place_for_ever(data: bytes, size: int, pause: float, taken: bool) -> None:
    last = last_of(Slow(data, size, pause))
    assert last.startswith(b"250 2.0.0 taken" if taken else b"421 4.4.2 "), last


# ---- the spool -------------------------------------------------------------------------------------------------------


def test_what_is_large_lies_on_disk_without_a_name(tmp_path: Path) -> None:
    spool = Spool(bytes(tmp_path), in_memory=1000)
    for _ in range(30):
        spool.write(b"x" * 99 + b"\n")
    assert b"".join(spool.chunks()) == (b"x" * 99 + b"\n") * 30
    assert os.fstat(spool.fd).st_dev == tmp_path.stat().st_dev
    assert os.fstat(spool.fd).st_nlink == 0
    assert list(tmp_path.iterdir()) == []
    spool.close()
    spool.close()


def test_a_spool_folder_that_is_missing(tmp_path: Path) -> None:
    spool = Spool(bytes(tmp_path / "none"), in_memory=10)
    with pytest.raises(FileNotFoundError):
        spool.write(b"x" * 11)
    spool.close()


# ---- who has one reply together --------------------------------------------------------------------------------------


def by_domain(envelope: Envelope, recipient: Recipient) -> bool:
    """Recipients of one domain are treated alike."""
    return {one.address[-1:] for one in envelope.recipients} == {recipient.address[-1:]}


class Apart(Way):
    def run(self, client: Client, settings: Settings | None = None) -> None:
        session = Session(settings or Settings(b"us", lmtp=self.lmtp), Spool, b"192.0.2.1", trusted=True)
        drive(Relay(session, client, self.pool, self.judge, self.counts, by_domain).run())


@pytest.mark.parametrize("pipelined", [True, False])
def test_who_is_treated_otherwise_comes_again(pipelined: bool) -> None:
    way = Apart()
    client = way.send([b"a@x", b"b@y", b"c@x"], pipelined=pipelined)
    if not pipelined:
        said = [client.answers(f"RCPT{number}")[0][:9] for number in range(3)]
        assert said == [b"250 2.0.0", b"452 4.5.3", b"250 2.0.0"]
    assert codes(client, "end") == [250]
    assert [address for address, _ in way.hop.taken] == [b"a@x", b"c@x"]


@pytest.mark.parametrize("pipelined", [True, False])
def test_whom_the_next_hop_refuses_keeps_nobody_out(pipelined: bool) -> None:
    way = Apart(NextHop(refuse={b"RCPTa@x": b"450 4.2.0 later\r\n"}))
    client = way.send([b"a@x", b"b@y"], pipelined=pipelined)
    assert codes(client, "end") == [250]
    assert [address for address, _ in way.hop.taken] == [b"b@y"]


def test_with_a_reply_for_each_nobody_is_kept_apart() -> None:
    way = Apart(lmtp=True)
    assert codes(way.send([b"a@x", b"b@y"]), "end") == [250, 250]


def test_what_a_plan_holds_is_closed_whatever_becomes_of_it() -> None:
    spools = []

    async def judge(envelope: Envelope, spool: Spool) -> Plan:
        spools.append(other(b"cured\r\n"))
        return Plan((Delivery((0,), spools[-1]),), held=(spools[-1],))

    Way(judge=judge).send([b"a@x"])
    Way(NextHop(refuse={b"END": b"554 5.6.0 no\r\n"}), judge).send([b"a@x"])
    Way(judge=judge).send([b"a@x", b"b@x"])  # a plan that forgets somebody
    assert [spool.fd for spool in spools] == [-1, -1, -1]

"""Loss: whatever fails at whatever step, a message is at the next hop once it was said to be; copies are counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import product

import pytest

from kavfs.mail.envelope import Judge, pass_on
from kavfs.mail.pool import Pool
from kavfs.mail.relay import Counts, Relay
from kavfs.mail.session import Session
from kavfs.mail.settings import Settings
from kavfs.mail.spool import Spool
from tests.support.hops import Client, Fault, Fuse, Killed, NextHop, dialogue, drive

CONTENT = b"Subject: once\r\n\r\n" + b"text\r\n" * 200
TO = [b"a@example.org", b"b@example.org"]
WHEN = ("before", "middle", "after")
HOP_STEPS = ("connect", "greeting", "EHLO", "LHLO", "MAIL", "RCPT0", "RCPT1", "DATA", "content", "end")
CLIENT_STEPS = ("EHLO", "MAIL", "RCPT0", "RCPT1", "DATA", "content", "end", "QUIT")
DIALECTS = [(False, False), (True, False), (False, True), (True, True)]  # of the client, of the next hop: LMTP?
Dialect = tuple[bool, bool]


@dataclass
class World:
    """One client that sends one message until it has heard 250 for each recipient, and what it goes through."""

    client_lmtp: bool
    hop: NextHop
    judge: Judge = pass_on
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self.pool = self.new_pool()

    def new_pool(self) -> Pool:
        return Pool(self.hop.connect, self.hop.lmtp, b"us")

    def attempt(
        self, to: list[bytes], pipelined: bool = False, fault: Fault | None = None, fuse: Fuse | None = None
    ) -> list[bytes]:
        """Send to *to*; those that must come again. What was said to be taken is there at that moment."""
        client = Client(dialogue(CONTENT, to, self.client_lmtp, pipelined), fault, fuse)
        session = Session(Settings(b"us", lmtp=self.client_lmtp), Spool)
        try:
            drive(Relay(session, client, self.pool, self.judge, self.counts).run())
        except Killed:
            self.pool = self.new_pool()
        else:
            assert client.closed
        accepted = [address for address, good in zip(to, client.accepted(), strict=False) if good]
        good = [answer.startswith(b"2") for answer in client.answers("end")]
        good = good if self.client_lmtp else good * len(accepted)
        heard = {address for address, taken in zip(accepted, good, strict=False) if taken}
        assert heard <= set(self.copies()), "said to be taken, and is not"
        return [address for address in to if address not in heard]

    def until_done(self, again: list[bytes]) -> None:
        self.hop.fault = None
        self.hop.fuse = Fuse()
        for _ in range(3):
            if again:
                again = self.attempt(again)
        assert again == [], "never delivered"

    def copies(self) -> Counter[bytes]:
        assert {content for _, content in self.hop.taken} <= {CONTENT}, "content was altered"
        return Counter(address for address, _ in self.hop.taken)

    def check(self, may_repeat: bool) -> int:
        """Each recipient has the message; copies beyond the first are returned, and only where they cannot be
        avoided."""
        copies = self.copies()
        assert set(copies) == set(TO), "lost"
        extra = sum(copies.values()) - len(TO)
        assert extra == 0 or may_repeat, f"{extra} copies too many"
        return extra


def hop_cases() -> list[tuple[Dialect, Fault]]:
    hows = ("dies", "stalls", "421", "garbage")
    return [
        (dialect, Fault(step, when, how))
        for dialect, step, when, how in product(DIALECTS, HOP_STEPS, WHEN, hows)
        if (step not in ("connect", "content") or when == "before") and step != ("EHLO" if dialect[1] else "LHLO")
    ]


@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize(("dialect", "fault"), hop_cases(), ids=str)
def test_next_hop_fails(dialect: Dialect, fault: Fault, pipelined: bool) -> None:
    world = World(dialect[0], NextHop(lmtp=dialect[1], fault=fault))
    again = world.attempt(TO, pipelined)
    assert world.hop.fault is None, "the fault never struck"
    before = sum(world.copies().values())
    world.until_done(again)
    extra = world.check(may_repeat=(fault.step, fault.when) == ("end", "middle"))
    assert extra <= world.counts.uncertain + world.counts.repeated
    if (fault.step, fault.when) == ("end", "before"):
        assert (before, again) == (0, TO)


@pytest.mark.parametrize(("dialect", "fault"), hop_cases(), ids=str)
def test_next_hop_fails_on_a_connection_that_was_kept(dialect: Dialect, fault: Fault) -> None:
    world = World(dialect[0], NextHop(lmtp=dialect[1]))
    assert world.attempt(TO) == []
    assert world.copies() == Counter(TO)
    world.hop.taken.clear()
    world.hop.fault = fault
    again = world.attempt(TO, True)
    world.until_done(again)
    world.check(may_repeat=(fault.step, fault.when) == ("end", "middle"))
    if fault.step == "MAIL" and fault.when == "before" and fault.how in ("dies", "421"):
        assert again == [], "a connection that was closed meanwhile costs nobody anything"


def client_cases() -> list[tuple[Dialect, Fault]]:
    return [
        (dialect, Fault(step, when, how))
        for dialect, step, when, how in product(DIALECTS, CLIENT_STEPS, WHEN, ("dies", "stalls", "unheard"))
    ]


@pytest.mark.parametrize(("dialect", "fault"), client_cases(), ids=str)
def test_client_fails(dialect: Dialect, fault: Fault) -> None:
    """ "dies" is seen while the message is judged, "unheard" only when the reply is written."""
    world = World(dialect[0], NextHop(lmtp=dialect[1]))
    again = world.attempt(TO, fault=fault)
    world.until_done(again)
    extra = world.check(may_repeat=(fault.step, fault.when, fault.how) == ("end", "after", "unheard"))
    assert extra == world.counts.unheard


def operations(dialect: Dialect, pipelined: bool) -> int:
    """How many times we touch a stream for one message."""
    fuse = Fuse()
    world = World(dialect[0], NextHop(lmtp=dialect[1], fuse=fuse))
    assert world.attempt(TO, pipelined, fuse=fuse) == []
    return fuse.count


def killed_cases() -> list[tuple[Dialect, bool, int, str]]:
    return [
        (dialect, pipelined, at, when)
        for dialect, pipelined in product(DIALECTS, (False, True))
        for at in range(operations(dialect, pipelined))
        for when in WHEN
    ]


@pytest.mark.parametrize(("dialect", "pipelined", "at", "when"), killed_cases(), ids=str)
def test_we_are_killed(dialect: Dialect, pipelined: bool, at: int, when: str) -> None:
    fuse = Fuse(at, when)
    world = World(dialect[0], NextHop(lmtp=dialect[1], fuse=fuse))
    again = world.attempt(TO, pipelined, fuse=fuse)
    before = world.copies()
    world.until_done(again)
    world.check(may_repeat=any(before[address] for address in again))


def test_there_are_enough_cases() -> None:
    assert len(hop_cases()) + len(client_cases()) + len(killed_cases()) >= 400

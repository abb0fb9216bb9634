"""Loss, with the whole program: whatever fails at whatever step, a message that was said to be taken is at the next
hop, in quarantine, or was discarded by a rule; copies are counted, and there are none that can be avoided.

A case is one message of one client that comes again until he has an answer for each recipient. tests/unit/
test_mail_loss.py has the same without sockets, and more of it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import product

import pytest

from tests.support.hops import Fault
from tests.support.lanes import TO, Case, Lane

LANES = 4
WHEN = ("before", "middle", "after")
HOP_STEPS = ("greeting", "EHLO", "MAIL", "RCPT0", "RCPT1", "DATA", "content", "end")
CLIENT_STEPS = ("EHLO", "MAIL", "RCPT0", "RCPT1", "DATA", "content", "end", "QUIT")
OURS = ("we stall", "worker killed", "worker stalls")
ANSWERS = (b"250 2.0.0 ok\r\n", b"451 4.2.0 later\r\n", b"550 5.1.1 never\r\n")
MIXED_TO = (b"kept@example.org", b"dropped@example.org", b"a@example.org")

Cases = Callable[[bool], list[Case]]  # of a next hop that speaks LMTP, or not


def hop_steps(lmtp: bool) -> Iterator[tuple[str, str]]:
    for step, when in product(HOP_STEPS, WHEN):
        if step != "content" or when == "before":
            yield ("LHLO" if lmtp and step == "EHLO" else step), when


def next_hop_fails(hop_lmtp: bool) -> list[Case]:
    found = [
        Case(client_lmtp, Fault(step, when, how), pipelined=pipelined)
        for (step, when), how, (client_lmtp, pipelined) in product(
            hop_steps(hop_lmtp), ("dies", "stalls"), ((False, True), (True, False))
        )
    ]
    found += [Case(lmtp, Fault("connect", "before", "dies")) for lmtp in (False, True)]
    steps = [(step, when) for step, when in hop_steps(hop_lmtp) if step not in ("greeting", "EHLO", "LHLO")]
    return found + [Case(True, Fault(step, when, "dies"), kept=True) for step, when in steps]


def client_fails(_: bool) -> list[Case]:
    hows = ("dies", "stalls", "unheard")
    return [
        Case(lmtp, Fault(step, when, how), "client")
        for lmtp, step, when, how in product((False, True), CLIENT_STEPS, WHEN, hows)
    ]


def at_each_step(hop_lmtp: bool, how: str) -> list[Case]:
    """Something happens to us while the client, or the next hop, is at that step."""
    found = [Case(lmtp, Fault(step, when, how)) for lmtp in (False, True) for step, when in hop_steps(hop_lmtp)]
    return found + [
        Case(lmtp, Fault(step, when, how), "client") for lmtp, step, when in product((False, True), CLIENT_STEPS, WHEN)
    ]


def we_fail(hop_lmtp: bool) -> list[Case]:
    return [case for how in OURS for case in at_each_step(hop_lmtp, how)]


def we_are_killed(hop_lmtp: bool) -> list[Case]:
    return at_each_step(hop_lmtp, "we are killed")


def killed_over_quarantine(hop_lmtp: bool) -> list[Case]:
    """What is for quarantine, for nobody, and for a next hop, in one message."""
    found = [Case(True, None, to=MIXED_TO, infected=True), Case(False, None, to=MIXED_TO, infected=True)]
    steps = (("client", "content"), ("client", "end"), ("hop", "end"))
    return found + [
        Case(lmtp, Fault(step, when, how), whose, to=MIXED_TO[:: 1 if whose == "client" else -1], infected=True)
        for lmtp, (whose, step), when, how in product((False, True), steps, WHEN, ("we are killed", "dies"))
    ]


def something_fails_during_the_scan(_: bool) -> list[Case]:
    hows = ("worker killed", "we are killed", "client dies", "hop dies")
    return [
        Case(lmtp, Fault("scan", "middle", how), "scan", infected=infected, to=MIXED_TO if infected else TO)
        for lmtp, how, infected in product((False, True), hows, (False, True))
    ]


def answers_differ(_: bool) -> list[Case]:
    """Each of three recipients is answered in each way, where he is named and where the message ends."""
    to = (b"a@example.org", b"b@example.org", b"c@example.org")
    return [
        Case(
            lmtp,
            None,
            to=to,
            answers={b"END" * at + (b"RCPT", b"")[at] + one: a for one, a in zip(to, three, strict=True)},
        )
        for lmtp, at, three in product((False, True), (0, 1), product(ANSWERS, repeat=3))
    ]


ALL = (
    next_hop_fails,
    client_fails,
    we_fail,
    we_are_killed,
    killed_over_quarantine,
    something_fails_during_the_scan,
    answers_differ,
)


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Lane]]:
    """Beside each other, as most of them wait most of the time. The next hops of every second one speak LMTP."""
    with ExitStack() as stack:
        top = tmp_path_factory.mktemp("lanes")
        yield [stack.enter_context(Lane(top / str(number), number % 2 == 1)) for number in range(LANES)]


def run(lanes: list[Lane], cases: Cases, every: int = 1) -> None:
    """Each *every*-th case."""

    def serve(number: int) -> list[str]:
        own = cases(number % 2 == 1)[number // 2 :: LANES // 2]
        return [text for case in own[number * every // LANES :: every] for text in lanes[number].run(case)]

    for lane in lanes:
        lane.counts.clear()
    with ThreadPoolExecutor(LANES) as pool:
        complaints = [text for found in pool.map(serve, range(LANES)) for text in found]
    told = sum((lane.counts for lane in lanes), Counter[str]())
    print(f"{cases.__name__}: {dict(told)}", file=sys.stderr)
    assert not complaints, "\n".join(complaints)
    assert told["cases"] > 0


@pytest.mark.parametrize("cases", ALL)
def test_some_faults(lanes: list[Lane], cases: Cases) -> None:
    run(lanes, cases, every=29)


@pytest.mark.long
@pytest.mark.parametrize("cases", ALL)
def test_all_faults(lanes: list[Lane], cases: Cases) -> None:
    run(lanes, cases)


def test_there_are_enough_cases() -> None:
    assert sum(len(cases(lmtp)) for cases in ALL for lmtp in (False, True)) >= 400

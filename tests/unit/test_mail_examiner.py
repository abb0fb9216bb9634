"""The time of a message: what its scans take is its own, what it waits for them is not."""

from __future__ import annotations

import asyncio

import pytest

from kavfs.mail import scanning
from kavfs.mail.scanning import Bounds, Examiner, TooMuch, Unscanned
from kavfs.mail.spool import Spool
from kavfs.model import Result, Status
from kavfs.scan.asked import Begun

SECONDS = 60.0


class Clock:
    """Time that passes when it is told to; a scan that waits *wait* seconds and takes *take*."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.allowed: list[float] = []
        self.wait, self.take = 0.0, 0.0
        self.begins = True
        monkeypatch.setattr(scanning.time, "monotonic", lambda: self.now)

    async def scan(self, fd: int, name: bytes, seconds: float, begun: Begun | None = None) -> Result | str:
        self.allowed.append(seconds)
        self.now += self.wait
        if self.begins and begun is not None:
            begun(self.now)
        self.now += self.take
        return Result(name, Status.CLEAN)

    def look(self, examiner: Examiner, wait: float = 0.0, take: float = 0.0) -> float:
        """One scan; how long it might have taken."""
        self.wait, self.take = wait, take
        asyncio.run(examiner.look(0, b"x"))
        return self.allowed[-1]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def examiner(clock: Clock, seconds: float = SECONDS) -> Examiner:
    return Examiner(clock.scan, Bounds(seconds=seconds), Spool)


def test_what_scans_take_adds_up_and_ends_it(clock: Clock) -> None:
    one = examiner(clock)
    assert clock.look(one, take=35.0) == SECONDS
    clock.now += 5.0  # of our own work on it
    assert clock.look(one, take=19.9) == 20.0
    assert clock.look(one, take=0.2) == pytest.approx(0.1)
    with pytest.raises(TooMuch, match="not checked within 60 seconds"):
        clock.look(one)


def test_waiting_is_not_the_time_of_the_message(clock: Clock) -> None:
    one = examiner(clock)
    clock.look(one, wait=30.0, take=10.0)
    assert clock.look(one, wait=29.0, take=10.0) == 50.0
    assert one.left() == 40.0


def test_who_waits_too_long_comes_again(clock: Clock) -> None:
    one = examiner(clock)
    clock.look(one, wait=30.0, take=1.0)
    clock.look(one, wait=31.0, take=1.0)
    with pytest.raises(Unscanned, match="waited too long"):
        clock.look(one)


def test_a_scan_that_never_began_was_waited_for(clock: Clock) -> None:
    one = examiner(clock)
    clock.begins = False
    clock.look(one, take=59.0)
    assert one.left() == SECONDS
    clock.look(one, take=2.0)
    with pytest.raises(Unscanned):
        clock.look(one)


def test_a_copy_has_time_of_its_own_and_without_a_limit_there_is_none(clock: Clock) -> None:
    one = examiner(clock)
    clock.look(one, take=50.0)
    assert one.again().left() == SECONDS
    endless = examiner(clock, 0.0)
    assert clock.look(endless, wait=1e6, take=1e6) == 0.0
    assert endless.left() == 0.0

"""The core of a mail filter: verdicts and cures out of a real service, and what is said when there is none."""

from __future__ import annotations

import asyncio
import os
import resource
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from kavfs.mail.core import CURES, REFUSALS, Core, Curer
from kavfs.mail.envelope import Plan
from kavfs.mail.scanning import Bounds, Unscanned
from kavfs.model import Reason, Result, Status
from kavfs.scan.asked import Refusal
from kavfs.scan.standing import TICK
from tests.support.cores import core_parts
from tests.support.curing import unzipped
from tests.support.judging import INFECTED_ZIP, Court, attached, mail, spooled
from tests.support.objects import EICAR
from tests.support.serving import Gate, desk


async def scanned(core: Core, data: bytes, seconds: float = 0.0) -> Result | str:
    spool = spooled(data)
    try:
        return await core.scan(spool.fd, b"object", seconds)
    finally:
        spool.close()


def test_many_at_once_each_gets_his_own(tmp_path: Path) -> None:
    async def doing(core: Core, curer: Curer) -> list[Result | str]:
        contents = [b"fine %d" % n if n % 3 else b"%d " % n + EICAR for n in range(60)]
        return await asyncio.gather(*(scanned(core, content) for content in contents))

    with core_parts(tmp_path) as parts:
        answers = parts.run(doing)
    statuses = [answer.status if isinstance(answer, Result) else answer for answer in answers]
    assert statuses == [Status.CLEAN if n % 3 else Status.INFECTED for n in range(60)]


def test_a_message_is_cured_by_real_processes(tmp_path: Path) -> None:
    with core_parts(tmp_path) as parts:
        court = Court()

        async def doing(core: Core, curer: Curer) -> bytes:
            court.scan, court.cure = core.scan, curer  # type: ignore[method-assign, assignment]
            return (await court.sent(mail(("a.zip", INFECTED_ZIP), ("e.com", EICAR)), b"b@x")).only

        found = attached(parts.run(doing))
    assert unzipped(found["a.zip"]) == [("fine", b"fine " * 50)]
    assert "e.com" not in found


def test_what_was_not_cured_says_why(tmp_path: Path) -> None:
    async def doing(core: Core, curer: Curer) -> object:
        spool = spooled(EICAR)
        result = await core.scan(spool.fd, b"e.com", 0.0)
        assert isinstance(result, Result)
        why = await curer(spool.fd, result, 0.0)
        spool.close()
        return why

    with core_parts(tmp_path) as parts:
        assert "the whole file" in str(parts.run(doing))


async def cured(core: Core, curer: Curer, seconds: float = 0.0) -> list[tuple[str, bytes]] | str:
    """What becomes of an infected archive: what is left in it, or why it is not cured."""
    with closing(spooled(INFECTED_ZIP)) as spool:
        result = await core.scan(spool.fd, b"a.zip", 0.0)
        assert isinstance(result, Result)
        made = await curer(spool.fd, result, seconds)
        if isinstance(made, str):
            return made
        with closing(made):
            return unzipped(b"".join(made.chunks()))


@contextmanager
def slow_cures(tmp_path: Path, slow: int):  # type: ignore[no-untyped-def]
    """The core's parts; and what makes a curer of which the first cures do not end before an event."""
    end, begun = threading.Event(), threading.Semaphore(0)

    def recipes(name: str) -> list[str]:
        nonlocal slow
        if slow:
            slow -= 1
            begun.release()
            assert end.wait(60)
        return []

    with core_parts(tmp_path) as parts:
        yield parts, lambda core: Curer(core, parts.options, recipes), begun, end


SECONDS = 3.0
LEFT = [("fine", b"fine " * 50)]


def test_a_slow_cure_holds_up_no_other(tmp_path: Path) -> None:
    with slow_cures(tmp_path, 1) as (parts, make, begun, end):

        async def doing(core: Core, _: Curer) -> tuple[object, object, bool]:
            curer = make(core)
            slow = asyncio.ensure_future(cured(core, curer))
            await asyncio.to_thread(begun.acquire)
            quick = await cured(core, curer)
            waits = not slow.done()
            end.set()
            made = quick, await slow, waits
            curer.close()
            return made

        assert parts.run(doing) == (LEFT, LEFT, True)


def test_a_cure_that_takes_too_long_is_none_and_one_that_was_not_begun_is_our_fault(tmp_path: Path) -> None:
    with slow_cures(tmp_path, CURES) as (parts, make, begun, end):

        async def doing(core: Core, _: Curer) -> tuple[list[object], str]:
            curer = make(core)
            slow = [asyncio.ensure_future(cured(core, curer, 1.0)) for _ in range(CURES)]
            for _ in range(CURES):
                await asyncio.to_thread(begun.acquire)
            with pytest.raises(Unscanned) as caught:
                await cured(core, curer, 0.01)
            await asyncio.sleep(1.0)  # that long it may take
            end.set()
            made = await asyncio.gather(*slow)
            assert await cured(core, curer, 60.0) == LEFT
            curer.close()
            return made, str(caught.value)

        made, why = parts.run(doing)
    assert made == ["time limit of curing"] * CURES
    assert "wait to be cured" in why


def test_without_descriptors_nothing_is_cured_and_none_is_lost(tmp_path: Path) -> None:
    async def doing(core: Core, curer: Curer) -> object:
        with closing(spooled(INFECTED_ZIP)) as spool:
            result = await core.scan(spool.fd, b"a.zip", 0.0)
            assert isinstance(result, Result)
            assert await cured(core, curer) == LEFT  # what it keeps is there
            before = os.listdir("/proc/self/fd")
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            for more in range(5):
                resource.setrlimit(resource.RLIMIT_NOFILE, (first_free() + more, hard))
                try:
                    with pytest.raises(Unscanned):
                        await curer(spool.fd, result, 0.0)
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert await cured(core, curer) == LEFT
            return sorted(os.listdir("/proc/self/fd")) == sorted(before)

    with core_parts(tmp_path) as parts:
        assert parts.run(doing)


def first_free() -> int:
    fd = os.open("/dev/null", os.O_RDONLY)
    os.close(fd)
    return fd


def gated(tmp_path: Path, doing, **settings: object):  # type: ignore[no-untyped-def]
    """*doing* with a core whose worker waits at gates."""

    async def inside(core: Core) -> object:
        core.begin()
        try:
            return await asyncio.wait_for(doing(core), 60)
        finally:
            core.close()

    with desk(tmp_path, **settings) as made:  # type: ignore[arg-type]
        return asyncio.run(inside(Core(made.service)))


def test_time_that_is_over_in_the_queue_is_no_verdict_and_in_a_scan_is_one(tmp_path: Path) -> None:
    async def doing(core: Core) -> tuple[Result | str, Result | str]:
        gate = Gate()
        first = asyncio.ensure_future(core.scan(gate.fd, b"first", 0.0))
        await asyncio.sleep(0)
        second = await scanned(core, b"second", 0.1)
        gate.open()
        await first
        return second, await core.scan(Gate().fd, b"third", 0.1)

    second, third = gated(tmp_path, doing, objects_max=1)
    assert second == REFUSALS[Refusal.LATE]
    assert isinstance(third, Result)
    assert (third.status, third.reasons) == (Status.ERROR, Reason.TIME)


def test_who_waits_behind_another_at_a_worker_waits(tmp_path: Path) -> None:
    """That is no time of its own, and no end of the other's."""

    async def doing(core: Core) -> tuple[Result | str, Result | str]:
        gate = Gate()
        first = asyncio.ensure_future(core.scan(gate.fd, b"first", 0.0))
        await asyncio.sleep(0)
        second = await scanned(core, b"second", 0.2)
        gate.open()
        return await first, second

    first, second = gated(tmp_path, doing, objects_max=2)
    assert second == REFUSALS[Refusal.LATE]
    assert isinstance(first, Result)
    assert first.status is Status.CLEAN


@pytest.mark.parametrize("objects_max", [1, 2])
def test_the_time_of_a_scan_begins_when_a_worker_has_it(tmp_path: Path, objects_max: int) -> None:
    async def doing(core: Core) -> tuple[Result | str, bool, bool]:
        gates = [Gate(), Gate()]
        first = asyncio.ensure_future(core.scan(gates[0].fd, b"first", 0.0))
        await asyncio.sleep(0)
        since: list[float] = []
        asked = time.monotonic()
        second = asyncio.ensure_future(core.scan(gates[1].fd, b"second", SECONDS, since.append))
        await asyncio.sleep(0.6 * SECONDS)
        early = bool(since)
        gates[0].open()
        await first
        while time.monotonic() < asked + 1.1 * SECONDS:
            await asyncio.sleep(0.05)
        gates[1].open()
        return await second, early, since[0] >= asked + 0.6 * SECONDS - TICK

    second, early, late = gated(tmp_path, doing, objects_max=objects_max)
    assert isinstance(second, Result)
    assert (second.status, early, late) == (Status.CLEAN, False, True)


def test_too_many_that_wait_are_told_so(tmp_path: Path) -> None:
    async def doing(core: Core) -> Result | str:
        gates = [Gate() for _ in range(2)]
        tasks = [asyncio.ensure_future(core.scan(gate.fd, b"x", 0.0)) for gate in gates]
        await asyncio.sleep(0)
        answer = await scanned(core, b"third")
        for gate in gates:
            gate.open()
        await asyncio.gather(*tasks)
        return answer

    assert gated(tmp_path, doing, objects_max=1, queue_max=1) == REFUSALS[Refusal.BUSY]


def test_who_gives_up_is_forgotten(tmp_path: Path) -> None:
    async def doing(core: Core) -> Result | str:
        gate = Gate()
        task = asyncio.ensure_future(core.scan(gate.fd, b"x", 0.0))
        waits = asyncio.ensure_future(scanned(core, b"y"))
        await asyncio.sleep(0)
        waits.cancel()
        gate.open()
        await asyncio.gather(task, waits, return_exceptions=True)
        return await scanned(core, b"z")

    answer = gated(tmp_path, doing, objects_max=1)
    assert isinstance(answer, Result)


def test_a_core_that_has_ended_has_no_verdicts(tmp_path: Path) -> None:
    async def doing(core: Core) -> tuple[Result | str, Result | str]:
        gate = Gate()
        waits = asyncio.ensure_future(core.scan(gate.fd, b"x", 0.0))
        await asyncio.sleep(0)
        core.close()
        return await waits, await scanned(core, b"y")

    assert gated(tmp_path, doing) == ("the scanner ends", "the scanner ends")


def test_without_its_fork_server_everybody_hears_451(tmp_path: Path) -> None:
    async def doing() -> list[int]:
        core = Core(made.service)
        core.begin()
        court = Court(settings={"bounds": Bounds(seconds=30)})
        court.scan = core.scan  # type: ignore[method-assign]
        made.server.close()
        outcome = await asyncio.wait_for(court.sent(mail(), b"b@x"), 60)
        core.close()
        return outcome.codes

    with desk(tmp_path) as made:
        assert asyncio.run(doing()) == [451]


@pytest.mark.parametrize("count", [0, 2])
def test_a_plan_closes_what_it_holds(count: int) -> None:
    spools = [spooled(b"x") for _ in range(count)]
    Plan(held=tuple(spools)).close()
    assert all(spool.fd == -1 for spool in spools)

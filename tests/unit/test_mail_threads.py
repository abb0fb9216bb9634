"""Work in threads on descriptors: they are closed when it is over, never under it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from kavfs.mail.spool import Spool
from kavfs.mail.threads import in_thread


def test_who_is_cancelled_waits_for_the_work_and_what_it_made_is_closed() -> None:
    begun, may_end = threading.Event(), threading.Event()
    made: list[Spool] = []

    def work() -> Spool:
        begun.set()
        may_end.wait()
        made.append(Spool())
        return made[0]

    async def run() -> None:
        task = asyncio.create_task(in_thread(work))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        await asyncio.wait([task], timeout=0.05)
        assert not task.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert made[0].fd == -1


def test_what_goes_wrong_in_a_thread_is_told() -> None:
    def fails() -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        asyncio.run(in_thread(fails))
    assert asyncio.run(in_thread(len, b"abc")) == 3

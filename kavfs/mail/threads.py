"""Threads: work on descriptors that somebody else closes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
Made = TypeVar("Made")


async def in_thread(work: Callable[P, Made], *args: P.args, **keywords: P.kwargs) -> Made:
    """As asyncio.to_thread; but who is cancelled (at the end of a program, at that of a milter's patience) waits until
    the work is over: its descriptors would be closed under it, and opened anew for somebody else's mail. What was made
    for nobody is closed."""
    task = asyncio.create_task(asyncio.to_thread(work, *args, **keywords))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        with suppress(Exception):
            made = task.result()
            if close := getattr(made, "close", None):
                close()
        raise

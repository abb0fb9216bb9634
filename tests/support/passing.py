"""Time that passes: where a test is about nothing else, and where the kernel has no event for what it waits for."""

from __future__ import annotations

import time
from collections.abc import Callable


def let_pass(seconds: float) -> None:
    """For tests of what time must not do."""
    time.sleep(seconds)


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Look until *holds* does; AssertionError when it never does. For states of processes that nothing announces."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)

"""Asked: one request of a daemon's client on its way to an answer, and what it can be answered.

A request waits, or is in scan (with a shift), or has joined another one about the same bytes and waits for its verdict.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kavfs.model import Result

if TYPE_CHECKING:
    from kavfs.scan.shift import Shift


class Refusal(enum.Enum):
    """Why there is no verdict."""

    BUSY = "busy"  # a limit of the queue
    LATE = "late"  # nobody had begun when its time was over
    CLOSING = "closing"  # the service ends
    FAILED = "failed"  # no scanning process can be had


Answer = Result | Refusal
Done = Callable[[Answer], None]
Begun = Callable[[float], None]  # time.monotonic() since when a worker has had it in hand


@dataclass(slots=True, eq=False)
class Request:
    """One object that somebody waits for."""

    ticket: int
    fd: int  # -1: given to a shift, or closed
    name: bytes
    done: Done | None  # None: the client has gone
    client: object
    all_match: bool
    stream: int = -1  # descriptor of a stream that can be joined, good until the verdict; -1: it cannot
    size: int = -1  # of that stream
    sample: bytes = b""  # a few bytes of it
    waits: bool = False  # stands in the queue
    shift: Shift | None = None  # who scans it
    leader: Request | None = None  # whose verdict it waits for
    joined: list[Request] = field(default_factory=list)  # who waits for this one's
    second: bool = False  # the scan of the same bytes came to nothing before
    key: bytes | None = None  # under which it may be known from now on, if nothing speaks against it
    again: int = -1  # a second descriptor, to look whether it has changed meanwhile
    late: bool = False  # its time is over, and the shift was told so
    seconds: float = 0.0  # that a worker may have it in hand; 0: the deadline is for all
    begun: Begun | None = None  # not told yet
    given: float = 0.0  # when a shift got it; time.monotonic()

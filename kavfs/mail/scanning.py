"""Scanning: the core's word on one message: on the whole of it at once, and on single parts where that does not tell.

The core opens a message by itself and reads it as doubtfully as our own reader of parts. What some reader of mail may
show and the core does not (a guess that lies across boundaries, any part of what the core took for no mail) is scanned
alone. All scans of a message share its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol, TypeVar

from kavfs.action.cure.pieces import Source
from kavfs.mail.coding import Block, Reading, decoded, readings, unpacked
from kavfs.mail.parts import Part, Tree
from kavfs.mail.spool import Spool
from kavfs.mail.threads import in_thread
from kavfs.model import Reason, Result, Status
from kavfs.scan.asked import Begun

TRIES = 3  # of what a worker died of: it may have been killed for another reason
OURS = Reason.ENGINE | Reason.UNREADABLE  # says something about us, not about the message
LARGE = 1 << 16  # bytes; what is done with more is done in a thread
MAIL = "mail"  # Result.format of what the core reads as a message

Made = TypeVar("Made")


class Scan(Protocol):
    """One verdict. `kavfs.mail.core.Core.scan` is one."""

    async def __call__(self, fd: int, name: bytes, seconds: float, begun: Begun | None = None) -> Result | str:
        """The verdict on what is behind a descriptor, which stays the caller's. Text: why none can be had, which is our
        fault and not the object's. *seconds*: it may wait so long, and then be scanned so long, 0 = as long as it
        takes; if the latter is over, the verdict is ERROR with Reason.TIME. *begun* is told since when it has been
        scanned, by time.monotonic(); if never, it only waited."""
        ...


class Bounds(NamedTuple):
    """What one message may be and cost; beyond that it has the status ERROR. 0: no limit."""

    seconds: float = 60.0  # of all scans and cures of a message; and as many again for waiting until they begin
    size: int = 0  # bytes of a message
    parts: int = 1000
    nesting: int = 50  # parts inside parts
    alone: int = 200  # parts that are scanned by themselves


class Unscanned(Exception):
    """No verdict can be had, and that is not the message's fault. str() says why."""


class TooMuch(Exception):
    """The message is more than the bounds allow. str() says in what."""


class Examiner:
    """The scans of one message: made when its time begins."""

    def __init__(self, scan: Scan, bounds: Bounds, spools: Callable[[], Spool]) -> None:
        self.bounds = bounds
        self.spoken = False  # there was a verdict on something
        self._scan = scan
        self._spools = spools
        self._came = time.monotonic()
        self._waited = 0.0  # seconds, for scans to begin
        self._alone = 0

    def again(self) -> Examiner:
        """For a copy of the message, with as much time."""
        return Examiner(self._scan, self.bounds, self._spools)

    async def look(self, fd: int, name: bytes) -> Result:
        """Raises Unscanned, TooMuch."""
        for number in range(1, TRIES + 1):
            result = await self._scanned(fd, name)
            if isinstance(result, str):
                raise Unscanned(result)
            if result.reasons & OURS and result.status is Status.ERROR:
                raise Unscanned(result.error or "a scan failed")
            if number == TRIES or not result.reasons & Reason.WORKER:
                self.spoken = True
                return result
        raise AssertionError

    async def _scanned(self, fd: int, name: bytes) -> Result | str:
        asked = time.monotonic()
        since: list[float] = []
        try:
            return await self._scan(fd, name, self.left(), since.append)
        finally:
            self._waited += max(0.0, (since[0] if since else time.monotonic()) - asked)

    def left(self) -> float:
        """Seconds that the message has; 0 = as many as it takes. What it has waited is not its own. Raises TooMuch,
        and Unscanned where it has waited too long."""
        if not self.bounds.seconds:
            return 0.0
        if self._waited > self.bounds.seconds:
            raise Unscanned("it has waited too long to be scanned")
        left = self._came + self.bounds.seconds + self._waited - time.monotonic()
        if left <= 0:
            raise TooMuch(f"not checked within {self.bounds.seconds:g} seconds")
        return left

    async def alone(self, source: Source, part: Part, reading: Reading) -> Result:
        """The verdict on the content of one part. Raises Unscanned, TooMuch."""
        content = await self.content(source, part, reading)
        try:
            return await self.single(content, name_of(part))
        finally:
            content.close()

    async def single(self, content: Spool, name: bytes) -> Result:
        """The verdict on something that came out of the message; not too often."""
        self._alone += 1
        if 0 < self.bounds.alone < self._alone:
            raise TooMuch("its parts cannot be told apart")
        return await self.look(content.fd, name)

    async def content(self, source: Source, part: Part, reading: Reading) -> Spool:
        """What a part decodes to; the caller closes it."""
        return await apart(part.end - reading.body, lambda: self._spooled(decoded(source, part, reading)))

    async def block(self, source: Source, block: Block) -> Spool:
        """What a file in a text decodes to; the caller closes it."""
        return await apart(block.end - block.start, lambda: self._spooled(unpacked(source, block)))

    def _spooled(self, chunks: Iterable[bytes]) -> Spool:
        spool = self._spools()
        try:
            for chunk in chunks:
                spool.write(chunk)
        except BaseException:
            spool.close()
            raise
        return spool


async def apart(size: int, work: Callable[[], Made]) -> Made:
    """Work on *size* bytes of a message; others are served meanwhile if that takes long."""
    return work() if size < LARGE else await in_thread(work)


def name_of(part: Part) -> bytes:
    return next(iter(part.names()), b"part-" + part.place.encode("ascii"))


def crosses(part: Part) -> bool:
    """Whether it is a guess that goes on into parts that others see."""
    return part.guessed and part.end > part.cut


def doubtful(part: Part) -> bool:
    """Whether readers may take it in a way that the core does not: it reads a part once, and no part through others."""
    ways = len(part.header.bodies) * len(part.encodings)
    return crosses(part) or ways > 1 or (bool(part.children) and any(part.encodings))


def unseen(tree: Tree, result: Result) -> Iterator[tuple[Part, Reading]]:
    """What of the tree a scan of the whole message may not have shown."""
    for part in tree.leaves():
        if result.format != MAIL or doubtful(part):
            for reading in readings(part):
                yield part, reading

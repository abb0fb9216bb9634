"""Core: the scan service of a program that has an asyncio loop, and the process that cures, as the judge wants them.

core = Core(service, failed)
core.begin()                              in the loop
result = await core.scan(fd, b"message", 60.0)
core.close()                              before the service
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from kavfs.errors import KavfsError, SystemFailure
from kavfs.mail.scanning import Unscanned
from kavfs.mail.spool import Spool
from kavfs.model import Result
from kavfs.options import ScanOptions
from kavfs.scan.asked import Answer, Begun, Refusal
from kavfs.scan.curing import Curing, no_recipes
from kavfs.scan.service import Service
from kavfs.scan.verifier import reopened

REFUSALS = {
    Refusal.BUSY: "too many messages wait to be scanned",
    Refusal.LATE: "it was not begun in time",
    Refusal.CLOSING: "the scanner ends",
    Refusal.FAILED: "no scanning process can be had",
}
CURES = 4  # at once
ROUNDS = 4  # of steps before others of the loop have their turn


class Core:
    """Turns a service, which stays the caller's. *failed*: it cannot go on, and every scan from now on has no verdict;
    called once."""

    def __init__(self, service: Service, failed: Callable[[SystemFailure], None] = lambda error: None) -> None:
        self._service = service
        self._failed = failed
        self._waiting: set[asyncio.Future[Result | str]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._why = "the scanner has not begun"  # not empty: nothing is scanned

    def begin(self) -> None:
        """In the loop that scans are asked for in."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._service.fileno(), self._step)
        self._why = ""
        self._step()

    def close(self) -> None:
        """Nothing is scanned any more; what waits has no verdict. May be called twice."""
        self._stop("the scanner ends")

    async def scan(self, fd: int, name: bytes, seconds: float, begun: Begun | None = None) -> Result | str:
        """A `kavfs.mail.scanning.Scan`."""
        if self._why or self._loop is None:
            return self._why
        future: asyncio.Future[Result | str] = self._loop.create_future()
        try:
            own = reopened(fd)
        except SystemFailure as error:
            return str(error)

        def done(answer: Answer) -> None:
            if not future.done():
                future.set_result(answer if isinstance(answer, Result) else REFUSALS[answer])

        ticket = self._service.submit(
            own, name, done, client=self, deadline=seconds, begun=begun or (lambda since: None)
        )
        self._waiting.add(future)
        if self._soon is None:
            self._soon = self._loop.call_soon(self._step)
        try:
            return await future
        finally:
            self._waiting.discard(future)
            if not self._why:
                self._service.cancel(ticket)

    # ---- the loop --------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        try:
            self._service.step()
            for _ in range(ROUNDS):
                if self._service.due:
                    self._service.step()
        except SystemFailure as error:
            self._stop(str(error))
            self._failed(error)
            return
        self._set_timer(self._service.timeout())

    def _set_timer(self, seconds: float) -> None:
        if self._loop is None or self._why:
            return
        at = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._step()

    def _stop(self, why: str) -> None:
        if self._loop is None:
            return
        self._loop.remove_reader(self._service.fileno())
        self._loop = None
        self._why = why
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()
        self._timer = self._soon = None
        for future in self._waiting:
            if not future.done():
                future.set_result(why)


class Curer:
    """Cures files, each in a process of its own, some at once: a slow one holds up few. Make it before threads. A
    `kavfs.mail.curing.Cure`.

    *recipes*: those of the signatures in use. *options*: of the service."""

    def __init__(
        self,
        core: Core,
        options: ScanOptions,
        recipes: Callable[[str], Sequence[str]] = no_recipes,
        spools: Callable[[], Spool] = Spool,
    ) -> None:
        self._core = core
        self._spools = spools
        self._root = Curing(options, None, recipes)  # makes the others, and cures nothing itself
        self._root.start()
        self._free: list[Curing] = []
        self._threads = ThreadPoolExecutor(CURES, "cure")

    async def __call__(self, fd: int, result: Result, seconds: float) -> Spool | str:
        """What is left of a file without what is infected in it, or why it cannot be cured."""
        try:
            out = self._spools()
        except OSError as error:
            raise Unscanned(f"nothing can be cured: {error}") from None
        try:
            out.move()
            why = await self._in_turn(fd, out.fd, result, seconds)
            out.size = os.fstat(out.fd).st_size
        except (SystemFailure, OSError) as error:  # not the file's fault
            out.close()
            raise Unscanned(f"nothing can be cured: {error}") from None
        except KavfsError as error:
            why = str(error)
        except BaseException:
            out.close()
            raise
        if why:
            out.close()
            return why
        return out

    async def _in_turn(self, source: int, out: int, result: Result, seconds: float) -> str:
        """The descriptors are the thread's own: whoever waits for it may give up."""
        loop = asyncio.get_running_loop()
        end = time.monotonic() + seconds if seconds else math.inf
        with ExitStack() as own:
            fds = [_duplicate(fd, own) for fd in (source, out)]
            own.callback(fds.clear)
            work = self._threads.submit(self._cure, fds, result, end, loop)
            closing = own.pop_all()
        work.add_done_callback(lambda done: closing.close())  # also when it was never begun
        try:
            cured = asyncio.wrap_future(work)
            await asyncio.wait([cured], timeout=seconds or None)
            if work.cancel():
                raise Unscanned("too many attachments wait to be cured")
            return await cured
        except BaseException:
            work.cancel()
            raise

    def _cure(self, fds: list[int], result: Result, end: float, loop: asyncio.AbstractEventLoop) -> str:
        """In a thread."""

        def rescan(fd: int, name: bytes) -> Result:
            left = 0.0 if math.isinf(end) else max(0.001, end - time.monotonic())
            answer = asyncio.run_coroutine_threadsafe(self._core.scan(fd, name, left), loop).result()
            if isinstance(answer, str):
                raise SystemFailure(answer)
            return answer

        curing = self._free.pop() if self._free else self._root.another()
        try:
            source, out = fds
            why = curing(source, out, result, end, rescan).why
        except BaseException:  # its processes may be what is wrong
            curing.close()
            raise
        self._free.append(curing)
        return why

    def close(self) -> None:
        """After the last cure; what goes on is ended."""
        self._root.close()
        self._threads.shutdown(cancel_futures=True)
        for curing in self._free:
            curing.close()


def _duplicate(fd: int, own: ExitStack) -> int:
    """Another descriptor for the same, closed with *own*."""
    made = os.dup(fd)
    own.callback(os.close, made)
    return made

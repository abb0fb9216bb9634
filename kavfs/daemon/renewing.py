"""Renewing: changed signatures and settings come into force while requests are answered.

    a change, RELOAD, SIGHUP -> wait until it is quiet -> compile in another process -> open what it made
    -> the service makes a new crew beside the old one -> that one takes over

What is broken changes nothing: the old signatures stay, the log and the status say why. A change that comes while
another one is on its way is looked at when that is over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

from kavfs.daemon.beside import compile_beside
from kavfs.daemon.compiling import Compiled
from kavfs.daemon.watching import Places, Seen, Watcher, look
from kavfs.errors import KavfsError
from kavfs.ports import Image as AnyImage
from kavfs.scan.forkserver import ForkServer
from kavfs.signatures.allow import AllowList
from kavfs.signatures.image import Image, open_compiled

LOOK = 60.0  # seconds between two looks that nothing asked for
QUIET = 1.0  # seconds without another change before one is carried out ...
QUIET_MAX = 15.0  # ... if it becomes quiet at all; looks that are asked for in vain have the first of both between them
COMPILE_MAX = 3600.0
OTHERS = "the compiled signatures are others than expected; if kavfs was updated, restart this service"

CHANGED, UNCHANGED, FAILED = "changed", "unchanged", "failed"


class Renewed(NamedTuple):
    """What came of the last change."""

    at: float = 0.0  # seconds since 1970; 0 = there was none yet
    result: str = ""  # CHANGED, UNCHANGED or FAILED
    error: str = ""
    seconds: float = 0.0  # that it took


class Outcome(NamedTuple):
    result: str
    error: str = ""
    passing: bool = False  # it may be otherwise without another change
    notes: tuple[str, ...] = ()


class Applied(NamedTuple):
    """What changed settings came to."""

    places: Places
    crew: bool = False  # the settings of those who scan are others: they are made anew
    notes: tuple[str, ...] = ()  # what needs a restart


class Settings(Protocol):
    """Where settings come from: a configuration file."""

    def read(self) -> object:
        """Called in a thread of its own. KavfsError: they are wrong."""
        ...

    def apply(self, read: object) -> Applied:
        """Bring into force what was read, in the daemon's thread."""
        ...


class Service(Protocol):
    """Of scan/service.py, what is used here."""

    def renew(self, image: AnyImage, allow: AllowList, told: Callable[[str], None]) -> None: ...


class Renewer:
    """*begin* it in a running loop. *image* and *allow* are what the service has now. *renewed* is called when others
    have taken over. *settings* are read and applied before signatures are looked at; an error in them is one of the
    change as a whole. The *server* makes the process that compiles, and stays the caller's."""

    def __init__(
        self,
        service: Service,
        places: Places,
        image: AnyImage,
        allow: AllowList,
        note: Callable[[str], None],
        renewed: Callable[[], None] = lambda: None,
        settings: Settings | None = None,
        *,
        server: ForkServer,
        watch: bool = True,
        quiet: float = QUIET,
    ) -> None:
        self._service = service
        self._server = server
        self._places = places
        self._in_force = (image.generation, allow.entries)
        self._note = note
        self._renewed = renewed
        self._settings = settings
        self._watch = watch
        self._quiet = quiet
        self._seen: Seen | None = None  # what was carried out; None: look again in any case
        self._crew_is_old = False
        self._asked = False
        self._rest = 0.0  # until when nothing is carried out that was only asked for
        self._event = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._watcher: Watcher | None = None
        self.last = Renewed()
        self.told: Callable[[Renewed], None] = lambda renewed: None  # called when a change is over, whatever came of it
        self.counts = dict.fromkeys((CHANGED, UNCHANGED, FAILED), 0)

    def begin(self) -> None:
        loop = asyncio.get_running_loop()
        if self._watch:

            def changed() -> None:
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(self._event.set)

            self._watcher = Watcher(changed, self._note)
            self._watcher.follow(self._places)
        self._task = loop.create_task(self._run())

    def ask(self) -> None:
        """Carry out what has changed, now; it is told even if that is nothing. Any client may ask, so who asks again
        and again for nothing waits a little."""
        self._asked = True
        self._event.set()

    async def close(self) -> None:
        while self._task is not None and not self._task.done():
            self._task.cancel()  # which is lost where it meets an event: so more than once
            await asyncio.wait((self._task,), timeout=0.5)
        if self._watcher is not None:
            await asyncio.to_thread(self._watcher.close)

    # ---- when ------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                await self._wait()
                await self._turn()
            except Exception as error:  # a defect, or a machine without threads: the daemon goes on, and this too
                self._tell(time.monotonic(), Outcome(FAILED, f"{type(error).__name__}: {error}"))
                self._seen = None
                await asyncio.sleep(self._quiet)

    async def _wait(self) -> None:
        """Until there is something to do, or a look is due."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), LOOK if self._watch else None)
        until = time.monotonic() + QUIET_MAX
        while self._event.is_set() and not self._asked and time.monotonic() < until:
            self._event.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._event.wait(), self._quiet)
        if self._asked:
            await asyncio.sleep(max(0.0, self._rest - time.monotonic()))
        self._event.clear()

    async def _turn(self) -> None:
        asked, self._asked = self._asked, False
        begun = time.monotonic()
        seen = await asyncio.to_thread(look, self._places)
        if not asked and seen == self._seen:
            self._follow()
            return
        known = asked or self._seen is not None or self.last.result is FAILED
        places = self._places
        done = await self._carry_out()
        if asked and done.result is not CHANGED:
            self._rest = time.monotonic() + self._quiet
        self._seen = seen if seen.settled and not done.passing and self._places == places else None
        self._follow()
        if done.result is UNCHANGED and not known:
            return  # it was only to be seen whether there was a change
        if done.result is FAILED and not asked and done.error == self.last.error:
            return  # tried again, and said already
        self._tell(begun, done)

    def _follow(self) -> None:
        if self._watcher is not None:
            self._watcher.follow(self._places)

    def _tell(self, begun: float, done: Outcome) -> None:
        self.last = Renewed(time.time(), done.result, done.error, time.monotonic() - begun)
        self.counts[done.result] += 1
        for text in done.notes:
            self._note(text)
        if done.result is FAILED:
            self._note(f"what has changed is not used, what was in force stays: {done.error}")
        else:
            self._note(f"signatures are {done.result}: generation {self._in_force[0].hex()}")
        self.told(self.last)

    # ---- what ------------------------------------------------------------------------------------------------------

    async def _carry_out(self) -> Outcome:
        try:
            await self._apply_settings()
            done = await self._compile()
            if done.error:
                return Outcome(FAILED, done.error, done.passing)
            image = await asyncio.to_thread(open_compiled, self._places.databases, self._places.state)
        except (KavfsError, OSError) as error:
            return Outcome(FAILED, str(error), isinstance(error, OSError))
        if image is None or image.generation.hex() != done.generation:
            if image is not None:
                image.close()
            return Outcome(FAILED, OTHERS, True)
        return await self._switch(image, done.notes)

    async def _apply_settings(self) -> None:
        if self._settings is None:
            return
        applied = self._settings.apply(await asyncio.to_thread(self._settings.read))
        for text in applied.notes:
            self._note(text)
        self._crew_is_old |= applied.crew
        self._places = applied.places

    async def _compile(self) -> Compiled:
        places = self._places
        done = compile_beside(self._server, places.state, places.databases)
        try:
            return await asyncio.wait_for(done, COMPILE_MAX)
        except TimeoutError:
            return Compiled("compiling takes too long", True)

    async def _switch(self, image: Image, notes: tuple[str, ...]) -> Outcome:
        allow = image.allow
        if (image.generation, allow.entries) == self._in_force and not self._crew_is_old:
            image.close()
            return Outcome(UNCHANGED, notes=notes)
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        generation = image.generation
        self._service.renew(image, allow, lambda why: None if told.done() else told.set_result(why))
        if error := await told:
            return Outcome(FAILED, error, True)
        self._in_force = (generation, allow.entries)
        self._crew_is_old = False
        self._renewed()
        return Outcome(CHANGED, notes=notes)

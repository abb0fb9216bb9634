"""Life of a running smtpscanner: signals, changed signatures and settings, signs of life, the end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

from kavfs.cli.serving import changed
from kavfs.cli.smtpscanner import Start
from kavfs.cli.smtpscanner_front import Front
from kavfs.cli.smtpscanner_options import Wanted, read_options
from kavfs.cli.smtpscanner_telling import Telling
from kavfs.daemon.notify import Notify
from kavfs.daemon.renewing import Applied, Renewed, Renewer
from kavfs.daemon.watching import Places
from kavfs.scan.service import Service
from kavfs.signatures.sources import absolute, absolute_path, default_databases

LOAD_LOOK = 5.0  # seconds between two looks at the load average, and after connections that nobody needs

_AT_START = (
    *("socket", "status_socket", "pid_file", "state", "listen", "milter", "metrics", "socket_mode", "socket_group"),
    *("watch", "report_json", "jobs", "user", "group"),
)


class Life:
    """Made in the running loop, begun when clients can be served."""

    def __init__(self, start: Start, front: Front, notify: Notify) -> None:
        self._start = start
        self._front = front
        self._notify = notify
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._settings = Reload(start, front)
        wanted = start.wanted
        image = start.service.image
        self._telling = Telling(start, front)
        self._renewer = Renewer(
            start.service, self._settings.places(wanted), image, start.allow, start.log.note, settings=self._settings,
            watch=wanted.settings.watch, server=start.server,
        )  # fmt: skip
        self._renewer.told = self._renewed

    async def begin(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._ended.set)
        self._loop.add_signal_handler(signal.SIGHUP, self._reload)
        self._start.failed.append(self._ended.set)
        self._renewer.begin()
        await self._telling.begin(self._renewer)
        self._alive()
        self._look_at_load()

    async def run(self) -> None:
        """Until it was told to end, or cannot go on, and those who were there have had their time to finish."""
        await self._ended.wait()
        self._notify.stopping()
        await self._front.stop(self._settings.wanted.settings.drain)

    async def close(self) -> None:
        await self._renewer.close()
        await self._telling.close()
        await self._front.close()

    def _reload(self) -> None:
        self._notify.reloading()
        self._start.log.reopen()
        self._renewer.ask()

    def _renewed(self, what: Renewed) -> None:
        self._notify.ready()
        self._telling.renewed(what)

    def _alive(self) -> None:
        """The loop that serves says that it turns."""
        if self._notify.watchdog:
            self._notify.alive()
            self._loop.call_later(self._notify.watchdog, self._alive)

    def _look_at_load(self) -> None:
        """While the machine has more to do than it should, no scan is begun: clients are told to come again."""
        most = self._settings.wanted.settings.scan.max_load
        with suppress(OSError):  # no /proc
            self._start.service.full = bool(most) and os.getloadavg()[0] > most
        self._front.tidy()
        self._loop.call_later(LOAD_LOOK, self._look_at_load)


class Reload:
    """Promises renewing.Settings. The command line wins now as it did at the start."""

    def __init__(self, start: Start, front: Front) -> None:
        self._words: Sequence[bytes] = start.words
        self._state = start.state
        self._engines = start.engines
        self._service: Service = start.service
        self._front = front
        self.wanted: Wanted = start.wanted  # now

    def places(self, wanted: Wanted) -> Places:
        """What is to be watched for *wanted*."""
        databases = absolute(wanted.databases or default_databases())
        return Places(databases, absolute_path(self._state), wanted.configuration)

    def read(self) -> object:
        return read_options(self._words)

    def apply(self, read: object) -> Applied:
        wanted = cast(Wanted, read)
        before = self.wanted
        notes = tuple(f"{name} changes with a restart" for name in changed(before.settings, wanted.settings, _AT_START))
        if wanted.settings != before.settings:
            self._front.change(wanted.settings)  # ConfigError: nothing has changed then
        self.wanted = wanted
        service = wanted.service(self._state, self._engines)
        old = before.service(self._state, self._engines)
        self._service.change(service)
        crew = (service.options, service.cache, service.cache_size) != (old.options, old.cache, old.cache_size)
        return Applied(self.places(wanted), crew, notes)

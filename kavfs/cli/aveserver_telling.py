"""Telling: what a running aveserver says about itself: events in the store, the status, metrics for Prometheus."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kavfs.cli.aveserver_options import Wanted
from kavfs.cli.history import store_path
from kavfs.daemon.keeping import Keeper
from kavfs.daemon.log import Log
from kavfs.daemon.renewing import Renewed, Renewer
from kavfs.daemon.server import Server
from kavfs.daemon.status import Status, StatusSocket, protocols
from kavfs.errors import SystemFailure
from kavfs.ports import Image
from kavfs.report.events import Retention
from kavfs.report.summary import Signatures

if TYPE_CHECKING:
    from kavfs.daemon.metrics import MetricsServer


class Telling:
    """Made in the running loop, begun with the server, closed behind it."""

    def __init__(self, wanted: Wanted, state: bytes, image: Image, log: Log) -> None:
        self._wanted = wanted
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._socket: StatusSocket | None = None
        self._metrics: MetricsServer | None = None
        scan = wanted.settings.scan
        self.keeper: Keeper | None = None
        if scan.event_store is not None:
            path, keep = store_path(scan.event_store, state), Retention(scan.event_retention)
            about = Signatures(image.signature_count, image.newest, image.demonstration, image.generation)
            self.keeper = Keeper(path, about, self._warn, keep)

    def _warn(self, text: str) -> None:
        """From the keeper's thread."""
        self._loop.call_soon_threadsafe(self._log.note, text, "E")

    async def begin(self, server: Server, renewer: Renewer) -> None:
        daemon = self._wanted.daemon
        status = Status("aveserver", server.service, renewer, self.keeper, lambda: protocols(server))
        if daemon.status is not None:
            try:
                self._socket = StatusSocket(daemon.status, status.tree)
                await self._socket.begin()
            except SystemFailure as error:
                if self._wanted.settings.status_socket:
                    raise
                self._log.note(str(error), "E")  # nobody asked for it
        if daemon.metrics:
            from kavfs.daemon.metrics import MetricsServer  # its library, for whoever collects

            self._metrics = MetricsServer(daemon.metrics, status, server.tallies)
            await self._metrics.begin()
        if self.keeper is not None:
            self.keeper.begin()
            self.keeper.note("aveserver begins")

    def renewed(self, server: Server, what: Renewed) -> None:
        """A change is over."""
        if self.keeper is not None:
            self.keeper.renewed(what, server.service.stats())

    async def close(self) -> None:
        for one in (self._socket, self._metrics):
            if one is not None:
                await one.close()
        if self.keeper is not None:
            self.keeper.note("aveserver ends")
            await asyncio.to_thread(self.keeper.close)

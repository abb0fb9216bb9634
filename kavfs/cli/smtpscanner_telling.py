"""Telling: what a running smtpscanner says about itself: status, and metrics for Prometheus."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kavfs.cli.smtpscanner import PROGRAM, Start
from kavfs.cli.smtpscanner_events import keeper_of
from kavfs.cli.smtpscanner_front import Front
from kavfs.daemon.keeping import Keeper
from kavfs.daemon.renewing import Renewed, Renewer
from kavfs.daemon.status import Status, StatusSocket, Tree
from kavfs.errors import SystemFailure

if TYPE_CHECKING:
    from kavfs.daemon.metrics import MetricsServer


class Telling:
    """Made in the running loop, begun with the daemon, closed behind it."""

    def __init__(self, start: Start, front: Front) -> None:
        self._start = start
        self._front = front
        self._socket: StatusSocket | None = None
        self._metrics: MetricsServer | None = None
        self.keeper: Keeper | None = None

    async def begin(self, renewer: Renewer) -> None:
        wanted, log = self._start.wanted, self._start.log
        self.keeper = self._front.keeper = keeper_of(self._start)
        if self.keeper is not None:
            self.keeper.begin()
            self.keeper.note("smtpscanner begins")
        status = Status(PROGRAM, self._start.service, renewer, self.keeper, self._tree)
        if (listener := wanted.status()) is not None:
            try:
                self._socket = StatusSocket(listener, status.tree)
                await self._socket.begin()
            except SystemFailure as error:
                if wanted.settings.status_socket:
                    raise
                log.note(str(error), "E")  # nobody asked for it
        if wanted.metrics():
            from kavfs.daemon.metrics import MetricsServer  # its library, for whoever collects
            from kavfs.mail.metrics import MailMetrics

            front = self._front
            mail = MailMetrics(front.counts, front.receiver.counts, front.notices.counts, lambda: front.lost)
            self._metrics = MetricsServer(wanted.metrics(), status, others=[mail])
            await self._metrics.begin()

    def renewed(self, what: Renewed) -> None:
        """A change is over."""
        self._front.renewed()
        if self.keeper is not None:
            self.keeper.renewed(what, self._start.service.stats())

    async def close(self) -> None:
        for one in (self._socket, self._metrics):
            if one is not None:
                await one.close()
        if self.keeper is not None:
            self.keeper.note("smtpscanner ends")
            await asyncio.to_thread(self.keeper.close)

    def _tree(self) -> Tree:
        front = self._front
        receiver, milter, counts = front.receiver, front.milter, front.counts
        notices: dict[str, dict[str, int]] = {}
        for (role, outcome), number in front.notices.counts.items():
            notices.setdefault(role, {})[outcome] = number
        return {
            "mail": {
                **vars(receiver.counts),
                "statuses": {status.name.lower(): number for status, number in counts.statuses.items()},
                "bytes": counts.bytes,
                "quarantined": counts.kept,
                "notices": notices,
                "connections": receiver.connections + milter.connections,
                "accepted": receiver.accepted + milter.accepted,
                "turned_away": receiver.turned_away + milter.turned_away,
            }
        }

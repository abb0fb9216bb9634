"""Status: what the daemon does now and has done since it began, for `kavfs status` and for metrics.

The socket of the status answers whoever connects with one line of JSON; only root and the daemon's own user may.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kavfs.daemon.keeping import Keeper
from kavfs.daemon.listening import listen
from kavfs.daemon.renewing import Renewer
from kavfs.daemon.server import Server
from kavfs.daemon.settings import Listener
from kavfs.scan.service import Service
from kavfs.version import VERSION

Tree = dict[str, Any]

PATIENCE = 5.0  # seconds that a reader may take
AT_ONCE = 16  # readers


class Status:
    """Made when the daemon begins. *more*: what this program has to tell besides. *keeper*: None when nothing is
    kept."""

    def __init__(
        self, program: str, service: Service, renewer: Renewer, keeper: Keeper | None, more: Callable[[], Tree]
    ) -> None:
        self._program = program
        self._service = service
        self._renewer = renewer
        self._keeper = keeper
        self._more = more
        self._begun = time.time()

    def tree(self) -> Tree:
        """Everything, as JSON has it."""
        stats = self._service.stats()
        last = self._renewer.last
        return {
            "program": self._program,
            "version": VERSION,
            "pid": os.getpid(),
            "begun": self._begun,
            **self._more(),
            "waiting": stats.waiting,
            "in_scan": stats.in_scan,
            "workers": stats.workers,
            "deaths": stats.deaths,
            "losses": stats.losses,
            "answered": stats.answered,
            "refused": stats.refused,
            "cached": stats.cached,
            "joined": stats.joined,
            "caches": [{"cache": name, "place": place, "bytes": size} for (name, place), size in stats.caches.items()],
            "generation": stats.generation.hex(),
            "signatures": stats.signatures,
            "kinds": dict(stats.kinds),
            "newest": stats.newest,
            "switches": stats.switches,
            "reload": {"at": last.at, "result": last.result, "error": last.error, "seconds": round(last.seconds, 3)},
            "reloads": dict(self._renewer.counts),
            "events": self._events(),
        }

    def _events(self) -> Tree | None:
        keeper = self._keeper
        return None if keeper is None else {"kept": keeper.kept, "lost": keeper.lost, "error": keeper.error}


def protocols(server: Server) -> Tree:
    """What aveserver has to tell besides."""
    return {"protocols": {name: _protocol(server, name) for name in server.desks}}


def _protocol(server: Server, name: str) -> Tree:
    desk, tally = server.desks[name], server.tallies[name]
    counts = desk.front.counts()
    return {
        "requests": desk.requests,
        "connections": counts["connections"],
        "accepted": counts["accepted"],
        "turned_away": counts["busy"],
        "statuses": {status.name.lower(): number for status, number in tally.statuses.items()},
        "refusals": dict(tally.refusals),
        "bytes": tally.bytes,
        "cached": tally.cached,
        "seconds": round(tally.seconds, 6),
    }


class StatusSocket:
    """Answers with *tree*. SystemFailure: it cannot be listened there."""

    def __init__(self, listener: Listener, tree: Callable[[], Tree]) -> None:
        self._socket = listen(listener)
        self._tree = tree
        self._server: asyncio.Server | None = None
        self._readers = 0

    async def begin(self) -> None:
        self._server = await asyncio.start_unix_server(self._answer, sock=self._socket)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._readers < AT_ONCE and _uid(writer) in (0, os.geteuid()):
                self._readers += 1
                try:
                    writer.write(json.dumps(self._tree()).encode() + b"\n")
                    with suppress(OSError, TimeoutError):
                        await asyncio.wait_for(writer.drain(), PATIENCE)
                finally:
                    self._readers -= 1
        finally:
            writer.close()


def _uid(writer: asyncio.StreamWriter) -> int:
    peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", peer)[1])

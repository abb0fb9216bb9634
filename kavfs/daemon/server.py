"""Server: fronts, service and openers in one asyncio loop, from the first listener to the last answer.

Everything that is measured in microseconds happens in C below step(); the loop wakes us when there is something, and
does what comes seldom besides: signals, new signatures, status, TLS.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from kavfs import version
from kavfs._native import serve
from kavfs.daemon import ave, clamd, listening
from kavfs.daemon.ave_talk import AveTalk
from kavfs.daemon.clamd_talk import Answers, ClamdTalk
from kavfs.daemon.desk import Desk
from kavfs.daemon.settings import DaemonSettings
from kavfs.scan.opening import Openers
from kavfs.scan.service import Service

PROTOCOLS = {"ave": serve.AVE, "clamd": serve.CLAMD}
DRAIN_LOOK = 0.05


class Server:
    """*note* takes lines for the log. *reload* begins a look for new signatures."""

    def __init__(
        self,
        settings: DaemonSettings,
        service: Service,
        openers: Openers,
        note: Callable[[str], None],
        reload: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.service = service
        self.openers = openers
        self.note = note
        self.reload = reload
        self.desks: dict[str, Desk] = {}
        self._ended = asyncio.Event()
        self._ending = False
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    # ---- life ------------------------------------------------------------------------------------------------------

    def begin(self, sockets: dict[str, list[socket.socket]]) -> None:
        """Listen on *sockets*, by protocol, and answer from now on. They are the server's from now on."""
        for protocol, some in sockets.items():
            desk = self.desks[protocol] = self._desk(protocol)
            for sock in some:
                desk.front.listen(sock.detach(), PROTOCOLS[protocol])
            self._loop.add_reader(desk.front.fileno(), self._pump, desk)
        self.renamed()
        self._loop.add_reader(self.service.fileno(), self._step)
        self._loop.add_reader(self.openers.fileno(), self._opened)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.end)
        self._loop.add_signal_handler(signal.SIGHUP, self.reload)
        self._step()

    async def run(self) -> None:
        """Until end() was called and everything has been answered, or the time for that is over."""
        await self._ended.wait()
        until = time.monotonic() + self.settings.drain
        while not self.service.idle and time.monotonic() < until:
            await asyncio.sleep(DRAIN_LOOK)
        self.close()

    def end(self) -> None:
        """Accept nobody any more, answer what has been asked, then stop."""
        if self._ending:
            return
        self._ending = True
        for desk in self.desks.values():
            desk.front.accepting(False)
        self._ended.set()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for fd in (self.service.fileno(), self.openers.fileno(), *(d.front.fileno() for d in self.desks.values())):
            self._loop.remove_reader(fd)
        self.service.close()
        for desk in self.desks.values():
            with suppress(OSError):
                desk.front.step()
            desk.front.close()
        self.openers.close()

    def _desk(self, protocol: str) -> Desk:
        grants = self.settings.front
        front = serve.Front(
            connections=grants.connections,
            per_client=grants.per_client,
            line_max=grants.line_max,
            stream_max=grants.stream_max,
            memory_max=grants.memory_max,
            spill_dir=grants.spill_dir,
            idle_ms=int(grants.idle * 1000),
            stall_ms=int(grants.stall * 1000),
            send_ms=int(grants.send * 1000),
        )
        front.set_busy(serve.AVE, ave.BUSY)
        front.set_busy(serve.CLAMD, clamd.BUSY.encode() + b". ERROR")
        desk = Desk(front, self.service, self.openers, self.settings.folders)
        if protocol == "ave":
            desk.talk = AveTalk(desk)
        else:
            answers = Answers(self.version, self.stats, self.reload, self._shut_down)
            desk.talk = ClamdTalk(desk, answers, self.settings.strict)
        return desk

    def change(self, settings: DaemonSettings) -> None:
        """Other settings for requests to come. What a socket or a front was made with stays."""
        self.settings = settings
        for desk in self.desks.values():
            desk.folders = settings.folders
            if isinstance(desk.talk, ClamdTalk):
                desk.talk.strict = settings.strict

    # ---- the loop --------------------------------------------------------------------------------------------------

    def _pump(self, desk: Desk) -> None:
        desk.pump()
        self._opened()

    def _opened(self) -> None:
        self.openers.step()
        self._step()

    def _step(self) -> None:
        self.service.step()
        if self._timer is not None:
            self._timer.cancel()
        seconds = min(self.service.timeout(), self.openers.timeout())
        self._timer = self._loop.call_later(seconds, self._opened)

    # ---- what is told ----------------------------------------------------------------------------------------------

    def renamed(self) -> None:
        """The signatures are others: greetings say so."""
        stats = self.service.stats()
        for desk in self.desks.values():
            desk.front.greet(serve.AVE, ave.greeting(version.VERSION, stats.newest, stats.signatures))

    def version(self) -> bytes:
        stats = self.service.stats()
        date = time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(stats.newest))
        return clamd.version(f"kavfs {version.VERSION}", stats.generation.hex()[:8], date)

    def stats(self) -> bytes:
        stats = self.service.stats()
        live = stats.workers
        load = clamd.Load(live, max(0, live - stats.in_scan), live, stats.waiting, 0)
        return clamd.stats(load)

    def _shut_down(self, peer: serve.Peer) -> bool:

        if not self.settings.shutdown or peer.uid not in (0, os.geteuid()):
            return False
        self._loop.call_soon(self.end)
        return True


def open_listeners(settings: DaemonSettings) -> dict[str, list[socket.socket]]:
    """Sockets by protocol: those that were handed over by name, the others made."""
    found: dict[str, list[socket.socket]] = {}
    given = listening.handed()
    for name, sock in given.items():
        protocol = name.partition("-")[0]
        if protocol in PROTOCOLS:
            found.setdefault(protocol, []).append(sock)
    for listener in settings.listeners:
        if listener.protocol not in given:
            found.setdefault(listener.protocol, []).append(listening.listen(listener))
    return found

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
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from kavfs import version
from kavfs._native import serve
from kavfs.daemon import ave, clamd, listening
from kavfs.daemon.ave_talk import AveTalk
from kavfs.daemon.clamd_talk import Answers, ClamdTalk
from kavfs.daemon.desk import Desk, Watcher
from kavfs.daemon.listing import Lister
from kavfs.daemon.notify import Notify
from kavfs.daemon.settings import DaemonSettings
from kavfs.daemon.tally import Tally
from kavfs.errors import SystemFailure
from kavfs.scan.opening import Openers
from kavfs.scan.service import Service, ServiceStats

if TYPE_CHECKING:
    from kavfs.daemon.tls import TlsRelay

PROTOCOLS = {"ave": serve.AVE, "clamd": serve.CLAMD}
DRAIN_LOOK = 0.05
DEFECTS_TOLD = 100
ROUNDS = 4
STATS_LAST = 0.1  # seconds that an answer to STATS is good for
LOAD_LOOK = 5.0  # seconds between two looks at the load average

Sockets = dict[tuple[str, bool], list[socket.socket]]  # by protocol, and whether with TLS


class Server:
    """*note* takes lines for the log, *watchers* hear of each object. *reload* begins a look for new signatures."""

    def __init__(
        self,
        settings: DaemonSettings,
        service: Service,
        openers: Openers,
        note: Callable[[str], None],
        reload: Callable[[], None] = lambda: None,
        *,
        watchers: Sequence[Watcher] = (),
        notify: Notify | None = None,
    ) -> None:
        self.settings = settings
        self.service = service
        self.openers = openers
        self.note = note
        self.reload = reload
        self.watchers = list(watchers)
        self.notify = notify or Notify({})
        self.desks: dict[str, Desk] = {}
        self.tallies: dict[str, Tally] = {}  # by protocol
        self._relays: list[TlsRelay] = []
        self._ended = asyncio.Event()
        self._ending = False
        self.failure: SystemFailure | None = None  # why it ended by itself
        self._defects: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._lister = Lister(self._opened)
        self._version = self._stats = b""
        self._stats_until = 0.0  # of the loop's time
        service.closing.told = self._crowded

    # ---- life ------------------------------------------------------------------------------------------------------

    def begin(self, sockets: Sockets) -> None:
        """Listen on *sockets*, and answer from now on. They are the server's from now on."""
        for (protocol, tls), some in sockets.items():
            desk = self.desks.get(protocol) or self._desk(protocol)
            for sock in some:
                if tls:
                    self._relays.append(self._relay(sock, desk, PROTOCOLS[protocol]))
                else:
                    desk.front.listen(sock.detach(), PROTOCOLS[protocol])
        self.renamed()
        self._loop.add_reader(self.service.fileno(), self._step)
        self._loop.add_reader(self.openers.fileno(), self._opened)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.end)
        self._loop.add_signal_handler(signal.SIGHUP, self.reload)
        self._step()
        self._look_at_load()
        self._alive()

    async def run(self) -> None:
        """Until end() was called and everything has been answered, or the time for that is over. SystemFailure: it
        ended by itself."""
        await self._ended.wait()
        self.notify.stopping()
        until = time.monotonic() + self.settings.drain
        while not self._idle and not self.failure and time.monotonic() < until:
            await asyncio.sleep(DRAIN_LOOK)
        self.close()
        for relay in self._relays:
            await relay.close()
        if self.failure is not None:
            raise self.failure

    @property
    def _idle(self) -> bool:
        """Nobody waits: paths that are being opened, and folders, are nothing that the service knows of."""
        return self.service.idle and not any(desk.busy for desk in self.desks.values())

    def end(self) -> None:
        """Accept nobody any more, answer what has been asked, then stop."""
        if self._ending:
            return
        self._ending = True
        for desk in self.desks.values():
            desk.front.accepting(False)
        for relay in self._relays:
            relay.stop()
        self._ended.set()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for fd in (self.service.fileno(), self.openers.fileno(), *(d.front.fileno() for d in self.desks.values())):
            self._loop.remove_reader(fd)
        self._lister.close()
        self.openers.close()  # before the service, which answers for what was opened
        self.service.close()
        for desk in self.desks.values():
            with suppress(OSError):
                desk.front.step()
            for uid, fd in desk.front.close():
                self.service.closing.close(fd, uid)

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
        front.set_late(serve.CLAMD, clamd.SILENT)
        desk = Desk(front, self.service, self.openers, self._lister, self.settings.folders)
        if protocol == "ave":
            desk.talk = AveTalk(desk, self.settings.alert_unscanned)
        else:
            answers = Answers(lambda: self._version, self.stats, lambda: self.reload(), self._shut_down)
            desk.talk = ClamdTalk(desk, answers, self.settings.strict)
        tally = self.tallies[protocol] = Tally()
        desk.watchers = [*self.watchers, tally.told]
        desk.broken = self._broken
        self.desks[protocol] = desk
        self._loop.add_reader(front.fileno(), self._pump, desk)
        return desk

    def change(self, settings: DaemonSettings) -> None:
        """Other settings for requests to come. What a socket or a front was made with stays."""
        self.settings = settings
        for desk in self.desks.values():
            desk.folders = settings.folders
            if isinstance(desk.talk, ClamdTalk):
                desk.talk.strict = settings.strict
            elif isinstance(desk.talk, AveTalk):
                desk.talk.alert_unscanned = settings.alert_unscanned

    def _relay(self, sock: socket.socket, desk: Desk, protocol: int) -> TlsRelay:
        assert self.settings.tls is not None
        from kavfs.daemon.tls import TlsRelay, context  # its library, for whoever listens with it

        def adopt(fd: int, address: bytes) -> int:
            return desk.front.adopt(fd, protocol, address)

        grants = self.settings.front
        return TlsRelay(sock, context(self.settings.tls), adopt, grants.connections, grants.per_client)

    def _crowded(self, client: object, is_so: bool) -> None:
        """Nothing more is taken from who has too many descriptors that cannot be closed."""
        if isinstance(client, int):
            for desk in self.desks.values():
                desk.front.mute(client, is_so)

    # ---- the loop --------------------------------------------------------------------------------------------------

    def _pump(self, desk: Desk) -> None:
        desk.pump()
        self._go_on()

    def _opened(self) -> None:
        self._turn(self.openers.step)
        self._go_on()

    def _step(self) -> None:
        self._turn(self.service.step)
        self._go_on(stepped=True)

    def _go_on(self, stepped: bool = False) -> None:
        """Do what can be done at once; whatever else comes is told by a descriptor, or the timer looks."""
        for _ in range(ROUNDS):  # others of the loop have their turn
            if self.openers.due:
                self._turn(self.openers.step)
            if self.service.due:
                self._turn(self.service.step)
                stepped = True
        if stepped or self._timer is None or self.openers.due:
            self._set_timer(min(self.service.timeout(), self.openers.timeout()))

    def _set_timer(self, seconds: float) -> None:
        """One that rings earlier is as good: setting it costs more than most answers."""
        at = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._turn(self.openers.step)
        self._turn(self.service.step)
        self._go_on(stepped=True)

    def _turn(self, step: Callable[[], None]) -> None:
        """Whatever an answer leads to, the next one gets its turn. Without the fork server nothing can go on."""
        try:
            step()
        except SystemFailure as error:
            self.failure = self.failure or error
            self.end()
        except Exception as error:  # a defect
            self._broken(f"an answer could not be given: {type(error).__name__}: {error}")

    def _broken(self, why: str) -> None:
        """Said once, as it may be so at every turn."""
        if why not in self._defects and len(self._defects) < DEFECTS_TOLD:
            self._defects.add(why)
            self.note(why)

    def _look_at_load(self) -> None:
        """While the machine has more to do than it should, nothing new is taken."""
        most = self.settings.max_load
        with suppress(OSError):  # no /proc
            self.service.full = bool(most) and os.getloadavg()[0] > most
        self._loop.call_later(LOAD_LOOK, self._look_at_load)

    def _alive(self) -> None:
        """The loop that serves says that it turns."""
        if self.notify.watchdog:
            self.notify.alive()
            self._loop.call_later(self.notify.watchdog, self._alive)

    # ---- what is told ----------------------------------------------------------------------------------------------

    def renamed(self) -> None:
        """The signatures are others: greetings and answers to VERSION say so."""
        stats = self.service.stats()
        self._version = self._version_now(stats)
        for desk in self.desks.values():
            desk.front.greet(serve.AVE, ave.greeting(version.VERSION, stats.newest, stats.signatures))

    def _version_now(self, stats: ServiceStats) -> bytes:
        date = time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(stats.newest))
        return clamd.version(f"kavfs {version.VERSION}", stats.generation.hex()[:8], date)

    def stats(self) -> bytes:
        """Not told anew for each of many who ask: they would keep others from their turn."""
        now = self._loop.time()
        if now >= self._stats_until:
            stats = self.service.stats()
            live = stats.workers
            memory = sum(part.length for part in self.service.image.parts)
            load = clamd.Load(live, max(0, live - stats.in_scan), live, stats.waiting, memory)
            self._stats, self._stats_until = clamd.stats(load), now + STATS_LAST
        return self._stats

    def _shut_down(self, peer: serve.Peer) -> bool:
        if not self.settings.shutdown or peer.uid not in (0, os.geteuid()):
            return False
        self._loop.call_soon(self.end)
        return True


def open_listeners(settings: DaemonSettings, note: Callable[[str], None] = lambda text: None) -> Sockets:
    """Those that were handed over, by name ("ave", "clamd", "ave-tls" ...), and the others made. A protocol of which a
    UNIX socket was handed over gets no other. *note* hears of those that are of no use."""
    found: Sockets = {}
    given = set()
    for name, sock in listening.handed():
        protocol, tls = name.removesuffix("-tls"), name.endswith("-tls")
        if why := _of_no_use(protocol, tls, settings):
            note(f"nobody listens on the socket {name} that was handed over: {why}")
            sock.close()
            continue
        found.setdefault((protocol, tls), []).append(sock)
        if sock.family == socket.AF_UNIX:
            given.add(protocol)
    for listener in settings.listeners:
        if not (listener.path and listener.protocol in given):
            found.setdefault((listener.protocol, listener.tls), []).append(listening.listen(listener))
    return found


def _of_no_use(protocol: str, tls: bool, settings: DaemonSettings) -> str:
    if protocol not in PROTOCOLS:
        return "FileDescriptorName= must be ave, clamd, ave-tls or clamd-tls"
    return "TlsCertificate is not set" if tls and settings.tls is None else ""

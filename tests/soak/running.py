"""Running a soak: a daemon, its clients, whoever kills its workers, slow clients, and what must stay flat."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.soak.clients import PATIENCE, Client, Tally, connect, objects, read
from tests.support import daemon
from tests.support.daemons import children, databases

CLIENTS = 4
SLOW = 500  # clients at once that send one byte and wait
WARM = 0.3  # part of the requests after which nothing may grow any more
KILLS = 20  # of workers
LOOSE = 4  # descriptors more or less: workers that were killed are not all replaced in the same way
PING_MAX = 10.0  # seconds: longer than that it does not answer


@dataclass(frozen=True)
class Use:
    """Of the daemon when nobody asks anything."""

    memory: int  # KiB of its own: what it shares with its children has bounds of its own
    descriptors: int
    children: int


@dataclass(frozen=True)
class Outcome:
    """Of a soak."""

    tally: Tally
    seconds: float
    before: Use
    after: Use
    longest_ping: float
    kills: int

    def complaints(self, growth: float) -> list[str]:
        """What must not be, in words. *growth*: of memory, as a part."""
        found = self.tally.wrong[:20]
        if self.after.memory > self.before.memory * (1 + growth):
            found.append(f"memory has grown from {self.before.memory} to {self.after.memory} KiB")
        if self.after.descriptors > self.before.descriptors + LOOSE:
            found.append(f"descriptors: {self.before.descriptors} before, {self.after.descriptors} now")
        if self.after.children > self.before.children:
            found.append(f"children: {self.before.children} before, {self.after.children} now")
        if self.longest_ping > PING_MAX:
            found.append(f"a PING took {self.longest_ping:.1f} s")
        return found


class Soak:
    """Against one daemon in *folder*."""

    def __init__(self, running: daemon.Daemon, folder: Path, requests: int, seed: int) -> None:
        self._daemon, self._requests, self._seed = running, requests, seed
        self._fixed = objects(folder / "objects", seed)
        self._tally = Tally()
        self._over = threading.Event()
        self._longest = 0.0
        self._kills = 0

    def run(self) -> Outcome:
        started = time.monotonic()
        beside = [threading.Thread(target=self._ping), threading.Thread(target=self._kill)]
        for thread in beside:
            thread.start()
        try:
            with self._slow_clients():  # all that happens later happens once before memory is looked at
                self._ask(int(self._requests * WARM))
            before = self._use()
            with self._slow_clients():
                self._ask(self._requests)
            after = self._use()
        finally:
            self._over.set()
            for thread in beside:
                thread.join()
        return Outcome(self._tally, time.monotonic() - started, before, after, self._longest, self._kills)

    def _ask(self, until: int) -> None:
        """Clients, until so many good requests were made in all."""
        sockets = self._daemon.folder / "ave", self._daemon.folder / "clamd"
        made = [
            Client(*sockets, self._fixed, f"{self._seed} {until} {number}", self._tally) for number in range(CLIENTS)
        ]
        threads = [threading.Thread(target=one.run, args=(lambda: self._tally.asked >= until,)) for one in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    @contextlib.contextmanager
    def _slow_clients(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for number in range(SLOW):
                sock: socket.socket = stack.enter_context(connect(str(self._daemon.folder / "clamd")))
                sock.send(b"zINSTREAM\0" if number % 2 else b"z")
            yield

    def _ping(self) -> None:
        while not self._over.wait(0.1):
            started = time.monotonic()
            try:
                with connect(str(self._daemon.folder / "clamd")) as sock:
                    sock.sendall(b"zPING\0")
                    if (told := read(sock)) != b"PONG\0":
                        self._tally.blame(f"PING: {told!r}")
            except OSError as error:
                self._tally.blame(f"PING: {error!r}")
            self._longest = max(self._longest, time.monotonic() - started)

    def _kill(self) -> None:
        """A worker now and then, never two at once: what dies twice is an error, and rightly so."""
        rnd = random.Random(self._seed)
        every = self._requests // KILLS
        while not self._over.wait(0.05):
            if self._tally.asked < (self._kills + 1) * every:
                continue
            workers = [child for child in children(self._daemon.process.pid) if name_of(child) == "kavfs-worker"]
            if workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(rnd.choice(workers), signal.SIGKILL)
                self._kills += 1

    def _use(self) -> Use:
        """When it has come to rest."""
        end = time.monotonic() + PATIENCE
        last, same = self._look(), 0
        while same < 5 and time.monotonic() < end:
            self._over.wait(0.2)
            now = self._look()
            same, last = (same + 1 if now == last else 0), now
        return last

    def _look(self) -> Use:
        pid = self._daemon.process.pid
        memory = next(
            int(line.split()[1])
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("RssAnon:")
        )
        return Use(memory, len(os.listdir(f"/proc/{pid}/fd")), len(children(pid)))


def name_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def soak(folder: Path, requests: int, seed: int) -> Outcome:
    """A daemon of its own, and *requests* good requests beside the others."""
    signatures = databases(folder / "databases")
    grants = "[aveserver.network]\nMaxConnections=2000\nMaxConnectionsClient=0\n"
    with daemon.running(folder, grants, words=("--foreground", "--db", signatures)) as running:
        assert running.process.stderr is not None
        log = os.dup(running.process.stderr.fileno())
        reader = threading.Thread(target=read_away, args=(log,))
        reader.start()
        try:
            return Soak(running, folder, requests, seed).run()
        finally:
            running.stop()
            reader.join()


def read_away(fd: int) -> None:
    """What the daemon logs: it waits for whoever does not read."""
    with open(fd, "rb") as log:
        while log.read1(1 << 16):
            pass


def report(outcome: Outcome) -> None:
    """To standard error."""
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(outcome.tally.kinds.items()))
    print(
        f"{outcome.tally.asked:,} requests in {outcome.seconds:.0f} s; {outcome.kills} workers killed", file=sys.stderr
    )
    print(f"{kinds}\nbefore {outcome.before}\nafter  {outcome.after}", file=sys.stderr)
    print(f"longest PING {outcome.longest_ping:.2f} s", file=sys.stderr)

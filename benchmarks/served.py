"""Served: services that are asked by many clients at once, and what each request costs them.

Both are driven by load.c in clamd's protocol. CPU seconds and memory are those of all processes of a service, as the
kernel counts them: on a busy machine they say more than requests a second.
"""

from __future__ import annotations

import json
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

import psutil

from benchmarks.ours import ENVIRONMENT, Kavfs, program
from benchmarks.peers import Clamd, built

CLIENTS = 8
PATIENCE = 300.0  # seconds that a start may take


@dataclass(frozen=True, slots=True)
class Load:
    """What came of some requests. Latencies in milliseconds, CPU in microseconds for each request."""

    requests: int
    seconds: float
    p50: float
    p99: float
    failed: int
    wrong: int
    client_cpu: float
    service_cpu: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


class Served(Protocol):
    """A service that is ready to be asked."""

    name: str
    socket: Path
    process: psutil.Process


class Clients:
    """The program load.c, compiled."""

    def __init__(self, cache: Path) -> None:
        self._program = built(cache / "load", "load")

    def start(
        self, service: Served, files: Sequence[Path], how: str, requests: int, kept: bool = False
    ) -> subprocess.Popen[str]:
        """Clients that ask for *files*, all of them clean, until there were *requests* or a SIGINT comes."""
        words = ["clamd", how, str(CLIENTS), "KEPT" if kept else "ONCE", str(requests)]
        clients = subprocess.Popen(
            [str(self._program), str(service.socket), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert clients.stdin is not None
        clients.stdin.writelines(f"clean {path}\n" for path in files)
        clients.stdin.close()
        return clients

    def ask(self, service: Served, files: Sequence[Path], how: str, requests: int = 0, kept: bool = False) -> Load:
        """All of it, to the end."""
        before = cpu(service.process)
        clients = self.start(service, files, how, requests, kept)
        return told(clients, service.process, before)


def told(clients: subprocess.Popen[str], service: psutil.Process, before: float) -> Load:
    """What clients say at their end. *before*: CPU seconds of the service at their start."""
    return told_by(clients, lambda: cpu(service) - before)


def told_by(clients: subprocess.Popen[str], used: Callable[[], float]) -> Load:
    """What clients say at their end. *used*: CPU seconds of the service meanwhile."""
    assert clients.stdout is not None
    text = clients.stdout.read()
    if clients.wait() != 0 or not text:
        raise RuntimeError(f"load ended with {clients.returncode}")
    said = json.loads(text)
    count = said["requests"]
    return Load(
        count,
        said["seconds"],
        said["p50"],
        said["p99"],
        said["failed"],
        said["wrong"],
        said["cpu"] / count * 1e6,
        used() / count * 1e6,
    )


def middle(loads: Sequence[Load]) -> Load:
    """Medians; what went wrong adds up."""

    return Load(
        loads[0].requests,
        statistics.median(load.seconds for load in loads),
        statistics.median(load.p50 for load in loads),
        statistics.median(load.p99 for load in loads),
        sum(load.failed for load in loads),
        sum(load.wrong for load in loads),
        statistics.median(load.client_cpu for load in loads),
        statistics.median(load.service_cpu for load in loads),
    )


def everybody(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def cpu(process: psutil.Process) -> float:
    """Seconds of all processes that live, and of those children of theirs that have ended."""
    used = [one.cpu_times() for one in everybody(process)]
    return float(sum(sum(times[:4]) for times in used))


def memory(process: psutil.Process) -> int:
    """Bytes of all processes; what several share is divided between them (PSS)."""
    return sum(_proportional(one.pid, ("Pss",)) for one in everybody(process))


def own_memory(process: psutil.Process) -> int:
    """The same without pages of files, which the kernel takes back when it wants."""
    return sum(_proportional(one.pid, ("Pss_Anon", "Pss_Shmem")) for one in everybody(process))


def _proportional(pid: int, fields: Sequence[str]) -> int:
    """Bytes; 0 of a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    found = (line.partition(":") for line in lines)
    return sum(int(value.split()[0]) << 10 for name, _, value in found if name in fields)


class ServedClamd:
    """clamd with its cache on."""

    name = "clamd"

    def __init__(self, signatures: Path, threads: int) -> None:
        self._clamd = Clamd(signatures, threads, cache=True)

    def __enter__(self) -> ServedClamd:
        self._clamd.__enter__()
        self.socket = self._clamd.folder / "socket"
        self.process = psutil.Process(self._clamd.process.pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clamd.__exit__(kind, value, trace)


class Aveserver:
    """Our daemon with a state folder of its own, and a copy of the signatures that may be changed."""

    name = "aveserver"

    def __init__(self, signatures: Path, threads: int) -> None:
        self._signatures = signatures
        self._threads = threads

    def __enter__(self) -> Aveserver:
        self.folder = Path(tempfile.mkdtemp(prefix="kavfs-served-"))
        self.database = self.folder / "database"
        shutil.copytree(self._signatures, self.database, copy_function=shutil.copyfile)
        state = self.folder / "state"
        Kavfs(self.database, self._threads).compile(state)
        self.socket = self.folder / "clamd"
        sockets = ["--ave-socket", str(self.folder / "ave"), "--clamd-socket", str(self.socket)]
        places = ["--db", str(self.database), "--state", str(state), "--jobs", str(self._threads)]
        with (self.folder / "log").open("wb") as log:
            command = [*program("aveserver"), "--foreground", *places, *sockets]
            self._started = subprocess.Popen(command, stderr=log, stdout=log, env=ENVIRONMENT)
        self.process = psutil.Process(self._started.pid)
        self._wait()
        return self

    def _wait(self) -> None:
        until = time.monotonic() + PATIENCE
        while not (self.socket.exists() and len(everybody(self.process)) > self._threads + 2):
            if self._started.poll() is not None or time.monotonic() > until:
                raise RuntimeError("aveserver did not start: " + (self.folder / "log").read_text()[-500:])
            time.sleep(0.05)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._started.send_signal(signal.SIGTERM)
        try:
            self._started.wait(60)
        except subprocess.TimeoutExpired:
            self._started.kill()
            self._started.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

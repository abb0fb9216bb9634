"""Pressure: how much of the time somebody on this machine waits for CPU, disk or memory, and the load average.

    source = source_of("/")        kernel's pressure stall information, else psutil, else None
    source.recent()                shares of the last seconds, name -> 0.0 ... 1.0
    source.total()                 the same things added up since the machine started, for shares of any two moments
    load_average("/")              the one-minute value, None = not to be had

Our own work counts in all of these. Who wants to know what others need looks while nothing of ours runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import NamedTuple, Protocol

MIB = 1 << 20


class Bounds(NamedTuple):
    """Of one thing: above the first the machine is busy, below the second it is quiet again."""

    busy: float
    quiet: float


class Source(Protocol):
    bounds: Mapping[str, Bounds]

    def recent(self) -> dict[str, float]: ...

    def total(self) -> dict[str, float]: ...


class Stalls:
    """/proc/pressure: the share of time in which some task waited. *root* is where /proc is looked for."""

    bounds: Mapping[str, Bounds] = {"cpu": Bounds(0.25, 0.10), "io": Bounds(0.20, 0.10), "memory": Bounds(0.05, 0.02)}

    def __init__(self, root: str) -> None:
        self._root = root

    def recent(self) -> dict[str, float]:
        return {name: float(some["avg10"]) / 100 for name, some in self._read()}

    def total(self) -> dict[str, float]:
        return {name: int(some["total"]) / 1e6 for name, some in self._read()}

    def _read(self) -> list[tuple[str, dict[str, str]]]:
        """What cannot be read, or not be understood, is left out: it makes nobody wait."""
        rows = []
        for name in self.bounds:
            try:
                with open(f"{self._root}proc/pressure/{name}") as file:
                    words = file.readline().split()
                some = dict(word.split("=", 1) for word in words[1:])
                float(some["avg10"]), int(some["total"])
            except (OSError, ValueError, KeyError):
                continue
            rows.append((name, some))
        return rows


class Counters:
    """psutil, where the kernel has no pressure stall information: busy CPUs (what runs with a nice value is left out,
    because we do), CPUs that wait for a disk, and bytes swapped in a second."""

    bounds: Mapping[str, Bounds] = {"cpu": Bounds(0.75, 0.5), "io": Bounds(0.20, 0.10), "swap": Bounds(MIB, MIB / 16)}

    def __init__(self, psutil: ModuleType, clock: Callable[[], float] = time.monotonic) -> None:
        self._psutil = psutil
        self._clock = clock
        self._last = (clock(), self.total())

    def recent(self) -> dict[str, float]:
        before, now = self._last, (self._clock(), self.total())
        self._last = now
        return shares(before[1], now[1], now[0] - before[0])

    def total(self) -> dict[str, float]:
        cpu = self._psutil.cpu_times()
        swap = self._psutil.swap_memory()
        count = self._psutil.cpu_count() or 1
        busy = cpu.user + cpu.system + getattr(cpu, "irq", 0.0) + getattr(cpu, "softirq", 0.0)
        waits = getattr(cpu, "iowait", 0.0)
        return {"cpu": busy / count, "io": waits / count, "swap": float(swap.sin + swap.sout)}


def shares(before: Mapping[str, float], now: Mapping[str, float], seconds: float) -> dict[str, float]:
    """What a second brought, from two totals that lie *seconds* apart."""
    if seconds <= 0:
        return {}
    return {name: (now[name] - before[name]) / seconds for name in now if name in before}


def source_of(root: str = "/") -> Source | None:
    """The best there is on this machine."""
    stalls = Stalls(root)
    if stalls.recent():
        return stalls
    try:
        import psutil  # type: ignore[import-untyped]  # only for kernels without pressure stall information
    except ImportError:
        return None
    return Counters(psutil)


def load_average(root: str = "/") -> float | None:
    """Runnable and waiting tasks, over the last minute."""
    try:
        with open(f"{root}proc/loadavg") as file:
            return float(file.read().split()[0])
    except (OSError, ValueError, IndexError):
        return None

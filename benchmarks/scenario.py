"""Scenario: what all of them share: how they are set up, how rounds are run in turn, and the rows that they give.

A scenario is a module with one function ``run(bench) -> list[Row]``; the table of them is in side_by_side.py.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.ours import Kavfs
from benchmarks.peers import Clamd, Floor
from benchmarks.signatures import Signatures
from benchmarks.warmed import Warmed

Measure = Callable[[], float]  # does it once and gives the seconds


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a figure, what it was compared with, what is to be reached, and whether it was."""

    what: str
    measured: str
    beside: str  # the floor, or the peer, in the same run
    ratio: str
    wanted: str
    met: bool | None  # None: nothing is wanted of it, it is only told

    def line(self) -> str:
        verdict = {True: "met", False: "NOT MET", None: ""}[self.met]
        return "| " + " | ".join((self.what, self.measured, self.beside, self.ratio, self.wanted, verdict)) + " |"


HEAD = "| | measured | beside it | ratio | to reach | |\n|---|---|---|--:|---|---|"


def at_most(what: str, ours: float, floor: float, factor: float, extra: float = 0.0, beside: str = "floor") -> Row:
    """A row for seconds that may be *factor* times the floor's, and *extra* more."""
    limit = factor * floor + extra
    wanted = f"≤ {factor:g} ×" + (f" + {extra:g} s" if extra else "") + f" = {limit:.3f} s"
    return Row(what, f"{ours:.3f} s", f"{beside} {floor:.3f} s", f"{ours / floor:.2f}", wanted, ours <= limit)


def at_least(what: str, ours: float, theirs: float, factor: float, beside: str) -> Row:
    """A row for something of which we are to be *factor* times faster."""
    ratio = theirs / ours
    return Row(
        what,
        f"{ours:.3f} s",
        f"{beside} {theirs:.3f} s",
        f"{ratio:.{1 if ratio >= 10 else 2}f}",
        f"≥ {factor:g} ×",
        ratio >= factor,
    )


def told(what: str, measured: str, beside: str = "") -> Row:
    return Row(what, measured, beside, "", "", None)


def progress(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


class Bench:
    """Everything a scenario needs, made when it is first asked for and removed at the end."""

    def __init__(
        self, cache: Path, base: Signatures, threads: int, rounds: int, quick: bool, clamd: bool = True
    ) -> None:
        self.cache, self.base = cache, base
        self.threads, self.rounds, self.quick = threads, rounds, quick
        self._with_clamd = clamd
        self.stack = contextlib.ExitStack()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    @cached_property
    def floor(self) -> Floor:
        """The floor with the literals of all signatures."""
        return self.stack.enter_context(Floor(self.cache, self.base.folder, self.threads))

    @cached_property
    def clamd(self) -> Clamd | None:
        """clamd with the same signatures, unless it was left out."""
        return self.stack.enter_context(Clamd(self.base.folder, self.threads)) if self._with_clamd else None

    @cached_property
    def ours(self) -> Kavfs:
        """kavfs with a state folder of its own, in which nothing but compiled signatures is kept from the start."""
        return self.stack.enter_context(Kavfs(self.base.folder, self.threads))

    @cached_property
    def warmed(self) -> Warmed:
        """The tree of unchanged files, scanned once: all scenarios that begin with what is known share it."""
        return self.stack.enter_context(Warmed(self.cache, self.base.folder, self.threads, self.quick))

    def in_turn(self, runners: Mapping[str, Measure], rounds: int | None = None) -> dict[str, float]:
        """Median seconds of each, run one after the other (A B A B), so that a slow minute strikes all of them."""
        times: dict[str, list[float]] = {name: [] for name in runners}
        for number in range(rounds or self.rounds):
            for name, measure in runners.items():
                times[name].append(measure())
                progress(f"round {number + 1}: {name} {times[name][-1]:.3f} s")
        return {name: statistics.median(seconds) for name, seconds in times.items()}

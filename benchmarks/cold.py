"""Cold: nothing is remembered of any file; the cache is on, and empty before each round.

Everything was read once before, so that the page cache is warm for all. clamd's own cache is off, and the loading of
signatures is not counted for clamd and the floor; for kavfs it is, because it is a process that starts.
"""

from __future__ import annotations

from benchmarks import corpus
from benchmarks.corpus import Corpus
from benchmarks.peers import Clamd
from benchmarks.scenario import Bench, Measure, Row, at_least, at_most, told

FACTOR, EXTRA = 1.7, 0.1  # times the floor, and seconds more
CLAMD_BINARIES, CLAMD_SMALL = 40, 100  # times faster than clamd
QUICK_FILES = 2000


def places(bench: Bench) -> list[tuple[Corpus, float]]:
    """What is scanned, and how many times faster than clamd it is to be."""
    if bench.quick:
        return [
            (corpus.binaries_sample(bench.cache), CLAMD_BINARIES),
            (corpus.small(bench.cache, count=QUICK_FILES), CLAMD_SMALL),
        ]
    return [(corpus.binaries(), CLAMD_BINARIES), (corpus.small(bench.cache), CLAMD_SMALL)]


def run(bench: Bench) -> list[Row]:
    rows = []
    for place, factor in places(bench):
        files, size = corpus.read_once(place)
        name = f"cold, {place.name}: {files:,} files, {size / 1e6:,.0f} MB"
        medians = measure(bench, place)
        ours = medians["kavscanner -q"]
        rows.append(at_most(name, ours, medians["floor"], FACTOR, EXTRA))
        if "clamd" in medians:
            rows.append(at_least(f"cold, {place.name}", ours, medians["clamd"], factor, "clamd"))
        rows.append(told(f"cold, {place.name}, what was done", bench.ours.account(place)))
    about = f"{bench.floor.literals:,} literals; {bench.floor.without:,} patterns have none of 4 bytes"
    return [*rows, told("floor", about)]


def measure(bench: Bench, place: Corpus) -> dict[str, float]:
    def ours() -> float:
        bench.ours.forget()
        return bench.ours.scan(place).seconds

    runners: dict[str, Measure] = {"floor": lambda: bench.floor.scan(place).seconds, "kavscanner -q": ours}
    if bench.clamd is not None:
        clamd: Clamd = bench.clamd
        runners["clamd"] = lambda: clamd.scan(place).seconds
    return bench.in_turn(runners)

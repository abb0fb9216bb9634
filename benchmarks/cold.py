"""Cold: nothing is remembered of any file; the cache is on, and empty before each round.

Everything was read once before, so that the page cache is warm for all. clamd's own cache is off, and the loading of
signatures is not counted for clamd and the floor; for kavfs it is, because it is a process that starts.
"""

from __future__ import annotations

from benchmarks import corpus, documents
from benchmarks.corpus import Corpus
from benchmarks.peers import Clamd
from benchmarks.scenario import Bench, Measure, Row, at_least, at_most, told

FACTOR, EXTRA = 1.7, 0.1  # times the floor, and seconds more
CLAMD_BINARIES, CLAMD_SMALL, CLAMD_DOCUMENTS = 40, 100, 10  # times faster than clamd
QUICK_FILES, QUICK_DOCUMENTS = 2000, 200


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
        medians = measure(bench, place)
        ours = medians["kavscanner -q"]
        rows.append(at_most(about(place, files, size), ours, medians["floor"], FACTOR, EXTRA))
        rows += beside_clamd(bench, place, medians, factor)
    literals = f"{bench.floor.literals:,} literals; {bench.floor.without:,} patterns have none of 4 bytes"
    return [*rows, told("floor", literals)]


def run_documents(bench: Bench) -> list[Row]:
    """Documents and archives. The floor does not open them: it is told, and no measure for those who do."""
    place = documents.documents(bench.cache, count=QUICK_DOCUMENTS if bench.quick else documents.FILES)
    files, size = corpus.read_once(place)
    medians = measure(bench, place)
    floor = told(about(place, files, size), f"{medians['kavscanner -q']:.3f} s", f"floor {medians['floor']:.3f} s")
    return [floor, *beside_clamd(bench, place, medians, CLAMD_DOCUMENTS)]


def about(place: Corpus, files: int, size: int) -> str:
    return f"cold, {place.name}: {files:,} files, {size / 1e6:,.0f} MB"


def beside_clamd(bench: Bench, place: Corpus, medians: dict[str, float], factor: float) -> list[Row]:
    rows = []
    if "clamd" in medians:
        rows.append(at_least(f"cold, {place.name}", medians["kavscanner -q"], medians["clamd"], factor, "clamd"))
    return [*rows, told(f"cold, {place.name}, what was done", bench.ours.account(place))]


def measure(bench: Bench, place: Corpus) -> dict[str, float]:
    def ours() -> float:
        bench.ours.forget()
        return bench.ours.scan(place).seconds

    runners: dict[str, Measure] = {"floor": lambda: bench.floor.scan(place).seconds, "kavscanner -q": ours}
    if bench.clamd is not None:
        clamd: Clamd = bench.clamd
        runners["clamd"] = lambda: clamd.scan(place).seconds
    return bench.in_turn(runners)

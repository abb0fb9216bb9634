"""Side by side: kavfs, clamd and the floor on the same files, one after the other, several rounds.

    python -m benchmarks.side_by_side [--quick] [--rounds N] [--threads N] [--signatures DIR] [--only NAMES]

Every program has the same signatures and the same number of threads. Before the first round every corpus is read
once, so the page cache is warm for all; rounds are interleaved (A B C A B C), medians are printed. Cold means that no
cache of verdicts exists: kavfs runs with --no-cache, clamd with DisableCache. The loading of signatures is not counted
for clamd and the floor; for kavfs it is, because it is a process that starts. Prints Markdown for the README.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import platform
import shutil
import statistics
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from benchmarks import corpus, signatures, singles
from benchmarks.corpus import Corpus
from benchmarks.ours import Kavfs
from benchmarks.peers import Clamd, Floor, Measured

OURS = ("kavscanner -q", "kavscanner --json")
NAMES = ("floor", *OURS, "clamd")
FLOOR_FACTOR, FLOOR_EXTRA = 2.5, 0.2  # cold: at most this many times the floor, and this many seconds more


class Runner(Protocol):
    def scan(self, corpus: Corpus) -> Measured: ...


Times = dict[tuple[str, str], list[float]]  # (corpus, runner) -> seconds of each round


def machine() -> str:
    cpu = platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    return f"{cpu}, {os.cpu_count()} CPUs, {memory} GiB, Linux {platform.release()}, Python {platform.python_version()}"


def warm(places: Iterable[Corpus]) -> dict[str, tuple[int, int]]:
    """Read everything once, untimed. Files and bytes of each corpus."""
    counts = {}
    for place in places:
        files = size = 0
        for path in corpus.files_below(place.folder):
            with open(path, "rb") as f:
                while piece := f.read(1 << 20):
                    size += len(piece)
            files += 1
        counts[place.name] = files, size
    return counts


@contextlib.contextmanager
def runners(only: list[str], cache: Path, folder: Path, threads: int) -> Iterator[dict[str, Runner]]:
    """What is to be measured, ready to run."""
    with contextlib.ExitStack() as stack:
        ready: dict[str, Runner] = {}
        if "floor" in only:
            ready["floor"] = stack.enter_context(Floor(cache, folder, threads))
        for name in OURS:
            if name in only:
                ready[name] = stack.enter_context(Kavfs(folder, threads, quiet="-q" in name))
        if "clamd" in only:
            ready["clamd"] = stack.enter_context(Clamd(folder, threads))
        yield ready


def measure(ready: dict[str, Runner], places: list[Corpus], rounds: int) -> Times:
    times: Times = {}
    for place in places:
        for number in range(rounds):
            for name, runner in ready.items():
                seconds = runner.scan(place).seconds
                times.setdefault((place.name, name), []).append(seconds)
                print(f"  {place.name}: round {number + 1}: {name} {seconds:.3f} s", file=sys.stderr, flush=True)
    return times


def verdict(value: float, limit: float, at_most: bool) -> str:
    return "met" if (value <= limit if at_most else value >= limit) else "NOT MET"


def rows(place: Corpus, count: tuple[int, int], times: Times, clamd_factor: int) -> list[str]:
    """Lines of the table, one for each of ours: seconds and both ratios with what is required of them."""
    medians = {name: statistics.median(times[place.name, name]) for name in NAMES if (place.name, name) in times}
    floor, clamd = medians.get("floor"), medians.get("clamd")
    lines = []
    for name in OURS:
        ours = medians.get(name)
        cells = [place.name, f"{count[0]:,}", f"{count[1] / 1e6:,.0f}", name]
        cells += [f"{value:.3f}" if value else "-" for value in (ours, floor, clamd)]
        cells += ["-", "-"]
        if ours and floor:
            limit = FLOOR_FACTOR * floor + FLOOR_EXTRA
            cells[-2] = f"{ours / floor:.2f} (at most {limit:.3f} s: {verdict(ours, limit, at_most=True)})"
        if ours and clamd:
            factor = clamd / ours
            cells[-1] = f"{factor:.1f} (at least {clamd_factor}: {verdict(factor, clamd_factor, at_most=False)})"
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.side_by_side", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="a fixed sample of /usr/bin and 2,000 small files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--signatures", type=Path, help="folder of ClamAV databases, .gz allowed")
    parser.add_argument("--cache", type=Path, default=signatures.CHECKOUT / "build" / "bench")
    parser.add_argument("--only", default=",".join(NAMES), help="comma-separated, of: " + ", ".join(NAMES))
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    options = arguments(words)
    only = [name.strip() for name in options.only.split(",")]
    if unknown := set(only) - set(NAMES):
        print("side_by_side: unknown: " + ", ".join(sorted(unknown)), file=sys.stderr)
        return 2
    cache = options.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    base = signatures.find(cache, options.signatures)
    if options.quick:
        places = [corpus.binaries_sample(cache), corpus.small(cache, count=2000)]
    else:
        places = [corpus.binaries(), corpus.small(cache)]
    counts = warm(places)

    print(f"Machine: {machine()}. Date: {datetime.date.today().isoformat()}.")
    print(f"Signatures: {base.about}. Threads: {options.threads}. Rounds: {options.rounds}, medians; page cache warm.")
    for place in places:
        print(f"Corpus {place.name}: {place.about}.")
    with runners(only, cache, base.folder, options.threads) as ready:
        times = measure(ready, places, options.rounds)
        floor = ready.get("floor")
        if isinstance(floor, Floor):
            print(f"Floor: {floor.literals:,} literals; {floor.without:,} patterns have none of 4 bytes.")
        print("\n| corpus | files | MB | kavfs | s | floor s | clamd s | times floor | times faster than clamd |")
        print("|---|--:|--:|---|--:|--:|--:|---|---|")
        for place, clamd_factor in zip(places, (25, 60), strict=True):
            print("\n".join(rows(place, counts[place.name], times, clamd_factor)))
        ours = next((ready[name] for name in OURS if name in ready), None)
        if isinstance(ours, Kavfs):
            print()
            for place in places:
                print(f"kavfs says of {place.name}: {ours.account(place)}.")
            print()
            print(singles.table(ours, places, shutil.which("clamscan")))
    return 0


if __name__ == "__main__":
    sys.exit(main())

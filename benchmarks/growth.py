"""Growth: whether a file costs as much among ten million as among a hundred thousand (scale.py measures it).

The dearest of the larger numbers is compared with the smallest. Each call of the store stands for itself: to remember a
file, to look it up, to look it up and renew it after an update.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess

from benchmarks import cgroup, scale
from benchmarks.scale import Measured, run_one
from benchmarks.scenario import Bench, Row, progress, told

FILES, QUICK = (100_000, 1_000_000, 10_000_000), (10_000, 50_000, 100_000)
MIXED, QUICK_MIXED = 1_000_000, 20_000
REPEATED = 2_000_000  # up to this number of files every round is measured, above only one
SLOPE, MEMORY, DISK, GROUP = 1.2, 100e6, 120, 300_000_000
COSTS = {"remember": "remember a file", "lookup": "look a file up", "renew": "look up and renew after an update"}


def run(bench: Bench) -> list[Row]:
    sizes = QUICK if bench.quick else FILES
    runs = {files: rounds(bench, files, "even") for files in sizes}
    largest = runs[sizes[-1]][0]
    rows = [slope(words, {n: cost(runs[n], name) for n in sizes}) for name, words in COSTS.items()]
    rows.append(
        Row(
            "growth, files answered after remembering and after renewing",
            f"{largest.plain:,} and {largest.renewed:,}",
            f"{largest.files:,} files",
            "",
            "all",
            largest.plain == largest.renewed == largest.files,
        )
    )
    most = max(one.memory for several in runs.values() for one in several)
    rows.append(
        Row("growth, private memory of the process", f"{most / 1e6:.0f} MB", "", "", "≤ 100 MB", most <= MEMORY)
    )
    disk = max(one.disk / one.files for several in runs.values() for one in several)
    rows.append(Row("growth, disk for one file", f"{disk:.1f} bytes", "", "", f"≤ {DISK} bytes", disk <= DISK))
    rows.append(in_a_group(sizes[-1]))
    mixed = run_one(QUICK_MIXED if bench.quick else MIXED, "mixed")
    rows.append(told("growth, directories of 1 to 10,000 files", costs_of(mixed), f"{mixed.files:,} files"))
    return [*rows, *(told("fleet", text.removeprefix("* ")) for text in scale.fleet(largest).splitlines())]


def rounds(bench: Bench, files: int, layout: str) -> list[Measured]:
    found = []
    for _ in range(bench.rounds if files <= REPEATED else 1):
        found.append(run_one(files, layout))
        progress(f"{files:,} files: {costs_of(found[-1])}")
    return found


def cost(several: list[Measured], name: str) -> float:
    return statistics.median(float(getattr(one, name)) for one in several)


def costs_of(one: Measured) -> str:
    return f"remember {one.remember:.0f} ns, look up {one.lookup:.0f} ns, renew {one.renew:.0f} ns"


def slope(words: str, costs: dict[int, float]) -> Row:
    smallest = min(costs)
    dearest = max(costs[files] for files in costs if files > smallest)
    ratio = dearest / costs[smallest]
    each = ", ".join(f"{costs[files]:.0f}" for files in sorted(costs) if files > smallest)
    numbers = " and ".join(f"{files:,}" for files in sorted(costs) if files > smallest)
    return Row(
        f"growth, {words}: {numbers} files",
        f"{each} ns",
        f"{smallest:,} files {costs[smallest]:.0f} ns",
        f"{ratio:.2f}",
        f"≤ {SLOPE} ×",
        ratio <= SLOPE,
    )


def in_a_group(files: int) -> Row:
    """The largest run once more, in a cgroup with little memory; page cache counts there."""
    what = f"growth, {files:,} files in a cgroup of {GROUP / 1e6:.0f} MB"
    try:
        with contextlib.ExitStack() as stack:
            before = stack.enter_context(cgroup.limited(GROUP))
            one = run_one(files, "even", before)
    except cgroup.Unavailable as why:
        return told(what, f"not run: {why}")
    except subprocess.CalledProcessError as error:
        return Row(what, f"ended with {error.returncode}", "", "", "passes", False)
    return Row(what, costs_of(one), "", "", "passes", one.plain == files)

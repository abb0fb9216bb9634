"""Singles: figures that stand alone - one small file, memory of a worker, compiling, an image made ready."""

from __future__ import annotations

import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from benchmarks import cold
from benchmarks.ours import ENVIRONMENT, Kavfs
from benchmarks.peers import built
from benchmarks.scenario import Bench, Row, told
from benchmarks.warmed import FRESH

ROUNDS = 9
CLEAN = (0,)  # exit codes; that of a scan with errors is also that of a program that could not start
CHANGED_LINES = 500
WHOLE, RESIDENT = 0.10, 60e6  # seconds and bytes for one small file


def run(bench: Bench) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="kavfs-bench-") as name:
        work = Path(name)
        rows = one_file(bench, work)
        rows += [memory(bench, place.name) for place, _ in cold.places(bench)]
        rows += compiling(bench.ours, work)
    ready = image_ready(bench.ours)
    return [*rows, limited("image ready", ready, 0.05)]


def limited(what: str, seconds: float, limit: float) -> Row:
    return Row(what, f"{seconds:.3f} s", "", "", f"≤ {limit:g} s", seconds <= limit)


# ---- one small file


def one_file(bench: Bench, work: Path) -> list[Row]:
    """Process start to exit, with a file that is not known, another one each time, and with one that is."""
    files = [work / f"small-{i}.txt" for i in range(ROUNDS + 1)]
    for i, file in enumerate(files):
        file.write_text(f"one small file, number {i}\n" * 25)
    time.sleep(FRESH)
    launch = str(built(bench.cache / "floor", "launch"))
    known, *others = (bench.ours.command(file, "-q") for file in files)
    launched(launch, known, CLEAN)
    new = [launched(launch, command, CLEAN) for command in others]
    again = [launched(launch, known, CLEAN) for _ in others]
    together = max(memory_together(known) for _ in range(ROUNDS))
    most = max(run["rss"] for run in (*new, *again))
    theirs = clamscan(bench, launch, files[0])
    return [
        start_to_exit("one small file, start to exit", new, theirs),
        start_to_exit("the same of a file that is known", again, theirs),
        Row("one small file, largest process (wait4)", f"{most / 1e6:.0f} MB", "", "", "≤ 60 MB", most <= RESIDENT),
        told("one small file, all processes together (highest sum of PSS seen)", f"{together / 1e6:.0f} MB"),
    ]


def start_to_exit(what: str, runs: list[dict[str, float]], beside: str) -> Row:
    seconds = statistics.median(run["seconds"] for run in runs)
    return Row(what, f"{seconds:.3f} s", beside, "", f"≤ {WHOLE} s", seconds <= WHOLE)


def launched(launch: str, command: Iterable[str], allowed: tuple[int, ...]) -> dict[str, float]:
    done = subprocess.run([launch, *command], check=True, capture_output=True, text=True, env=ENVIRONMENT)
    run: dict[str, float] = json.loads(done.stdout)
    if run["code"] not in allowed:
        raise RuntimeError(f"a scan of one file ended with {run['code']}")
    return run


def clamscan(bench: Bench, launch: str, small: Path) -> str:
    if shutil.which("clamscan") is None:
        return "no clamscan here"
    command = ["clamscan", "-d", str(bench.base.folder), str(small)]
    return f"clamscan {statistics.median(launched(launch, command, CLEAN)['seconds'] for _ in range(3)):.3f} s"


def memory_together(command: list[str]) -> float:
    """The highest sum of proportional memory (a page that n processes share counts 1/n in each) that was seen."""
    scan = psutil.Popen(command, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    most = 0
    while scan.poll() is None:
        total = 0
        with contextlib.suppress(psutil.Error):
            for process in [scan, *scan.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    total += process.memory_full_info().pss
        most = max(most, total)
    return most


# ---- memory and compiling


def memory(bench: Bench, name: str) -> Row:
    place = next(place for place, _ in cold.places(bench) if place.name == name)
    most, children = bench.ours.memory(place)
    words = f"{most / 1e6:.0f} MB, the most of {children} processes"
    return Row(f"private memory, {name}", words, "", "", "< 150 MB", most < 150e6)


def compiling(ours: Kavfs, work: Path) -> list[Row]:
    """All signatures anew, and one changed database of 500 lines."""
    rows = [limited("compile all signatures", ours.compile(work / "fresh-state"), 10)]
    folder, state = work / "signatures", work / "changed-state"
    shutil.copytree(ours.signatures, folder)
    database = folder / "changed.ndb"
    database.write_text("".join(f"Bench.Line-{i}:0:*:{i:08x}{i * 7919:08x}aabbccdd\n" for i in range(CHANGED_LINES)))
    ours.compile(state, folder)
    database.write_text("".join(f"Bench.Line-{i}:0:*:{i:08x}{i * 7907:08x}ddccbbaa\n" for i in range(CHANGED_LINES)))
    return [*rows, limited(f"one changed database of {CHANGED_LINES} lines", ours.compile(state, folder), 2)]


READY = """
import os, sys, time
from kavfs._native.match import Image
from kavfs.signatures.image import open_image
times = []
for _ in range(5):
    started = time.perf_counter()
    with open_image([os.fsencode(sys.argv[1])], os.fsencode(sys.argv[2])) as image:
        Image([(part.fd, part.offset, part.length) for part in image.parts])
        times.append(time.perf_counter() - started)
print(sorted(times)[2])
"""


def image_ready(ours: Kavfs) -> float:
    """Seconds from nothing to an image that is mapped, checked and can be asked; the median of five."""
    command = [sys.executable, "-c", READY, str(ours.signatures), str(ours.state)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout)

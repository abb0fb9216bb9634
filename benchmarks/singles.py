"""Singles: figures that stand alone - one small file, memory of a worker, compiling, an image made ready."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.corpus import Corpus
from benchmarks.ours import ENVIRONMENT, FINISHED, Kavfs

ROUNDS = 5
CHANGED_LINES = 500


def seconds_of(command: list[str], allowed: tuple[int, ...]) -> float:
    """Median seconds from process start to exit."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        done = subprocess.run(
            command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT
        )
        times.append(time.perf_counter() - started)
        if done.returncode not in allowed:
            raise RuntimeError(f"{command[0]} ended with {done.returncode}")
    return statistics.median(times)


def changed_file(ours: Kavfs, work: Path) -> float:
    """Seconds to renew an image after one database of 500 lines has changed."""
    folder, state = work / "signatures", work / "changed-state"
    shutil.copytree(ours.signatures, folder)
    database = folder / "changed.ndb"
    database.write_text("".join(f"Bench.Line-{i}:0:*:{i:08x}{i * 7919:08x}aabbccdd\n" for i in range(CHANGED_LINES)))
    ours.compile(state, folder)
    database.write_text("".join(f"Bench.Line-{i}:0:*:{i:08x}{i * 7907:08x}ddccbbaa\n" for i in range(CHANGED_LINES)))
    return ours.compile(state, folder)


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


def table(ours: Kavfs, places: list[Corpus], clamscan: str | None) -> str:
    """Markdown of all of them, each with what is required."""
    rows: list[tuple[str, str, str, bool]] = []
    with tempfile.TemporaryDirectory(prefix="kavfs-bench-") as name:
        work = Path(name)
        small = work / "small.txt"
        small.write_bytes(b"one small file\n" * 40)
        whole = seconds_of(ours.command(small), FINISHED)
        if clamscan:
            theirs = seconds_of([clamscan, "-d", str(ours.signatures), str(small)], (0,))
            rows.append(
                (
                    "one small file, start to exit",
                    f"{whole:.3f} s, clamscan {theirs:.3f} s",
                    "a quarter",
                    whole <= theirs / 4,
                )
            )
        else:
            rows.append(("one small file, start to exit", f"{whole:.3f} s, no clamscan here", "a quarter", False))
        for place in places:
            most, children = ours.memory(place)
            words = f"{most / 1e6:.0f} MB, the most of {children} processes"
            rows.append((f"private memory, {place.name}", words, "below 150 MB", most < 150e6))
        compiled = ours.compile(work / "fresh-state")
        rows.append(("compile all signatures", f"{compiled:.2f} s", "below 10 s", compiled < 10))
        renewed = changed_file(ours, work)
        rows.append((f"one changed database of {CHANGED_LINES} lines", f"{renewed:.2f} s", "below 2 s", renewed < 2))
        ready = image_ready(ours)
        rows.append(("image ready", f"{ready * 1000:.1f} ms", "below 50 ms", ready < 0.05))
    head = "| figure | measured | required | |\n|---|---|---|---|\n"
    return head + "\n".join(f"| {a} | {b} | {c} | {'met' if ok else 'NOT MET'} |" for a, b, c, ok in rows)

"""Output: a scan of the unchanged tree with a line for every file, beside the silent one.

The lines go once through a pipe into a program that reads and forgets them, once into a file in memory.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from benchmarks.scenario import Bench, Measure, Row, at_most, timed
from benchmarks.warmed import Warmed

FACTOR = 2.0
SHM = Path("/dev/shm")


def run(bench: Bench) -> list[Row]:
    warmed = bench.warmed
    runners: dict[str, Measure] = {
        "silent": warmed.scan,
        "to a pipe": lambda: timed(lambda: to_pipe(warmed)),
        "to a file in memory": lambda: to_file(warmed)[0],
    }
    if not SHM.is_dir():
        del runners["to a file in memory"]
    medians = bench.in_turn(runners)
    silent = medians.pop("silent")
    what = "a line for every file, warm"
    return [at_most(f"{what}, {name}", s, silent, FACTOR, beside="silent") for name, s in medians.items()]


def command(warmed: Warmed) -> list[str]:
    return warmed.kavfs.command(warmed.tree.folder, "--no-progress")


def to_pipe(warmed: Warmed) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as cat:
        warmed.kavfs.run(command(warmed), out=cat.stdin)


def to_file(warmed: Warmed) -> tuple[float, int]:
    """Seconds, and the lines that were written; fewer than files would be a scan that did not say everything."""
    with tempfile.TemporaryFile(dir=SHM) as file:
        seconds = warmed.kavfs.run(command(warmed), out=file)
        file.seek(0)
        lines = sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))
    files = sum(len(names) for _, _, names in os.walk(warmed.tree.folder))
    if lines < files:
        raise RuntimeError(f"{lines:,} lines were written of {files:,} files")
    return seconds, lines

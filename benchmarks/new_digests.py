"""New digests: a scan after an update with nothing but hash signatures, of which some have sizes that occur.

Beside it stand a warm scan and a floor that opens, reads and digests the files of these sizes: MD5 for the sizes that
.hdb lines name, SHA-256 for those that .hsb lines name. No file has a digest remembered: that is how kavfs comes.
"""

from __future__ import annotations

import os
import statistics

from benchmarks.corpus import files_below
from benchmarks.scenario import Bench, Row, progress, told

COUNT = 10_000
OCCURRING = 0.05  # the part of the signatures that has the size of some file
FACTOR = 1.3  # times warm, besides the floor


def run(bench: Bench) -> list[Row]:
    warmed = bench.warmed
    by_size: dict[int, list[bytes]] = {}
    for path in files_below(warmed.tree.folder):
        by_size.setdefault(os.lstat(path).st_size, []).append(path)
    compiling, ours, warm, floors, files = [], [], [], [], 0
    for number in range(bench.rounds):
        wanted, texts = update(bench, sorted(by_size))
        compiling.append(warmed.update(texts))
        ours.append(warmed.scan())
        warm.append(warmed.scan())
        lists = {work: [p for size in sizes for p in by_size[size]] for work, sizes in wanted.items()}
        floors.append(sum(bench.floor.read(paths, work).seconds for work, paths in lists.items()))
        files = sum(map(len, lists.values()))
        progress(f"round {number + 1}: new digests {ours[-1]:.3f} s, warm {warm[-1]:.3f} s, floor {floors[-1]:.3f} s")
    seconds, again, floor = (statistics.median(times) for times in (ours, warm, floors))
    limit = FACTOR * again + floor
    what = f"{COUNT:,} new hash signatures, {files:,} files have one of their sizes"
    return [
        Row(
            what,
            f"{seconds:.3f} s",
            f"warm {again:.3f} s, open + read + digest {floor:.3f} s",
            f"{(seconds - floor) / again:.2f}",
            f"≤ {FACTOR} × warm + floor = {limit:.3f} s",
            seconds <= limit,
        ),
        told("compiling that update", f"{statistics.median(compiling):.2f} s"),
    ]


def update(bench: Bench, sizes: list[int]) -> tuple[dict[str, set[int]], dict[str, str]]:
    """Which sizes ask for which digest (no size asks for two), and the database files."""
    wanted, texts = {}, {}
    for kind, length, work, half in (("hdb", 16, "md5", sizes[::2]), ("hsb", 32, "sha256", sizes[1::2])):
        texts[kind], wanted[work] = bench.warmed.new_digests(COUNT // 2, length, half, OCCURRING)
    return wanted, texts

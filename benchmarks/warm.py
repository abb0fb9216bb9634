"""Warm: a second scan of a tree in which nothing has changed, beside a walk in C, fd and find.

All look at the size of every file. The share of files that were answered from the store is what kavscanner's own report
says, and strace counts how many files of the tree were opened all the same.
"""

from __future__ import annotations

import shutil

from benchmarks.peers import Lister
from benchmarks.scenario import Bench, Measure, Row, at_least, at_most, told

FACTOR = 1.5  # times the walk in C
SHARE = 0.99  # of the files are answered from the store


def run(bench: Bench) -> list[Row]:
    warmed, lister = bench.warmed, Lister(bench.cache, bench.threads)
    tree = warmed.tree
    files = lister.walk(tree).files
    runners: dict[str, Measure] = {"floor_walk": lambda: lister.walk(tree).seconds, "kavscanner -q": warmed.scan}
    runners["find"] = lambda: lister.find(tree)
    if (fd := lister.fd(tree)) is not None:
        runners["fd"] = lambda: lister.fd(tree) or 0.0
    medians = bench.in_turn(runners)
    ours = medians["kavscanner -q"]
    rows = [
        at_most(f"warm, {tree.name}", ours, medians["floor_walk"], FACTOR, beside="walk with statx in C"),
        *(at_least("warm", ours, medians[name], 1, name) for name in ("fd", "find") if name in medians),
    ]
    if fd is None:
        rows.append(Row("warm, fd", "not measured: fd-find is not installed", "", "", "≥ 1 ×", False))
    return [
        *rows,
        answered(bench, files),
        opened(bench, files),
        told("first scan of that tree", f"{warmed.first_seconds:.2f} s"),
    ]


def answered(bench: Bench, files: int) -> Row:
    known = bench.warmed.kavfs.unchanged(bench.warmed.tree)
    what, wanted = "warm, answered from the store", f"≥ {SHARE:.0%}"
    if known is None:
        return Row(what, "the report says nothing of unchanged files", f"{files:,} files", "", wanted, False)
    return Row(what, f"{known:,}", f"{files:,} files", f"{known / files:.4f}", wanted, known >= SHARE * files)


def opened(bench: Bench, files: int) -> Row:
    """The same share as the kernel sees it: a file that was opened was not answered from the store."""
    what = "warm, files of the tree opened (strace)"
    if shutil.which("strace") is None:
        return told(what, "not counted: strace is not installed")
    names = bench.warmed.kavfs.opened(bench.warmed.tree)
    most = round((1 - SHARE) * files)
    return Row(what, f"{len(names):,}", f"{files:,} files", "", f"≤ {most:,}", len(names) <= most)

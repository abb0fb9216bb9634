"""New bodies: a scan after an update with body signatures that concern two types of files only.

The floor opens, reads and matches the literals of the new signatures in the files of these types. Each round is an
update of its own; compiling it is not part of the scan and is told apart.
"""

from __future__ import annotations

import statistics
from collections import Counter
from pathlib import Path

from benchmarks.corpus import files_below
from benchmarks.peers import Floor
from benchmarks.scenario import Bench, Row, at_most, progress, told
from kavfs.model import Target

COUNT = 1000
TARGETS = (Target.PE, Target.HTML)
KINDS = (b".pe", b".html")  # names of the files that have these types
FACTOR, EXTRA = 2.0, 0.1  # times the floor, and seconds more


def run(bench: Bench) -> list[Row]:
    warmed = bench.warmed
    concerned = [path for path in files_below(warmed.tree.folder) if path.endswith(KINDS)]
    compiling, ours, floors = [], [], []
    for number in range(bench.rounds):
        lines = warmed.new_bodies(COUNT, TARGETS)
        compiling.append(warmed.update({"ndb": lines}))
        ours.append(warmed.scan())
        with floor_of(bench, lines) as floor:
            floors.append(floor.read(concerned, "match").seconds)
        progress(f"round {number + 1}: {COUNT} new bodies: floor {floors[-1]:.3f} s, kavscanner -q {ours[-1]:.3f} s")
    what = f"{COUNT:,} new body signatures for PE and HTML, {len(concerned):,} such files of {warmed.tree.name}"
    beside = "open + read + match of the new literals"
    return [
        at_most(what, statistics.median(ours), statistics.median(floors), FACTOR, EXTRA, beside),
        opened(bench, len(concerned)),
        told("compiling that update", f"{statistics.median(compiling):.2f} s"),
    ]


def floor_of(bench: Bench, lines: str) -> Floor:
    """A floor that has the literals of these lines only."""
    folder = bench.cache / "new-bodies"
    folder.mkdir(exist_ok=True)
    Path(folder / "new.ndb").write_text(lines)
    return Floor(bench.cache, folder, bench.threads, "floor-new-bodies")


def opened(bench: Bench, concerned: int) -> Row:
    """One more update, scanned under strace. What a scan opens even when nothing is new (the newest file of the file
    system, which may change again unseen) does not count."""
    warmed = bench.warmed
    always = set(warmed.kavfs.opened(warmed.tree))
    warmed.update({"ndb": warmed.new_bodies(COUNT, TARGETS)})
    names = [name for name in warmed.kavfs.opened(warmed.tree) if name not in always]
    counts = Counter(name.rpartition(".")[2] for name in names)
    right = sum(counts[kind.decode()[1:]] for kind in KINDS)
    words = ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common()) or "none"
    what = "after such an update, files opened that a warm scan does not open (strace)"
    met = right == len(names) and right >= concerned - len(always)
    return Row(what, words, f"{concerned:,} files of these types", "", "no other file", met)

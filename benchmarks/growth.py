"""Growth: whether a file costs as much among ten million as among a hundred thousand (scale.py measures it)."""

from __future__ import annotations

from benchmarks.scenario import Bench, Row


def run(bench: Bench) -> list[Row]:
    return [Row("growth", "not measured: this build has no store", "", "", "", False)]

"""What kernel benchmarks share: corpora, signatures, and rates beside the times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import corpus, signatures
from benchmarks.corpus import Corpus
from benchmarks.signatures import CHECKOUT, Signatures

Rate = Callable[[str, float], None]


@pytest.fixture(scope="session")
def cache() -> Path:
    folder = CHECKOUT / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def base(cache: Path) -> Signatures:
    return signatures.find(cache)


@pytest.fixture(scope="session")
def small_files(cache: Path) -> Corpus:
    return corpus.small(cache)


@pytest.fixture
def rate(benchmark: Any) -> Rate:
    """rate("MB/s", 12.5): that much is done in one round; the rate stands beside the times."""

    def note(unit: str, amount: float) -> None:
        if benchmark.stats is not None:
            benchmark.extra_info[unit] = round(amount / benchmark.stats.stats.median, 1)

    return note


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The rates as a table: pytest-benchmark itself shows only times."""
    session = getattr(config, "_benchmarksession", None)
    rows = [(b.name, unit, value) for b in getattr(session, "benchmarks", []) for unit, value in b.extra_info.items()]
    if rows:
        terminalreporter.write_line("")
        for name, unit, value in rows:
            terminalreporter.write_line(f"{name:<60} {value:>14,.1f} {unit}")

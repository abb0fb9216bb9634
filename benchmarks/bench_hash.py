"""Hash signatures: lookups a second through the border, and lines a second when a table is built.

Most objects are asked only for the digests that could match at their size (kinds); a lookup follows where there are
some. Both are compared with a dict of Python that holds the same signatures.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from benchmarks.conftest import Rate
from benchmarks.signatures import Signatures
from kavfs._native.basics import HashSet

ASKED = 10_000
LEVEL = 210  # functionality level that a line's optional range is compared with
Known = list[tuple[int, bytes]]


@pytest.fixture(scope="module")
def text(base: Signatures) -> bytes:
    """The largest hash database there is."""
    files = [path for path in base.folder.iterdir() if path.suffix in (".hdb", ".hsb")]
    return max((path.read_bytes() for path in files), key=len)


@pytest.fixture(scope="module")
def known(text: bytes) -> Known:
    """(size, MD5) of its lines that have both."""
    found = []
    for line in text.splitlines():
        fields = line.split(b":")
        if len(fields) >= 3 and len(fields[0]) == 32 and fields[1].isdigit():
            found.append((int(fields[1]), bytes.fromhex(fields[0].decode())))
    if len(found) < ASKED:
        pytest.skip(f"a database of at least {ASKED} MD5 signatures is needed, this one has {len(found)}")
    return found


@pytest.fixture(scope="module")
def questions(known: Known) -> Known:
    """Half of them known, half of them not."""
    rnd = random.Random(7)
    half = rnd.sample(known, ASKED // 2)
    return half + [(size, rnd.randbytes(16)) for size, _ in half]


def test_build(benchmark: Any, rate: Rate, text: bytes) -> None:
    built = benchmark(HashSet.build, text, LEVEL)
    rate("lines/s", built.accepted)


def test_find(benchmark: Any, rate: Rate, text: bytes, questions: Known) -> None:
    table = HashSet(HashSet.build(text, LEVEL).table)

    def run() -> int:
        return sum(1 for size, md5 in questions if table.find(size, md5=md5))

    assert benchmark(run) == ASKED // 2
    rate("lookups/s", ASKED)


def test_kinds(benchmark: Any, rate: Rate, text: bytes, questions: Known) -> None:
    table = HashSet(HashSet.build(text, LEVEL).table)

    def run() -> int:
        return sum(1 for size, _ in questions if table.kinds(size))

    assert benchmark(run) == ASKED
    rate("questions/s", ASKED)


def test_baseline_dict(benchmark: Any, rate: Rate, known: Known, questions: Known) -> None:
    names = dict.fromkeys(known, b"name")

    def run() -> int:
        return sum(1 for question in questions if question in names)

    assert benchmark(run) == ASKED // 2
    rate("lookups/s", ASKED)

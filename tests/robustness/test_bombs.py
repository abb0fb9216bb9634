"""Bombs: each has an answer within twice its time, in little memory, and is never called clean without a reason."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support import bombs
from tests.support.kavscanner import command, environment
from tests.support.objects import EICAR

SECONDS = 10.0  # of time for each object
MEMORY = 512 << 20  # bytes that no process of the scan may reach
START = 5.0  # seconds for the program itself
# A small process between us and the scan: what we have in memory would be counted as the scan's.
MEASURE = """
import resource, subprocess, sys
subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""


class Answer(NamedTuple):
    seconds: float
    memory: int  # bytes, of the largest process
    result: dict[str, Any]


def scan(path: Path, home: Path, *more: str) -> Answer:
    limits = ("--time-limit", f"{SECONDS}s", "--time-rate", "1TiB", *more)
    words = command("kavscanner", "-q", "--jobs", "1", "--no-cache", "-mN", "--json", "-", *limits, str(path))
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *words], capture_output=True, env=environment(home), check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    memory = int(done.stderr.split()[-1]) << 10
    (result,) = [line for line in lines if line.get("path") == str(path)]
    return Answer(time.monotonic() - begin, memory, result)


def assert_bounded(answer: Answer) -> None:
    assert answer.seconds < 2 * SECONDS + START
    assert answer.memory < MEMORY


BOMBS: dict[str, Callable[[], bytes]] = {
    "42.zip": bombs.nested_zip,
    "overlapping.zip": bombs.overlapping_zip,
    "chain.gz": bombs.gzip_chain,
    "zeros.gz": bombs.gzip_of_zeros,
    "zeros.gz.gz": bombs.gzip_of_gzip_of_zeros,
    "quine.zip": bombs.quine_zip,
    "nested.tar": bombs.nested_tars,
    "empty.tar": bombs.many_empty_entries,
    "nested.eml": lambda: bombs.mail_of_parts(10, 1000),
    "filters.pdf": bombs.pdf_of_filters,
    "loop.doc": bombs.compound_in_circles,
}


@pytest.mark.long
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_answered_in_time_and_is_not_clean(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    answer = scan(path, tmp_path)
    assert_bounded(answer)
    assert answer.result["status"] == "suspicious" or not answer.result["coverage"]["complete"]


@pytest.mark.long
def test_a_mail_of_ten_thousand_parts_is_looked_at_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "parts.eml"
    path.write_bytes(bombs.mail_of_parts())
    answer = scan(path, tmp_path)
    assert_bounded(answer)
    assert answer.result["member_count"] >= 10_000 or not answer.result["coverage"]["complete"]


@pytest.mark.long
def test_object_streams_that_name_each_other_end(tmp_path: Path) -> None:
    path = tmp_path / "loop.pdf"
    path.write_bytes(bombs.pdf_of_object_streams_in_circles(EICAR))
    answer = scan(path, tmp_path)
    assert_bounded(answer)
    assert answer.result["status"] == "infected"
    assert answer.result["coverage"]["complete"]

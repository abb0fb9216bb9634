"""Signatures that are made to take long: time is asked for inside of a window, too, so that the answer is the worker's
own and not its end."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.kavscanner import run

COUNT = 20_000
LITERAL = b"qz" * 4


def crowd() -> str:
    """Many signatures with the same eight bytes, each of which then asks for something else."""
    ends = ("".join(f"?{digit}" for digit in f"{i:05}") for i in range(COUNT))
    return "".join(f"Crowd-{i}:0:*:{LITERAL.hex()}{end}\n" for i, end in enumerate(ends))


def test_one_window_that_would_take_minutes_ends_with_its_time(tmp_path: Path) -> None:
    """A worker that does not look at its clock is killed a second after its time, and the object is an error."""
    path = tmp_path / "window"
    path.write_bytes(LITERAL * (32 << 10))
    databases = tmp_path / "databases"
    databases.mkdir()
    (databases / "crowd.ndb").write_text(crowd())
    limits = ("--time-limit", "1s", "--time-rate", "1TiB")
    done = run(["-q", "--jobs", "1", "-mN", "--json", "-", "--db", databases, *limits, path], tmp_path)
    (result,) = [line for line in map(json.loads, done.out.splitlines()) if line.get("path") == str(path)]
    assert result["coverage"] == {"complete": False, "reasons": ["time"]}
    assert result["status"] != "clean"

"""kavscanner as a user has it: a process with arguments, two streams and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
LONGEST = 60.0  # seconds


@dataclass(frozen=True)
class Run:
    """What one run left behind."""

    code: int
    out: bytes
    err: bytes

    @property
    def lines(self) -> list[str]:
        return self.out.decode("utf-8", "surrogateescape").split("\n")[:-1]

    @property
    def findings(self) -> list[str]:
        """The lines about objects: between banner and summary."""
        return [line for line in self.lines if line.startswith("/")]


def environment(home: Path) -> dict[str, str]:
    """Nothing of whoever runs the tests: no configuration, no state."""
    wanted = ("PATH", "LD_PRELOAD", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS")
    keep = {name: os.environ[name] for name in wanted if name in os.environ}
    return {**keep, "HOME": str(home), "PYTHONPATH": str(CHECKOUT)}


def command(module: str, *words: str | bytes) -> list[str | bytes]:
    return [sys.executable, "-m", f"kavfs.cli.{module}", *words]


def run(
    words: Sequence[str | bytes | Path],
    home: Path,
    *,
    module: str = "kavscanner",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
) -> Run:
    """Run to the end; a program that hangs fails the test."""
    done = subprocess.run(
        command(module, *(str(word) if isinstance(word, Path) else word for word in words)),
        input=stdin,
        capture_output=True,
        timeout=LONGEST,
        cwd=cwd or home,
        env={**environment(home), **(env or {})},
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr)

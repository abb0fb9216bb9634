"""Soak: ``python -m tests.soak [--requests N] [--seed N]``. Exit code 1: something was wrong; it is told."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.soak.running import report, soak

GROWTH = 0.01


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kavfs-soak-") as folder:
        outcome = soak(Path(folder), given.requests, given.seed)
    report(outcome)
    for text in (complaints := outcome.complaints(GROWTH)):
        print(text, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

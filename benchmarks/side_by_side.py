"""Side by side: kavfs beside a floor in plain C, clamd, fd and find, on the same files, one scenario after the other.

    python -m benchmarks.side_by_side [--quick] [--rounds N] [--threads N] [--signatures DIR] [--only NAMES] ...

Every program has the same signatures and the same number of threads; rounds are interleaved (A B C A B C) and medians
are printed, as Markdown for the README. Exit code 0 whether everything was reached or not: the table says it.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import cold, growth, mail, new_bodies, new_digests, output, service, signatures, singles, warm
from benchmarks.scenario import HEAD, Bench, Row, progress

SCENARIOS: dict[str, Callable[[Bench], list[Row]]] = {
    "cold": cold.run,
    "documents": cold.run_documents,
    "warm": warm.run,
    "output": output.run,
    "new-bodies": new_bodies.run,
    "new-digests": new_digests.run,
    "singles": singles.run,
    "growth": growth.run,
    "service": service.run,
    "mail": mail.run,
}


def machine() -> str:
    cpu = platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    return f"{cpu}, {os.cpu_count()} CPUs, {memory} GiB, Linux {platform.release()}, Python {platform.python_version()}"


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.side_by_side", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="small corpora and one round: does everything still run?")
    parser.add_argument("--rounds", type=int, help="3, with --quick 1")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--signatures", type=Path, help="folder of ClamAV databases, .gz allowed")
    parser.add_argument("--cache", type=Path, default=signatures.CHECKOUT / "build" / "bench")
    parser.add_argument("--only", default=",".join(SCENARIOS), help="comma-separated, of: " + ", ".join(SCENARIOS))
    parser.add_argument("--no-clamd", action="store_true", help="leave clamd out: it takes most of the time")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    options = arguments(words)
    only = [name.strip() for name in options.only.split(",")]
    if unknown := set(only) - set(SCENARIOS):
        print("side_by_side: unknown: " + ", ".join(sorted(unknown)), file=sys.stderr)
        return 2
    cache = options.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    base = signatures.find(cache, options.signatures)
    rounds = options.rounds or (1 if options.quick else 3)

    print(f"Machine: {machine()}. Date: {datetime.date.today().isoformat()}.")
    print(f"Signatures: {base.about}. Threads: {options.threads}. Rounds: {rounds}, medians; page cache warm.\n")
    print(HEAD, flush=True)
    with Bench(cache, base, options.threads, rounds, options.quick, clamd=not options.no_clamd) as bench:
        for name in (name for name in SCENARIOS if name in only):
            progress(f"{name}:")
            for row in SCENARIOS[name](bench):
                print(row.line(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

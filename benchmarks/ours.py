"""Ours: kavscanner and kavfs driven from outside, as an administrator runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

import psutil

from benchmarks.corpus import Corpus
from benchmarks.peers import Measured

# An installed program has its bytecode; where Python is told not to write any, every start would compile everything.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
FINISHED = (0, 5, 10, 15, 20, 21, 25, 30)  # exit codes of a scan that did its job


def program(name: str) -> list[str]:
    """The command that runs one of our programs with this interpreter."""
    beside = Path(sys.executable).parent / name
    return [str(beside)] if beside.exists() else [sys.executable, "-m", f"kavfs.cli.{name}"]


class Kavfs:
    """An image of *signatures* in a state folder of its own, and runs of kavscanner over it."""

    def __init__(self, signatures: Path, threads: int, quiet: bool) -> None:
        self.signatures = signatures
        self.threads = threads
        self.quiet = quiet

    def __enter__(self) -> Kavfs:
        self.state = Path(tempfile.mkdtemp(prefix="kavfs-bench-"))
        self.compile(self.state)
        subprocess.run(self.command(Path(os.devnull)), check=False, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.state, ignore_errors=True)

    def compile(self, state: Path, signatures: Path | None = None) -> float:
        """Seconds of ``kavfs db compile`` with this state folder."""
        started = time.perf_counter()
        command = [*program("kavfs"), "db", "compile", str(signatures or self.signatures), "--state", str(state)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        return time.perf_counter() - started

    def command(self, target: Path) -> list[str]:
        words = ["--db", str(self.signatures), "--state", str(self.state), "--no-cache", "--jobs", str(self.threads)]
        return [*program("kavscanner"), "-q", *words, *([] if self.quiet else ["--json", os.devnull]), str(target)]

    def account(self, corpus: Corpus) -> str:
        """What an untimed run says it has done, so that nobody measures a scan that scanned nothing."""
        command = [*self.command(corpus.folder), "--json", "-"]
        told = subprocess.run(command, check=False, capture_output=True, env=ENVIRONMENT).stdout.splitlines()
        summary = json.loads(told[-1])
        statuses = ", ".join(f"{name} {count:,}" for name, count in summary["statuses"].items() if count)
        reasons = ", ".join(f"{name} {count:,}" for name, count in summary["reasons"].items()) or "none"
        return f"{summary['files']:,} files and {summary['members']:,} members: {statuses}; partial coverage: {reasons}"

    def scan(self, corpus: Corpus) -> Measured:
        started = time.perf_counter()
        done = subprocess.run(self.command(corpus.folder), check=False, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        seconds = time.perf_counter() - started
        if done.returncode not in FINISHED:
            raise RuntimeError(f"kavscanner ended with {done.returncode}")
        return Measured(seconds, 0, 0)

    def memory(self, corpus: Corpus) -> tuple[float, int]:
        """(most private bytes that one child of a scan held, how many children were seen). An untimed run of its own:
        asking for private memory stops a process for milliseconds."""
        scan = psutil.Popen(self.command(corpus.folder), stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        most: dict[int, int] = {}
        while scan.poll() is None:
            for child in scan.children(recursive=True):
                try:
                    most[child.pid] = max(most.get(child.pid, 0), child.memory_full_info().uss)
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
        return max(most.values(), default=0), len(most)

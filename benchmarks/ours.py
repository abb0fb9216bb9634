"""Ours: kavscanner and kavfs driven from outside, as an administrator runs them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO

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

    def __init__(self, signatures: Path, threads: int) -> None:
        self.signatures = signatures
        self.threads = threads

    def __enter__(self) -> Kavfs:
        self.state = Path(tempfile.mkdtemp(prefix="kavfs-bench-"))
        self.compile(self.state)
        self.run(self.command(Path(os.devnull)))
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

    def command(self, target: Path, *words: str) -> list[str]:
        """kavscanner over *target*; silent unless *words* say otherwise."""
        places = ["--db", str(self.signatures), "--state", str(self.state), "--jobs", str(self.threads)]
        return [*program("kavscanner"), *places, *(words or ("-q",)), str(target)]

    def forget(self) -> None:
        """Empty what is remembered of files and objects; compiled signatures stay."""
        shutil.rmtree(self.state / "cache", ignore_errors=True)

    def account(self, corpus: Corpus) -> str:
        """What an untimed run says it has done, so that nobody measures a scan that scanned nothing."""
        command = self.command(corpus.folder, "-q", "--no-cache", "-mn", "--json", "-")
        told = subprocess.run(command, check=False, capture_output=True, env=ENVIRONMENT).stdout.splitlines()
        summary = json.loads(told[-1])
        statuses = ", ".join(f"{name} {count:,}" for name, count in summary["statuses"].items() if count)
        reasons = ", ".join(f"{name} {count:,}" for name, count in summary["reasons"].items()) or "none"
        return f"{summary['files']:,} files and {summary['members']:,} members: {statuses}; partial coverage: {reasons}"

    def unchanged(self, corpus: Corpus) -> int | None:
        """How many files a run with a report says were answered from the store; None where it does not say. A report in
        text, because JSON lines have every file's digest, and that is another setting."""
        report = self.state / "bench.report"
        report.unlink(missing_ok=True)
        self.run(self.command(corpus.folder, "-q", "-mn", "-j3", "-o", str(report)))
        found = re.search(r"Unchanged: ([\d,]+)", report.read_text(errors="replace"))
        return int(found[1].replace(",", "")) if found else None

    def run(self, command: list[str], out: int | IO[bytes] | None = subprocess.DEVNULL) -> float:
        """Seconds of a scan from process start to exit."""
        started = time.perf_counter()
        done = subprocess.run(command, check=False, stdout=out, stderr=subprocess.PIPE, env=ENVIRONMENT)
        seconds = time.perf_counter() - started
        if done.returncode not in FINISHED or done.stderr:  # a silent scan that could not be done says why there
            raise RuntimeError(f"kavscanner ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
        return seconds

    def scan(self, corpus: Corpus, *words: str) -> Measured:
        return Measured(self.run(self.command(corpus.folder, *words)), 0, 0)

    def opened(self, corpus: Corpus) -> list[str]:
        """Names of the files of *corpus* that a scan opened, by strace; a run of its own, because strace is slow."""
        if shutil.which("strace") is None:
            raise FileNotFoundError("strace is not installed (make system-test)")
        trace = self.state / "bench.strace"
        command = ["strace", "-f", "-qq", "-e", "trace=open,openat,openat2", "-e", "signal=none", "-o", str(trace)]
        self.run([*command, *self.command(corpus.folder)])
        name = re.compile(r'open\w*\([^"]*"(?:[^"]*/)?(\d{6}\.\w+)"')
        with trace.open(errors="replace") as lines:
            return [found[1] for line in lines if (found := name.search(line))]

    def memory(self, corpus: Corpus) -> tuple[float, int]:
        """(most private bytes that one child of a scan held, how many children were seen). An untimed run of its own:
        asking for private memory stops a process for milliseconds."""
        scan = psutil.Popen(self.command(corpus.folder, "-q", "--no-cache"), stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        most: dict[int, int] = {}
        while scan.poll() is None:
            for child in scan.children(recursive=True):
                try:
                    most[child.pid] = max(most.get(child.pid, 0), child.memory_full_info().uss)
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
        return max(most.values(), default=0), len(most)

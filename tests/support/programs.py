"""Programs: kavscanner and kavfs run as an administrator runs them, their answer as values.

run = kavscanner("--db", STARTER, "--state", state, folder)
run.exit_code, run.results[b"/path"]["status"], run.skips[b"/path"], run.summary
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
STARTER = CHECKOUT / "kavfs" / "signatures" / "starter"
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
EICAR_NAME = "EICAR-Test-File"  # as the starter signatures call it

Record = dict[str, Any]
Word = str | bytes | os.PathLike[str]


@dataclass
class Run:
    """What a run of kavscanner said, by path."""

    exit_code: int
    errors: str  # standard error
    results: dict[bytes, Record] = field(default_factory=dict)
    skips: dict[bytes, str] = field(default_factory=dict)  # path -> kind
    notes: list[str] = field(default_factory=list)
    summary: Record = field(default_factory=dict)

    def status(self, path: Word) -> str:
        return str(self.results[os.fsencode(path)]["status"])

    def reasons(self, path: Word) -> list[str]:
        return list(self.results[os.fsencode(path)]["coverage"]["reasons"])

    def threats(self, path: Word) -> list[str]:
        return [threat["name"] for threat in self.results[os.fsencode(path)]["threats"]]


def path_of(record: Record) -> bytes:
    """The exact bytes of a record's path."""
    return b64decode(record["path_b64"]) if record["path"] is None else record["path"].encode()


def read_records(text: bytes, run: Run) -> Run:
    """Sort JSON lines into *run*. A path that comes twice is a failure of the test."""
    for line in text.splitlines():
        record = json.loads(line)
        match record["type"]:
            case "result":
                path = path_of(record)
                assert path not in run.results, path
                run.results[path] = record
            case "skip":
                path = path_of(record)
                assert path not in run.skips, path
                run.skips[path] = record["kind"]
            case "note":
                run.notes.append(record["text"])
            case "summary":
                run.summary = record
    return run


def command(program: str, *words: Word) -> list[bytes]:
    return [os.fsencode(w) for w in (sys.executable, "-m", f"kavfs.cli.{program}", *words)]


def start(program: str, *words: Word, before: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    """A program that runs; *before* are words in front of it (setpriv ...)."""
    whole = [*(os.fsencode(word) for word in before), *command(program, *words)]
    return subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=CHECKOUT)


def finish(process: subprocess.Popen[bytes], timeout: float = 120) -> Run:
    """Wait for a kavscanner that writes JSON to its standard output."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return read_records(out, Run(process.returncode, err.decode(errors="replace")))


def kavscanner(*words: Word, timeout: float = 120, before: tuple[str, ...] = ()) -> Run:
    """One scan with ``-q --json -`` and *words*."""
    return finish(start("kavscanner", "-q", "--json", "-", *words, before=before), timeout)


def kavfs(*words: Word, timeout: float = 120) -> str:
    """Standard output of ``kavfs WORDS``; it must succeed."""
    done = subprocess.run(command("kavfs", *words), capture_output=True, timeout=timeout, cwd=CHECKOUT, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode(errors="surrogateescape")

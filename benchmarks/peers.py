"""Peers: clamd started for the measurement, and the floor built and run. Each is driven as its users would drive it.

A peer is a context manager that is ready to scan when entered; scan() returns seconds and what was flagged. Loading of
signatures is outside of scan().
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from benchmarks import literals
from benchmarks.corpus import Corpus, files_below

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Measured:
    """One run over one corpus."""

    seconds: float
    files: int  # looked at, as the program itself counts; 0 where it does not tell
    flagged: int


def built(folder: Path, name: str, libraries: tuple[str, ...] = ()) -> Path:
    """The program NAME.c of this folder, compiled."""
    folder.mkdir(parents=True, exist_ok=True)
    flags: list[str] = []
    if libraries:
        asked = ["pkg-config", "--cflags", "--libs", *libraries]
        flags = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()
    program = folder / name
    command = ["gcc", "-std=gnu11", "-O2", "-o", str(program), str(HERE / f"{name}.c"), *flags, "-lpthread"]
    subprocess.run(command, check=True)
    return program


class Floor:
    """The C program floor.c with databases of the literals of *signatures*, in *cache* under *name*."""

    def __init__(self, cache: Path, signatures: Path, threads: int, name: str = "floor") -> None:
        self.folder = cache / name
        self.signatures = signatures
        self.threads = threads
        self.literals = self.without = self.hits = 0

    def __enter__(self) -> Floor:
        self.program = built(self.folder, "floor", ("libhs", "libcrypto"))
        wanted = self.folder / "literals"
        self.literals, self.without = literals.write(self.signatures, wanted)
        command = [str(self.program), "build", str(wanted), str(self.folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def scan(self, corpus: Corpus) -> Measured:
        return self.read(list(files_below(corpus.folder)), "match,sha256")

    def read(self, paths: Iterable[bytes], work: str) -> Measured:
        """Open and read these files and do *work* with their bytes (floor.c says what there is)."""
        command = [str(self.program), "scan", str(self.folder), str(self.threads), work]
        told = json.loads(subprocess.run(command, check=True, input=b"\0".join(paths), capture_output=True).stdout)
        if told["failed"]:
            raise RuntimeError(f"floor could not open {told['failed']} files")
        self.hits = told["hits"]
        return Measured(told["seconds"], told["files"], 0)


class Lister:
    """Programs that list a tree and look at each file: the floor in C, fd and find."""

    def __init__(self, cache: Path, threads: int) -> None:
        self.floor = built(cache / "floor", "floor_walk")
        self.threads = threads

    def walk(self, corpus: Corpus) -> Measured:
        done = subprocess.run(
            [str(self.floor), str(self.threads), str(corpus.folder)], check=True, capture_output=True, text=True
        )
        told = json.loads(done.stdout)
        if told["failed"]:
            raise RuntimeError(f"floor_walk could not look at {told['failed']} entries of {corpus.folder}")
        return Measured(told["seconds"], told["files"], 0)

    def fd(self, corpus: Corpus) -> float | None:
        """Seconds of fd with a condition on sizes, so that it looks at every file; None where it is not installed."""
        found = shutil.which("fdfind") or shutil.which("fd")
        words = ["-u", "-t", "f", "--size", "+0b", "-j", str(self.threads), ".", str(corpus.folder)]
        return self._seconds([found, *words]) if found else None

    def find(self, corpus: Corpus) -> float:
        return self._seconds(["find", str(corpus.folder), "-type", "f", "-printf", "%s\\n"])

    def _seconds(self, command: list[str]) -> float:
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started


CLAMD_CONF = """\
LocalSocket {folder}/socket
PidFile {folder}/pid
LogFile {folder}/log
DatabaseDirectory {database}
TemporaryDirectory {folder}
User root
Foreground yes
OfficialDatabaseOnly no
MaxThreads {threads}
MaxQueue 200
MaxConnectionQueueLength 200
DisableCache {forgets}
SelfCheck 0
Bytecode no
MaxScanTime 0
MaxScanSize 4000M
MaxFileSize 2000M
MaxFiles 100000
MaxRecursion 20
MaxDirectoryRecursion 1000
MaxEmbeddedPE 1000M
StreamMaxLength 2000M
"""


class Clamd:
    """clamd of our own on a socket in a temporary folder; without *cache* every round is a cold one."""

    def __init__(self, signatures: Path, threads: int, cache: bool = False) -> None:
        self.signatures = signatures
        self.threads = threads
        self.cache = cache
        self.load_seconds = 0.0

    def __enter__(self) -> Clamd:
        for program in ("clamd", "clamdscan"):
            if shutil.which(program) is None:
                raise FileNotFoundError(f"{program} is not installed (make system-test)")
        self.folder = Path(tempfile.mkdtemp(prefix="kavfs-clamd-"))
        database = self.folder / "database"
        shutil.copytree(self.signatures, database, copy_function=shutil.copyfile)
        os.chmod(database, 0o755)
        self.conf = self.folder / "clamd.conf"
        forgets = "no" if self.cache else "yes"
        text = CLAMD_CONF.format(folder=self.folder, database=database, threads=self.threads, forgets=forgets)
        self.conf.write_text(text)
        started = time.perf_counter()
        self.process = subprocess.Popen(
            ["clamd", "--config-file", str(self.conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not (self.folder / "socket").exists():
            if self.process.poll() is not None or time.perf_counter() - started > 300:
                log = self.folder / "log"
                raise RuntimeError("clamd did not start: " + (log.read_text()[-500:] if log.exists() else "no log"))
            time.sleep(0.05)
        self._client("--ping", "1")
        self.load_seconds = time.perf_counter() - started
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _client(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["clamdscan", "--config-file", str(self.conf), *words]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)

    def scan(self, corpus: Corpus) -> Measured:
        started = time.perf_counter()
        done = self._client("--multiscan", "--fdpass", "--infected", "--no-summary", str(corpus.folder))
        seconds = time.perf_counter() - started
        if done.returncode not in (0, 1):
            raise RuntimeError(f"clamdscan ended with {done.returncode}: {done.stderr[-500:]}")
        return Measured(seconds, 0, done.stdout.count(" FOUND"))

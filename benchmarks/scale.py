"""Scale: the real store with generated metadata, from ten thousand to ten million files, and a fleet on paper.

    python -m benchmarks.scale [--files N,N...] [--mixed N] [--json]

For each number a process of its own remembers the files, opens the store again, looks all of them up, and renews them
after an update that concerns none of them. Only the calls into the store are on the clock, flushes included; making the
metadata is not. Memory is that of the process with its Python and all that this program holds for itself. Ten million
files stand for themselves: what 10^10 would need is counted up from them.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.metadata import FILE_SYSTEM, FS, LAYOUTS, NEWEST, SECRET, SETTINGS, chunks
from kavfs._native import cache

FILES = (10_000, 100_000, 1_000_000, 10_000_000)
MIXED = 1_000_000
BEFORE, AFTER = b"generation of it", b"generation later"
START = NEWEST + 3600 * 10**9  # when the scan began
LIMIT = 16 << 30  # bytes of a store
IDENTITY = 40
FLEET, SERVER = 10**10, 10**7  # files of the fleet, and of one server of it
POLL = 0.01  # seconds between two looks at memory


@dataclass
class Measured:
    """Of one number of files in one layout."""

    files: int
    layout: str
    directories: int = 0
    remember: float = 0.0  # nanoseconds of one file
    lookup: float = 0.0
    renew: float = 0.0
    open: float = 0.0  # seconds until the first directory has been asked for
    memory: int = 0  # bytes, private, the most
    disk: int = 0  # bytes of the file
    plain: int = 0  # files that were answered; fewer than files would be a store that forgets
    renewed: int = 0  # files that were answered for the later generation, without anything left to renew


@contextmanager
def watched_memory() -> Iterator[list[int]]:
    """The most private memory of this process, in bytes, in a list of one number."""
    most, end = [0], threading.Event()

    def look() -> None:
        while not end.wait(POLL):
            with open("/proc/self/status") as file:
                anonymous = next(int(line.split()[1]) << 10 for line in file if line.startswith("RssAnon:"))
            most[0] = max(most[0], anonymous)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield most
    finally:
        end.set()
        watcher.join()


def measure(files: int, layout: str, folder: Path) -> Measured:
    found = Measured(files, layout)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with watched_memory() as most:
            found.remember = remember(found, descriptor) / files * 1e9
            found.lookup, found.plain = look_up(found, folder)
            found.renew = renew(found, descriptor, folder) / files * 1e9
            _, found.renewed = again(found, folder)
        found.memory = most[0]
        found.disk = (folder / "files").stat().st_size
    finally:
        os.close(descriptor)
    return found


def memory_of(folder: int, generation: bytes, delta: bytes | None = None) -> cache.Memory:
    memory = cache.Memory(folder, "files", SECRET, generation, start_ns=START, delta=delta, size_limit=LIMIT)
    memory.newest(FILE_SYSTEM, NEWEST + 10**9)
    return memory


def remember(found: Measured, folder: int) -> float:
    """Seconds to remember everything."""
    memory, seconds = memory_of(folder, BEFORE), 0.0
    for chunk in chunks(found.files, found.layout):
        found.directories += len(chunk.directories)
        started = time.perf_counter()
        memory.add_many(chunk.facts)
        seconds += time.perf_counter() - started
    started = time.perf_counter()
    memory.flush(last=True)
    seconds += time.perf_counter() - started
    totals = memory.totals()
    if totals.error or totals.dropped or totals.held:
        raise RuntimeError(f"not everything was remembered: {totals}")
    return seconds


def look_up(found: Measured, folder: Path) -> tuple[float, int]:
    """Nanoseconds to look up one file, and how many were found unchanged; sets the time to open."""
    started = time.perf_counter()
    file = os.open(folder / "files", os.O_RDONLY)
    lookup = cache.Lookup(SECRET, BEFORE, [SETTINGS], file=file)
    lookup.dir(FS, 1, NEWEST)
    found.open = time.perf_counter() - started
    seconds, plain, _ = walk(found, lookup)
    os.close(file)
    return seconds / found.files * 1e9, plain


def walk(found: Measured, lookup: cache.Lookup, memory: cache.Memory | None = None) -> tuple[float, int, int]:
    """Ask for every file as a walker does; tell *memory* what is to be renewed. Seconds, files answered as unchanged,
    directories to be renewed."""
    seconds, plain, renewing = 0.0, 0, 0
    for chunk in chunks(found.files, found.layout):
        identities = chunk.identities
        started = time.perf_counter()
        for one in chunk.directories:
            lookup.dir(FS, one.ino, one.btime_ns)
            plain += lookup.count(identities[one.first * IDENTITY : (one.first + one.count) * IDENTITY])[1]
            if lookup.end().renew:
                renewing += 1
                if memory is not None:
                    memory.renew(one.place)
        if memory is not None and memory.due():
            memory.flush()
        seconds += time.perf_counter() - started
    return seconds, plain, renewing


def renew(found: Measured, descriptor: int, folder: Path) -> float:
    """Seconds to look everything up after an update, and to remember that it holds for the later generation."""
    delta = delta_table()
    memory = memory_of(descriptor, AFTER, delta)
    file = os.open(folder / "files", os.O_RDONLY)
    lookup = cache.Lookup(SECRET, AFTER, [SETTINGS], file=file, delta=cache.DeltaTable(delta))
    seconds, plain, renewing = walk(found, lookup, memory)
    started = time.perf_counter()
    memory.flush(last=True)
    seconds += time.perf_counter() - started
    os.close(file)
    if plain != found.files or renewing != found.directories:
        raise RuntimeError(f"{plain:,} of {found.files:,} files held, {renewing:,} directories were to be renewed")
    return seconds


def again(found: Measured, folder: Path) -> tuple[float, int]:
    """After renewing, without the delta: seconds, and files that are answered for the later generation."""
    file = os.open(folder / "files", os.O_RDONLY)
    seconds, plain, _ = walk(found, cache.Lookup(SECRET, AFTER, [SETTINGS], file=file))
    os.close(file)
    return seconds, plain


def delta_table() -> bytes:
    """A table of ext/cache/delta.h with one row: since BEFORE nothing has come that asks for anything."""
    row = struct.pack("=16sHHIII64x", BEFORE, 0, 0, 0, 0, 0)
    return struct.pack("=8sIIQ40x", b"KAVDELT\0", 1, 1, 64 + len(row)) + row


# ---- all of them, and the fleet


def run_one(files: int, layout: str, before: Sequence[str] = ()) -> Measured:
    """measure() in a process of its own; *before* are words in front of its command."""
    words = [sys.executable, "-m", "benchmarks.scale", "--one", str(files), "--layout", layout]
    done = subprocess.run([*before, *words], check=True, capture_output=True, text=True)
    return Measured(**json.loads(done.stdout))


HEAD = (
    "| files | a directory | remember, ns a file | look up | renew | open, ms | private MB | bytes a file on disk |\n"
    "|--:|---|--:|--:|--:|--:|--:|--:|"
)


def line(m: Measured) -> str:
    each = "50" if m.layout == "even" else f"1 to 10,000 (mean {m.files / m.directories:.0f})"
    return (
        f"| {m.files:,} | {each} | {m.remember:.0f} | {m.lookup:.0f} | {m.renew:.0f} | {m.open * 1000:.2f} "
        f"| {m.memory / 1e6:.0f} | {m.disk / m.files:.1f} |"
    )


def fleet(m: Measured) -> str:
    """What the store of 10^10 files needs, on paper, from the largest run."""
    servers, disk = FLEET // SERVER, m.disk / m.files

    def hours(nanoseconds: float) -> str:
        total, each = FLEET * nanoseconds / 3.6e12, SERVER * nanoseconds / 1e9
        return f"10^10 × {nanoseconds:.0f} ns = {total:.2f} CPU hours; {each:.1f} s a server"

    return "\n".join(
        (
            f"A fleet of 10^10 files on {servers:,} servers of {SERVER:,}, counted up from the {m.files:,} above:",
            f"* disk: 10^10 × {disk:.1f} bytes = {FLEET * disk / 1e12:.2f} TB; {SERVER * disk / 1e9:.2f} GB a server",
            f"* first scan, remembering alone: {hours(m.remember)}",
            f"* every night, looking up alone, of one CPU and besides the walk: {hours(m.lookup)}",
            f"* after an update that concerns none, looking up and renewing: {hours(m.renew)}",
            f"* memory: {m.memory / 1e6:.0f} MB of a process, on each server",
        )
    )


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", default=",".join(map(str, FILES)), help="numbers of files with commas between")
    parser.add_argument("--mixed", type=int, default=MIXED, help="files in directories of 1 to 10,000; 0: none")
    parser.add_argument("--folder", help="where the store is written (default: the folder for temporary files)")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--layout", choices=LAYOUTS, default=LAYOUTS[0], help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.one:
        with tempfile.TemporaryDirectory(prefix="kavfs-scale-", dir=options.folder) as folder:
            print(json.dumps(asdict(measure(options.one, options.layout, Path(folder)))))
        return 0
    print(HEAD)
    sizes = [int(word) for word in options.files.split(",")]
    for files in sizes:
        even = run_one(files, "even")
        print(line(even), flush=True)
    if options.mixed:
        print(line(run_one(options.mixed, "mixed")), flush=True)
    print("\n" + fleet(even))
    return 0


if __name__ == "__main__":
    sys.exit(main())

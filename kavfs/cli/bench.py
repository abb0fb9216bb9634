"""kavfs bench: what scanning costs on this machine: stages, types, engines, and what the bottleneck is."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from kavfs.cli.clamd import Place, find_clamd
from kavfs.cli.program import put
from kavfs.cli.request import absolute
from kavfs.cli.running import heeding_signals, open_signatures
from kavfs.cli.sample import Sample, read, take
from kavfs.cli.stages import Stage, Stages, measure
from kavfs.config import values
from kavfs.errors import SystemFailure, UsageError
from kavfs.model import Result, Skip, Status, Totals
from kavfs.options import ScanOptions, WalkOptions
from kavfs.ports import Image
from kavfs.report.names import shown_text
from kavfs.report.summary import counted
from kavfs.scan.job import Job
from kavfs.scan.resources import worker_count

PATHS = (b"/usr/bin", b"/usr/share")
BYTES = "64MiB"
CLAMD_LONGEST = 25.0  # seconds


@dataclass
class Engine:
    """All of the sample, or as much as there was time for, scanned as users would have it scanned."""

    name: str
    processes: int
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0
    found: int = 0
    errors: int = 0


class _Counts:
    """A report that only counts. Promises ports.Report."""

    wants_clean = False

    def add(self, result: Result) -> None:
        """Totals have it."""

    def known(self, directory: bytes, names: bytes, sizes: bytes) -> None:
        """Totals have it."""

    def listed(self, paths: bytes, results: Callable[[], Iterable[Result]]) -> None:
        """Totals have it."""

    def skip(self, skip: Skip) -> None:
        """Totals have it."""

    def note(self, text: str) -> None:
        """Totals have what matters."""

    def finish(self, totals: Totals) -> None:
        """Nothing to end."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register ``bench``; the parsed arguments then go to run()."""
    parser = subparsers.add_parser("bench", help="what scanning costs on this machine", description=__doc__)
    usual = " and ".join(os.fsdecode(path) for path in PATHS)
    parser.add_argument("paths", nargs="*", metavar="PATH", help=f"take the sample from here (default: {usual})")
    parser.add_argument("--bytes", default=BYTES, metavar="SIZE", help=f"size of the sample at most (default: {BYTES})")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="scanning processes (default: as scans have)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--compare", choices=["clamd"], help="let a running clamd scan the same files")
    parser.add_argument("--clamd", metavar="SOCKET", help="its socket, or HOST:PORT (default: as clamd.conf says)")
    parser.add_argument("--db", action="append", default=[], metavar="PATH", help="databases or an image")
    parser.add_argument("--state", default="", metavar="DIR", help="folder of compiled signatures")


def run(args: argparse.Namespace) -> int:
    """Measure and print; the exit code is 0 when everything was measured."""
    if args.jobs < 0:
        raise UsageError("option --jobs: a number from 0 on")
    roots = tuple(absolute(os.fsencode(path)) for path in args.paths) or _usual()
    clamd = _clamd(args)
    sample = _sample(roots, args.bytes)
    image, _ = open_signatures([absolute(os.fsencode(db)) for db in args.db], os.fsencode(args.state))
    with image:
        engines = [_native(image, sample, worker_count(args.jobs))]
        stages = measure(roots, sample, image)
        signatures = image.signature_count
    if clamd is not None:
        engines.append(_compared(clamd, sample, engines[0].processes))
    answer = _record(roots, sample, signatures, stages, engines)
    put(json.dumps(answer) + "\n" if args.json else "".join(f"{line}\n" for line in _lines(answer)))
    return 0


def _usual() -> tuple[bytes, ...]:
    return tuple(path for path in PATHS if os.path.isdir(path))


def _sample(roots: tuple[bytes, ...], size: str) -> Sample:
    try:
        most = values.size(size)
    except ValueError as error:
        raise UsageError(f"option --bytes: {shown_text(str(error))}") from None
    for root in roots:
        if not os.path.exists(root):
            raise UsageError(f"{shown_text(os.fsdecode(root))}: no such file or directory")
    sample = take(roots, most)
    if not sample.files:
        raise UsageError("there is no file to measure with that can be read and is not too large for --bytes")
    return sample


def _clamd(args: argparse.Namespace) -> Place | None:
    """The clamd to compare with, which answers; None when nobody asked for one."""
    if args.compare is None:
        if args.clamd:
            raise UsageError("option --clamd: goes with --compare clamd")
        return None
    if not args.clamd:
        place = find_clamd()
        if place is None:
            raise SystemFailure("no clamd answers where clamd.conf says or at the usual sockets; --clamd names another")
        return place
    place = Place.of(args.clamd)
    try:
        place.ping()
    except OSError as error:
        raise SystemFailure(f"clamd at {shown_text(str(place))}: {error.strerror or error}") from None
    return place


# -- engines ---------------------------------------------------------------------------------------------------------


def _native(image: Image, sample: Sample, jobs: int) -> Engine:
    """A whole scan, with all its processes and their start; nothing is looked up or remembered."""
    walk = WalkOptions(tuple(path for path, _ in sample.files))
    job = Job(image, ScanOptions(walk, jobs=jobs), _Counts())
    with heeding_signals(job):
        totals = job.run()
    if totals.interrupted:
        raise SystemFailure("interrupted")
    counts = totals.statuses
    found = sum(counts.get(status, 0) for status in (Status.INFECTED, Status.WARNING, Status.SUSPICIOUS))
    return Engine("native", jobs, totals.files, totals.bytes, totals.seconds, found, counts.get(Status.ERROR, 0))


def _compared(clamd: Place, sample: Sample, connections: int) -> Engine:
    """clamd with as many connections at a time as we had processes, until all is scanned or the time is up."""
    engine = Engine("clamd", connections)
    started = time.perf_counter()

    def one(path: bytes) -> tuple[int, str] | None:
        if time.perf_counter() - started > CLAMD_LONGEST:
            return None
        try:
            data = read(path)
        except OSError:
            return None
        return len(data), clamd.stream(data)

    try:
        with ThreadPoolExecutor(connections) as pool:
            for answer in pool.map(one, (path for path, _ in sample.files)):
                if answer is not None:
                    size, word = answer
                    engine.files, engine.bytes = engine.files + 1, engine.bytes + size
                    engine.found += word == "FOUND"
                    engine.errors += word == "ERROR"
    except OSError as error:
        raise SystemFailure(f"clamd at {shown_text(str(clamd))}: {error.strerror or error}") from None
    engine.seconds = time.perf_counter() - started
    return engine


# -- the answer ------------------------------------------------------------------------------------------------------

Record = dict[str, Any]


def _record(
    roots: Sequence[bytes], sample: Sample, signatures: int, stages: Stages, engines: Sequence[Engine]
) -> Record:
    """Everything that was measured, for programs and for the tables alike."""
    return {
        "type": "bench",
        "machine": {"cpus": os.cpu_count(), "kernel": platform.release()},
        "signatures": signatures,
        "roots": [os.fsdecode(root).encode("utf-8", "replace").decode() for root in roots],
        "sample": {
            "files": len(sample.files),
            "bytes": sample.bytes,
            "listed": sample.listed,
            "listed_bytes": sample.listed_bytes,
        },
        "stages": [_stage(stage) for stage in (*stages.steps, stages.storage)],
        "types": [_stage(stage) for stage in sorted(stages.types.values(), key=lambda stage: -stage.seconds)],
        "engines": [_engine(engine) for engine in engines],
        "bottleneck": _bottleneck(stages.cost(sample), stages.storage, engines[0]),
    }


def _stage(stage: Stage) -> Record:
    return {
        "name": stage.name,
        "files": stage.files,
        "bytes": stage.bytes,
        "seconds": round(stage.seconds, 6),
        "note": stage.note,
    }


def _engine(engine: Engine) -> Record:
    return {**vars(engine), "seconds": round(engine.seconds, 6)}


def _bottleneck(cost: dict[str, float], storage: Stage, engine: Engine) -> Record:
    """The step that takes the most CPU time, and whether files that are not in memory come more slowly than that."""
    step = max(cost, key=lambda name: cost[name])
    total = sum(cost.values())
    rate = engine.bytes / engine.seconds if engine.seconds else 0.0
    return {
        "step": step,
        "share": round(cost[step] / total, 4) if total else 0.0,
        "shares": {name: round(seconds / total, 4) if total else 0.0 for name, seconds in cost.items()},
        "scan_bytes_per_second": round(rate),
        "storage_bytes_per_second": round(storage.bytes_rate),
        "cold": "storage" if 0 < storage.bytes_rate < rate else step,
    }


def _lines(answer: Record) -> Iterator[str]:
    sample, machine = answer["sample"], answer["machine"]
    roots = ", ".join(shown_text(root) for root in answer["roots"])
    size = f"{sample['bytes'] / 1e6:,.1f} MB"
    yield f"Sample: {counted(sample['files'], 'file')}, {size}, of {counted(sample['listed'], 'file')} below {roots}"
    yield f"Signatures: {answer['signatures']:,}. CPUs: {machine['cpus']}. Linux {machine['kernel']}"
    yield ""
    yield from _table("stage, one process", answer["stages"])
    yield ""
    yield from _table("type, whole objects, one process", answer["types"])
    yield ""
    yield from _table("engine, from start to end", answer["engines"])
    yield ""
    yield _sentence(answer["bottleneck"])


def _table(title: str, rows: Sequence[Record]) -> Iterator[str]:
    yield f"{title:<34}{'files':>10}{'MB':>11}{'seconds':>11}{'files/s':>12}{'MB/s':>11}"
    for row in rows:
        seconds = row["seconds"]
        per_file = f"{row['files'] / seconds:,.0f}" if seconds and row["files"] else "-"
        per_byte = f"{row['bytes'] / seconds / 1e6:,.1f}" if seconds and row["bytes"] else "-"
        size = f"{row['bytes'] / 1e6:,.1f}" if row["bytes"] else "-"
        line = f"{_named(row):<34}{row['files']:>10,}{size:>11}{seconds:>11.3f}{per_file:>12}{per_byte:>11}"
        yield line + (f"  {row['note']}" if row.get("note") else "")


def _named(row: Record) -> str:
    if "processes" not in row:
        return str(row["name"])
    many = f"{row['name']}, {row['processes']} at a time"
    found = [f"{row['found']:,} found"] if row["found"] else []
    errors = [counted(row["errors"], "error")] if row["errors"] else []
    return ", ".join([many, *found, *errors])


def _sentence(bottleneck: Record) -> str:
    """One line that says what the bottleneck is."""
    text = f"Bottleneck: {bottleneck['step']}, {bottleneck['share']:.0%} of a scan's CPU time"
    storage, scan = bottleneck["storage_bytes_per_second"], bottleneck["scan_bytes_per_second"]
    if not storage:
        return text + "; how fast storage is could not be measured"
    rates = f"{storage / 1e6:,.0f} MB/s read one file at a time, {scan / 1e6:,.0f} MB/s scanned"
    if bottleneck["cold"] == "storage":
        return f"{text}; for files that are not in memory it is storage ({rates})"
    return f"{text}, for files that are not in memory too (storage: {rates})"

"""Service: aveserver beside clamd, each with 8 clients that ask for documents and mails of 30 KB in clamd's protocol.

new         objects that neither has seen, so many of them in each round
repeated    the same objects again, by path and by stream, with a connection for each request and with sessions;
            clamd has its cache on
reloads     signatures change again and again under load
Rounds are interleaved. What a request costs is told twice: requests a second, and CPU time of the service.
"""

from __future__ import annotations

import random
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import documents, served
from benchmarks.corpus import SEED, Words, kept
from benchmarks.scenario import Bench, Row, progress, told
from benchmarks.served import Aveserver, Clients, Load, Served, ServedClamd, middle

SIZE = 30_000
NEW = 1000  # objects in a round that were never seen before
QUICK = 100
LOOK = 0.1  # seconds between two looks at memory
REPEATED = 10_000  # requests of a round
RELOADS = 1000
VERSION = 1  # of the corpus: another number makes other files
MAKERS = (
    documents.docx, documents.xlsx, documents.pdf, documents.ole2, documents.packed_zip,
    documents.letter, documents.letter, documents.letter,
)  # fmt: skip
ENDLESS = 5_000_000
PAUSE = 60.0  # seconds after which a reload has failed


def corpus(cache: Path, count: int) -> list[Path]:
    """Documents and mails of about SIZE bytes, no content twice."""

    def make(folder: Path) -> None:
        rnd = random.Random(SEED)
        words = Words(rnd)
        for serial in range(count):
            maker = MAKERS[serial % len(MAKERS)]
            (folder / f"{serial:06d}").write_bytes(maker(words, rnd, SIZE, serial))

    folder = kept(cache / f"service-v{VERSION}-{SEED}-{count}", make)
    return sorted(folder.iterdir())


def run(bench: Bench) -> list[Row]:
    each = QUICK if bench.quick else NEW
    files = corpus(bench.cache, each * (bench.rounds + 1))
    *rounds, last = (files[start:][:each] for start in range(0, len(files), each))
    clients = Clients(bench.cache)
    with Aveserver(bench.base.folder, bench.threads) as ours, ServedClamd(bench.base.folder, bench.threads) as theirs:
        rows = _new(bench, clients, ours, theirs, rounds)
        count = REPEATED // 10 if bench.quick else REPEATED
        for what, how, is_kept in (
            ("repeated, by path", "path", False),
            ("repeated, by path, in sessions", "path", True),
            ("repeated, by stream", "stream", False),
            ("repeated, by stream, in sessions", "stream", True),
        ):
            rows += _repeated(bench, clients, (ours, theirs), rounds[0], what, how, count, is_kept)
        rows.append(_memory("after that, at rest", served.memory(ours.process), served.memory(theirs.process)))
        rows.append(_memory("while it scans", *(_while_it_scans(clients, one, last) for one in (ours, theirs))))
    with Aveserver(bench.base.folder, bench.threads) as ours:
        rows.append(_reloads(clients, ours, rounds[0], RELOADS // 50 if bench.quick else RELOADS))
    return rows


def _new(bench: Bench, clients: Clients, ours: Served, theirs: Served, rounds: Sequence[Sequence[Path]]) -> list[Row]:
    loads: dict[str, list[Load]] = {ours.name: [], theirs.name: []}
    for number, files in enumerate(rounds):
        for service in (ours, theirs):
            loads[service.name].append(_told(f"round {number + 1}: new", service, clients.ask(service, files, "path")))
    return _rows(f"new objects ({len(rounds[0]):,} in a round)", loads[ours.name], loads[theirs.name], 20)


def _repeated(
    bench: Bench,
    clients: Clients,
    services: tuple[Served, Served],
    files: Sequence[Path],
    what: str,
    how: str,
    count: int,
    is_kept: bool,
) -> list[Row]:
    loads: dict[str, list[Load]] = {service.name: [] for service in services}
    for service in services:
        clients.ask(service, files, how, 2 * len(files), is_kept)
    for number in range(bench.rounds):
        for service in services:
            load = clients.ask(service, files, how, count, is_kept)
            loads[service.name].append(_told(f"round {number + 1}: {what}", service, load))
    ours, theirs = services
    return _rows(what, loads[ours.name], loads[theirs.name], 3)


def _told(what: str, service: Served, load: Load) -> Load:
    progress(
        f"{what}: {service.name} {load.rate:,.0f}/s, p50 {load.p50:.2f} ms, p99 {load.p99:.2f} ms, CPU of a request"
        f" {load.service_cpu:,.0f} µs, of its client {load.client_cpu:.0f} µs"
    )
    if load.wrong or load.failed:
        progress(f"{what}: {service.name}: {load.wrong} answers were wrong, {load.failed} requests failed")
    return load


def _rows(what: str, our_loads: Sequence[Load], their_loads: Sequence[Load], factor: float) -> list[Row]:
    ours, theirs = middle(our_loads), middle(their_loads)
    bad = ours.failed or ours.wrong
    ratio = ours.rate / theirs.rate
    cheaper = theirs.service_cpu / ours.service_cpu
    note = f", {ours.failed} FAILED, {ours.wrong} WRONG" if bad else ""
    return [
        Row(
            f"service, {what}: requests a second",
            f"{ours.rate:,.0f}{note}",
            f"clamd {theirs.rate:,.0f}",
            f"{ratio:.1f}",
            f"≥ {factor:g} ×",
            ratio >= factor and not bad,
        ),
        told(
            f"service, {what}: CPU of a request (that of its client not in it)",
            f"{ours.service_cpu:,.0f} µs",
            f"clamd {theirs.service_cpu:,.0f} µs, {cheaper:.1f} ×; client {ours.client_cpu:.0f} µs",
        ),
        Row(
            f"service, {what}: p50 and p99",
            f"{ours.p50:.2f} and {ours.p99:.2f} ms",
            f"clamd {theirs.p50:.2f} and {theirs.p99:.2f} ms",
            f"{theirs.p99 / ours.p99:.1f}",
            "p99 lower",
            ours.p99 < theirs.p99,
        ),
    ]


def _memory(when: str, ours: int, theirs: int) -> Row:
    return Row(
        f"service: memory of all processes {when} (PSS)",
        f"{ours / 2**20:.0f} MiB",
        f"clamd {theirs / 2**20:.0f} MiB",
        f"{ours / theirs:.2f}",
        "≤ 0.5 ×",
        ours <= theirs / 2,
    )


def _while_it_scans(clients: Clients, service: Served, files: Sequence[Path]) -> int:
    """Bytes at most, of objects that were never seen before. Looking takes time, so no other figure comes from this."""
    before, most = served.cpu(service.process), 0
    running = clients.start(service, files, "path", 0)
    while running.poll() is None:
        most = max(most, served.memory(service.process))
        time.sleep(LOOK)
    served.told(running, service.process, before)
    return most


# ---- reloads


def _reloads(clients: Clients, ours: Aveserver, files: Sequence[Path], count: int) -> Row:
    """p99 while signatures change *count* times, beside that without; and what failed meanwhile."""
    clients.ask(ours, files, "path")
    quiet = clients.ask(ours, files, "path", 5 * len(files))
    before = served.cpu(ours.process)
    running = clients.start(ours, files, "path", ENDLESS)
    try:
        started = time.perf_counter()
        for number in range(count):
            _reload(ours, number)
        seconds = time.perf_counter() - started
    finally:
        running.send_signal(signal.SIGINT)
    load = served.told(running, ours.process, before)
    progress(f"{count} reloads in {seconds:.0f} s, {load.requests:,} requests meanwhile")
    return Row(
        f"service: p99 during {count:,} reloads, {load.requests:,} requests, {load.failed + load.wrong} failed",
        f"{load.p99:.2f} ms",
        f"without {quiet.p99:.2f} ms",
        f"{load.p99 / quiet.p99:.1f}",
        "≤ + 10 ms, none failed",
        load.p99 <= quiet.p99 + 10 and not load.failed and not load.wrong,
    )


def _reload(ours: Aveserver, number: int) -> None:
    """Change one database, ask for a reload and wait until VERSION names another generation."""
    old = _asked(ours.socket, b"VERSION")
    part = ours.folder / "changing.part"
    part.write_text(f"{number:032x}:{1000 + number}:Bench.Reload-{number}\n")
    part.rename(ours.database / "changing.hdb")
    _asked(ours.socket, b"RELOAD")
    until = time.monotonic() + PAUSE
    while _asked(ours.socket, b"VERSION") == old:
        if time.monotonic() > until:
            raise RuntimeError(f"reload {number + 1} has changed nothing")
        time.sleep(0.01)


def _asked(path: Path, word: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PAUSE)
        sock.connect(str(path))
        sock.sendall(b"z" + word + b"\0")
        return sock.recv(4096)

"""Mail: smtpscanner beside amavisd-new with clamd: 4 senders, mails of 30 KB with one attachment, one server behind.

new         no content twice
repeated    new letters, most of which have an attachment that was sent before
large       mails of 50 MB in flight, all senders at once: what memory that takes, and mails of twice the size
Rounds are interleaved. What a mail costs is told twice: mails a second, and CPU time of the service with all that it
needs (clamd too).
"""

from __future__ import annotations

import base64
import contextlib
import random
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import documents, served
from benchmarks.corpus import SEED, Words, kept, text
from benchmarks.mailed import Amavis, Mailed, Sink, Smtpscanner
from benchmarks.scenario import Bench, Row, progress, told
from benchmarks.served import Load, middle

SENDERS = 4
SIZE = 30_000
EACH = 1000  # mails of a round
QUICK = 120
FRESH = 5  # of so many mails one has an attachment that was not sent before, where they are repeated
LARGE = 50_000_000
FLAT = 16 << 20  # bytes by which memory may grow
FACTOR = 5.0
LOOK = 0.05  # seconds between two looks at memory
VERSION = 1  # of the corpus: another number makes other mails
MAKERS: tuple[tuple[str, Callable[..., bytes]], ...] = (
    ("docx", documents.docx), ("pdf", documents.pdf), ("jpeg", lambda _, *rest: documents.jpeg(*rest)),
    ("xlsx", documents.xlsx), ("zip", documents.packed_zip),
)  # fmt: skip


def run(bench: Bench) -> list[Row]:
    each = QUICK if bench.quick else EACH
    new = corpus(bench.cache, each * bench.rounds, 1)
    repeated = corpus(bench.cache, each * bench.rounds, FRESH, SEED + 1)
    warming = corpus(bench.cache, 10 * SENDERS, 1, SEED + 2)
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(Sink(bench.cache))
        ours = stack.enter_context(Smtpscanner(bench.base.folder, bench.threads, sink))
        theirs = stack.enter_context(Amavis(bench.base.folder, bench.threads, SENDERS, sink))
        for service in (ours, theirs):
            service.send(sink, warming, SENDERS)
        rows: list[Row] = []
        for what, files in (("new", new), ("repeated attachments", repeated)):
            rows += _rows(
                what, *_loads(what, (ours, theirs), sink, [files[i * each :][:each] for i in range(bench.rounds)])
            )
        one, other = ours.memory(), theirs.memory()
        rows.append(told("mail: memory of all processes after that (PSS)", _size(one), f"with clamd {_size(other)}"))
        rows.append(_large(bench, ours, theirs, sink))
        return rows


def _loads(
    what: str, services: Sequence[Mailed], sink: Sink, rounds: Sequence[Sequence[Path]]
) -> tuple[list[Load], list[Load]]:
    """Of ours and of theirs."""
    loads: tuple[list[Load], list[Load]] = [], []
    for number, files in enumerate(rounds):
        for mine, service in zip(loads, services, strict=True):
            load = service.send(sink, files, SENDERS)
            progress(
                f"round {number + 1}: {what}: {service.name} {load.rate:,.0f}/s, p50 {load.p50:.1f} ms, p99"
                f" {load.p99:.1f} ms, CPU of a mail {load.service_cpu / 1e3:,.2f} ms, {load.failed} failed"
            )
            mine.append(load)
    return loads


def _rows(what: str, our_loads: Sequence[Load], their_loads: Sequence[Load]) -> list[Row]:
    ours, theirs = middle(our_loads), middle(their_loads)
    ratio, cheaper = ours.rate / theirs.rate, theirs.service_cpu / ours.service_cpu
    note = f", {ours.failed} FAILED" if ours.failed else ""
    return [
        Row(
            f"mail, {what}: mails a second",
            f"{ours.rate:,.0f}{note}",
            f"amavisd and clamd {theirs.rate:,.0f}",
            f"{ratio:.1f}",
            f"≥ {FACTOR:g} ×",
            ratio >= FACTOR and not ours.failed,
        ),
        told(
            f"mail, {what}: CPU of a mail (that of its sender and the server behind not in it)",
            f"{ours.service_cpu / 1e3:,.2f} ms",
            f"amavisd and clamd {theirs.service_cpu / 1e3:,.2f} ms, {cheaper:.1f} ×",
        ),
        Row(
            f"mail, {what}: p50 and p99",
            f"{ours.p50:.1f} and {ours.p99:.1f} ms",
            f"amavisd and clamd {theirs.p50:.1f} and {theirs.p99:.1f} ms",
            f"{theirs.p99 / ours.p99:.1f}",
            "p99 lower",
            ours.p99 < theirs.p99,
        ),
    ]


# ---- large mails


def _large(bench: Bench, ours: Mailed, theirs: Mailed, sink: Sink) -> Row:
    """Memory while large mails are in flight, beside that with mails of twice the size: what is large is in files."""
    files = large(bench.cache, LARGE, SEED)
    most, load = _peak(ours, sink, files)
    twice, twice_load = _peak(ours, sink, large(bench.cache, 2 * LARGE, SEED))
    beside = f"of {2 * LARGE // 10**6} MB {_size(twice)}"
    progress(f"{SENDERS} mails of {LARGE // 10**6} MB: {ours.name} {load.seconds:.1f} s")
    if not bench.quick:
        other, their_load = _peak(theirs, sink, files)
        progress(f"{SENDERS} mails of {LARGE // 10**6} MB: {theirs.name} {their_load.seconds:.1f} s")
        beside += f"; amavisd and clamd {_size(other)}"
    failed = load.failed + twice_load.failed
    return Row(
        f"mail: most memory, {SENDERS} mails of {LARGE // 10**6} MB at once" + (f", {failed} FAILED" if failed else ""),
        _size(most),
        beside,
        f"{twice / most:.2f}",
        f"twice the size: ≤ + {_size(FLAT)}",
        twice <= most + FLAT and not failed,
    )


def _peak(service: Mailed, sink: Sink, files: Sequence[Path]) -> tuple[int, Load]:
    """Most bytes of memory that all processes had of their own while these were sent."""
    before = service.cpu()
    clients = service.start(sink, files, SENDERS)
    most = 0
    while clients.poll() is None:
        most = max(most, service.own_memory())
        with contextlib.suppress(subprocess.TimeoutExpired):
            clients.wait(LOOK)
    return most, served.told_by(clients, lambda: service.cpu() - before)


def _size(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"


# ---- the mails


def corpus(cache: Path, count: int, fresh: int, seed: int = SEED) -> list[Path]:
    """Mails of about SIZE bytes as they stand on the wire, no letter twice; one of *fresh* has a new attachment."""

    def make(folder: Path) -> None:
        rnd = random.Random(seed)
        words = Words(rnd)
        for serial in range(count):
            if serial % fresh == 0:
                kind, maker = MAKERS[serial // fresh % len(MAKERS)]
                content = maker(words, rnd, SIZE * 2 // 3, serial + (seed << 24))
            (folder / f"{serial:06d}").write_bytes(_mail(words, rnd, serial, kind, content))

    folder = kept(cache / f"mail-v{VERSION}-{seed}-{count}-{fresh}", make)
    return sorted(folder.iterdir())


def large(cache: Path, size: int, seed: int) -> list[Path]:
    """A mail for each sender, of about *size* bytes, with an attachment that nothing can be made of."""

    def make(folder: Path) -> None:
        rnd = random.Random(seed)
        words = Words(rnd)
        for serial in range(SENDERS):
            (folder / f"{serial:06d}").write_bytes(_mail(words, rnd, serial, "bin", rnd.randbytes(size * 73 // 100)))

    folder = kept(cache / f"large-mail-v{VERSION}-{seed}-{size}", make)
    return sorted(folder.iterdir())


def _mail(words: Words, rnd: random.Random, serial: int, kind: str, content: bytes) -> bytes:
    edge = b"----=_Part_%d_%d" % (serial, rnd.getrandbits(48))
    head = (
        b"Received: from a.example.org (a.example.org [192.0.2.1]) by b.example.org; Thu, 29 Feb 2024 12:00:00 +0000\n"
        b"From: A <a@example.org>\nTo: B <b@example.org>\nSubject: papers %d\nMIME-Version: 1.0\n"
        b"Message-ID: <%d.%d@example.org>\nDate: Thu, 29 Feb 2024 12:00:00 +0000\n"
        b'Content-Type: multipart/mixed; boundary="%s"\n\n' % (serial, serial, rnd.getrandbits(48), edge)
    )
    name = b"paper%d.%s" % (serial, kind.encode())
    parts = (
        b"Content-Type: text/plain; charset=us-ascii\n\n" + text(words, rnd, 2000, serial),
        b'Content-Type: application/octet-stream; name="%s"\nContent-Transfer-Encoding: base64\n'
        b'Content-Disposition: attachment; filename="%s"\n\n' % (name, name) + base64.encodebytes(content),
    )
    whole = head + b"".join(b"--" + edge + b"\n" + part + b"\n" for part in parts) + b"--" + edge + b"--\n"
    return whole.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")

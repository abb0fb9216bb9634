"""Stages: what each step of a scan costs on this machine, one after the other, in one process, on one sample.

Every stage says itself how many files and bytes it has handled: where its time is up it stops, and its rate is that of
what it did. Only the work of the stage is timed; what it needs (contents in memory, an open file) is made ready outside
of the clock. Rates of single calls made from Python contain about a microsecond of Python.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kavfs._native import walk
from kavfs._native.basics import SHA256, digests
from kavfs._native.match import Image as Matcher
from kavfs._native.worker import Fingerprint, ObjectScanner
from kavfs.cli.sample import Sample, read
from kavfs.engine import native
from kavfs.limits import Limits
from kavfs.model import Switch, Target
from kavfs.options import EVERYTHING
from kavfs.ports import Image
from kavfs.report.summary import counted

LONGEST = 6.0  # seconds of one stage
SECRET = 32  # bytes: the key of the object cache
DIRECT = 1 << 20  # bytes of one read past the page cache
CONTAINER = 1 << 2  # KAV_F_CONTAINER in ext/common/kav.h
OPENING = Switch.ARCHIVES | Switch.SFX | Switch.MAILBASES | Switch.MAILPLAIN
SLOT, SLOT_ENTRIES = 64, slice(24, 32)  # kav_slot: bytes, and where the entries seen stand


@dataclass
class Stage:
    """What was done, and how long that took."""

    name: str
    files: int = 0  # for the first stage: directory entries
    bytes: int = 0
    seconds: float = 0.0
    note: str = ""

    @property
    def files_rate(self) -> float:
        return self.files / self.seconds if self.seconds else 0.0

    @property
    def bytes_rate(self) -> float:
        return self.bytes / self.seconds if self.seconds else 0.0


@dataclass
class Stages:
    """All of them, in the order of a scan, and whole objects by target type."""

    steps: list[Stage] = field(default_factory=list)
    storage: Stage = field(default_factory=lambda: Stage("storage"))
    types: dict[Target, Stage] = field(default_factory=dict)

    def step(self, name: str) -> Stage:
        return next(stage for stage in self.steps if stage.name == name)

    def cost(self, sample: Sample) -> dict[str, float]:
        """Seconds of one CPU that each step of a scan takes for the whole sample; scaled where it was stopped early.
        SHA-256 is not among them: a scan computes digests only where a signature or a report asks for them."""
        files = len(sample.files)
        listing = self.step("list + stat")
        parts = {listing.name: files / listing.files_rate if listing.files else 0.0}
        for name in ("open", "read", "fingerprint", "match"):
            stage = self.step(name)
            parts[name] = stage.seconds * files / stage.files if stage.files else 0.0
        parts["unpack"] = self.step("unpack").seconds
        return parts


def measure(roots: tuple[bytes, ...], sample: Sample, image: Image) -> Stages:
    """Run all stages. The image must stay open meanwhile."""
    parts = [(part.fd, part.offset, part.length) for part in image.parts]
    matcher = Matcher(parts)
    found = Stages()
    found.steps = [
        listing(roots),
        opening(sample),
        reading(sample),
        in_memory("SHA-256", sample, lambda data: digests(data, SHA256)),
        in_memory("fingerprint", sample, Fingerprint(os.urandom(SECRET)).of),
        in_memory("match", sample, matcher.scan),
    ]
    found.types, containers = whole(sample, native.make(parts, Limits(), EVERYTHING))
    closed = native.make(parts, Limits(), EVERYTHING & ~OPENING)
    found.steps.append(unpacking(containers, closed))
    found.storage = from_storage(sample)
    return found


def listing(roots: tuple[bytes, ...]) -> Stage:
    """The walker in C with one thread, which looks at every entry and opens nothing."""
    stage, slot, stop = Stage("list + stat"), bytearray(SLOT), walk.Stop()
    timer = threading.Timer(LONGEST, stop.set)
    timer.start()
    started = time.perf_counter()
    try:
        walk.walk(-1, roots, slot=slot, count_only=True, threads=1, stop=stop)
    finally:
        stage.seconds = time.perf_counter() - started
        timer.cancel()
        timer.join()
    stage.files = int.from_bytes(slot[SLOT_ENTRIES], "little")
    return stage


def _files(sample: Sample, stage: Stage) -> Iterator[bytes]:
    """Paths until the stage has used up its time, on its own clock or with what it makes ready."""
    end = time.perf_counter() + 3 * LONGEST
    for path, _ in sample.files:
        if stage.seconds > LONGEST or time.perf_counter() > end:
            stage.note = f"stopped after {stage.files:,} of {counted(len(sample.files), 'file')}"
            return
        yield path


@contextlib.contextmanager
def _opened(path: bytes, flags: int = 0) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags)
    try:
        yield fd
    finally:
        os.close(fd)


def opening(sample: Sample) -> Stage:
    stage = Stage("open")
    for path in _files(sample, stage):
        with contextlib.suppress(OSError):
            started = time.perf_counter()
            with _opened(path) as fd:
                os.fstat(fd)
            stage.seconds += time.perf_counter() - started
            stage.files += 1
    return stage


def reading(sample: Sample) -> Stage:
    """From the page cache: every file of a sample has been read before."""
    stage, buffer = Stage("read"), bytearray(DIRECT)
    for path in _files(sample, stage):
        with contextlib.suppress(OSError), _opened(path) as fd:
            started = time.perf_counter()
            size = sum(iter(lambda: os.readv(fd, [buffer]), 0))  # used up before fd changes
            stage.seconds += time.perf_counter() - started
            stage.bytes += size
            stage.files += 1
    return stage


def in_memory(name: str, sample: Sample, work: Callable[[bytes], object]) -> Stage:
    stage = Stage(name)
    for path in _files(sample, stage):
        with contextlib.suppress(OSError):
            data = read(path)
            started = time.perf_counter()
            work(data)
            stage.seconds += time.perf_counter() - started
            stage.bytes += len(data)
            stage.files += 1
    return stage


Containers = list[tuple[bytes, float, int]]  # path, seconds of the whole object, bytes that came out


def whole(sample: Sample, scanner: ObjectScanner) -> tuple[dict[Target, Stage], Containers]:
    """Whole objects as a worker scans them, by the type that they turn out to have; and which were containers."""
    types: dict[Target, Stage] = {}
    containers: Containers = []
    clock = Stage("whole objects")
    for path in _files(sample, clock):
        with contextlib.suppress(OSError), _opened(path) as fd:
            started = time.perf_counter()
            found, _ = scanner.scan(fd)
            seconds = time.perf_counter() - started
            clock.seconds += seconds
            clock.files += 1
            stage = types.setdefault(Target(found.target), Stage(Target(found.target).name.lower()))
            stage.files, stage.bytes, stage.seconds = stage.files + 1, stage.bytes + found.size, stage.seconds + seconds
            if found.flags & CONTAINER:
                containers.append((path, seconds, max(0, found.scanned - found.size)))
    return types, containers


def unpacking(containers: Containers, closed: ObjectScanner) -> Stage:
    """What the containers cost more when they are opened: unpacking, and matching what comes out."""
    stage = Stage("unpack", note="with matching what comes out")
    for path, seconds, size in containers:
        with contextlib.suppress(OSError), _opened(path) as fd:
            started = time.perf_counter()
            closed.scan(fd)
            stage.seconds += max(0.0, seconds - (time.perf_counter() - started))
            stage.bytes += size
            stage.files += 1
    return stage


def from_storage(sample: Sample) -> Stage:
    """Past the page cache, which stays as it is. Nothing where the file system does not do that."""
    stage = Stage("storage")
    with mmap.mmap(-1, DIRECT) as buffer:  # at the start of a page, as such reads need it
        for path in _files(sample, stage):
            with contextlib.suppress(OSError), _opened(path, os.O_DIRECT) as fd:
                started = time.perf_counter()
                size, got = 0, DIRECT
                while got == DIRECT:  # a shorter one is the end, and leaves the offset where no such read may begin
                    got = os.readv(fd, [buffer])
                    size += got
                stage.seconds += time.perf_counter() - started
                stage.bytes += size
                stage.files += 1
    stage.note = stage.note or ("" if stage.files else "this file system does not read past the page cache")
    return stage

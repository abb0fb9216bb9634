"""Scan bytes as one object, inside this process: what tests of containers and budgets look at."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from kavfs._native.worker import Found, ObjectScanner
from kavfs.limits import Limits
from kavfs.model import Reason, Status, Switch
from kavfs.options import EVERYTHING
from kavfs.signatures.image import Image, compile_image
from tests.support.databases import body

EICAR = ("X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*").encode()
NEAR_MISS = EICAR[:-1] + b"+"  # differs in the last byte
ADWARE = b"this text stands for unwanted software"
ODDITY = b"this text stands for what a heuristic finds"

F_SHA256, F_CONTAINER, F_SUPPRESSED, F_STABLE, F_UNOPENED, F_ELSEWHERE = 2, 4, 8, 16, 32, 512


@dataclass
class Verdict:
    """What a scan said, threats and member lines apart."""

    status: Status
    reasons: Reason
    format: str
    flags: int
    size: int
    scanned: int
    members: int
    sha256: bytes | None
    threats: list[tuple[bytes, bytes]] = field(default_factory=list)  # member path, name
    lines: dict[bytes, tuple[Status, Reason]] = field(default_factory=dict)  # member path -> its own line
    containers: set[bytes] = field(default_factory=set)

    @property
    def infected(self) -> list[bytes]:
        """Paths of the members in which something was found."""
        return [path for path, _ in self.threats]

    @property
    def clean(self) -> bool:
        """Wholly looked at, and nothing found."""
        return self.status is Status.CLEAN and not self.reasons and not self.threats


@cache
def image() -> Image:
    """Three signatures of our own, compiled once for the whole run."""
    keep = tempfile.TemporaryDirectory()
    folder = Path(keep.name, "databases")
    folder.mkdir()
    (folder / "test.ndb").write_text(
        body("EICAR-Test-File", EICAR.decode())
        + body("PUA.Test.Adware", ADWARE.decode())
        + body("Heuristics.Test.Oddity", ODDITY.decode())
    )
    compiled = compile_image([str(folder)], str(Path(keep.name, "state")))
    keep.cleanup()  # the parts stay open
    return compiled


def parts(of: Image | None = None) -> list[tuple[int, int, int]]:
    return [(part.fd, part.offset, part.length) for part in (of or image()).parts]


@contextmanager
def spill_file() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


def scanner(
    limits: Limits | None = None, switches: Switch = EVERYTHING, spill_fd: int = -1, of: Image | None = None
) -> ObjectScanner:
    return ObjectScanner(parts(of), limits or Limits(), int(switches), spill_fd)


@cache
def ready() -> ObjectScanner:
    """The one that serves whoever wants no other: as a worker's does, object after object."""
    return scanner()


def scan_file(path: str | os.PathLike[str], using: ObjectScanner | None = None) -> Verdict:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return scan_fd(fd, using)
    finally:
        os.close(fd)


def scan_fd(fd: int, using: ObjectScanner | None = None) -> Verdict:
    found, notes = (using or ready()).scan(fd)
    status, reasons = Status(found.status), Reason(found.reasons)
    counts = (found.flags, found.size, found.scanned, found.members)
    verdict = Verdict(status, reasons, found.format, *counts, found.sha256)
    for note in notes:
        if note.name:
            verdict.threats.append((note.member, note.name))
            continue
        verdict.lines[note.member] = (Status(note.status), Reason(note.reasons))
        if note.is_container:
            verdict.containers.add(note.member)
    return verdict


def scan(data: bytes, using: ObjectScanner | None = None) -> Verdict:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return scan_fd(file.fileno(), using)


def found_in(data: bytes, using: ObjectScanner | None = None, delta: int = 0) -> Found:
    """The whole record, for what a verdict does not tell."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return (using or ready()).scan(file.fileno(), delta)[0]


def image_of(folder: Path, files: dict[str, str]) -> Image:
    """An image of databases with these contents, made below *folder*."""
    databases = Path(tempfile.mkdtemp(dir=folder))
    for name, text in files.items():
        (databases / name).write_text(text)
    return compile_image([str(databases)], tempfile.mkdtemp(dir=folder))

"""Truth: what the content of files says, and the whole product that must say the same, scan after scan.

The product keeps one state folder over all its scans and knows one signature, of a text that only tests have.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from kavfs.cache.stores import OBJECTS_SIZE, OpenStores, open_stores
from kavfs.limits import Limits
from kavfs.model import Result, Status, Totals
from kavfs.options import EVERYTHING, ScanOptions, WalkOptions
from kavfs.ports import Image
from kavfs.scan.job import Job
from kavfs.scan.roles import start_server
from kavfs.signatures.image import open_image
from tests.support import databases
from tests.support.fakes import Notebook

MARK = b"this text is what the signature of the test of truth is made of"
HARMLESS = MARK[::-1]
HEAD = 8  # bytes before either of them


def content(number: int, evil: bool, size: int) -> bytes:
    """Text of *size* bytes."""
    start = b"%07d " % number + (MARK if evil else HARMLESS) + b"\n"
    return start + b"." * (size - len(start))


def is_evil(path: os.PathLike[str] | bytes) -> bool:
    """By reading it; without fstat, because who asks for a time makes the next one differ."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return MARK in os.read(fd, HEAD + len(MARK))
    finally:
        os.close(fd)


class Product:
    """Scans of *roots*: what kavscanner does, but for its arguments and its output. Without *objects* there is no cache
    of contents, so that what is answered from a store is a file that was not read."""

    def __init__(self, folder: Path, *roots: Path, objects: bool = True) -> None:
        self.objects = OBJECTS_SIZE if objects else 0
        self.state = folder / "state"
        self.state.mkdir()
        self.databases = databases.write(folder / "databases", truth_ndb=databases.body("Test.Truth", MARK.decode()))
        self.roots = tuple(map(os.fsencode, roots))

    def image(self) -> Image:
        return open_image((os.fsencode(self.databases),), os.fsencode(self.state))

    def options(self) -> ScanOptions:
        return ScanOptions(WalkOptions(self.roots), Limits(), EVERYTHING, jobs=1)

    def stores(self) -> OpenStores:
        return open_stores(os.fsencode(self.state), limits=Limits(), switches=EVERYTHING, objects=self.objects)

    def scan(self, start: object = None) -> tuple[dict[bytes, list[Result]], Totals]:
        """Results by path. *start* is called, if it can be, when all is ready to begin."""
        book = Notebook()
        image, opened = self.image(), self.stores()
        try:
            job = Job(image, self.options(), book, server=start_server(), stores=opened.stores)
            if callable(start):
                start()
            totals = job.run()
        finally:
            opened.close()
            image.close()
        assert [*opened.notes, *book.notes] == []
        found: dict[bytes, list[Result]] = {}
        for result in book.results:
            found.setdefault(result.path, []).append(result)
        return found, totals


def stale(found: dict[bytes, list[Result]], truth: Iterable[tuple[bytes, bool]]) -> list[str]:
    """Every path whose verdict is not that of its content, with what is wrong."""
    wrong = []
    for path, evil in truth:
        want = Status.INFECTED if evil else Status.CLEAN
        said = found.get(path, [])
        if [result.status for result in said] != [want]:
            words = [f"{r.status.name}{' from the store' if r.cached else ''}" for r in said]
            wrong.append(f"stale answer: {os.fsdecode(path)}: {words}, but its content is {want.name}")
    return wrong

"""Cures inside this process: what tests of single formats look at. The process around is in tests/integration."""

from __future__ import annotations

import io
import os
import random
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import pytest

from kavfs.action.cure import cure
from kavfs.action.cure.pieces import Source
from kavfs.action.cure.recipes import Found
from kavfs.model import Status
from kavfs.recipe import parse
from kavfs.scan.curing import inmost_of
from tests.support.objects import EICAR, ready, scan

Named = Iterable[tuple[str, bytes]]


class Outcome(NamedTuple):
    data: bytes
    gone: list[bytes]


def cured(data: bytes, name: bytes = b"", recipes: Sequence[str] | None = None) -> Outcome:
    """*data* without what is infected in it; raises Refused. What comes out is clean. *recipes*: of all threats."""
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as scratch:
        source.write(data)
        source.flush()
        found, notes = ready().scan(source.fileno())
        infected = inmost_of({note.member for note in notes if note.name and note.member})
        lines: dict[bytes, list[int]] = {}
        for note in notes:
            if not note.name and note.status == Status.INFECTED:
                lines.setdefault(note.member, []).append(note.size)
        layer = Source(source.fileno(), 0, len(data))
        if not infected and any(note.name for note in notes):
            infected, lines[b""] = {b""}, [len(data)]
        known: dict[bytes, list[Found]] = {}
        for note in notes if recipes is not None else ():
            if note.name:
                parsed = tuple(parse(line) for line in recipes or ())
                known.setdefault(note.member, []).append(Found(note.offset, parsed))
        form = found.format
        gone = cure(layer, out.fileno(), scratch.fileno(), form, frozenset(infected), lines, name, known)
        out.seek(0)
        result = out.read()
    assert scan(result).status is not Status.INFECTED
    return Outcome(result, gone)


def zip_of(members: Named, method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
        archive.comment = comment
    return out.getvalue()


def tar_of(members: Named, mode: str = "w", form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), 1_000_000_000
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def unzipped(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return [(entry.filename, archive.read(entry)) for entry in archive.infolist()]


def untarred(data: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = []
        for entry in archive:
            file = archive.extractfile(entry) if entry.isreg() else None
            members.append((entry.name, file.read() if file else b""))
        return members


def contents(seed: int, infected: int) -> list[tuple[str, bytes]]:
    """Members of all sizes with some infected ones among them, the same for the same seed."""
    chance = random.Random(seed)
    members = []
    for number in range(chance.randint(infected + 1, 12)):
        noise = chance.randbytes(chance.choice((0, 1, 511, 512, 513, 4000, 70000)))
        members.append((chance.choice(("", "d/", "folder with blanks/", "ä/")) + f"m{number}", noise))
    for index in chance.sample(range(len(members)), infected):
        members[index] = (members[index][0], EICAR)
    return members


def clean_of(members: Named) -> list[tuple[str, bytes]]:
    return [(name, content) for name, content in members if content != EICAR]


def in_order(places: Iterable[int], count: int = 3) -> Iterator[tuple[str, bytes]]:
    """Members one of which is infected at each of *places*."""
    wanted = set(places)
    for number in range(count):
        yield f"m{number}", EICAR if number in wanted else b"fine %d " % number * 100


def noise(count: int) -> bytes:
    return os.urandom(count)


def seeds(quick: int, long: int) -> list[object]:
    """For generated archives: so many in `make test`, so many in `make test-long`."""
    return [*range(quick), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(quick, long))]

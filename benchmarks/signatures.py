"""Signatures to measure with: a folder of ClamAV databases, found, unpacked, or the starter set.

The order: what the command line names, KAVFS_BENCH_SIGNATURES, ../shared/signatures beside the checkout, the starter
signatures. Packed databases (.gz) are unpacked into the cache folder: clamd and kavfs read the same files.
"""

from __future__ import annotations

import gzip
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
DATABASES = (".hdb", ".hsb", ".ndb", ".ldb", ".fp", ".sfp", ".ign2")


@dataclass(frozen=True, slots=True)
class Signatures:
    """A folder of plain database files."""

    folder: Path
    about: str


def unpack(source: Path, target: Path) -> Path:
    """Copy the databases of *source* to *target*, unpacked; a copy that is as new is left alone."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        packed = path.suffix == ".gz"
        plain = target / (path.stem if packed else path.name)
        if plain.suffix not in DATABASES or (plain.exists() and plain.stat().st_mtime >= path.stat().st_mtime):
            continue
        part = plain.with_name(plain.name + ".part")
        with gzip.open(path) if packed else path.open("rb") as read, part.open("wb") as write:
            shutil.copyfileobj(read, write)
        part.rename(plain)
    return target


def find(cache: Path, named: Path | None = None) -> Signatures:
    """The folder to measure with. A folder that was named and is not there is an error, never another folder."""
    asked = named or (Path(os.environ["KAVFS_BENCH_SIGNATURES"]) if os.environ.get("KAVFS_BENCH_SIGNATURES") else None)
    beside = CHECKOUT.parent / "shared" / "signatures"
    source = asked or (beside if beside.is_dir() else None)
    if source is None:
        starter = CHECKOUT / "kavfs" / "signatures" / "starter"
        return Signatures(unpack(starter, cache / "starter"), "STARTER SET ONLY: no real signatures were found")
    if not source.is_dir():
        raise NotADirectoryError(f"no folder of signatures: {source}")
    folder = unpack(source, cache / "signatures")
    lines = sum(path.read_bytes().count(b"\n") for path in folder.iterdir() if path.suffix in DATABASES)
    return Signatures(folder, f"{lines:,} lines in {len(list(folder.iterdir()))} databases")

"""The engine clamav: ClamAV's library, opened at run time, with databases of its own.

It opens what the native engine does not: packed programs, installers, bytecode. Every match is collected; limits that
it meets and encryption that stops it are reasons, not names; none of its errors is taken for clean.

Databases are loaded before the worker gives up its rights, because the library finds them by path: they are trusted
as those of the native engine are. Objects come afterwards. Its temporary files are in a folder of the worker's own,
with a quota (scratch.py), of which one object may fill half.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

from kavfs._native import clamav
from kavfs.engine.contract import GIB, Budget, EngineFailed, EngineMissing, Finding, Offer, Setup
from kavfs.engine.limitnames import reason_of_name
from kavfs.engine.scratch import Scratch
from kavfs.errors import DatabaseDamaged, SystemFailure
from kavfs.limits import Limits
from kavfs.model import COMPLETE, Reason, Status, Switch, Threat, gravest, status_of_name
from kavfs.options import EnginePlaces

NAME = "clamav"
USUAL_FOLDER = b"/var/lib/clamav"
KINDS = (
    "cvd cld cud db cbc cdb cfg crb fp ftm gdb hdb hdu hsb hsu idb ign ign2 imp info ldb ldu mdb mdu msb msu ndb ndu"
    " pdb pwdb rmd sdb sfp wdb yar yara zmd"
)
SUFFIXES = tuple(f".{kind}".encode() for kind in KINDS.split())

LARGEST = (1 << 31) - 1  # bytes of a file or layer that the library can take
DEEPEST = 100  # layers, as far as it goes
SPILL = 2 * GIB  # bytes of one temporary file at most; the scan's own limit may be smaller
MARGIN = 1 << 20  # bytes
GROWTH = 8  # bytes of memory for one byte of databases, packed ones included

CLEAN, VIRUS = 0, 1
CODES = {
    **dict.fromkeys((7, 26, 27), Reason.DAMAGED),
    **dict.fromkeys((11, 12, 13), Reason.UNREADABLE),
    **dict.fromkeys((9, 10, 14, 16, 17, 18, 19, 20), Reason.MEMORY),
    21: Reason.TIME,
    23: Reason.DEPTH,
    24: Reason.SIZE,
    25: Reason.MEMBERS,
}
"""What its errors mean for coverage (enum in ext/clamav/library.h); any other is no answer."""


def offer(places: EnginePlaces) -> Offer:
    try:
        library = clamav.Library()
    except clamav.LibraryError as error:
        raise EngineMissing(str(error)) from None
    paths = _databases(places)
    size, digest = 0, hashlib.blake2b(digest_size=16)
    for path in _files(paths):
        with suppress(FileNotFoundError):  # exchanged just now: another scan will see another digest
            status = os.stat(path)
            size += status.st_size
            stamps = status.st_size, status.st_mtime_ns, status.st_ctime_ns
            digest.update(b"%s\0%d\0%d\0%d\0" % (path, *stamps))
    return Offer(
        knowledge=f"libclamav {library.version} level {library.level} databases {digest.hexdigest()}",
        setup={"databases": [path.decode("latin-1") for path in paths]},
        jobs=0,
        resident=(200 << 20) + GROWTH * size,
        memory=4 * GIB,
        spill=SPILL,
        start_seconds=300,
    )


def _databases(places: EnginePlaces) -> tuple[bytes, ...]:
    """The folder that is configured; else the scan's own databases; else the usual folder."""
    if places.clamav:
        if not any(_files((places.clamav,))):
            raise EngineMissing(_why_none(places.clamav))
        return (places.clamav,)
    own = tuple(path for path in places.databases if any(_files((path,))))
    if own:
        return own
    if any(_files((USUAL_FOLDER,))):
        return (USUAL_FOLDER,)
    raise EngineMissing(f"no databases: neither among those of the scan nor in {os.fsdecode(USUAL_FOLDER)}")


def _why_none(folder: bytes) -> str:
    shown = os.fsdecode(folder)
    try:
        os.listdir(folder)
    except OSError as error:
        return f"{shown}: {error.strerror}"
    return f"no databases in {shown}"


def _files(paths: Iterable[bytes]) -> Iterator[bytes]:
    """The database files among *paths* and in folders among them."""
    for path in paths:
        names = [path]
        with suppress(NotADirectoryError, FileNotFoundError, PermissionError):
            names = sorted(os.path.join(path, name) for name in os.listdir(path))
        yield from (name for name in names if name.endswith(SUFFIXES) and os.path.isfile(name))


def make(setup: Setup) -> ClamavEngine:
    limits, switches = Limits(**setup["limits"]), Switch(setup["switches"])
    user = tuple(setup["user"]) if setup["user"] else None
    scratch = Scratch(setup["spill_dir"].encode("latin-1"), min(limits.spill, SPILL), user)
    try:
        engine = clamav.Engine(
            clamav.Library(),
            scratch.path,
            archives=Switch.ARCHIVES in switches,
            mail=bool(switches & (Switch.MAILBASES | Switch.MAILPLAIN)),
            heuristics=Switch.HEURISTIC in switches,
        )
    except clamav.LibraryError as error:
        raise SystemFailure(str(error)) from None
    try:
        for path in setup["databases"]:
            engine.load(path.encode("latin-1"))
        engine.compile()
    except clamav.LibraryError as error:
        raise DatabaseDamaged(str(error)) from None
    return ClamavEngine(engine, scratch, limits, switches)


class ClamavEngine:
    def __init__(self, engine: clamav.Engine, scratch: Scratch, limits: Limits, switches: Switch) -> None:
        self._engine = engine
        self._scratch = scratch
        self._limits = limits
        self._all = Switch.ALL_MATCH in switches

    @property
    def folder(self) -> bytes:
        return self._scratch.path

    def begin(self) -> None:
        """Everything has been loaded."""

    def scan(self, fd: int, size: int, budget: Budget) -> Finding:
        if size > LARGEST:
            return Finding(reasons=Reason.SIZE, scanned=0)
        if budget.left <= 0:
            return Finding(reasons=Reason.TIME, scanned=0)
        os.pread(fd, 1, 0)  # what cannot be read is the object's fault, not the library's
        self._limit(size)
        code, text, raw, scanned, complete = self._engine.scan(fd, max(1, int(budget.left * 1000)))
        names = [name.decode("utf-8", "replace") for name in dict.fromkeys(raw)]
        reasons = reasons_of(code, text, names)
        if not complete:
            reasons |= Reason.MATCH
        threats = [Threat(name, status_of_name(name), NAME) for name in names if not reason_of_name(name)]
        return Finding(tuple(threats if self._all else _gravest_of(threats)), reasons, max(size, scanned))

    def _limit(self, size: int) -> None:
        """The library cuts a member at the limit of one layer without a word, but tells when all layers together reach
        theirs: so the former is out of reach."""
        limits = self._limits
        unpacked = max(MARGIN, min(limits.max_unpacked, min(limits.spill, SPILL) // 2 - MARGIN))
        self._engine.limit(
            scan_size=size + unpacked,
            file_size=min(max(size, unpacked + MARGIN), LARGEST),
            depth=min(limits.max_depth + 1, DEEPEST),
            files=min(limits.max_members, LARGEST),
        )

    def close(self) -> None:
        self._scratch.close()


def reasons_of(code: int, text: str, names: Iterable[str]) -> Reason:
    """What was not looked at, by the library's result and the names that are no threats. EngineFailed: the result
    means nothing."""
    reasons = COMPLETE
    if code not in (CLEAN, VIRUS):
        if code not in CODES:
            raise EngineFailed(text)
        reasons |= CODES[code]
    for name in names:
        reasons |= reason_of_name(name)
    return reasons


def _gravest_of(threats: list[Threat]) -> list[Threat]:
    """The first of the gravest, where one is enough."""
    worst: Status = gravest([threat.status for threat in threats])
    return [threat for threat in threats if threat.status == worst][:1]

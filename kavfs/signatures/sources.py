"""Where signatures come from: the database files on the paths that were named, and the default places."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kavfs.errors import DatabaseDamaged, DatabaseMissing, UsageError
from kavfs.record import record
from kavfs.signatures.kinds import SIGNED_PACKS, kind_of

STARTER = os.fsencode(os.path.join(os.path.dirname(os.path.abspath(__file__)), "starter"))
"""The folder of signatures that come with the program: a demonstration, not protection."""

PLACES = (b"/var/lib/kavfs/databases", b"/var/lib/clamav")


def default_databases() -> tuple[bytes, ...]:
    """The starter set, and each of the usual folders that has a database file in it."""
    return (STARTER, *(place for place in PLACES if _has_databases(place)))


def default_state() -> bytes:
    """The folder where compiled signatures are kept unless --state names another."""
    if os.geteuid() == 0:
        return b"/var/lib/kavfs"
    home = os.environb.get(b"XDG_STATE_HOME") or os.path.expanduser(b"~/.local/state")
    return os.path.join(home, b"kavfs")


@record(frozen=True)
class Identity:
    """What tells that a file is the one it was. ctime alone cannot be set back, so it decides about freshness."""

    size: int  # bytes
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


class Source(NamedTuple):
    """One database file as it was found."""

    path: bytes  # absolute
    kind: str
    identity: Identity
    member: bytes = b""  # its name in the pack at that path
    text: bytes = b""  # of a database that lies in no file: entries of the allow list

    @property
    def name(self) -> bytes:
        return self.member or os.path.basename(self.path)

    @property
    def place(self) -> bytes:
        """Where it is, to be shown."""
        return b"%s:%s" % (self.path, self.member) if self.member else self.path

    @property
    def starter(self) -> bool:
        return os.path.dirname(self.path) == STARTER

    @property
    def official(self) -> bool:
        """Names are printed as they are, without .UNOFFICIAL."""
        return self.starter or (bool(self.member) and kind_of(os.path.basename(self.path)) in SIGNED_PACKS)


def absolute(paths: Sequence[str | bytes]) -> tuple[bytes, ...]:
    """The paths as absolute bytes, each once, in an order that does not depend on how they were named."""
    return tuple(sorted({absolute_path(path) for path in paths}))


def absolute_path(path: str | bytes) -> bytes:
    """One path as absolute bytes; UsageError when it is relative and the current directory is gone."""
    try:
        return os.path.abspath(os.fsencode(path))
    except OSError as why:
        raise UsageError(f"the current directory cannot be found: {why.strerror}") from None


def find_sources(paths: Sequence[bytes]) -> tuple[Source, ...]:
    """All database files on absolute *paths*, ordered by name: that order decides which of two matches is reported.

    A folder gives the files directly in it that have the name of a database; other files there are not ours.
    Raises DatabaseMissing for a path that is not there or a folder without any, DatabaseDamaged for one that cannot be
    read: whoever names several paths wants the signatures of all of them.
    """
    found: dict[bytes, Source] = {}
    for path in paths:
        try:
            status = os.stat(path)
            folder = stat.S_ISDIR(status.st_mode)
            sources = list(_in_folder(path)) if folder else [source] if (source := _source(path, status)) else []
        except FileNotFoundError as why:
            raise DatabaseMissing(f"no signatures: {_show(why.filename or path)} does not exist") from None
        except OSError as why:
            raise DatabaseDamaged(f"signatures cannot be read: {_show(why.filename or path)}: {why.strerror}") from None
        if not sources and folder:
            raise DatabaseMissing(f"no signatures: no database file in {_show(path)}")
        if not sources:
            raise DatabaseDamaged(f"{_show(path)}: neither a database of a known kind nor an image")
        found.update((source.path, source) for source in sources)
    return tuple(sorted(found.values(), key=lambda source: (source.name, source.path)))


def read_source(path: bytes) -> tuple[bytes, Identity, bool]:
    """The bytes of a database file, its identity before they were read, and whether that identity can be trusted.

    It cannot when the file was changed so lately that another change might leave the same time stamp; nor when the
    file changed meanwhile. The bytes then are what counts, and next time they are looked at again.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            before = Identity.of(os.fstat(file.fileno()))
            settled = is_settled(before)
            text = file.readall()
            after = Identity.of(os.fstat(file.fileno()))
    except FileNotFoundError:
        raise DatabaseMissing(f"no signatures: {_show(path)} does not exist") from None
    except OSError as why:
        raise DatabaseDamaged(f"signatures cannot be read: {_show(path)}: {why.strerror}") from None
    return text, before, settled and before == after and len(text) == before.size


def is_settled(identity: Identity) -> bool:
    """Whether a file that has this identity now was not changed so lately that its time stamps may not tell."""
    return time.time_ns() - identity.ctime_ns > SETTLE_NS


SETTLE_NS = 2_000_000_000  # the coarsest time stamp of a file system that signatures may lie on (FAT) is 2 s


def _has_databases(folder: bytes) -> bool:
    try:
        return any(kind_of(name) for name in os.listdir(folder))
    except OSError:
        return os.path.isdir(folder)  # there, but closed to us: find_sources says so in words


def _in_folder(folder: bytes) -> Iterator[Source]:
    for name in os.listdir(folder):
        if kind_of(name) is None:
            continue
        path = os.path.join(folder, name)
        try:
            status = os.stat(path)
        except FileNotFoundError:
            if os.path.lexists(path):
                raise  # a link that leads nowhere: somebody wanted these signatures
            continue  # removed since the folder was listed
        if source := _source(path, status):
            yield source


def _source(path: bytes, status: os.stat_result) -> Source | None:
    kind = kind_of(os.path.basename(path))
    if kind is None or not stat.S_ISREG(status.st_mode):
        return None
    return Source(path, kind, Identity.of(status))


def _show(path: str | bytes) -> str:
    return os.fsdecode(path)

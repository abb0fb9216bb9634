"""Stores of facts (ext/cache states the contracts): reading, remembering, looking up; for tools, tests, simulations."""

from collections.abc import Sequence
from typing import NamedTuple

from _typeshed import ReadableBuffer as Buffer

HOLDS: int  # enum kav_judgement
DELTA: int
FULL: int
ANSWER_UNKNOWN: int  # enum kav_answer
ANSWER_PLAIN: int
ANSWER_REPLAY: int
ANSWER_DELTA: int
CONTAINER: int  # enum kav_fact_flag
UNOPENED: int
LAYERS: int
JOURNAL: int
INSIDE: int
FIELDS: tuple[str, ...]  # names of the fields of Identity, in order
PACKED_FACT: str  # struct format of one fact of Memory.add_many

class Identity(NamedTuple):
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int
    btime_ns: int  # -2**63: the file system does not tell

class Fact(NamedTuple):
    id: Identity
    reasons: int = 0
    format: int = 0
    views: int = 0
    status: int = 0
    target: int = 0
    flags: int = 0
    generation: int = 0  # which of the record's
    extra: bytes | None = None  # kav_extra and what follows it

class Record(NamedTuple):
    facts: list[Fact]  # sorted by inode
    generations: tuple[bytes, ...]
    split: bool  # a large directory; its facts lie in parts

class Stats(NamedTuple):
    size: int
    live: int
    garbage: int
    records: int
    facts: int
    slots: int
    limit: int

class Totals(NamedTuple):
    kept: int
    renewed: int  # directories
    held: int
    dropped: int
    error: int  # errno that made it deaf, or 0

class Rest(NamedTuple):
    renew: bool
    gone: list[int]

class DamagedStore(Exception):
    """The file is no store of ours, or its beginning is damaged: to be set aside."""

def siphash(key: Buffer, data: Buffer) -> int: ...
def siphash_wide(key: Buffer, data: Buffer) -> bytes: ...
def place(secret: Buffer, fs: Buffer, dir_ino: int, dir_btime_ns: int, settings: Buffer) -> bytes:
    """The name of a directory in a store."""

def part_place(above: Buffer, ino: int, depth: int) -> bytes:
    """The part of a split place where the fact of an inode belongs."""

def identity_of(fd: int) -> Identity:
    """Of an open file or directory, also of one opened with O_PATH. Raises OSError."""

def differs(a: Identity, b: Identity) -> tuple[str, ...]:
    """Names of the fields in which two identities differ."""

class DeltaTable:
    """The table of ext/cache/delta.h. Raises ValueError for one that is malformed."""

    def __init__(self, table: Buffer) -> None: ...

def judge(
    delta: DeltaTable | None, now: Buffer, generation: Buffer, fact: Fact, extra: Buffer | None = None
) -> tuple[int, int, bool]:
    """What a fact of a generation is worth now, the row, and whether reading its extra could change that."""

class File:
    """A cache file, open for reading; the descriptor stays the caller's. Raises DamagedStore, OSError."""

    def __init__(self, fd: int, secret: Buffer) -> None: ...
    def stats(self) -> Stats:
        """Raises OSError; EILSEQ: the sums are damaged."""

    def generations(self) -> dict[bytes, int]:
        """Generations that records may still use, and when (seconds since 1970) each was written last."""

    def read(self, place: Buffer) -> Record | None: ...

class Memory:
    """Facts on their way into the file *name* in *folder* (a descriptor that stays the caller's).

    Raises DamagedStore for a file that is to be set aside, OSError."""

    def __init__(
        self,
        folder: int,
        name: str,
        secret: Buffer,
        generation: Buffer,
        *,
        start_ns: int,
        delta: Buffer | None = None,
        size_limit: int = ...,
        journal: bool = False,
        room: int = 0,
    ) -> None: ...
    def add(self, place: Buffer, fs: int, fact: Fact) -> None: ...
    def add_many(self, packed: Buffer) -> None:
        """Plain facts, PACKED_FACT each; flushes when that is due."""

    def renew(self, place: Buffer) -> None: ...
    def gone(self, place: Buffer, inodes: Sequence[int]) -> None: ...
    def newest(self, fs: int, ctime_ns: int) -> None: ...
    def due(self) -> bool: ...
    def flush(self, *, last: bool = False) -> None:
        """Raises OSError; BlockingIOError: another process is writing, nothing is lost yet."""

    def totals(self) -> Totals: ...

class Lookup:
    """The questions of one walker thread. *settings*: its own first."""

    def __init__(
        self,
        secret: Buffer,
        generation: Buffer,
        settings: Sequence[Buffer],
        *,
        file: int = -1,
        journal: int = -1,
        delta: DeltaTable | None = None,
    ) -> None: ...
    def dir(self, fs: Buffer, dir_ino: int, dir_btime_ns: int) -> bytes:
        """Begin a directory; its place."""

    def file(self, identity: Identity) -> tuple[int, Fact | None, int]:
        """The answer, the fact that it stands on, the row of the delta table."""

    def count(self, identities: Buffer) -> tuple[int, int, int, int]:
        """How many of the files (identities of five 8-byte numbers each) have each answer."""

    def end(self) -> Rest: ...

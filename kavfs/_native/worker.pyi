"""Scanning objects in C (ext/object/object.h, ext/worker/loop.h)."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from _typeshed import ReadableBuffer, WriteableBuffer

from kavfs.limits import Limits

Part = tuple[int, int, int]  # descriptor, offset, length
Objects = tuple[int, int, int, int, bytes, bytes]  # level 1: fd or -1, bytes; level 2: the same; secret; context

class Layer(NamedTuple):
    """One layer of an object, with the digests that were computed."""

    size: int
    target: int
    md5: bytes | None
    sha1: bytes | None
    sha256: bytes | None

class Found(NamedTuple):
    """The verdict on an object: a kav_result with the format as a word, and what goes with it."""

    status: int
    target: int
    format: str
    reasons: int
    flags: int
    size: int
    scanned: int
    members: int
    sha256: bytes | None
    mtime_ns: int
    ctime_ns: int
    dev: int
    ino: int
    views: int  # bit per target
    depth: int
    layers: list[Layer]
    learned: list[bytes]  # kav_learned
    known: int  # layers answered from the object cache

class Note(NamedTuple):
    """A threat (name is set) or the status line of a member (name is empty)."""

    name: bytes
    member: bytes  # path inside the object
    offset: int | None
    size: int
    reasons: int
    status: int
    engine: int
    is_container: bool

class ObjectScanner:
    def __init__(
        self,
        parts: Iterable[Part],
        limits: Limits,
        switches: int,
        spill_fd: int = -1,
        deltas: Sequence[Iterable[Part]] = (),
        objects: Objects | None = None,
    ) -> None: ...
    @property
    def trouble(self) -> str: ...
    def scan(self, fd: int, delta: int = 0) -> tuple[Found, list[Note]]: ...
    def serve(self, socket_fd: int, slot: WriteableBuffer | None = None) -> None: ...

def run(
    socket_fd: int,
    slot: WriteableBuffer | None,
    parts: Iterable[Part],
    limits: Limits,
    switches: int,
    spill_fd: int = -1,
    deltas: Sequence[Iterable[Part]] = (),
    objects: Objects | None = None,
) -> None: ...

class Fingerprint:
    """Fingerprints under one secret of 32 bytes. Raises MemoryError."""

    def __init__(self, secret: bytes) -> None: ...
    def of(self, *pieces: ReadableBuffer) -> bytes:
        """16 bytes that name the content which these pieces are together."""

class ObjectCache:
    """The two-level object cache; descriptors stay the caller's, -1 = that level is not there. The writer seals the
    memory against every other writer. Lengths are multiples of 512. Raises OSError."""

    def __init__(
        self,
        secret: bytes,
        *,
        memory: int = -1,
        memory_len: int = 0,
        file: int = -1,
        file_len: int = 0,
        writable: bool = False,
    ) -> None: ...
    def key(self, context: bytes, fingerprint: bytes, size: int, format: int, target: int) -> bytes: ...
    def find(self, key: bytes) -> bytes | None:
        """A kav_learned, or None."""

    def put(self, learned: bytes) -> None:
        """A writer's. To level 1 at once; to level 2 with flush()."""

    def flush(self) -> None:
        """Raises OSError when level 2 cannot be written; it is not tried again then."""

def prepare() -> None: ...

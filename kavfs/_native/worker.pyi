"""Scanning objects in C (ext/object/object.h, ext/worker/loop.h)."""

from collections.abc import Iterable
from typing import NamedTuple

from _typeshed import WriteableBuffer

from kavfs.limits import Limits

class Found(NamedTuple):
    """The verdict on an object: a kav_result with the format as a word."""

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
        parts: Iterable[tuple[int, int, int]],  # descriptor, offset, length
        limits: Limits,
        switches: int,
        spill_fd: int = -1,
    ) -> None: ...
    def scan(self, fd: int) -> tuple[Found, list[Note]]: ...
    def serve(self, socket_fd: int, slot: WriteableBuffer | None = None) -> None: ...

def run(
    socket_fd: int,
    slot: WriteableBuffer | None,
    parts: Iterable[tuple[int, int, int]],
    limits: Limits,
    switches: int,
    spill_fd: int = -1,
) -> None: ...

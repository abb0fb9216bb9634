"""Contents: what lies in the folder of stores, for `kavfs cache stats` and `kavfs cache clear`."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from kavfs.cache.folder import Folder, removable
from kavfs.limits import MIB

OBJECT = 64  # bytes of a record of the object cache; none begins with 16 zeros, which stand for its key
_PIECE = MIB


@dataclass(frozen=True)
class ObjectsHeld:
    """Level 2 of the object cache."""

    size: int  # bytes that it may take
    on_disk: int  # bytes that it takes
    records: int  # in use


def objects_held(folder: Folder, name: str) -> ObjectsHeld | None:
    """By reading the file, which may be written meanwhile; None when there is none. Raises OSError."""
    try:
        fd = folder.open(name)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(fd)
        records = sum(_records_in(fd, start, end) for start, end in _stretches(fd, status.st_size))
        return ObjectsHeld(status.st_size, status.st_blocks * 512, records)
    finally:
        os.close(fd)


def clear(folder: Folder) -> int:
    """Remove everything but the key; bytes on disk that this has freed. The folder must have been opened alone."""
    freed = 0
    for name in removable(folder.names()):
        size = folder.size(name)
        os.unlink(name, dir_fd=folder.fd)
        freed += size
    return freed


def _stretches(fd: int, size: int) -> list[tuple[int, int]]:
    """Where a sparse file has data."""
    found = []
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole is left
                break
            raise
        at = os.lseek(fd, start, os.SEEK_HOLE)
        found.append((start - start % OBJECT, at))
    return found


def _records_in(fd: int, start: int, end: int) -> int:
    free = bytes(16)
    count = 0
    for at in range(start, end, _PIECE):
        data = os.pread(fd, min(_PIECE, end - at), at)
        count += sum(1 for record in range(0, len(data) - OBJECT + 1, OBJECT) if data[record : record + 16] != free)
    return count

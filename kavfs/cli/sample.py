"""Sample: some files of a user's own, chosen without favour, bounded in number and bytes.

    sample = take([b"/usr/bin", b"/usr/share"], most_bytes=64 << 20)

All files below a folder (the first LISTED of them) are put into an order that chance gives and that is the same each
time; they are taken in this order until the bytes are used up. Every folder named gets an equal part of these. Each
file that is taken has been read once, so that all that is measured with it afterwards finds it in memory.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LISTED = 200_000  # files of one root that are looked at
TAKEN = 4_000  # files
PIECE = 1 << 20  # bytes
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Sample:
    """Paths, and how many bytes each had when it was read; and what there was to choose from."""

    files: tuple[tuple[bytes, int], ...]
    listed: int  # files that could have been taken
    listed_bytes: int

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.files)


def take(roots: Sequence[bytes], most_bytes: int, most_files: int = TAKEN) -> Sample:
    """A sample of what lies below *roots*; files that cannot be read are not in it."""
    files: dict[bytes, int] = {}
    listed = listed_bytes = 0
    for root in roots:
        found = sorted(_files(root))
        listed += len(found)
        listed_bytes += sum(size for _, size in found)
        random.Random(1).shuffle(found)
        _fill(files, found, most_bytes // len(roots), most_files // len(roots))
    return Sample(tuple(files.items()), listed, listed_bytes)


def read(path: bytes) -> bytes:
    """A whole regular file. OSError when it cannot be opened without following a link, or is something else."""
    fd = os.open(path, _OPEN)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(f"{os.fsdecode(path)}: not a regular file")
        return b"".join(iter(lambda: os.read(fd, PIECE), b""))
    finally:
        os.close(fd)


def _fill(files: dict[bytes, int], found: list[tuple[bytes, int]], most_bytes: int, most_files: int) -> None:
    """Add what fits; a file that would take more than a quarter of the bytes only when nothing else was there."""
    left, room = most_bytes, most_files
    for small in (True, False):
        for path, size in found:
            if room and size <= left and path not in files and (size <= most_bytes // 4) is small:
                try:
                    size = len(read(path))
                except OSError:
                    continue
                files[path] = size
                left -= size
                room -= 1
        if room < most_files:
            return


def _files(root: bytes) -> Iterator[tuple[bytes, int]]:
    """Regular files below a folder, or the one file that was named, with their sizes."""
    if not os.path.isdir(root):
        yield root, os.stat(root).st_size
        return
    count = 0
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            try:
                status = os.lstat(path)
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                yield path, status.st_size
                count += 1
                if count == LISTED:
                    return

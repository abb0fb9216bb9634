"""Image file: all parts of an image in one file, to be made on one machine and opened on others of its kind.

    +----------+ 0
    | head     | magic, length of the index, SHA-256 of the index; filled up to a page
    +----------+ PAGE
    | parts    | each from the beginning of a page
    | sides    | what became of the lines of each database file
    +----------+ head.index_at
    | index    | catalog, and where the sides are
    +----------+ end of file

Numbers are little-endian. The index stands last, because it says where the parts are. A digest tells damage and not a
forger: whatever the index says, opening it ends in an image that can be used or in DatabaseDamaged.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import stat
import struct
from typing import NamedTuple

from kavfs._native import match
from kavfs.errors import DatabaseDamaged
from kavfs.ports import ImagePart
from kavfs.signatures.catalog import Catalog, Part, stamp

FAMILY = b"\x93KAVIMG"
MAGIC = FAMILY + b"1"
HEAD = struct.Struct("<8sQQ32s")  # magic, where the index begins, its length, its digest
_LONE = re.compile("[\ud800-\udfff]")  # halves of surrogate pairs, which cannot be encoded
INDEX_MAX = 64 << 20  # bytes of an index, or of one side; a thousand database files need about one MiB
PAGE = 1 << 16  # the largest page size of the machines we know, so that a file suits each of them


class Content(NamedTuple):
    """An open image file. The descriptor in ``parts`` is the caller's to close."""

    catalog: Catalog
    parts: tuple[ImagePart, ...]
    fd: int
    sides: dict[str, tuple[int, int]]  # side file -> (offset, length)

    def side(self, key: str) -> bytes | None:
        offset, length = self.sides.get(key, (0, 0))
        return os.pread(self.fd, length, offset) or None


def is_image(path: bytes) -> bool:
    """Whether a path is a file that begins as image files of any version do."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb", buffering=0) as file:
            return file.read(len(FAMILY)) == FAMILY
    except OSError:
        return False  # whoever opens it for good says what is wrong


def read_image(path: bytes) -> Content:
    """Open an image file. DatabaseDamaged when it is not whole, or made for another version or CPU."""
    shown = os.fsdecode(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as why:
        raise DatabaseDamaged(f"image {shown} cannot be read: {why.strerror}") from None
    try:
        return _read(fd)
    except _Unusable as why:
        os.close(fd)
        raise DatabaseDamaged(f"image {shown} {why}") from None
    except OSError as why:
        os.close(fd)
        raise DatabaseDamaged(f"image {shown} cannot be read: {why.strerror}") from None
    except BaseException:
        os.close(fd)
        raise


class _Unusable(Exception):
    """What is wrong with an image file, to be said behind its name."""


def _read(fd: int) -> Content:
    size = os.fstat(fd).st_size
    head = os.pread(fd, HEAD.size, 0)
    if len(head) < HEAD.size:
        raise _Unusable("is damaged: it ends within its head")
    magic, index_at, index_length, digest = HEAD.unpack(head)
    if magic != MAGIC:
        raise _Unusable("was made by another version of this program")
    if index_at + index_length != size:
        raise _Unusable(f"is damaged: it has {size} bytes and should have {index_at + index_length}")
    if index_length > INDEX_MAX:
        raise _Unusable("is damaged: its index is too long")
    index = os.pread(fd, index_length, index_at)
    if hashlib.sha256(index).digest() != digest:
        raise _Unusable("is damaged: its index is not what was written")
    try:
        catalog, sides = _parse(index)
        usable = catalog is None or _makes_sense(catalog, sides, index_at)
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError, MemoryError):
        usable = False
    if not usable:
        raise _Unusable("is damaged: its index makes no sense")
    if catalog is None:
        raise _Unusable("was made for another version of the matcher or another CPU: compile it here")
    for part in catalog.parts:
        _check_part(fd, part)
    parts = tuple(ImagePart(fd, part.offset, part.length) for part in catalog.parts)
    return Content(catalog, parts, fd, sides)


def _parse(index: bytes) -> tuple[Catalog | None, dict[str, tuple[int, int]]]:
    """What the index says; no catalog when it is one of another version."""
    tree = json.loads(index)
    sides = {key: (at, length) for key, (at, length) in tree["sides"].items()}
    catalog = Catalog.from_bytes(tree["catalog"].encode())
    return (catalog if catalog is not None and catalog.stamp == stamp() else None), sides


def _makes_sense(catalog: Catalog, sides: dict[str, tuple[int, int]], end: int) -> bool:
    """Whether every value has its type and every stretch lies between the head and *end*; parts share no byte."""
    numbers: list[object] = [number for place in sides.values() for number in place]
    words: list[object] = []
    for entry in catalog.entries:
        words += [
            entry.kind,
            entry.side,
            entry.key,
            *(key for key, _ in entry.segments),
            *(why for why, _ in entry.reasons),
        ]
        numbers += [
            entry.taken,
            entry.comments,
            *(n for _, n in entry.segments),
            *(count for _, count in entry.reasons),
        ]
        numbers += [entry.identity.mtime_ns]
    for part in catalog.parts:
        words += [part.key, part.kind]
        numbers += [part.offset, part.length]
    return (
        not catalog.deltas
        and catalog.table is None
        and all(type(word) is str and not _LONE.search(word) for word in words)
        and not any(b"\0" in entry.place for entry in catalog.entries)
        and all(type(number) is int and abs(number) < 1 << 63 for number in numbers)
        and all(part.offset >= PAGE and part.offset % PAGE == 0 and part.length > 0 for part in catalog.parts)
        and all(part.offset + part.length <= end for part in catalog.parts)
        and sum(part.length for part in catalog.parts) <= end
        and all(at >= 0 and 0 <= length <= INDEX_MAX and at + length <= end for at, length in sides.values())
    )


def _check_part(fd: int, part: Part) -> None:
    with mmap.mmap(fd, part.length, access=mmap.ACCESS_READ, offset=part.offset) as data:
        if not match.part_is_whole(data):
            raise _Unusable(f"is damaged: part {part.key[:12]} is not what was written")

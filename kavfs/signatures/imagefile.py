"""Image file: all parts of an image in one file, to be made on one machine and opened on others of its kind.

    +----------+ 0
    | head     | magic, length of the index, SHA-256 of the index; filled up to a page
    +----------+ PAGE
    | parts    | each from the beginning of a page
    | sides    | what became of the lines of each database file
    +----------+ head.index_at
    | index    | catalog, and where the sides are
    +----------+ end of file

Numbers are little-endian. The index stands last, because it says where the parts are.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import stat
import struct
from dataclasses import dataclass

from kavfs._native import match
from kavfs.errors import DatabaseDamaged
from kavfs.ports import ImagePart
from kavfs.signatures.catalog import Catalog, Part, stamp

FAMILY = b"\x93KAVIMG"
MAGIC = FAMILY + b"1"
HEAD = struct.Struct("<8sQQ32s")  # magic, where the index begins, its length, its digest
PAGE = 1 << 16  # the largest page size of the machines we know, so that a file suits each of them


@dataclass(frozen=True, slots=True)
class Content:
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
    index = os.pread(fd, index_length, index_at)
    if hashlib.sha256(index).digest() != digest:
        raise _Unusable("is damaged: its index is not what was written")
    tree = json.loads(index)
    catalog = Catalog.from_bytes(tree["catalog"].encode())
    if catalog is None or catalog.stamp != stamp():
        raise _Unusable("was made for another version of the matcher or another CPU: compile it here")
    for part in catalog.parts:
        if part.offset + part.length > index_at:
            raise _Unusable("is damaged: a part lies outside")
        _check_part(fd, part)
    parts = tuple(ImagePart(fd, part.offset, part.length) for part in catalog.parts)
    return Content(catalog, parts, fd, {key: (at, length) for key, (at, length) in tree["sides"].items()})


def _check_part(fd: int, part: Part) -> None:
    with mmap.mmap(fd, part.length, access=mmap.ACCESS_READ, offset=part.offset) as data:
        if not match.part_is_whole(data):
            raise _Unusable(f"is damaged: part {part.key[:12]} is not what was written")

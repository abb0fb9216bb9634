"""Small images for tests of the matcher, without a state folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

from kavfs._native import match

DIGEST = bytes(32)


def segment(*rows: tuple, database: bytes = b"test.ldb", official: bool = True) -> bytes:
    """A body segment. Each row: (name, expression or None, pattern ...[, keyword dict]); a pattern is hexadecimal
    bytes or (hex, offset, modifiers)."""
    builder = match.SegmentBuilder(database, DIGEST, official)
    for line, row in enumerate(rows, 1):
        more = row[-1] if isinstance(row[-1], dict) else {}
        name, expression, *patterns = row[:-1] if more else row
        numbers = [builder.pattern(*(p if isinstance(p, tuple) else (p,))) for p in patterns]
        more = {"target": 0, "line": line, **more}
        builder.signature(name, more.pop("line"), more.pop("target"), numbers, expression, **more)
    return builder.finish()


def hashes(text: bytes, *, exception: bool = False, database: bytes = b"test.hdb", official: bool = True) -> bytes:
    return match.build_hash_segment(
        text, 216, form="exception" if exception else "hash", database=database, digest=DIGEST, official=official
    ).data


def open_parts(parts: Sequence[bytes], window: int = 0) -> match.Image:
    """The image of these parts; descriptors are closed again, as they may be once an image is open."""
    rows = []
    try:
        for part in parts:
            rows.append((os.memfd_create("part"), 0, len(part)))
            os.write(rows[-1][0], part)
        return match.Image(rows, window=window)
    finally:
        for fd, _, _ in rows:
            os.close(fd)


def image(*segments: bytes, window: int = 0) -> match.Image:
    """Segments and hash parts with one group over all segments."""
    bodies = [part for part in segments if match.part_kind(part) == "body"]
    groups = [match.build_group(bodies)] if bodies else []
    return open_parts([*segments, *groups], window)


@contextlib.contextmanager
def layer(data: bytes) -> Iterator[int]:
    """A descriptor of a file with this content."""
    fd = os.memfd_create("layer")
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        yield fd
    finally:
        os.close(fd)


def names(found: match.Found) -> list[str]:
    return [name.decode() for name in found.names]

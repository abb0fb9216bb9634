"""Stored: segments as they lie in a store, with side files and lines: made when missing, checked when there."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator, Sequence

from kavfs._native import basics, match
from kavfs.errors import SystemFailure
from kavfs.signatures.changes import Change, change_of
from kavfs.signatures.kinds import READ, Form
from kavfs.signatures.lines import Tally
from kavfs.signatures.segment import compile_segment, tally_from_json, tally_to_json
from kavfs.signatures.sources import Source
from kavfs.signatures.store import Store


def ensure_segment(source: Source, text: bytes, key: str, store: Store) -> tuple[Tally, int]:
    """Have the segment of a text whole in the store: what became of its lines, and its literals."""
    side = store.side(key)
    tally_and_literals = tally_from_json(side) if side else None
    has_part = READ.get(source.kind) is not Form.RECIPES
    if tally_and_literals is None or (has_part and tally_and_literals[0].taken and not segment_is_whole(store, key)):
        segment = compile_segment(source, text, key)
        tally_and_literals = segment.tally, segment.literals
        if segment.data:
            store.write("segments", f"{key}.bin", segment.data)
        store.write("segments", f"{key}.json", tally_to_json(*tally_and_literals, segment.recipes))
    return tally_and_literals


def segment_is_whole(store: Store, key: str) -> bool:
    return segment_identity(store, key) is not None


def segment_identity(store: Store, key: str) -> tuple[bytes, int] | None:
    """What groups know a segment by; None when it is not there, damaged, or another one under this name."""
    with mapped(store, "segments", f"{key}.bin") as data:
        if data is None or not match.part_is_whole(data):
            return None
        identity = match.part_identity(data)
        is_ignore = match.part_kind(data) == "ignore"  # names no digest: its key alone tells what it is
        return identity if is_ignore or identity[0] == bytes.fromhex(key) else None


# -- lines -----------------------------------------------------------------------------------------------------------


def ensure_lines(source: Source, text: bytes, key: str, store: Store) -> None:
    """Have the lines of a text beside its segment, where its kind asks for that."""
    if lines_are_there(store, source.kind, key):
        return
    with mapped(store, "segments", f"{key}.bin") as part:
        if part is None:
            raise vanished()
        lines = basics.build_lines(part, text, READ[source.kind].value.encode())
    store.write("segments", f"{key}.lines", lines)


def lines_are_there(store: Store, kind: str, key: str) -> bool:
    if change_of(kind) is not Change.LINES:
        return True
    return lines_of(store, key) is not None


def lines_of(store: Store, key: str) -> basics.Lines | None:
    """The lines of a segment; None when they are not there, damaged, or those of another segment."""
    data = store.read("segments", f"{key}.lines")
    try:
        lines = basics.Lines(data) if data else None
    except ValueError:
        return None
    return lines if lines is not None and lines.source == bytes.fromhex(key) else None


# -- files -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def mapped(store: Store, kind: str, name: str) -> Iterator[mmap.mmap | None]:
    """A file of the store; None when it is not there, or empty."""
    fd = store.open_file(kind, name)
    if fd is None:
        yield None
        return
    try:
        if os.fstat(fd).st_size == 0:
            yield None
            return
        with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as data:
            yield data
    finally:
        os.close(fd)


@contextlib.contextmanager
def mapped_segments(store: Store, keys: Sequence[str]) -> Iterator[list[mmap.mmap]]:
    """Several segments, which must be there."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(mapped(store, "segments", f"{key}.bin")) for key in keys]
        parts = [data for data in held if data is not None]
        if len(parts) < len(held):
            raise vanished()
        yield parts


def vanished() -> SystemFailure:
    return SystemFailure("compiled signatures were removed from the state folder while in use")

"""Renew: from database files to segments and groups in a store, making only what is not there yet.

    sources -> segments (one per file) -> groups (over the literals of one or several) -> catalog

Everything is named by the digest of what it is made from, so "is it there, and whole?" is the only question.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
from collections.abc import Iterator, Sequence

from kavfs._native import basics, match
from kavfs.errors import DatabaseDamaged, DatabaseMissing, SystemFailure
from kavfs.signatures.catalog import Catalog, Entry, stamp, unique
from kavfs.signatures.changes import Change, change_of
from kavfs.signatures.kinds import READ
from kavfs.signatures.lines import Tally
from kavfs.signatures.segment import compile_segment, segment_key, tally_from_json, tally_to_json
from kavfs.signatures.sources import Source, read_source
from kavfs.signatures.store import Store

OWN_GROUP = 60_000
"""Literals from which a segment has a group of its own: compiling it takes seconds, and its neighbours need none."""

GROUP_MAX = 80_000
"""Literals of the other segments in one group: one pass over the data serves them all, and each pass costs about as
much as the first, however few literals it looks for. That many compile in about 2 s on two processors."""


def renew(sources: Sequence[Source], store: Store, old: Catalog | None) -> Catalog:
    """Compile what is missing and return the new catalog. The caller holds the image's lock and writes the catalog."""
    known = {entry.path: entry for entry in old.entries} if old else {}
    entries = tuple(_entry(source, known.get(source.path), store) for source in sources)
    if not any(entry.signatures for entry in entries):
        raise _nothing(entries)
    segments = unique(entry.key for entry in entries)
    groups = build_groups(_plan(entries), store)
    parts = [store.part("segments", key) for key in segments] + [store.part("groups", key) for key in groups]
    return Catalog(stamp(), entries, tuple(parts))


def still_valid(catalog: Catalog, sources: Sequence[Source], store: Store) -> bool:
    """Whether *catalog*'s parts are whole and made from just what is in the sources now, whatever their time stamps.

    For state folders that came here by copying and cannot be written.
    """
    if [entry.path for entry in catalog.entries] != [source.path for source in sources]:
        return False
    for entry, source in zip(catalog.entries, sources, strict=True):
        if segment_key(source, read_source(source.path)[0]) != entry.side:
            return False
    return all(_segment_is_whole(store, part.key) for part in catalog.parts if part.kind == "segments") and all(
        _group_is_whole(store, _group_key(members), members) for members in _plan(catalog.entries)
    )


def plan_groups(segments: Sequence[tuple[str, int]]) -> list[list[str]]:
    """Which segments are matched together, given (key, literals) of each."""
    plan: list[list[str]] = []
    small: list[str] = []
    room = GROUP_MAX
    for key, literals in segments:
        if literals >= OWN_GROUP:
            plan.append([key])
        elif literals:
            if literals > room:
                plan.append(small)
                small, room = [], GROUP_MAX
            small.append(key)
            room -= literals
    return [*plan, small] if small else plan


def _plan(entries: Sequence[Entry]) -> list[list[str]]:
    literals = {entry.key: entry.literals for entry in entries}
    return plan_groups([(key, literals[key]) for key in unique(entry.key for entry in entries)])


# -- segments --------------------------------------------------------------------------------------------------------


def _entry(source: Source, known: Entry | None, store: Store) -> Entry:
    """The entry of one database file, its segment whole in the store."""
    if known and known.settled and known.identity == source.identity and _segment_is_there(store, known):
        return known
    text, identity, settled = read_source(source.path)
    key = segment_key(source, text)
    tally, literals = ensure_segment(source, text, key, store)
    if tally.taken and not _lines_are_there(store, source.kind, key):
        _write_lines(source, text, key, store)
    return Entry(
        path=source.path,
        kind=source.kind,
        identity=identity,
        settled=settled,
        side=key,
        key=key if tally.taken else "",
        taken=tally.taken,
        comments=tally.comments,
        literals=literals,
        reasons=tuple(sorted(tally.reasons.items(), key=lambda item: (-item[1], item[0]))),
    )


def ensure_segment(source: Source, text: bytes, key: str, store: Store) -> tuple[Tally, int]:
    """Have the segment of a text whole in the store: what became of its lines, and its literals."""
    side = store.side(key)
    tally_and_literals = tally_from_json(side) if side else None
    if tally_and_literals is None or (tally_and_literals[0].taken and not _segment_is_whole(store, key)):
        segment = compile_segment(source, text, key)
        tally_and_literals = segment.tally, segment.literals
        if segment.data:
            store.write("segments", f"{key}.bin", segment.data)
        store.write("segments", f"{key}.json", tally_to_json(*tally_and_literals))
    return tally_and_literals


def _write_lines(source: Source, text: bytes, key: str, store: Store) -> None:
    with mapped(store, "segments", f"{key}.bin") as part:
        if part is None:
            raise SystemFailure("compiled signatures were removed from the state folder while in use")
        lines = basics.build_lines(part, text, READ[source.kind].value.encode())
    store.write("segments", f"{key}.lines", lines)


def _lines_are_there(store: Store, kind: str, key: str) -> bool:
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


def _segment_is_there(store: Store, entry: Entry) -> bool:
    if store.side(entry.side) is None:
        return False
    return not entry.key or (_segment_is_whole(store, entry.key) and _lines_are_there(store, entry.kind, entry.key))


def _segment_is_whole(store: Store, key: str) -> bool:
    return _identity(store, key) is not None


def _identity(store: Store, key: str) -> tuple[bytes, int] | None:
    """What groups know a segment by; None when it is not there, damaged, or another one under this name."""
    with mapped(store, "segments", f"{key}.bin") as data:
        if data is None or not match.part_is_whole(data):
            return None
        identity = match.part_identity(data)
        is_ignore = match.part_kind(data) == "ignore"  # names no digest: its key alone tells what it is
        return identity if is_ignore or identity[0] == bytes.fromhex(key) else None


# -- groups ----------------------------------------------------------------------------------------------------------


def _group_key(members: Sequence[str]) -> str:
    return hashlib.sha256(f"kavfs group {stamp()} {' '.join(members)}".encode()).hexdigest()


def _group_is_whole(store: Store, key: str, members: Sequence[str]) -> bool:
    """Whether the group is there, whole, and over just the segments that are there now."""
    with mapped(store, "groups", f"{key}.bin") as data:
        if data is None or not match.part_is_whole(data) or match.part_kind(data) != "group":
            return False
        return match.group_members(data) == [_identity(store, member) for member in members]


def build_groups(plan: Sequence[Sequence[str]], store: Store) -> list[str]:
    """The keys of all groups, those built that are missing. The library compiles with several threads of its own."""
    keys: list[str] = []
    for members in plan:
        key = _group_key(members)
        keys.append(key)
        if _group_is_whole(store, key, members):
            continue
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(mapped(store, "segments", f"{member}.bin")) for member in members]
            parts = [data for data in held if data is not None]
            if len(parts) < len(held):
                raise SystemFailure("compiled signatures were removed from the state folder while in use")
            group = match.build_group(parts, threads=len(os.sched_getaffinity(0)))
        store.write("groups", f"{key}.bin", group)
    return keys


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


def _nothing(entries: Sequence[Entry]) -> DatabaseMissing | DatabaseDamaged:
    folders = ", ".join(dict.fromkeys(os.fsdecode(os.path.dirname(entry.path)) for entry in entries))
    damaged = [entry for entry in entries if entry.malformed]
    if damaged:
        lines = sum(entry.malformed for entry in damaged)
        names = ", ".join(os.fsdecode(entry.path) for entry in damaged)
        return DatabaseDamaged(f"no signature can be read: {lines} malformed lines in {names}")
    return DatabaseMissing(f"no signatures of a supported kind in {folders}")

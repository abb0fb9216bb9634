"""Renew: from database files to segments and groups in a store, making only what is not there yet.

    sources -> segments (one per file, or a base and a patch) -> groups (over the literals of one or several) -> catalog

Everything is named by the digest of what it is made from, so "is it there, and whole?" is the only question.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence

from kavfs.errors import DatabaseDamaged, DatabaseMissing
from kavfs.record import replace
from kavfs.signatures.catalog import Catalog, Entry, stamp, unique
from kavfs.signatures.groups import build_groups, group_is_whole, plan_groups
from kavfs.signatures.ignore import Muted, read_ign2, without_muted
from kavfs.signatures.kinds import PACKS, READ, Form
from kavfs.signatures.lines import OUTDATED, Tally
from kavfs.signatures.pack import outdated_packs, read_members, read_text
from kavfs.signatures.patch import patched
from kavfs.signatures.segment import segment_key
from kavfs.signatures.sources import Identity, Source, is_settled
from kavfs.signatures.store import Store
from kavfs.signatures.stored import ensure_lines, ensure_segment, lines_are_there, segment_is_whole


def renew(sources: Sequence[Source], store: Store, old: Catalog | None) -> Catalog:
    """Compile what is missing and return the new catalog. The caller holds the image's lock and writes the catalog."""
    muted = old.muted if old else frozenset()
    entries = _entries(sources, store, old, muted)
    if (asked := frozenset(line for entry in entries for line in entry.muted)) != muted:
        entries = _entries(sources, store, None, asked)
    if not any(entry.signatures for entry in entries):
        raise _nothing(entries)
    segments = unique(key for entry in entries for key, _ in entry.segments)
    groups = build_groups(_plan(entries), store)
    parts = [store.part("segments", key) for key in segments] + [store.part("groups", key) for key in groups]
    return Catalog(stamp(), tuple(entries), tuple(parts))


def still_valid(catalog: Catalog, sources: Sequence[Source], store: Store) -> bool:
    """Whether *catalog*'s parts are whole and made from just what is in the sources now, whatever their time stamps.

    For state folders that came here by copying and cannot be written.
    """
    entries = {(entry.path, entry.member): entry.key or entry.side for entry in catalog.entries}
    if entries != _keys(sources, catalog.muted):
        return False
    return all(segment_is_whole(store, part.key) for part in catalog.parts if part.kind == "segments") and all(
        group_is_whole(store, members) for members in _plan(catalog.entries)
    )


def _keys(sources: Sequence[Source], muted: frozenset[Muted]) -> dict[tuple[bytes, bytes], str]:
    """What a catalog of these files has, by path and member: the names of their segments."""
    keys: dict[tuple[bytes, bytes], str] = {}
    outdated = outdated_packs(sources)
    for source in sources:
        if source.kind not in PACKS:
            keys[source.path, b""] = segment_key(source, _heard(source, read_text(source)[0], muted))
            continue
        keys[source.path, b""] = ""
        if source.path not in outdated:
            members = read_members(source)
            for m in members:
                keys[source.path, m.source.member] = segment_key(m.source, _heard(m.source, m.text, muted))
    return keys


def _plan(entries: Sequence[Entry]) -> list[list[str]]:
    return plan_groups(list({segment: None for entry in entries for segment in entry.segments}))


# -- entries ---------------------------------------------------------------------------------------------------------


def _entries(sources: Sequence[Source], store: Store, old: Catalog | None, muted: frozenset[Muted]) -> list[Entry]:
    """The entries of all files, compiled without the lines in *muted*; those of *old* were, too."""
    known = {(entry.path, entry.member): entry for entry in old.entries} if old else {}
    outdated = outdated_packs(sources)
    entries: list[Entry] = []
    for source in sources:
        if source.path in outdated:
            entries.append(_pack_entry(source, source.identity, False, ((OUTDATED, 1),)))
        elif source.kind in PACKS:
            entries += _pack_entries(source, known, store, muted)
        else:
            entries.append(_entry(source, known.get((source.path, b"")), store, muted))
    for i in _clashing(entries):
        entries[i] = _entry(entries[i].source, None, store, muted)
    return entries


def _pack_entry(source: Source, identity: Identity, settled: bool, reasons: tuple[tuple[str, int], ...] = ()) -> Entry:
    """The entry of a pack itself; its members have their own."""
    return Entry(source.path, source.kind, identity, settled, side="", key="", reasons=reasons)


def _pack_entries(
    source: Source, known: Mapping[tuple[bytes, bytes], Entry], store: Store, muted: frozenset[Muted]
) -> list[Entry]:
    """The entries of a pack and of each database in it, by name."""
    head = known.get((source.path, b""))
    before = [entry for entry in known.values() if entry.path == source.path and entry.member]
    current = head is not None and head.settled and head.identity == source.identity and not head.reasons
    if head and current and all(_is_there(store, entry) for entry in before):
        return [head, *before]
    entries: list[Entry] = []
    identity = source.identity
    for member in read_members(source):
        identity = member.source.identity
        read = member.text, identity, is_settled(identity)
        entries.append(_entry(member.source, known.get((source.path, member.source.member)), store, muted, read))
        del member, read  # before the next one is read: they are large
    entries.sort(key=lambda entry: entry.member)
    return [_pack_entry(source, identity, is_settled(identity)), *entries]


def _entry(
    source: Source,
    known: Entry | None,
    store: Store,
    muted: frozenset[Muted],
    read: tuple[bytes, Identity, bool] | None = None,
) -> Entry:
    """The entry of one database file, its segments whole in the store. *read*: its text, which the caller has."""
    if known and known.settled and known.identity == source.identity and _is_there(store, known):
        return known
    text, identity, settled = read or read_text(source)
    text = _heard(source, text, muted)
    key = segment_key(source, text)
    if known and known.key == key and _is_there(store, known):
        return replace(known, identity=identity, settled=settled)
    if known and (patch := patched(source, text, key, known, store)):
        side, segments, tally = patch.side, patch.segments, patch.tally
    else:
        tally, literals = ensure_segment(source, text, key, store)
        has_part = tally.taken and READ.get(source.kind) is not Form.RECIPES
        side, segments = key, ((key, literals),) if has_part else ()
        if tally.taken:
            ensure_lines(source, text, key, store)
    return Entry(
        path=source.path,
        kind=source.kind,
        identity=identity,
        settled=settled,
        side=side,
        key=key if tally.taken else "",
        taken=tally.taken,
        comments=tally.comments,
        segments=segments,
        reasons=tuple(sorted(tally.reasons.items(), key=lambda item: (-item[1], item[0]))),
        member=source.member,
        muted=tuple(read_ign2(text, Tally())[1]) if READ.get(source.kind) is Form.IGNORE else (),
    )


def _heard(source: Source, text: bytes, muted: frozenset[Muted]) -> bytes:
    """What is compiled of a text."""
    return text if READ.get(source.kind) is Form.IGNORE else without_muted(text, muted)


def _is_there(store: Store, entry: Entry) -> bool:
    if store.side(entry.side) is None:
        return False
    whole = all(segment_is_whole(store, key) for key, _ in entry.segments)
    return not entry.key or (whole and lines_are_there(store, entry.kind, entry.key))


def _clashing(entries: Sequence[Entry]) -> list[int]:
    """Those that are patched and share a base, or a text, with one that was compiled otherwise: a segment stands in an
    image once, for one database file."""
    users = defaultdict(set)
    for entry in entries:
        for name in {entry.key, *(key for key, _ in entry.segments)}:
            users[name].add((entry.key, entry.segments))
    return [
        i
        for i, entry in enumerate(entries)
        if entry.patched and any(len(users[name]) > 1 for name in (entry.key, *(key for key, _ in entry.segments)))
    ]


def _nothing(entries: Sequence[Entry]) -> DatabaseMissing | DatabaseDamaged:
    folders = ", ".join(dict.fromkeys(os.fsdecode(os.path.dirname(entry.path)) for entry in entries))
    damaged = [entry for entry in entries if entry.malformed]
    if damaged:
        lines = sum(entry.malformed for entry in damaged)
        names = ", ".join(os.fsdecode(entry.path) for entry in damaged)
        return DatabaseDamaged(f"no signature can be read: {lines} malformed lines in {names}")
    return DatabaseMissing(f"no signatures of a supported kind in {folders}")

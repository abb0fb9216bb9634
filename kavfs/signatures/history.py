"""History: the generations that a state folder has compiled lately, and from which segments each was made.

    STATE/history.json             a digest of the rest, then JSON; a damaged one is as good as none
    STATE/segments/<key>.lines     the lines of a segment as digests (ext/match/lines.h)

All images of a state folder share it: what is new between two generations is a difference of two sets of lines,
whatever databases they came from. A generation of which a file of lines has gone falls out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence

from kavfs.record import asdict, record
from kavfs.signatures.catalog import Catalog, stamp
from kavfs.signatures.changes import Change, change_of
from kavfs.signatures.store import Store

FILE = "history.json"

PAST_MAX = 16
"""Generations that are kept."""

ROWS_MAX = 4
"""Older generations that an image carries a delta for."""

BYTES_MAX = 256 << 20
"""Of files of lines that are kept for the older ones: a great database that changes each day fills disks otherwise."""


@record(frozen=True)
class Past:
    """One generation: the segments in it on which an answer "clean" depends, as (kind, key)."""

    generation: str  # in hexadecimal digits
    stamp: str  # of another stamp: nothing is comparable
    segments: tuple[tuple[str, str], ...]

    def keys(self, change: Change) -> tuple[str, ...]:
        return tuple(key for kind, key in self.segments if change_of(kind) is change)


def past_of(catalog: Catalog) -> Past:
    """A catalog as history will know it."""
    counting = (Change.LINES, Change.FULL)
    segments = {(entry.kind, entry.key) for entry in catalog.entries if entry.key and change_of(entry.kind) in counting}
    return Past(catalog.generation.hex(), catalog.stamp, tuple(sorted(segments)))


def read_history(store: Store) -> tuple[Past, ...]:
    """Newest first; only those of our stamp whose lines are all there."""
    data = store.read("", FILE) or b""
    digest, _, text = data.partition(b"\n")
    if hashlib.sha256(text).hexdigest().encode() != digest:
        return ()
    try:
        rows = [
            Past(row["generation"], row["stamp"], tuple((kind, key) for kind, key in row["segments"]))
            for row in json.loads(text)
        ]
    except (ValueError, TypeError, KeyError):
        return ()  # written by another version
    return tuple(past for past in rows if past.stamp == stamp() and has_lines(store, past))


def chosen_rows(history: Sequence[Past], now: str, used: Collection[bytes] | None) -> list[Past]:
    """The older generations of *used* that the image of generation *now* has deltas for; None = of all."""
    wanted = None if used is None else {generation.hex() for generation in used}
    older = [past for past in history if past.generation != now]
    return [past for past in older if wanted is None or past.generation in wanted][:ROWS_MAX]


def has_lines(store: Store, past: Past) -> bool:
    return all(store.has("segments", f"{key}.lines") for key in past.keys(Change.LINES))


def remember(store: Store, now: Sequence[Past], drop: Collection[str] = ()) -> None:
    """Put generations on top, the first highest; take out those whose generations are in *drop*."""
    with store.locked("history.lock"):
        known = read_history(store)
        top = {past.generation for past in now} | set(drop)
        rows = [*now, *(past for past in known if past.generation not in top)][:PAST_MAX]
        rows = _affordable(rows, store)
        if rows == list(known):
            return
        text = json.dumps([asdict(past) for past in rows], separators=(",", ":")).encode()
        store.write("", FILE, hashlib.sha256(text).hexdigest().encode() + b"\n" + text)


def kept_lines(store: Store) -> set[str]:
    """Names of the files that sweeping must leave for the generations in the history."""
    return {f"segments/{key}.lines" for past in read_history(store) for key in past.keys(Change.LINES)}


def _affordable(rows: Sequence[Past], store: Store) -> list[Past]:
    """The newest of them and, of the others, as many as BYTES_MAX allows."""
    kept: list[Past] = []
    seen: set[str] = set()
    total = 0
    for past in rows:
        more = set(past.keys(Change.LINES)) - seen
        total += sum(store.size("segments", f"{key}.lines") for key in more) if kept else 0
        if len(kept) > 1 and total > BYTES_MAX:
            break
        kept.append(past)
        seen |= more
    return kept

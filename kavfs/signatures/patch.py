"""Patch: a large database file that has changed a little is not compiled again (ext/match/patch.h has a drawing).

    text of now - lines of the base = fresh text -> a small segment;  where the base's lines stand now -> the patch

The base is what was compiled last from all of the file. What the patch and the segments answer is what a segment of the
whole text would answer, so the entry has that one's key and the generation does not tell how it was compiled.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from kavfs._native import basics
from kavfs.signatures.catalog import Entry
from kavfs.signatures.groups import OWN_GROUP
from kavfs.signatures.kinds import READ, Form
from kavfs.signatures.lines import Tally
from kavfs.signatures.segment import segment_key, tally_to_json
from kavfs.signatures.sources import Source
from kavfs.signatures.store import Store
from kavfs.signatures.stored import ensure_lines, ensure_segment, lines_of, mapped_segments, segment_is_whole

HASHES_LEAST = 500_000
"""Hash signatures from which a file is patched: fewer are compiled in less than a second."""

BODIES = (Form.BODY, Form.OLDEST, Form.LOGICAL)

SHARE = 8
"""One line in so many may be fresh or gone; with more the file is compiled again, and is the base from then on."""

BODIES_MAX = 10_000
"""Fresh lines of body signatures, whose literals are compiled again with each change."""


@dataclass(frozen=True)
class Patched:
    """How a file was compiled: names of its side file and its segments, and what became of its lines."""

    side: str
    segments: tuple[tuple[str, int], ...]  # as in Entry: the base, the fresh lines where there are any, the patch
    tally: Tally


def patched(source: Source, text: bytes, key: str, known: Entry, store: Store) -> Patched | None:
    """The text of a database file as a patch of what *known* was compiled from, whole in the store under *key*.

    None where that is not worth while or its parts are not there: then the file is compiled.
    """
    if not known.segments or not _is_large(known) or segment_is_whole(store, key):
        return None
    base, form = known.segments[0], READ[source.kind]
    lines = lines_of(store, base[0])
    if lines is None or not segment_is_whole(store, base[0]):
        return None
    fresh, moved, kept = basics.split_patch(text, form.value.encode(), lines)
    if not _is_small_change(known, form, len(lines), fresh.count(b"\n") - kept, kept):
        return None
    fresh_key = segment_key(source, fresh)
    tally, literals = ensure_segment(source, fresh, fresh_key, store)
    if tally.taken:
        ensure_lines(source, fresh, fresh_key, store)
    segments = [base, (fresh_key, literals)] if tally.taken else [base]
    fresh_lines = lines_of(store, fresh_key) if tally.taken else None
    if lines_of(store, key) is None:
        store.write("segments", f"{key}.lines", basics.patched_lines(lines, moved, fresh_lines, bytes.fromhex(key)))
    patch = _ensure_patch([name for name, _ in segments], moved, key, store)
    tally = Tally(tally.taken + kept, tally.comments - kept, tally.reasons, tally.listed)
    store.write("segments", f"{patch}.json", tally_to_json(tally, literals))
    return Patched(patch, (*segments, (patch, 0)), tally)


def _is_large(known: Entry) -> bool:
    form, literals = READ.get(known.kind), known.segments[0][1]
    return (
        literals >= OWN_GROUP if form in BODIES else form in (Form.HASH, Form.SECTIONS) and known.taken >= HASHES_LEAST
    )


def _is_small_change(known: Entry, form: Form, before: int, unkept: int, kept: int) -> bool:
    """Whether few of the base's lines are gone, and few are fresh; those not taken cannot be told from fresh ones."""
    fresh = unkept - known.comments - sum(count for _, count in known.reasons)
    return (fresh + before - kept) * SHARE <= before and (form not in BODIES or fresh <= BODIES_MAX)


def _ensure_patch(members: list[str], moved: bytes, key: str, store: Store) -> str:
    patch = hashlib.sha256(f"kavfs patch {' '.join(members)} {key}".encode()).hexdigest()
    if not segment_is_whole(store, patch):
        with mapped_segments(store, members) as parts:
            store.write("segments", f"{patch}.bin", basics.build_patch(parts, moved, bytes.fromhex(patch)))
    return patch

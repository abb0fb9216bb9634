"""Delta: what came new between older generations and the one of now, compiled as little images of their own.

    history -> for each generation: the new lines -> segments + groups, and one table for walkers (ext/cache/delta.h)

A file of lines that is missing or damaged leaves its generation without a row, and what was remembered for it is
scanned in full: a row that says too little would be a missed detection, one that is not there only costs time.
"""

from __future__ import annotations

import functools
import hashlib
import re
import struct
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from kavfs._native import basics, match
from kavfs.errors import DatabaseDamaged, DatabaseMissing
from kavfs.record import replace
from kavfs.signatures.catalog import Catalog, Entry, Part, Row
from kavfs.signatures.changes import Change
from kavfs.signatures.groups import build_groups, plan_groups
from kavfs.signatures.history import Past, chosen_rows, past_of, read_history, remember
from kavfs.signatures.kinds import READ, Form
from kavfs.signatures.pack import read_texts
from kavfs.signatures.segment import segment_key
from kavfs.signatures.sources import Identity, Source
from kavfs.signatures.store import Store
from kavfs.signatures.stored import ensure_segment, lines_of, mapped

FULL_SHARE = 5
FULL_LEAST = 20_000
"""More than one in FULL_SHARE rules new, and more than FULL_LEAST: scanning against them alone saves nothing."""

HEAD = struct.Struct("=8sIIQ40x")  # magic, version, rows, length
ROW = struct.Struct("=16sHHIII8Q")  # generation, targets, 0, flags, sets, 0, (offset, length) of each set
MAGIC = b"KAVDELT\0"
VERSION = 1
FLAG_FULL = 1
ALL_TARGETS = (1 << 13) - 1
SET_ALIGNMENT = 64

MACRO = re.compile(rb"[;:]\$[{0-9]")
"""A macro, or a member of a group of them: what is new is true together with old lines, not for itself."""

ICONS = re.compile(rb"[;,]IconGroup[12]:")
"""An attribute that is decided by icon signatures, which are old or new."""

SAMPLE = {
    Form.BODY: "ndb",
    Form.OLDEST: "db",
    Form.LOGICAL: "ldb",
    Form.HASH: "hsb",
    Form.SECTIONS: "msb",
    Form.IMPORTS: "imp",
    Form.MEMBERS: "cdb",
    Form.ZIP_MEMBERS: "zmd",
    Form.RAR_MEMBERS: "rmd",
}
"""A kind that is read in each form: new lines are compiled as a file of it, wherever they came from."""

AS_EVER = (Form.TYPES, Form.PASSWORDS)
"""What a layer is and what opens depends on these: an image of new lines has to see the same layers as the whole."""

Load = Callable[[str], basics.Lines | None]


@dataclass
class _Delta:
    """A row while it is made."""

    past: Past
    fresh: dict[str, basics.Lines] = field(default_factory=dict)  # key of a segment of now: its new lines
    texts: dict[Form, list[bytes]] = field(default_factory=dict)
    full: bool = False

    @property
    def rules(self) -> int:
        return sum(len(lines) for lines in self.fresh.values())


def with_deltas(catalog: Catalog, old: Catalog | None, used: Collection[bytes] | None, store: Store) -> Catalog:
    """The catalog with a row for each older generation in *used* (None: any) that history knows, and history with it.

    The caller holds the image's lock, so that nothing is swept away meanwhile.
    """
    now = past_of(catalog)
    if old is not None and old.generation.hex() not in {past.generation for past in read_history(store)}:
        remember(store, [past_of(old)])  # history was lost
    history = read_history(store)
    chosen = chosen_rows(history, now.generation, used)
    load = functools.lru_cache(maxsize=2)(functools.partial(lines_of, store))  # two: they may be large
    deltas = [delta for past in chosen if (delta := _difference(past, catalog, load))]
    complete = _collect_texts(deltas, catalog, store)
    rows, tables = [], []
    for delta in sorted(deltas if complete else (), key=lambda delta: delta.past.generation):
        row, table = _compile(delta, catalog, store)
        rows.append(row)
        tables.append(table)
    served = {row.generation for row in rows}
    lost = {past.generation for past in chosen if complete} - served
    remember(store, [now], lost)
    return replace(catalog, deltas=tuple(rows), table=_write_table(rows, tables, store))


# -- which lines are new -----------------------------------------------------------------------------------------------


def _difference(past: Past, catalog: Catalog, load: Load) -> _Delta | None:
    """The lines of now that an older generation did not have; None when that cannot be told any more."""
    delta = _Delta(past)
    now = past_of(catalog)
    if set(past.keys(Change.FULL)) != set(now.keys(Change.FULL)):
        delta.full = True
        return delta
    known = set(past.keys(Change.LINES))
    entries = {entry.key: entry for entry in catalog.entries if entry.key in now.keys(Change.LINES)}
    # What the old generation had and the new one has not comes first: a changed file is like its predecessor.
    older = sorted((s for s in past.segments if s[1] in known), key=lambda segment: segment[1] in entries)
    for key, entry in entries.items():
        if key in known:
            continue
        fresh = _fresh_lines(entry, [old for kind, old in older if READ.get(kind) is READ[entry.kind]], load)
        if fresh is None:
            return None
        if len(fresh):
            delta.fresh[key] = fresh
    delta.full = delta.rules > FULL_LEAST and delta.rules * FULL_SHARE > catalog.signature_count
    return delta


def _fresh_lines(entry: Entry, older: Sequence[str], load: Load) -> basics.Lines | None:
    fresh = load(entry.key)
    for key in older:
        if fresh is None or (gone := load(key)) is None:
            return None
        fresh = fresh.without(gone)
    return fresh


# -- their text --------------------------------------------------------------------------------------------------------


def _collect_texts(deltas: Sequence[_Delta], catalog: Catalog, store: Store) -> bool:
    """Fill in the texts. False when a database file is no longer the one that was compiled: then there are no rows,
    and the next opening compiles it again."""
    entries = {entry.key: entry for entry in catalog.entries}
    missing = {entry.source: entry for entry in entries.values() if _takers(deltas, entry)}
    try:
        for source, text in read_texts(tuple(missing)):
            entry = missing.pop(source)
            form = READ[entry.kind]
            for delta in _takers(deltas, entry):  # each line is compared with its digest
                lines = basics.pick_lines(text, form.value.encode(), delta.fresh[entry.key])
                delta.texts.setdefault(form, []).append(lines)
    except (ValueError, DatabaseMissing, DatabaseDamaged):
        return False
    return not missing


def _takers(deltas: Sequence[_Delta], entry: Entry) -> list[_Delta]:
    """The deltas that need lines of this database file."""
    return [delta for delta in deltas if not delta.full and entry.key in delta.fresh]


# -- compiled ----------------------------------------------------------------------------------------------------------


def _compile(delta: _Delta, catalog: Catalog, store: Store) -> tuple[Row, tuple[int, int, list[bytes]]]:
    """The row of a catalog, and (targets, flags, hash sets) of the table's."""
    segments: list[tuple[str, int]] = []  # (key, literals)
    targets, sets, full = 0, [], delta.full
    for form, texts in delta.texts.items():
        text = b"".join(texts)
        source = Source(b"/delta." + SAMPLE[form].encode(), SAMPLE[form], Identity(0, 0, 0, 0))
        key = segment_key(source, text)
        tally, literals = ensure_segment(source, text, key, store)
        segments.append((key, literals))
        full |= tally.taken != text.count(b"\n")  # a line that is good in its file only: nothing is known then
        full |= MACRO.search(text) is not None or ICONS.search(text) is not None
        with mapped(store, "segments", f"{key}.bin") as part:
            if part is None:
                full = True
            elif form is Form.HASH:
                sets.append(match.hash_table(part))
            else:
                targets |= match.part_targets(part)
    generation = delta.past.generation
    if full:
        return Row(generation, (), delta.rules, full=True), (ALL_TARGETS, FLAG_FULL, [])
    groups = build_groups(plan_groups(segments), store)
    lists = [entry.key for entry in catalog.entries if segments and READ.get(entry.kind) in AS_EVER]
    parts = [store.part("segments", key) for key in [*lists, *(key for key, _ in segments)]]
    parts += [store.part("groups", key) for key in groups]
    return Row(generation, tuple(parts), delta.rules), (targets, 0, sets)


def _write_table(rows: Sequence[Row], tables: Sequence[tuple[int, int, list[bytes]]], store: Store) -> Part | None:
    if not rows:
        return None
    data = pack_table([(bytes.fromhex(row.generation), *table) for row, table in zip(rows, tables, strict=True)])
    key = hashlib.sha256(data).hexdigest()
    if store.read("deltas", f"{key}.bin") != data:
        store.write("deltas", f"{key}.bin", data)
    return store.part("deltas", key)


def pack_table(rows: Sequence[tuple[bytes, int, int, list[bytes]]]) -> bytes:
    """The table of ext/cache/delta.h over (generation, targets, flags, hash sets), sorted by generation."""
    at = HEAD.size + ROW.size * len(rows)
    heads, blobs = [], []
    for generation, targets, flags, sets in rows:
        places = [0] * 8
        for i, data in enumerate(sets):
            gap = -at % SET_ALIGNMENT
            places[2 * i : 2 * i + 2] = at + gap, len(data)
            blobs += [bytes(gap), data]
            at += gap + len(data)
        heads.append(ROW.pack(generation, targets, 0, flags, len(sets), 0, *places))
    return b"".join([HEAD.pack(MAGIC, VERSION, len(rows), at), *heads, *blobs])

"""The allow list beside an image file: its entries compiled in memory, because such a file is never changed."""

from __future__ import annotations

import os
from collections.abc import Sequence

from kavfs.ports import ImagePart
from kavfs.record import replace
from kavfs.signatures.catalog import Catalog, Entry, Part
from kavfs.signatures.segment import compile_segment, segment_key
from kavfs.signatures.sources import Source
from kavfs.signatures.store import write_all


def with_allowed(
    catalog: Catalog, parts: Sequence[ImagePart], sources: Sequence[Source]
) -> tuple[Catalog, tuple[ImagePart, ...]]:
    """*catalog* and *parts* with what the allow list says; each part in a file in memory of its own."""
    entries, more, opened = list(catalog.entries), list(catalog.parts), list(parts)
    for source in sources:
        key = segment_key(source, source.text)
        segment = compile_segment(source, source.text, key)
        if not segment.data:
            continue
        fd = os.memfd_create("kavfs-allow", os.MFD_CLOEXEC)
        opened.append(ImagePart(fd, 0, len(segment.data)))
        write_all(fd, segment.data, 0)
        more.append(Part(key, "segments", len(segment.data)))
        taken = segment.tally.taken
        entries.append(Entry(source.path, source.kind, source.identity, True, "", key, taken, segments=((key, 0),)))
    return replace(catalog, entries=tuple(entries), parts=tuple(more)), tuple(opened)

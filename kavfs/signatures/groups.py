"""Groups: which segments are matched together, and the Vectorscan databases over their literals, in a store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from kavfs._native import match
from kavfs.signatures.catalog import stamp
from kavfs.signatures.store import Store
from kavfs.signatures.stored import mapped, mapped_segments, segment_identity

OWN_GROUP = 60_000
"""Literals from which a segment has a group of its own: compiling it takes seconds, and its neighbours need none."""

GROUP_MAX = 80_000
"""Literals of the other segments in one group: one pass over the data serves them all, and each pass costs about as
much as the first, however few literals it looks for. That many compile in about 2 s on two processors."""


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


def group_is_whole(store: Store, members: Sequence[str]) -> bool:
    """Whether the group is there, whole, and over just the segments that are there now."""
    with mapped(store, "groups", f"{_group_key(members)}.bin") as data:
        if data is None or not match.part_is_whole(data) or match.part_kind(data) != "group":
            return False
        return match.group_members(data) == [segment_identity(store, member) for member in members]


def build_groups(plan: Sequence[Sequence[str]], store: Store) -> list[str]:
    """The keys of all groups, those built that are missing. The library compiles with several threads of its own."""
    for members in plan:
        if group_is_whole(store, members):
            continue
        with mapped_segments(store, members) as parts:
            group = match.build_group(parts, threads=len(os.sched_getaffinity(0)))
        store.write("groups", f"{_group_key(members)}.bin", group)
    return [_group_key(members) for members in plan]


def _group_key(members: Sequence[str]) -> str:
    return hashlib.sha256(f"kavfs group {stamp()} {' '.join(members)}".encode()).hexdigest()

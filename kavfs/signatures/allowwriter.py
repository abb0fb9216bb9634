"""Allow list written: one writer at a time, wholly on disk or not at all; apart from reading, which each start does."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator

from kavfs.errors import KavfsError, SystemFailure, UsageError
from kavfs.signatures.allow import FILE, Allowed, entries_from, read_allow, to_bytes, value_is_sound
from kavfs.signatures.sources import absolute_path
from kavfs.signatures.store import Store

LOCK = "allow.lock"
REASON_MAX = 500


def add(
    state: bytes, kind: str, value: str, *, size: int | None = None, reason: str, by: str, expires: float = 0.0
) -> Allowed:
    """Put an entry on the list and return it. UsageError when the value is none of its kind, or stands there already
    with the same end; an entry for the same with another end is replaced."""
    if not value_is_sound(kind, value):
        raise UsageError(f"'{value}' cannot be allowed as {kind}")
    if not reason.strip() or len(reason) > REASON_MAX:
        raise UsageError(f"a reason is needed, of at most {REASON_MAX} characters: whoever finds the entry asks why")
    with _changing(state) as entries:
        same = [entry for entry in entries if (entry.kind, entry.value, entry.size) == (kind, value, size)]
        if any(entry.expires == expires and entry.reason == reason for entry in same):
            raise UsageError(f"entry {same[0].number} allows the same")
        number = max((entry.number for entry in entries), default=0) + 1
        new = Allowed(number, kind, value, size, reason, time.time(), by, expires)
        entries[:] = [entry for entry in entries if entry not in same] + [new]
    return new


def remove(state: bytes, numbers: Collection[int]) -> list[Allowed]:
    """Take entries off the list and return them; UsageError when one is not there, and then none is taken off."""
    with _changing(state) as entries:
        missing = set(numbers) - {entry.number for entry in entries}
        if missing:
            raise UsageError(f"there is no entry {min(missing)}")
        gone = [entry for entry in entries if entry.number in numbers]
        entries[:] = [entry for entry in entries if entry.number not in numbers]
    return gone


@contextlib.contextmanager
def _changing(state: bytes) -> Iterator[list[Allowed]]:
    """The entries, to be changed in place; written when the block ends without an error."""
    store = Store(absolute_path(state))
    try:
        os.makedirs(store.folder, 0o755, exist_ok=True)
    except OSError as error:
        raise SystemFailure(f"the state folder {os.fsdecode(store.folder)} cannot be used: {error.strerror}") from None
    with store.locked(LOCK):
        entries = list(_read(store))
        before = list(entries)
        yield entries
        if entries != before:
            store.write("", os.fsdecode(FILE), to_bytes(entries))


def _read(store: Store) -> tuple[Allowed, ...]:
    """As read_allow, but a list that cannot be used is an error here: to write it anew would lose what stands there."""
    found = read_allow(store.folder)
    if found.notes:
        raise _Unusable(found.notes[0])
    data = store.read("", os.fsdecode(FILE))
    return entries_from(data) if data else ()


class _Unusable(KavfsError):
    """The list that is there must be mended or moved away first."""

"""Catalog: what an image says about itself: its database files, its parts, and what was taken from where.

Kept as JSON beside the parts (STATE/images/) or inside an image file, with a digest in front, so that a damaged one
is never believed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable

from kavfs._native import match
from kavfs.record import asdict, record
from kavfs.signatures.ignore import Muted
from kavfs.signatures.kinds import READ
from kavfs.signatures.lines import LEVEL, READERS, is_malformed
from kavfs.signatures.sources import STARTER, Identity, Source

ENGINE = 1
"""Goes up whenever the engine may answer differently with the same rules: then no remembered answer holds."""

LAYOUT = 5
"""Of the catalog itself."""


def stamp() -> str:
    """What compiled parts and their answers depend on besides the signatures: our build, readers and engine, library,
    CPU. Another stamp: compile again, and nothing that was known before holds."""
    return f"{LAYOUT}/{ENGINE}/{READERS}/{LEVEL}/{match.BUILD}/{match.hs_version()}/{match.cpu_stamp()}"


@record(frozen=True)
class Entry:
    """One database file of an image and what became of its lines."""

    path: bytes
    kind: str
    identity: Identity
    settled: bool  # the identity was old enough to be trusted when the file was read
    side: str  # digest that names the side file, where each rejected line stands
    key: str  # digest of the text and of how it is read; "" when nothing was taken from the file
    taken: int = 0  # signatures, exceptions or ignored names
    comments: int = 0
    segments: tuple[tuple[str, int], ...] = ()  # (name, literals that go into a group); three or two when patched
    reasons: tuple[tuple[str, int], ...] = ()  # why lines were not taken, most frequent first
    member: bytes = b""  # its name in the pack at that path; b"" for the pack itself too
    muted: tuple[Muted, ...] = ()  # lines that it silences by their digests

    @property
    def name(self) -> bytes:
        return self.member or os.path.basename(self.path)

    @property
    def source(self) -> Source:
        return Source(self.path, self.kind, self.identity, self.member)

    @property
    def place(self) -> bytes:
        """Where it is, to be shown."""
        return self.source.place

    @property
    def starter(self) -> bool:
        return os.path.dirname(self.path) == STARTER

    @property
    def patched(self) -> bool:
        """Compiled as a base, fresh lines where there are any, and the patch that ties them (patch.py)."""
        return len(self.segments) > 1

    @property
    def signatures(self) -> int:
        """What it can detect: 0 for exceptions and for kinds that are not read yet."""
        return self.taken if self.kind in READ and READ[self.kind].detects else 0

    @property
    def malformed(self) -> int:
        """Lines that no engine could read, as opposed to those for another one or for later."""
        return sum(n for why, n in self.reasons if is_malformed(why))


@record(frozen=True)
class Part:
    """One stretch of compiled bytes: a segment, a group over several, or the table of the deltas."""

    key: str
    kind: str  # "segments", "groups" or "deltas": also the folder where it is kept
    length: int  # bytes
    identity: Identity | None = None  # of its file; None inside an image file
    offset: int = 0  # bytes, inside an image file


@record(frozen=True)
class Row:
    """What is new since an older generation: ports.Delta, on disk."""

    generation: str  # the older one, in hexadecimal digits
    parts: tuple[Part, ...]  # () when nothing is new, or too much
    rules: int  # that are new
    full: bool = False  # objects are scanned in full


@record(frozen=True)
class Catalog:
    """Everything but the compiled bytes. Immutable: renewing makes another one."""

    stamp: str
    entries: tuple[Entry, ...]
    parts: tuple[Part, ...]
    deltas: tuple[Row, ...] = ()  # sorted by generation; none inside an image file
    table: Part | None = None  # what walkers need of them; its key is its SHA-256

    @property
    def every_part(self) -> tuple[Part, ...]:
        """Those of the image, of its deltas, and their table."""
        table = () if self.table is None else (self.table,)
        return (*self.parts, *(part for row in self.deltas for part in row.parts), *table)

    @property
    def generation(self) -> bytes:
        """16 bytes that change with every rule that counts, the engine, its formats and its library."""
        digest = hashlib.sha256(f"kavfs generation {self.stamp}".encode())
        for key in unique(entry.key for entry in self.entries):
            digest.update(b"\0" + key.encode())
        return digest.digest()[:16]

    @property
    def muted(self) -> frozenset[Muted]:
        """Lines of any database file that were left out when it was compiled."""
        return frozenset(line for entry in self.entries for line in entry.muted)

    @property
    def signature_count(self) -> int:
        return sum({entry.key: entry.signatures for entry in self.entries}.values())

    @property
    def demonstration(self) -> bool:
        return all(entry.starter for entry in self.entries if entry.signatures)

    @property
    def newest(self) -> float:
        """Seconds since 1970; the starter set counts only where nothing else is."""
        entries = [e for e in self.entries if e.signatures and (self.demonstration or not e.starter)]
        return max((e.identity.mtime_ns for e in entries), default=0) / 1e9

    def to_bytes(self) -> bytes:
        text = json.dumps(asdict(self), default=os.fsdecode, separators=(",", ":")).encode()
        return hashlib.sha256(text).hexdigest().encode() + b"\n" + text

    @classmethod
    def from_bytes(cls, data: bytes) -> Catalog | None:
        """None when the bytes are not what to_bytes() gave."""
        digest, _, text = data.partition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != digest:
            return None
        try:
            return _catalog(json.loads(text))
        except (ValueError, TypeError, KeyError):
            return None  # written by another version


def unique(keys: Iterable[str]) -> tuple[str, ...]:
    """The keys that are not empty, each once: the same file in two folders is one segment."""
    return tuple(dict.fromkeys(key for key in keys if key))


def _catalog(tree: dict) -> Catalog:  # type: ignore[type-arg]
    entries = tuple(
        Entry(
            **{
                **entry,
                "path": os.fsencode(entry["path"]),
                "member": os.fsencode(entry["member"]),
                "identity": Identity(**entry["identity"]),
                "segments": tuple((key, literals) for key, literals in entry["segments"]),
                "reasons": tuple((why, n) for why, n in entry["reasons"]),
                "muted": tuple((os.fsencode(name), digest) for name, digest in entry["muted"]),
            }
        )
        for entry in tree["entries"]
    )
    parts = tuple(_part(part) for part in tree["parts"])
    rows = tuple(Row(**{**row, "parts": tuple(_part(part) for part in row["parts"])}) for row in tree["deltas"])
    return Catalog(tree["stamp"], entries, parts, rows, _part(tree["table"]) if tree["table"] else None)


def _part(tree: dict) -> Part:  # type: ignore[type-arg]
    return Part(**{**tree, "identity": Identity(**tree["identity"]) if tree["identity"] else None})

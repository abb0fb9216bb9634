"""Building the parts of an image, and scanning with them (ext/match/segment.h, group.h and layer.h state the
contracts). A part is a value: bytes to be stored and mapped later. Functions that take a part take any buffer."""

from collections.abc import Generator, Iterable, Sequence
from typing import NamedTuple

from _typeshed import ReadableBuffer as Buffer

BUILD: str  # names the sources of the C parts: what another build compiled or concluded may not hold for this one
FORMAT_VERSION: int  # of parts; one of another version is foreign

def hs_version() -> str:
    """Vectorscan's version. Groups work with the one that made them only."""

def cpu_stamp() -> str:
    """What groups made on this machine carry: Vectorscan's version and the CPU's features."""

class PatternError(ValueError):
    """A hexadecimal pattern, its offset or its modifiers cannot be taken; str() is the reason."""

class SignatureError(ValueError):
    """A signature cannot be taken; str() is the reason."""

class ImageDamaged(Exception):
    """A part is not whole, or parts do not belong together."""

class ImageForeign(Exception):
    """A part was made by another version or for another CPU."""

FORMATS: tuple[str, ...]
"""The words for formats of layers; a format's number is its place."""

class Conditions(NamedTuple):
    """What must hold of a layer as a whole, and of those around it."""

    entry: tuple[int, int] | None = None  # offset of the entry point in the file, inclusive
    sections: tuple[int, int] | None = None  # how many sections
    outmost: bool = False  # no layer is around
    chain: tuple[frozenset[int], ...] | None = None  # formats of the layers around, the inmost first
    depth_min: int = 0  # with chain: so many layers are around
    icons: tuple[bytes, bytes] | None = None  # names of icon groups, b"*" for any
    handler: tuple[int, int] | None = None  # format and target type as which the layer is scanned again

class SegmentBuilder:
    """Builds the part of one database file of body or logical signatures.

    *digest*: 32 bytes that name the file's content. *official*: names are printed as they are, without .UNOFFICIAL.
    """

    def __init__(self, database: bytes, digest: bytes, official: bool = False) -> None: ...
    def pattern(self, hex: bytes, offset: bytes = b"*", modifiers: bytes = b"") -> int:
        """The number of a subsignature in ClamAV's notation; the same text gives the same number. Raises PatternError,
        MemoryError."""

    def probe(self, text: bytes, own: int) -> int:
        """The same for a subsignature that is no pattern: a regular expression, a byte comparison, a macro; own is its
        number in its signature."""

    def signature(
        self,
        name: bytes,
        line: int,
        target: int,
        patterns: Sequence[int],
        expression: bytes | None,
        min_size: int = 0,
        max_size: int = 0,
        conditions: Conditions | None = None,
    ) -> None:
        """*expression* is ClamAV's, over *patterns* by index; None for the one pattern. *max_size* 0: no limit. Raises
        SignatureError."""

    @property
    def signature_count(self) -> int: ...
    @property
    def pattern_count(self) -> int: ...
    def finish(self) -> bytes:
        """The part. The builder is not to be used afterwards. Raises MemoryError."""

class HashSegment(NamedTuple):
    """A part made of a hash database, and what became of its lines."""

    data: bytes
    accepted: int
    comments: int
    rejects: list[tuple[int, int]]  # (line, enum kav_hash_why), the first 100,000
    reject_count: int

def build_hash_segment(
    text: Buffer, level: int, *, form: str, database: bytes, digest: bytes, official: bool = False
) -> HashSegment:
    """A part of the text of a hash database. *form*: "hash" (.hdb .hsb), "exception" (.fp .sfp), "sections" (.mdb .msb)
    or "imports" (.imp). Raises MemoryError."""

def is_pattern(pattern: bytes) -> bool:
    """Whether the system's matcher takes this as a POSIX extended regular expression. Raises MemoryError."""

def build_listed(
    kind: str, rows: bytes, text: bytes, *, database: bytes, digest: bytes, official: bool = False
) -> bytes:
    """A part of rules that are gone through one by one: "metadata", "passwords", "types", "icons" or "trust", with rows
    as ext/match/format.h has them, which are checked when the image is opened. Raises MemoryError."""

def build_ignore(names: Iterable[bytes]) -> bytes:
    """A part that silences signatures, by name without .UNOFFICIAL. Raises MemoryError."""

def build_group(parts: Sequence[Buffer], *, threads: int = 2) -> bytes:
    """The databases over the literals of some segments, which must all be in the image with the group. Raises
    MemoryError with Vectorscan's words, ImageDamaged, ImageForeign."""

def part_is_whole(part: Buffer) -> bool:
    """Header, length, checksum and tables are right, and this version's."""

def resealed(part: Buffer) -> bytes:
    """The part with its checksum made right, whatever else is wrong with it: for tests of what a checksum hides."""

def part_kind(part: Buffer) -> str:
    """body, hash, sections, imports, metadata, passwords, types, icons, exception, ignore, group or patch. Raises
    ImageDamaged, ImageForeign, as all functions below."""

def part_database(part: Buffer) -> bytes:
    """The name of the database file; empty for groups and ignore lists."""

def part_identity(part: Buffer) -> tuple[bytes, int]:
    """(digest that the part was made with, checksum): equal for the same part only."""

def group_members(part: Buffer) -> list[tuple[bytes, int]]:
    """The identities of the segments that a group was built over."""

def part_names(part: Buffer, patch: Buffer | None = None) -> Generator[str]:
    """Names of the signatures as they are printed, in the order of their lines; the names in an ignore list. With the
    *patch* of a segment only those that are still there."""

def literal_count(part: Buffer) -> int:
    """Literals of a body segment: what it costs in a group."""

def part_targets(part: Buffer) -> int:
    """Of a body segment, or one of section or import hashes: the target types that its signatures are for."""

def hash_table(part: Buffer) -> bytes:
    """Of a hash segment: its table, as ext/hash/hashset.h takes it."""

class Hit(NamedTuple):
    """A signature that matched: name as it is printed, index of its database, line, offset (None for a digest)."""

    name: bytes
    database: int
    line: int
    offset: int | None

class Found(NamedTuple):
    """What one scan of a layer found; see kav_layer_found in layer.h."""

    format: str
    target: int
    size: int
    reasons: int
    error: int
    hits: list[Hit]
    suppressed: bool
    md5: bytes | None
    sha1: bytes | None
    sha256: bytes | None

    @property
    def names(self) -> list[bytes]: ...

class Image:
    """An image, mapped, with one session: for tests, benchmarks and tools. Parts are (fd, offset, length).

    *window*: bytes per window, 0 for the usual. Raises ImageDamaged, ImageForeign, OSError, MemoryError.
    """

    def __init__(self, parts: Sequence[tuple[int, int, int]], *, window: int = 0) -> None: ...
    def scan(
        self,
        origin: int | Buffer,
        *,
        all_match: bool = False,
        digests: int = 0,
        limit: int = 0,
        size: int | None = None,
        around: Sequence[str] = (),
    ) -> Found:
        """Scan one layer: bytes, or a descriptor's first *size* bytes. *around*: formats of the layers around it, the
        outmost first. Raises MemoryError."""

"""Sources, types, digests, hash sets and sets of lines of the C core (ext/source, ext/type, ext/hash and
ext/match/lines.h state the contracts)."""

from collections.abc import Sequence

from _typeshed import ReadableBuffer as Buffer

MD5: int
SHA1: int
SHA256: int
TYPE_HEAD: int  # bytes of a layer that detect looks at

def detect(head: Buffer, size: int | None = None) -> tuple[str, int]:
    """Format name and target type (kavfs.model.Target) of a layer of *size* bytes that begins with *head*."""

class Source:
    """A layer: bytes in memory, or *size* bytes of a descriptor from *base* on; the descriptor stays the caller's."""

    def __init__(self, origin: Buffer | int, *, base: int = 0, size: int | None = None) -> None: ...
    @property
    def size(self) -> int: ...
    def read(self, offset: int, length: int) -> bytes:
        """Fewer bytes at the end only. Raises OSError."""

    def next_data(self, offset: int) -> int: ...
    def next_hole(self, offset: int) -> int: ...

def digests(origin: Source | Buffer | int, kinds: int = ...) -> tuple[bytes | None, bytes | None, bytes | None]:
    """MD5, SHA-1 and SHA-256 of all bytes; None for what *kinds* does not name. Raises OSError, MemoryError."""

class Built:
    """What HashSet.build made: the table, and what became of every line."""

    table: bytes
    accepted: int
    comments: int  # lines that are empty or begin with '#'
    rejects: list[tuple[int, int]]  # (line, enum kav_hash_why), the first 100,000
    reject_count: int

class HashSet:
    """The hash signatures of one database file, looked up in a table that *build* made.

    Raises ValueError for a table that is damaged. The table must not change while the set lives.
    """

    def __init__(self, table: Buffer) -> None: ...
    @staticmethod
    def build(text: Buffer, level: int) -> Built:
        """Make a table of a .hdb, .hsb, .fp or .sfp file. *level* is the engine's functionality level, with which the
        range that a line may name is compared. Raises MemoryError."""

    def __len__(self) -> int: ...
    def kinds(self, size: int) -> int:
        """Which digests could match a layer of this size: a set of MD5, SHA1 and SHA256."""

    def find(
        self, size: int, *, md5: Buffer | None = None, sha1: Buffer | None = None, sha256: Buffer | None = None
    ) -> list[tuple[bytes, int]]:
        """(name, line) of the matching signatures, least line first, 64 at most."""

    def at(self, i: int) -> tuple[bytes, int]:
        """(name, line) of the i-th signature in line order. Raises IndexError."""

class Lines:
    """The lines of a segment as digests, sorted, each once. Holds the buffer, which must lie at a multiple of 8.

    Raises ValueError when they are damaged.
    """

    def __init__(self, data: Buffer) -> None: ...
    def __len__(self) -> int: ...
    @property
    def source(self) -> bytes:
        """The digest that the segment was made with."""

    def without(self, older: Lines) -> Lines:
        """Those that are not in *older*. Raises MemoryError."""

def build_lines(part: Buffer, text: Buffer, form: bytes) -> bytes:
    """What Lines() takes: the lines of *text* that were taken into *part*, read as *form*. Raises ValueError when the
    part was not made from the text, MemoryError."""

def pick_lines(text: Buffer, form: bytes, wanted: Lines) -> bytes:
    """The lines of *text* that are *wanted*, each with a newline, in their order. Raises ValueError when they were not
    made from the text, MemoryError."""

def split_patch(text: Buffer, form: bytes, base: Lines) -> tuple[bytes, bytes, int]:
    """(fresh text, table of where the lines of *base* stand now, how many are kept): see ext/match/patch.h. Raises
    MemoryError."""

def patched_lines(base: Lines, moved: bytes, fresh: Lines | None, source: bytes) -> bytes:
    """What build_lines gives for a segment named *source* that is made from all of the text. Raises MemoryError."""

def build_patch(parts: Sequence[Buffer], moved: bytes, digest: bytes) -> bytes:
    """A part of an image that ties a segment, and one of fresh lines where there are any, into one database file; it
    stands right behind them. *moved* is that of split_patch. Raises ValueError for a damaged part, MemoryError."""

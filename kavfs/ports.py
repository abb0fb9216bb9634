"""Promises between capabilities: what one may ask of another without importing it.

Implementations do not inherit from these; they are checked by the contract suites in tests/contract.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from kavfs.model import Result, Skip, Totals
from kavfs.record import field, record


class ImagePart(NamedTuple):
    """One file, or one stretch of a file, of an image. The descriptor stays open as long as its owner lives."""

    fd: int
    offset: int  # bytes, multiple of the page size
    length: int  # bytes


class Delta(NamedTuple):
    """What came new since an older generation, compiled: enough for an object that was clean and complete then."""

    generation: bytes  # 16 bytes: the older one
    parts: tuple[ImagePart, ...]  # an image of its own; () = objects are scanned in full, or nothing is new


@record(frozen=True)
class Stores:
    """What a scan may look up and remember. Made by kavfs.cache.stores; the descriptors are its owner's.

    The folder holds the files "files" (iChecker) and, where level 2 is kept, "objects".
    """

    folder: int  # descriptor of the folder, open for reading
    secret: bytes = field(repr=False)  # 32 bytes, the key of every checksum in the folder; never shown
    settings: tuple[bytes, ...]  # 16 bytes each: those of this scan, then others whose complete verdicts hold for it
    context: bytes  # 16 bytes: settings and outside facts that the object cache depends on, without the generation
    files: bool = True  # look up and remember whole files (iChecker)
    journal: str = ""  # name of this scan's journal in the folder; "" = none is kept
    size_limit: int = 2 << 30  # bytes of each of iChecker's files
    objects_memory: int = -1  # level 1: a memfd; -1 = no object cache
    objects_file: int = -1  # level 2: a file, or -1
    distrust_owners: bool = False  # remember only files to which nobody but root and the scanning user may write
    digests: bool = False  # compute and remember all digests of every object
    full: str = ""  # why the folder takes nothing more, where the administrator has been told already

    @property
    def objects_secret(self) -> bytes:
        """The key of the object cache alone: workers have it, and *secret* cannot be told from it."""
        return hashlib.blake2b(digest_size=32, key=self.secret, person=b"objects").digest()


class Image(Protocol):
    """Compiled signatures, ready to be mapped. Immutable; renewing makes another one."""

    @property
    def parts(self) -> Sequence[ImagePart]:
        """What kav_image_open takes, in this order."""
        ...

    @property
    def generation(self) -> bytes:
        """16 bytes that change with the effective rules, the engine or its libraries."""
        ...

    @property
    def deltas(self) -> Sequence[Delta]:
        """One for each older generation that is still known, in the order of the rows of delta_table."""
        ...

    @property
    def delta_table(self) -> bytes:
        """The table of ext/cache/delta.h; b"" where no older generation is known."""
        ...

    @property
    def signature_count(self) -> int: ...

    def recipes(self, name: str) -> Sequence[str]:
        """Lines (kavfs/recipe.py) that cure what the signature called *name* finds."""
        ...

    @property
    def newest(self) -> float:
        """Seconds since 1970: the modification time of the newest database file."""
        ...

    @property
    def kinds(self) -> Mapping[str, int]:
        """Signatures that detect something, by the kind of their database ("ndb", "hdb" ...)."""
        ...

    @property
    def demonstration(self) -> bool:
        """True when nothing but the starter set is in it."""
        ...

    def close(self) -> None: ...


class Report(Protocol):
    """Where results go. Called from one thread, in the order in which verdicts fall."""

    wants_clean: bool  # False: what is clean and complete is only counted; add(), known() and listed() need not see it

    def add(self, result: Result) -> None: ...

    def known(self, directory: bytes, names: bytes, sizes: bytes) -> None:
        """Files that are unchanged, clean, complete and plain: names with a NUL behind each, and their sizes in bytes
        as unsigned 64-bit numbers of this machine. The directory ends with a slash, or is empty. There may be
        thousands of them, in a run in which nothing else costs anything."""
        ...

    def listed(self, paths: bytes, results: Callable[[], Iterable[Result]]) -> None:
        """Files that are unchanged, clean and complete, mostly containers that hold no other. *paths*, in the order of
        lines: of an object without members with a NUL behind it; of one with members with two NULs, then those of the
        members, each with a NUL and below that of its object. *results* makes the same as results: it costs more than
        everything else of a run in which nothing has changed."""
        ...

    def skip(self, skip: Skip) -> None: ...

    def note(self, text: str) -> None:
        """Something the administrator should know that belongs to no path: a killed worker, a dead mount."""
        ...

    def finish(self, totals: Totals) -> None: ...


class Cured(NamedTuple):
    """What a curer made of a file."""

    changed: tuple[bytes, ...] = ()  # members that were taken out or cleaned, as Threat.member names them; b"" = itself
    why: str = ""  # not empty: it could not be cured, and nothing was written


class Curer(Protocol):
    """Makes a clean file of an infected one, in a process that has given up everything but its two descriptors."""

    def __call__(self, source: int, out: int, result: Result) -> Cured:
        """*source*: the file that was scanned, open for reading, at any offset. *out*: an empty file, open for reading
        and writing. Raises nothing that is the file's fault."""
        ...


class Rescan(Protocol):
    """Scans what is behind a descriptor with the same signatures and settings, without any cache."""

    def __call__(self, fd: int, name: bytes) -> Result: ...


class Scan(Protocol):
    """A running scan, as the library and the command line see it."""

    def __iter__(self) -> Iterator[Result]: ...

    @property
    def totals(self) -> Totals: ...

    def stop(self) -> None: ...

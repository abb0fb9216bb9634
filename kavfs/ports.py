"""Promises between capabilities: what one may ask of another without importing it.

Implementations do not inherit from these; they are checked by the contract suites in tests/contract.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from kavfs.model import Result, Skip, Totals


@dataclass(frozen=True)
class ImagePart:
    """One file, or one stretch of a file, of an image. The descriptor stays open as long as its owner lives."""

    fd: int
    offset: int  # bytes, multiple of the page size
    length: int  # bytes


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
    def signature_count(self) -> int: ...

    @property
    def newest(self) -> float:
        """Seconds since 1970: the modification time of the newest database file."""
        ...

    @property
    def demonstration(self) -> bool:
        """True when nothing but the starter set is in it."""
        ...

    def close(self) -> None: ...


class Report(Protocol):
    """Where results go. Called from one thread, in the order in which verdicts fall."""

    wants_clean: bool  # False: clean, complete, plain files are only counted, add() never sees them

    def add(self, result: Result) -> None: ...

    def skip(self, skip: Skip) -> None: ...

    def note(self, text: str) -> None:
        """Something the administrator should know that belongs to no path: a killed worker, a dead mount."""
        ...

    def finish(self, totals: Totals) -> None: ...


class Scan(Protocol):
    """A running scan, as the library and the command line see it."""

    def __iter__(self) -> Iterator[Result]: ...

    @property
    def totals(self) -> Totals: ...

    def stop(self) -> None: ...

"""Kept: the first of many things that a report can name, of which what was found comes before all else: a thousand
files that nobody could read must not hide the one that is infected."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """No more than *most* things; the rest is counted."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._found: list[T] = []
        self._others: list[T] = []

    def add(self, thing: T, *, found: bool) -> None:
        self._count += 1
        into = self._found if found else self._others
        if len(into) < self._most:
            into.append(thing)

    @property
    def things(self) -> list[T]:
        """What was found, and then the others, each in their order."""
        return (self._found + self._others)[: self._most]

    @property
    def left_out(self) -> int:
        return self._count - len(self.things)

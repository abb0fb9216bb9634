"""Deadlines: which request is over time, and when the next one will be."""

from __future__ import annotations

import heapq

SLACK = 1024  # entries of answered requests that may lie about


class Deadlines:
    """Of requests by ticket, in seconds of time.monotonic(). Most are answered long before."""

    def __init__(self) -> None:
        self._at: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def add(self, ticket: int, at: float) -> None:
        self._at[ticket] = at
        heapq.heappush(self._heap, (at, ticket))
        if len(self._heap) > 2 * len(self._at) + SLACK:
            self._heap = [(when, number) for number, when in self._at.items()]
            heapq.heapify(self._heap)

    def drop(self, ticket: int) -> None:
        """It has been answered. One without a deadline is no error."""
        self._at.pop(ticket, None)

    def next(self) -> float | None:
        """When the next one is over time."""
        while self._heap and self._heap[0][1] not in self._at:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[int]:
        """Those that are over time; they are dropped."""
        late = []
        while (at := self.next()) is not None and at <= now:
            _, ticket = heapq.heappop(self._heap)
            del self._at[ticket]
            late.append(ticket)
        return late

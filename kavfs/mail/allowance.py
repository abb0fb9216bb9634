"""Allowance: how many notices may go, in all and to one address; and which were sent before.

A message that the next hop puts off comes again and again for days: who was told of it once is not told again.
"""

from __future__ import annotations

from collections import OrderedDict

HOUR = 3600.0
KNOWN = 10_000  # addresses, and notices, that are remembered
TOLD_FOR = 2 * 86400.0  # seconds
TOLD = "told before"


class Bucket:
    """So many tokens an hour; what was not used comes up to one hour's worth. 0: as many as one likes."""

    def __init__(self, per_hour: int, now: float) -> None:
        self._most = per_hour
        self._there = float(per_hour)
        self._since = now

    def change(self, per_hour: int) -> None:
        self._there = max(0.0, self._there + per_hour - self._most)
        self._most = per_hour

    def holds(self, now: float) -> bool:
        """Whether there is one."""
        self._there = min(self._most, self._there + max(0.0, now - self._since) * self._most / HOUR)
        self._since = now
        return self._there >= 1.0 or not self._most

    def take(self) -> None:
        self._there -= 1.0


class Allowance:
    """*per_hour* of one kind, *per_address* to one address, but for those kinds that have only one. Times are seconds
    of any clock that does not go back."""

    def __init__(self, per_hour: int, per_address: int = 20) -> None:
        self._per_hour = per_hour
        self._per_address = per_address
        self._kinds: dict[str, Bucket] = {}
        self._addresses: OrderedDict[bytes, Bucket] = OrderedDict()
        self._told: OrderedDict[bytes, float] = OrderedDict()

    def change(self, per_hour: int) -> None:
        """From now on so many of one kind. What was used of an hour stays used."""
        if per_hour != self._per_hour:
            self._per_hour = per_hour
            for bucket in self._kinds.values():
                bucket.change(per_hour)

    def refused(self, kind: str, address: bytes, news: bytes, now: float) -> str:
        """Why a notice must not go; empty: it may, and is counted. *news*: its digest; *address* b"": any number."""
        told = self._told.get(news)
        if told is not None and now - told < TOLD_FOR:
            return TOLD
        whole = self._kinds.setdefault(kind, Bucket(self._per_hour, now))
        one = self._bucket(address.lower(), now) if address else None
        if one is not None and not one.holds(now):
            return "too many to one address"
        if not whole.holds(now):
            return "too many"
        for bucket in (one, whole):
            if bucket is not None:
                bucket.take()
        self._told[news] = now
        self._told.move_to_end(news)
        if len(self._told) > KNOWN:
            self._told.popitem(last=False)
        return ""

    def forget(self, news: bytes) -> None:
        """It was not sent after all."""
        self._told.pop(news, None)

    def _bucket(self, address: bytes, now: float) -> Bucket:
        bucket = self._addresses.get(address)
        if bucket is None:
            bucket = self._addresses[address] = Bucket(self._per_address, now)
            if len(self._addresses) > KNOWN:
                self._addresses.popitem(last=False)
        self._addresses.move_to_end(address)
        return bucket

"""Marks: how a notice of ours is known again when it comes back, by itself, in a bounce, or in somebody else's notice.

    X-Kavfs-Notice: <when, hexadecimal>-<HMAC of when and the address that it went to>

It is made with a key, so that nobody can put it into a message to keep its finding quiet; and it is for one address, so
that who got one cannot silence another's. A notice carries the marks of the message that it speaks of as well: two
scanners that tell one address of each other's notices come to an end.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

from kavfs.action.cure.pieces import Source

NAME = "X-Kavfs-Notice"
SEARCHED = 1 << 20  # bytes of a message that are looked through
CARRIED = 16
LOOKED_AT = 256

_MARK = re.compile(rb"X-Kavfs-Notice: ([0-9a-f]{12}-[0-9a-f]{32})(?![0-9a-f])")


class Marks:
    """*key*: bytes that only this installation has; the same for all its processes."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.sha256(b"notices of kavfs\0" + key).digest()

    def make(self, address: bytes, now: float) -> bytes:
        when = b"%012x" % int(now)
        return when + b"-" + self._proof(when, address)

    def ours(self, marks: Sequence[bytes], address: bytes) -> bool:
        """Whether one of them went to this address, whoever wrote it in which letters."""
        return any(hmac.compare_digest(mark[13:], self._proof(mark[:12], address)) for mark in marks)

    def _proof(self, when: bytes, address: bytes) -> bytes:
        return hmac.digest(self._key, when + b"\0" + address.lower(), "sha256").hex()[:32].encode("ascii")


def found(source: Source) -> list[bytes]:
    """The marks in a message, wherever they stand, genuine or not."""
    marks = dict.fromkeys(match[1] for match in _MARK.finditer(source.upto(0, SEARCHED)))
    return list(marks)[:LOOKED_AT]

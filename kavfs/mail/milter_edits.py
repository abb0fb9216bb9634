"""Edits: what makes one message of another, as a milter can ask for it: fields of the header by name and number, and
a new body.

Fields of one name keep their order, which is what signatures are made over; between fields of different names it may
change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import NamedTuple

from kavfs.mail.envelope import Content
from kavfs.mail.fields import HEADER_MAX

READ_MAX = 2 * HEADER_MAX  # bytes of a header: as many as came, and what was put into it
_END = re.compile(rb"(?:\A|(?<=\r\n))\r\n")
_FIELD_START = re.compile(rb"\r\n(?![ \t])")

Value = bytes | None  # what stands behind the colon, its lines ended by CRLF, the last one not; None: no field
Fields = list[tuple[bytes, bytes]]  # name and value


class Edits(NamedTuple):
    """In the order in which they are to be made. *changed*: the n-th field of that name, from 1, the last ones first:
    to some servers a field that is gone counts no more. *inserted*: each above all others. *body*: where in the new
    message its body begins; None: it stays."""

    changed: tuple[tuple[bytes, int, Value], ...] = ()
    added: tuple[tuple[bytes, bytes], ...] = ()
    inserted: tuple[tuple[bytes, bytes], ...] = ()
    body: int | None = None


class NoEdits(Exception):
    """The difference cannot be said."""


def edits(before: Content, after: Content) -> Edits:
    """What makes *after* of *before*. Raises NoEdits, OSError."""
    if before is after:
        return Edits()
    old, old_body = header_of(before)
    new, new_body = header_of(after)
    body = None if _same(before, old_body, after, new_body) else new_body
    return _of_header(old, new)._replace(body=body)


def altered(before: Content, after: Content) -> bool:
    """Is more than the header different? Raises NoEdits, OSError."""
    return before is not after and not _same(before, header_of(before)[1], after, header_of(after)[1])


def header_of(message: Content) -> tuple[Fields, int]:
    """The fields, and where the body begins. Raises NoEdits, OSError."""
    data, end = b"", None
    for chunk in message.chunks():
        data += chunk
        end = _END.search(data, 0, READ_MAX)
        if end is not None or len(data) > READ_MAX:
            break
    if end is None or b"\0" in data[: end.start()]:
        raise NoEdits("a header does not end, or nothing can hold it")
    fields: Fields = []
    for raw in _FIELD_START.split(data[: max(0, end.start() - 2)]) if end.start() else ():
        name, colon, value = raw.partition(b":")
        if not colon or not name or name[:1] in b" \t":
            raise NoEdits("a header has a line that is no field")
        fields.append((name, value))
    return fields, end.end()


def rest_of(message: Content, start: int) -> Iterator[bytes]:
    """What comes from there on. Raises OSError."""
    at = 0
    for chunk in message.chunks():
        at += len(chunk)
        if at > start:
            yield chunk[max(0, len(chunk) - (at - start)) :]


def _same(one: Content, at: int, other: Content, there: int) -> bool:
    """Are they the same from here on?"""
    if one.size - at != other.size - there:
        return False
    pieces, held = rest_of(other, there), b""
    for data in rest_of(one, at):
        while len(held) < len(data) and (more := next(pieces, b"")):
            held += more
        if not held.startswith(data):
            return False
        held = held[len(data) :]
    return True


def _of_header(old: Fields, new: Fields) -> Edits:
    kept = set(old)
    top = len(list(takewhile(lambda one: one not in kept, new)))  # fields that stand above all that were there
    before, after = _by_name(old), _by_name(new)
    changed: list[tuple[bytes, int, Value]] = []
    added: Fields = []
    places: list[int] = []  # of those that are inserted
    for name in after | before:
        wanted = after.get(name, [])
        changes, first, last = _of_name(
            [old[place] for place in before.get(name, ())], [new[place] for place in wanted], wanted[:1] < [top]
        )
        changed += changes
        places += wanted[:first]
        added += last
    changed.sort(key=lambda one: (one[0].lower(), -one[1]))
    return Edits(tuple(changed), tuple(added), tuple(new[place] for place in sorted(places, reverse=True)))


def _by_name(fields: Fields) -> dict[bytes, list[int]]:
    """Places of the fields of each name."""
    found: dict[bytes, list[int]] = {}
    for place, (name, _) in enumerate(fields):
        found.setdefault(name.lower(), []).append(place)
    return found


def _of_name(old: Fields, new: Fields, above: bool) -> tuple[list[tuple[bytes, int, Value]], int, Fields]:
    """Changes, how many of the first are to be inserted at the top, and fields to add at the end, for fields of one
    name. *above*: the first of them stands above all that were there."""
    start = _alike(old, new)
    rest_old, rest_new = old[start:], new[start:]
    more = len(rest_new) - len(rest_old)
    end = 0 if more > 0 and start else _alike(rest_old[::-1], rest_new[::-1])
    rest_old, rest_new = rest_old[: len(rest_old) - end], rest_new[: len(rest_new) - end]
    first, last = 0, Fields()
    if more > 0 and not start and (old or above):
        first, rest_new = more, rest_new[more:]
    elif more > 0:
        last, rest_new = rest_new[len(rest_new) - more :], rest_new[: len(rest_new) - more]
    changes: list[tuple[bytes, int, Value]] = []
    for place, (name, value) in enumerate(rest_old):
        other = rest_new[place] if place < len(rest_new) else None
        if other is None:
            changes.append((name, start + place + 1, None))
        elif other[1] != value:
            changes.append((name, start + place + 1, other[1]))
    return changes, first, last


def _alike(one: Fields, other: Fields) -> int:
    """How many are the same from the beginning. How a name is written does not matter."""
    return len(list(takewhile(lambda pair: pair[0][1] == pair[1][1], zip(one, other, strict=False))))

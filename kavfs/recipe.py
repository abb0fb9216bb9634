"""Recipe: how the bytes that one kind of malware has put into a file are taken out again. A line of a .cure database:

    line    = signature ":" step *(";" step) ":" result
    result  = SHA-256 of the cured file, 64 hexadecimal digits, or "*" where files differ

    step    = "delete:" place "-" place ["=" removed]     the bytes from the first place to just before the second
            | "keep:" place ["=" removed]                 the bytes before the place; what follows goes
            | "truncate:" count ["=" removed]             so many bytes go at the end of the file
            | "replace:" hex "=" [hex]                    the first bytes, found once in the file, by the others
    removed = SHA-256 of the bytes that the step takes out

    place   = count                                       bytes from the beginning of the file
            | base [("+" | "-") count]
    base    = "begin" | "end" | "hit"                     of the file; where the signature was found
            | "before(" hex ")" | "after(" hex ")"        of a marker that is found once in the file

A cure is never a guess. With "*" each step that deletes must say what it removes, by digest; otherwise the digest of
the result decides. All places are those of the file as it was found, steps touch no byte twice, and markers and
replaced bytes have at least four bytes. Several lines may have one signature: the first that fits is taken.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

MARKER_MIN, MARKER_MAX = 4, 4096  # bytes
STEPS_MAX = 32
COUNT_MAX = 1 << 40

_PLACE = r"(?:\d+|(?:begin|end|hit|before\([0-9a-fA-F]+\)|after\([0-9a-fA-F]+\))(?:[+-]\d+)?)"
_DIGEST = r"(?:=(?P<removed>[0-9a-fA-F]{64}))?"
_STEPS = {
    "delete": re.compile(rf"(?P<start>{_PLACE})-(?P<stop>{_PLACE}){_DIGEST}", re.ASCII),
    "keep": re.compile(rf"(?P<start>{_PLACE}){_DIGEST}", re.ASCII),
    "truncate": re.compile(rf"(?P<count>\d+){_DIGEST}", re.ASCII),
    "replace": re.compile(r"(?P<old>[0-9a-fA-F]+)=(?P<new>[0-9a-fA-F]*)", re.ASCII),
}
_BASE = re.compile(r"(?P<base>[a-z]+)(?:\((?P<marker>[0-9a-fA-F]+)\))?(?P<shift>[+-]\d+)?", re.ASCII)
_RESULT = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


class BadRecipe(Exception):
    """str() says what is wrong, in one of few ways."""


class DoesNotFit(Exception):
    """The file is not as the recipe says."""


class Place(NamedTuple):
    base: str  # "begin", "end", "hit", "before" or "after"
    marker: bytes = b""
    shift: int = 0  # bytes

    def find(self, data: bytes, hit: int | None) -> int:
        if self.marker:
            at = found_once(data, self.marker) + (len(self.marker) if self.base == "after" else 0)
        elif self.base == "hit":
            if hit is None:
                raise DoesNotFit
            at = hit
        else:
            at = len(data) if self.base == "end" else 0
        at += self.shift
        if not 0 <= at <= len(data):
            raise DoesNotFit
        return at


class Edit(NamedTuple):
    """Bytes of the file, and what stands in their place."""

    start: int
    stop: int
    new: bytes = b""


class Step(NamedTuple):
    start: Place = Place("begin")
    stop: Place = Place("end")
    removed: str = ""  # digest of what goes; "" = the result tells
    old: bytes = b""  # not empty: this is replaced, wherever it is
    new: bytes = b""

    def edit(self, data: bytes, hit: int | None) -> Edit:
        """What it does to a file; raises DoesNotFit."""
        if self.old:
            at = found_once(data, self.old)
            return Edit(at, at + len(self.old), self.new)
        start, stop = self.start.find(data, hit), self.stop.find(data, hit)
        if start >= stop or (self.removed and hashlib.sha256(data[start:stop]).hexdigest() != self.removed):
            raise DoesNotFit
        return Edit(start, stop)


class Recipe(NamedTuple):
    signature: str  # without .UNOFFICIAL
    steps: tuple[Step, ...]
    result: str  # digest; "" = it differs

    def edits(self, data: bytes, hit: int | None) -> tuple[Edit, ...]:
        """What it does to a file, in the order of places; raises DoesNotFit."""
        edits = tuple(sorted(step.edit(data, hit) for step in self.steps))
        if self.result and hashlib.sha256(edited(data, edits)).hexdigest() != self.result:
            raise DoesNotFit
        return edits


def found_once(data: bytes, marker: bytes) -> int:
    at = data.find(marker)
    if at < 0 or data.find(marker, at + 1) >= 0:
        raise DoesNotFit
    return at


def edited(data: bytes, edits: Sequence[Edit]) -> bytes:
    """The file with all edits done; DoesNotFit where two touch one byte."""
    out, at = [], 0
    for edit in sorted(edits):
        if edit.start < at:
            raise DoesNotFit
        out += [data[at : edit.start], edit.new]
        at = edit.stop
    return b"".join([*out, data[at:]])


def parse(line: str) -> Recipe:
    """A line of a .cure database; raises BadRecipe."""
    signature, colon, rest = line.partition(":")
    steps, last, result = rest.rpartition(":")
    if not colon or not last:
        raise BadRecipe("wrong number of fields")
    if not signature or not signature.isprintable() or " " in signature:
        raise BadRecipe("malformed name")
    if result != "*" and not _RESULT.fullmatch(result):
        raise BadRecipe("malformed digest of the result")
    known = result != "*"
    texts = steps.split(";")
    if len(texts) > STEPS_MAX:
        raise BadRecipe("too many steps")
    parsed = tuple(_step(text, known) for text in texts)
    return Recipe(signature, parsed, result.lower() if known else "")


def _step(text: str, known: bool) -> Step:
    verb, _, rest = text.partition(":")
    form = _STEPS.get(verb)
    if form is None:
        raise BadRecipe("unknown step")
    fields = form.fullmatch(rest)
    if fields is None:
        raise BadRecipe(f"malformed step: {verb}")
    if verb == "replace":
        step = Step(old=_marker(fields["old"]), new=_hex(fields["new"]))
        if step.old == step.new:
            raise BadRecipe("a step that changes nothing")
        return step
    removed = (fields["removed"] or "").lower()
    if not removed and not known:
        raise BadRecipe("nothing says what is removed")
    if verb == "truncate":
        return Step(start=Place("end", shift=-_count(fields["count"])), removed=removed)
    stop = _place(fields["stop"]) if verb == "delete" else Place("end")
    return Step(_place(fields["start"]), stop, removed)


def _place(text: str) -> Place:
    if text.isdigit():
        return Place("begin", shift=_count(text))
    fields = _BASE.fullmatch(text)
    if fields is None:
        raise BadRecipe("malformed place")
    shift = fields["shift"] or "+0"
    marker = _marker(fields["marker"]) if fields["marker"] else b""
    return Place(fields["base"], marker, _count(shift[1:]) * (-1 if shift[0] == "-" else 1))


def _count(digits: str) -> int:
    if len(digits) > 13 or int(digits) > COUNT_MAX:
        raise BadRecipe("a number that is too large")
    return int(digits)


def _hex(text: str) -> bytes:
    if len(text) % 2 or len(text) > 2 * MARKER_MAX:
        raise BadRecipe("malformed hex")
    return bytes.fromhex(text)


def _marker(text: str) -> bytes:
    marker = _hex(text)
    if len(marker) < MARKER_MIN:
        raise BadRecipe("a marker that is too short")
    return marker

"""Reader of logical signatures: ``Name;Attributes;Expression;Sub0[;Sub1...]``, one on each line.

A subsignature is ``[Offset:]Hex[::Modifiers]``. A signature with one part that is not supported yet is rejected as a
whole: its expression could not be decided.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from kavfs.signatures.lines import (
    LATER,
    Builder,
    Rejected,
    Tally,
    check_level,
    check_offset,
    number,
    read_lines,
    split_outside_regex,
    target_type,
)

ATTRIBUTES_LATER = frozenset(
    {b"Container", b"EntryPoint", b"HandlerType", b"IconGroup1", b"IconGroup2", b"Intermediates", b"NumberOfSections"}
)


@dataclass(frozen=True, slots=True)
class Attributes:
    """The second field of a line: which objects the signature is for."""

    target: int
    min_size: int = 0  # bytes of the layer
    max_size: int = 0  # 0 = any


@functools.lru_cache(maxsize=4096)  # few different ones occur, each thousands of times
def read_attributes(text: bytes) -> Attributes:
    words: dict[bytes, bytes] = {}
    for item in text.split(b","):
        key, colon, value = item.partition(b":")
        if not colon or not value:
            raise Rejected("malformed attributes")
        words[key] = value
    if b"Engine" in words:
        check_level(*_range(words.pop(b"Engine")))
    target = words.pop(b"Target", None)
    least, most = _range(words.pop(b"FileSize", b"0-0"))
    sizes = number(least, "file size"), number(most, "file size")
    for key in sorted(words):
        raise Rejected(f"{LATER}{key.decode()}" if key in ATTRIBUTES_LATER else "unknown attribute")
    if target is None:
        raise Rejected("no target type")
    return Attributes(target_type(target), *sizes)


def _range(text: bytes) -> tuple[bytes, bytes]:
    least, dash, most = text.partition(b"-")
    if not dash or not least or not most:
        raise Rejected("malformed range in attributes")
    return least, most


def read_ldb(text: bytes, builder: Builder, tally: Tally) -> None:
    """Give every signature in *text* to *builder*."""

    def take(line: bytes, row: int) -> None:
        name, *fields = split_outside_regex(line, b";", 2)
        if len(fields) < 3:
            raise Rejected("wrong number of fields")
        if not name:
            raise Rejected("no name")
        attributes = read_attributes(fields[0])
        # All parts are looked at before the first is given away: the builder keeps what it has once taken.
        parts = [part if _is_probe(part) else _split(part) for part in fields[2:]]
        patterns = [
            builder.probe(part, own) if isinstance(part, bytes) else builder.pattern(*part)
            for own, part in enumerate(parts)
        ]
        builder.signature(name, row, attributes.target, patterns, fields[1], attributes.min_size, attributes.max_size)

    read_lines(text, take, tally)


def _is_probe(part: bytes) -> bool:
    """Macros, regular expressions and byte comparisons, told apart from patterns as ClamAV does."""
    return part.startswith(b"$") or b"/" in part or (b"(" in part and part.count(b"#") > 1)


IMAGE_HASH = re.compile(rb"fuzzy_img#[0-9A-Fa-f]{16}(#0*)?")
"""The hash of 64 bits, and how many of them may differ; ClamAV takes only 0."""


def _check_image_hash(part: bytes) -> None:
    if not IMAGE_HASH.fullmatch(part):
        raise Rejected("malformed fuzzy image hash")
    raise Rejected(f"{LATER}fuzzy image hash")


def _split(part: bytes) -> tuple[bytes, bytes, bytes]:
    """(hex, offset, modifiers) of a subsignature."""
    if b":" not in part and not (b"/" in part or b"#" in part or b"$" in part):
        return part, b"*", b""
    if part.startswith(b"fuzzy_img#"):
        _check_image_hash(part)
    body, _, modifiers = part.partition(b"::")
    offset, colon, pattern = body.rpartition(b":")
    if not colon:
        return body, b"*", modifiers
    check_offset(offset)
    return pattern, offset, modifiers

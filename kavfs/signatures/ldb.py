"""Reader of logical signatures: ``Name;Attributes;Expression;Sub0[;Sub1...]``, one on each line.

A subsignature is ``[Offset:]Hex[::Modifiers]``. A signature with one part that is not supported yet is rejected as a
whole: its expression could not be decided.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from kavfs._native.match import Conditions
from kavfs.signatures.filetypes import ANY, formats_of, handler_of
from kavfs.signatures.lines import (
    Builder,
    Rejected,
    Tally,
    check_level,
    number,
    read_lines,
    split_outside_regex,
    target_type,
)

NEW_LEVEL = 51
"""A line with any attribute but Engine and Target must ask for this level at least."""

EXECUTABLES = frozenset({1, 6, 9})
"""Targets that have an entry point and sections."""

SIZE_OF_NONE = 2**64 - 1
"""No layer has this size."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """The second field of a line: which objects the signature is for."""

    target: int
    min_size: int = 0  # bytes of the layer
    max_size: int = 0  # 0 = any
    conditions: Conditions | None = None


@functools.lru_cache(maxsize=4096)  # few different ones occur, each thousands of times
def read_attributes(text: bytes) -> Attributes:
    words = _split_attributes(text)
    conditions = Conditions(
        _range(words["EntryPoint"]) if "EntryPoint" in words else None,
        _range(words["NumberOfSections"]) if "NumberOfSections" in words else None,
        *_around(words),
        _icons(words),
        handler_of(words["HandlerType"]) if "HandlerType" in words else None,
    )
    sizes = _range(words["FileSize"]) if "FileSize" in words else (0, 0)
    if "FileSize" in words and sizes[1] == 0:
        sizes = SIZE_OF_NONE, SIZE_OF_NONE
    engine = _range(words["Engine"]) if "Engine" in words else None
    if engine is not None:
        check_level(engine[0], engine[1])
    if "Target" not in words:
        raise Rejected("no target type")
    if words.keys() - {"Engine", "Target"} and (engine is None or engine[0] < NEW_LEVEL):
        raise Rejected("attributes that need a higher engine level")
    target = target_type(words["Target"].encode())
    if conditions.icons is not None and target != 1:
        raise Rejected("icons of what is no PE file")
    if (conditions.entry or conditions.sections) and target not in EXECUTABLES:
        raise Rejected("entry point or sections of what is no executable")
    return Attributes(target, *sizes, None if conditions == Conditions() else conditions)


KNOWN = frozenset({
    "Target", "Engine", "FileSize", "EntryPoint", "NumberOfSections", "IconGroup1", "IconGroup2", "Container",
    "HandlerType", "Intermediates",
})  # fmt: skip


def _split_attributes(text: bytes) -> dict[str, str]:
    words: dict[str, str] = {}
    for item in text.split(b","):
        key, colon, value = item.decode("latin-1").partition(":")
        if not colon:
            raise Rejected("malformed attributes")
        if key not in KNOWN:
            raise Rejected("unknown attribute")
        if key == "Engine" and words:
            raise Rejected("Engine is not the first attribute")
        words[key] = value
    return words


def _range(text: str) -> tuple[int, int]:
    least, dash, most = text.encode("latin-1").partition(b"-")
    if not dash:
        raise Rejected("malformed range in attributes")
    return number(least, "range in attributes"), number(most, "range in attributes")


def _around(words: dict[str, str]) -> tuple[bool, tuple[frozenset[int], ...] | None, int]:
    """(outmost, chain, depth_min) of Conditions.

    ``Container:CL_TYPE_ANY`` holds where there is no container at all. ``CL_TYPE_ANY`` in a chain of intermediates,
    whose last one is the nearest, stands for nothing, but a layer more must be around. Both as ClamAV has it.
    """
    container, intermediates = words.get("Container"), words.get("Intermediates")
    types = intermediates.split(">") if intermediates is not None else []
    chain = [formats_of(name) for name in reversed(types) if name != ANY]
    outmost = container == ANY
    if container is not None and not outmost:
        near = formats_of(container)
        chain[:1] = [chain[0] & near if chain else near]
    if container is None and intermediates is None:
        return False, None, 0
    return outmost, tuple(chain), len(types)


def _icons(words: dict[str, str]) -> tuple[bytes, bytes] | None:
    if "IconGroup1" not in words and "IconGroup2" not in words:
        return None
    return words.get("IconGroup1", "*").encode("latin-1"), words.get("IconGroup2", "*").encode("latin-1")


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
        sizes = attributes.min_size, attributes.max_size
        builder.signature(name, row, attributes.target, patterns, fields[1], *sizes, attributes.conditions)

    read_lines(text, take, tally)


def _is_probe(part: bytes) -> bool:
    """Macros, pictures, regular expressions and byte comparisons, told apart from patterns as ClamAV does."""
    return part.startswith((b"$", b"fuzzy_img#")) or b"/" in part or (b"(" in part and part.count(b"#") > 1)


def _split(part: bytes) -> tuple[bytes, bytes, bytes]:
    """(hex, offset, modifiers) of a subsignature."""
    if b":" not in part and not (b"/" in part or b"#" in part or b"$" in part):
        return part, b"*", b""
    # Of more than four fields ClamAV takes the first and forgets the rest.
    fields = part.split(b":")[:5]
    match len(fields):
        case 2:
            return fields[1], fields[0], b""
        case 3:
            return fields[0], b"*", fields[2]
        case 4:
            return fields[1], fields[0], fields[3]
        case _:
            return fields[0], b"*", b""

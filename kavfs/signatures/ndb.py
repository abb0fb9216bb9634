"""Readers of body signatures, one on each line: ``Name:Target:Offset:Hex[:MinLevel[:MaxLevel]]``, and ``Name=Hex`` of
the oldest form (.db)."""

from __future__ import annotations

from kavfs.signatures.lines import (
    SWITCHED_OFF,
    Builder,
    Rejected,
    Tally,
    check_level,
    number,
    read_lines,
    target_type,
)


def read_ndb(text: bytes, builder: Builder, tally: Tally) -> None:
    """Give every signature in *text* to *builder*."""

    def take(line: bytes, row: int) -> None:
        fields = line.split(b":")
        if not 4 <= len(fields) <= 6:
            raise Rejected("wrong number of fields")
        name, target, offset, pattern, *levels = fields
        if not name:
            raise Rejected("no name")
        check_level(*[number(level, "engine level") for level in levels])
        kind = 0 if target == b"*" else target_type(target)
        builder.signature(name, row, kind, [builder.pattern(pattern, offset, b"")], None, 0, 0)

    read_lines(text, take, tally)


def read_db(text: bytes, builder: Builder, tally: Tally) -> None:
    """read_ndb for the oldest form: anywhere in any object. With two equal signs a line is switched off."""

    def take(line: bytes, row: int) -> None:
        name, sign, pattern = line.partition(b"=")
        if pattern.startswith(b"="):
            raise Rejected(SWITCHED_OFF)
        if not sign:
            raise Rejected("wrong number of fields")
        if not name:
            raise Rejected("no name")
        builder.signature(name, row, 0, [builder.pattern(pattern, b"*", b"")], None, 0, 0)

    read_lines(text, take, tally)

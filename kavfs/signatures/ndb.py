"""Reader of body signatures: ``Name:Target:Offset:Hex[:MinLevel[:MaxLevel]]``, one on each line."""

from __future__ import annotations

from kavfs.signatures.lines import Builder, Rejected, Tally, check_level, number, read_lines, target_type


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

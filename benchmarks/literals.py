"""Literals: the choice that the floor makes from .ldb and .ndb files, one literal for each body pattern.

This is a choice of the benchmark's own, not the product's: of every pattern the run of plain bytes whose rarest stretch
of at most 16 bytes looks best, at least 4 bytes long and not beginning with NUL. Patterns without such a run are left
out and counted. Both choices follow the same rule, so that the floor matches as many literals as kavfs does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LONGEST = 16
SHORTEST = 4
TARGETS = range(13)
TOKEN = re.compile(r"((?:[0-9a-f]{2})+)|\{[^}]*\}|\[[^\]]*\]|!?\([^)]*\)|\*|[0-9a-f?]{2}")
COMMON = b"\x00\xff\x20\x90\xcc\x01\x30\x0a\x0d"


@dataclass(frozen=True, slots=True)
class Literal:
    """Bytes to look for in files of one target type."""

    target: int
    caseless: bool
    data: bytes

    def line(self) -> str:
        return f"{self.target} {'i' if self.caseless else '-'} {self.data.hex()}\n"


def rarity(data: bytes) -> float:
    """How seldom these bytes are met, roughly: distinct bytes count, filler does not, letters count little."""
    weight = sum(0.2 if b in COMMON else 0.7 if 97 <= b <= 122 else 1.0 for b in data)
    return weight * (0.4 + 0.6 * len(set(data)) / len(data))


def best(pattern: str, wide: bool) -> bytes | None:
    """The stretch of *pattern* (hexadecimal with wildcards) to look for, or None."""
    found = None
    for plain in filter(None, TOKEN.findall(pattern.lower())):
        run = bytes.fromhex(plain)
        if wide:
            run = b"".join(bytes((b, 0)) for b in run)
        for start in range(0, max(1, len(run) - LONGEST + 1), 4):
            window = run[start : start + LONGEST].lstrip(b"\0")
            if len(window) >= SHORTEST and (found is None or rarity(window) > rarity(found)):
                found = window
    return found


def bodies(path: Path) -> Iterator[tuple[int, str, str]]:
    """(target, hexadecimal pattern, modifiers) of each body pattern in a .ldb or .ndb file."""
    for line in path.read_text("latin-1").splitlines():
        if not line or line.startswith("#"):
            continue
        if path.suffix == ".ndb":
            fields = line.split(":")
            if len(fields) >= 4 and fields[1].isdigit():
                yield int(fields[1]), fields[3], ""
            continue
        fields = line.split(";")
        target = re.search(r"Target:(\d+)", fields[1]) if len(fields) > 3 else None
        if target is None:
            continue
        for part in fields[3:]:
            body, _, modifiers = part.partition("::")
            if "/" not in body and "#" not in body and "$" not in body:
                yield int(target[1]), body.rpartition(":")[2], modifiers


def collect(folder: Path) -> tuple[list[Literal], int]:
    """All literals of a signatures folder without repetition, and how many patterns have none."""
    literals: dict[Literal, None] = {}
    without = 0
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".ldb", ".ndb"):
            continue
        for target, body, modifiers in bodies(path):
            if target not in TARGETS:
                continue
            for wide in (False, True) if {"a", "w"} <= set(modifiers) else ("w" in modifiers,):
                data = best(body, wide)
                if data is None:
                    without += 1
                else:
                    literals[Literal(target, "i" in modifiers, data)] = None
    return list(literals), without


def write(folder: Path, out: Path) -> tuple[int, int]:
    """Write the literals of *folder* to *out* for ``floor build``; (literals, patterns without one)."""
    literals, without = collect(folder)
    out.write_text("".join(literal.line() for literal in literals))
    return len(literals), without

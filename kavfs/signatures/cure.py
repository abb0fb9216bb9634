"""Reader of cure recipes (.cure): ``SignatureName:steps:result``, as kavfs/recipe.py defines them.

Nothing is matched with them, so they have no compiled part: the lines stand in the side file of their database, under
a digest, and are given out by name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from kavfs.recipe import BadRecipe, parse
from kavfs.signatures.ignore import MARK
from kavfs.signatures.lines import Rejected, Tally, read_lines

LINE_MAX = 64 << 10  # bytes

Lines = list[tuple[str, str]]
"""Signature and line, in the order of the file."""


def read_cure(text: bytes, tally: Tally) -> Lines:
    lines: Lines = []

    def take(line: bytes, row: int) -> None:
        if len(line) > LINE_MAX:
            raise Rejected("too long")
        try:
            word = line.decode()
            recipe = parse(word)
        except UnicodeDecodeError:
            raise Rejected("no UTF-8") from None
        except BadRecipe as why:
            raise Rejected(str(why)) from None
        lines.append((recipe.signature.removesuffix(MARK.decode()), word))

    read_lines(text, take, tally)
    return lines


def sealed(lines: Sequence[tuple[str, str]]) -> dict[str, object]:
    """As they stand in a side file."""
    return {"recipes": [list(pair) for pair in lines], "digest": _digest(lines)}


def unsealed(side: bytes | None) -> Lines:
    """The recipes in a side file; none where it is damaged."""
    try:
        tree = json.loads(side or b"{}")
        lines = [(str(name), str(line)) for name, line in tree.get("recipes", ())]
        return lines if not lines or tree["digest"] == _digest(lines) else []
    except (ValueError, TypeError, KeyError, AttributeError):
        return []


def _digest(lines: Sequence[tuple[str, str]]) -> str:
    return hashlib.sha256(json.dumps([list(pair) for pair in lines]).encode()).hexdigest()

"""Recipes (kavfs/recipe.py) done to the bytes of a file: what a signature knows of how to clean what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kavfs.action.cure.refused import Refused, Why
from kavfs.recipe import DoesNotFit, Edit, Recipe, edited

SIZE_MAX = 64 << 20  # bytes of a file; code is put into texts


class Found(NamedTuple):
    """One threat, and what its signature knows."""

    offset: int | None  # where it was found
    recipes: tuple[Recipe, ...]


def treated(data: bytes, found: Sequence[Found]) -> bytes:
    """*data* without what was put in. Every threat needs a recipe that fits, unless one names the whole result."""
    edits: set[Edit] = set()
    for threat in found:
        recipe, more = _fitting(data, threat)
        if recipe.result:
            return _left(edited(data, more))
        edits.update(more)
    try:
        return _left(edited(data, sorted(edits)))
    except DoesNotFit:
        raise Refused(Why.NO_RECIPE) from None


def _fitting(data: bytes, threat: Found) -> tuple[Recipe, Sequence[Edit]]:
    for recipe in threat.recipes:
        try:
            edits = recipe.edits(data, threat.offset)
            edited(data, edits)  # its own steps do not touch each other
        except DoesNotFit:
            continue
        return recipe, edits
    raise Refused(Why.NO_RECIPE)


def _left(data: bytes) -> bytes:
    if not data:
        raise Refused(Why.NOTHING_LEFT)
    return data

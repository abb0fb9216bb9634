"""Builds: what another build of the C parts compiled is compiled again, without anybody raising a version."""

from __future__ import annotations

from pathlib import Path

import pytest

from kavfs._native import match
from kavfs.signatures.image import open_image
from kavfs.signatures.sources import STARTER


def compiled(state: Path) -> set[str]:
    return {path.name for folder in ("segments", "groups") for path in (state / folder).glob("*.bin")}


def test_another_build_compiles_everything_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_image([STARTER], bytes(tmp_path)) as image:
        before, generation = compiled(tmp_path), image.generation
    monkeypatch.setattr(match, "BUILD", "of another day")
    with open_image([STARTER], bytes(tmp_path)) as image:
        assert image.generation != generation
    assert compiled(tmp_path).isdisjoint(before)


def test_the_same_build_compiles_nothing_again(tmp_path: Path) -> None:
    with open_image([STARTER], bytes(tmp_path)) as image:
        before, generation = compiled(tmp_path), image.generation
    with open_image([STARTER], bytes(tmp_path)) as image:
        assert image.generation == generation
    assert compiled(tmp_path) == before

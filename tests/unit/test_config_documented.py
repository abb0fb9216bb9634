"""conf/kavfs.conf: the file is the manual of the configuration, so it must know what the reader knows."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from kavfs.config.ini import read_entries
from kavfs.config.keys import KEYS, Key
from kavfs.config.load import load
from kavfs.config.settings import Settings

FILE = Path(__file__).resolve().parents[2] / "conf" / "kavfs.conf"


def test_the_file_as_it_is_shipped_changes_nothing() -> None:
    assert load(os.fsencode(FILE)) == Settings()


@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{key.section}/{key.name}")
def test_every_key_the_reader_knows_is_documented(key: Key) -> None:
    section = FILE.read_text().split(f"\n[{key.section}]\n", 1)[1].split("\n[", 1)[0]
    assert re.search(rf"\b{key.name}\b", section)


def test_every_key_in_the_file_has_a_comment_above_it_or_above_its_group() -> None:
    alone = [
        block.splitlines()[0]
        for block in re.split(r"\n\s*\n", FILE.read_text())
        if "=" in block.splitlines()[0] and not block.lstrip().startswith(("#", "["))
    ]
    assert alone == []


def test_nothing_in_the_file_is_unknown_to_the_reader() -> None:
    known = {(key.section, key.name) for key in KEYS}
    assert {(entry.section, entry.key) for entry in read_entries(os.fsencode(FILE))} <= known

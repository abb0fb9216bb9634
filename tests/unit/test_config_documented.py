"""conf/kavfs.conf: the file is the manual of the configuration, so it must know what the reader knows."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from kavfs.cli.arguments import OPTIONS
from kavfs.config import mail, server
from kavfs.config.ini import read_entries
from kavfs.config.keys import KEYS, Key
from kavfs.config.load import load
from kavfs.config.mail_keys import NOTIFY, own_keys_of
from kavfs.config.mail_settings import ROLES, STATUSES, MailSettings
from kavfs.config.server_keys import OWN
from kavfs.config.server_settings import ServerSettings
from kavfs.config.settings import Settings

MAIL = own_keys_of(())
FILE = Path(__file__).resolve().parents[2] / "conf" / "kavfs.conf"


def test_the_file_as_it_is_shipped_changes_nothing() -> None:
    assert load(os.fsencode(FILE)) == Settings()
    assert server.load(os.fsencode(FILE)) == ServerSettings()
    assert mail.load(os.fsencode(FILE)) == MailSettings()
    assert mail.read(os.fsencode(FILE)).doubts() == []


@pytest.mark.parametrize("key", [*KEYS, *OWN, *MAIL], ids=lambda key: f"{key.section}/{key.name}")
def test_every_key_the_reader_knows_is_documented(key: Key) -> None:
    named = f"{NOTIFY}admin.infected" if key.section.startswith(NOTIFY) else key.section
    section = FILE.read_text().split(f"\n[{named}]\n", 1)[1].split("\n[", 1)[0]
    assert re.search(rf"\b{key.name}\b", section)


def test_one_section_of_notices_stands_for_all_of_them() -> None:
    text = FILE.read_text().split(f"\n[{NOTIFY}admin.infected]\n", 1)[1]
    assert [word for word in (*ROLES, *map(str.lower, STATUSES)) if not re.search(rf"\b{word}\b", text)] == []


def test_every_key_in_the_file_has_a_comment_above_it_or_above_its_group() -> None:
    alone = [
        block.splitlines()[0]
        for block in re.split(r"\n\s*\n", FILE.read_text())
        if "=" in block.splitlines()[0] and not block.lstrip().startswith(("#", "["))
    ]
    assert alone == []


def test_nothing_in_the_file_is_unknown_to_the_reader() -> None:
    known = {(key.section, name) for key in (*KEYS, *OWN, *MAIL) for name in (key.name, *key.synonyms)}
    assert {(entry.section, entry.key) for entry in read_entries(os.fsencode(FILE))} <= known


def test_the_letter_without_effect_is_said_to_have_none_wherever_it_stands() -> None:
    """Whoever switches packed programs on must not believe that they are unpacked."""
    manual = (FILE.parent / "man" / "kavscanner.8.in").read_text()
    (engine_switches,) = (option.help for option in OPTIONS if option.name == "engine_switches")
    assert "P packed programs (no effect yet)" in engine_switches
    assert re.search(r"\bP has no effect yet", manual)
    assert re.search(r"\bPacked \(programs\) has no effect yet", FILE.read_text())

"""Showing: what is printed for a setting is what must stand in a file to have that setting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kavfs.config import kinds
from kavfs.config.keys import KEYS, Key
from kavfs.config.kinds import Kind
from kavfs.config.load import read
from kavfs.config.settings import Settings
from kavfs.config.show import is_changed, lines, rows, value_of

EXAMPLES: dict[Kind, tuple[str, ...]] = {
    kinds.BOOLEAN: ("yes", "no"),
    kinds.PATH: ("/a", "/a b/", ""),
    kinds.FOLDER: ("/tmp", "/"),
    kinds.FOLDERS: ("/a:/b c", ""),
    kinds.MASKS: ("*.iso:*/x/*", ""),
    kinds.REPORT_FILE: ("syslog", "/var/log/x", ""),
    kinds.PROGRAM: ("/bin/cat",),
    kinds.PATH_OR_NO: ("no", "/a", ""),
    kinds.ENGINES: ("native,clamav", "auto"),
    kinds.SERVER: ("/run/x", "localhost:3310", ""),
    kinds.LEVEL: ("0", "9"),
    kinds.COUNT: ("1", "4294967295"),
    kinds.MODE: ("0640", "600"),
    kinds.TIME_FORMAT: ("%Y-%m-%d",),
    kinds.SIZE: ("0", "4097", "1.5GiB", "3TiB"),
    kinds.POSITIVE_SIZE: ("1", "10k"),
    kinds.CACHE_SIZE: ("1MiB", "2GiB"),
    kinds.CACHE_SIZE_OR_NONE: ("0", "1MiB"),
    kinds.MEMORY: ("256MiB",),
    kinds.DURATION: ("250ms", "0.5s", "90", "2h", "36h"),
    kinds.AGE: ("0", "90d", "12h", "700d"),
    kinds.LOAD: ("", "0.5", "8", "0.125"),
    kinds.ADDRESSES: ("root,a@b.example", ""),
    kinds.ADDRESS: ("a@b", ""),
    kinds.OCCASIONS: ("always", "infected,error"),
    kinds.LINE: ("", "two words", "ünïcode"),
    kinds.COMMAND: ("", "cat >/dev/null; echo 'a \"b\"'", "a\\\\"),
    kinds.ACTIONS: ("", "movePath /a b; remove", 'exec mail -s "a b" root'),
    kinds.STANDARD: ("", "standard"),
    kinds.ANYTHING: ("", "whatever"),
}


@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{key.section}/{key.name}")
def test_what_is_shown_can_be_loaded_again(tmp_path: Path, key: Key) -> None:
    path, again = tmp_path / "a.conf", tmp_path / "b.conf"
    for example in EXAMPLES[key.kind]:
        path.write_text(f'[{key.section}]\n{key.name}="{example}"\n' if example[-1:] == "\\" else "")
        path.write_text(path.read_text() or f"[{key.section}]\n{key.name}={example}\n")
        first = read(os.fsencode(path))
        again.write_bytes(b"\n".join(lines(rows(first.settings, first.given, {}))))
        second = read(os.fsencode(again))
        assert second.errors == first.errors == []
        assert value_of(second.settings, key, second.given) == value_of(first.settings, key, first.given)
        assert second.settings._replace(actions=(), notify_command=None) == first.settings._replace(
            actions=(), notify_command=None
        )


def test_defaults_are_not_changed_and_come_from_nowhere() -> None:
    table = list(rows(Settings(), {}, {}))
    assert [row.key for row in table] == list(KEYS)
    assert {row.origin for row in table} == {"default"}
    assert not any(is_changed(row) for row in table)


def test_every_kind_of_value_has_examples() -> None:
    assert {key.kind for key in KEYS} == set(EXAMPLES)

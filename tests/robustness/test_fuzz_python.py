"""Readers of our own in Python against broken bytes: they refuse in their own words, and raise nothing else."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sqlite3
from pathlib import Path

import pytest

from kavfs.cli.report import _json, _text
from kavfs.report.events import EventsFailed, EventStore
from kavfs.report.html import render
from kavfs.report.past import Wanted, page_of
from kavfs.signatures.lines import is_malformed
from kavfs.signatures.segment import compile_segment
from kavfs.signatures.sources import Identity, Source
from tests.fuzz.readers import LINES, READERS, TOTALS, history, rounds

SLOW = {"pack": 25, "history": 25}  # rounds of those that take their time
EVERYTHING = Wanted()
TREES = (
    *({**TOTALS, key: value} for key in TOTALS for value in (None, -1, 1e308, "x", [], {}, {"clean": 10**400})),
    *({**TOTALS, "statuses": {word: 1}} for word in ("cured", "nothing", "")),
)
VALUES = (
    *(None, -1, 1 << 62, -(1 << 63), 1e308, -1e308, float("inf"), "", "x", "\ud800", b"", b"\xff\0", b"a" * 5000),
    *("{}", "[]", "[" * 100_000, "9" * 5000, "infected", "damaged,x"),
)
JSON = {"totals": tuple(json.dumps(tree) for tree in TREES)}


def broken(name: str, seed: int, count: int) -> None:
    for data in itertools.islice(rounds(READERS[name], seed), count):
        READERS[name].trial(data)


@pytest.mark.parametrize("name", READERS)
def test_broken_bytes(name: str) -> None:
    broken(name, 1, SLOW.get(name, 250))


@pytest.mark.long
@pytest.mark.parametrize("name", READERS)
def test_many_broken_bytes(name: str) -> None:
    broken(name, 2, 40 * SLOW.get(name, 250))


@pytest.mark.parametrize("kind", LINES)
def test_it_begins_with_lines_that_are_read(kind: str) -> None:
    """Else nothing would be broken but what is refused at once."""
    made = compile_segment(Source(b"/some." + kind.encode(), kind, Identity(0, 0, 0, 0)), LINES[kind], "00" * 32)
    assert not [reason for reason in made.tally.reasons if is_malformed(reason)]
    assert made.tally.taken == LINES[kind].count(b"\n") or kind == "crb"


def columns(database: sqlite3.Connection) -> list[tuple[str, str]]:
    tables = ("scan", "finding", "threat", "deed", "note")
    return [(table, row[1]) for table in tables for row in database.execute(f"PRAGMA table_info({table})")]


def shown(path: Path) -> int:
    """How often a report says that the store is damaged."""
    odd = 0
    for show in (_json, _text, lambda store, wanted: render(page_of(store, wanted, "all"))):
        try:
            with EventStore(os.fsencode(path), create=False) as store:
                for _ in show(store, EVERYTHING):
                    pass
        except EventsFailed:
            odd += 1
    return odd


def test_a_row_of_the_history_that_makes_no_sense_is_told(tmp_path: Path) -> None:
    """Each value of a row, one after another, is another one: a report shows it or says that the store is damaged."""
    path = tmp_path / "events.db"
    path.write_bytes(history()["store"])
    path.chmod(0o600)
    odd = 0
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")
        for table, column in columns(database):
            (sound,) = database.execute(f"SELECT {column} FROM {table}").fetchone()
            for value in (*VALUES, *JSON.get(column, ())):
                with contextlib.suppress(sqlite3.Error, UnicodeError, OverflowError):
                    database.execute(f"UPDATE {table} SET {column} = ?", (value,))
                    try:
                        odd += shown(path)
                    except Exception as e:
                        import traceback

                        print(table, column, str(value)[:60], repr(e)[:100], traceback.extract_tb(e.__traceback__)[-1])
                database.execute(f"UPDATE {table} SET {column} = ?", (sound,))
    assert odd > 20

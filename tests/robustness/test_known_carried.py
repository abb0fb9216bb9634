"""What a daemon knows when signatures change: what is new decides, and nothing that it could find is missed.

A real image, real workers; each object is asked for before and after the change.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs._native.recall import Recall
from kavfs.limits import Limits
from kavfs.model import Result, Status
from kavfs.record import replace
from kavfs.scan.roles import start_server
from kavfs.scan.scanner import memory_file
from kavfs.signatures.delta import ALL_TARGETS, FLAG_FULL, pack_table
from tests.support.databases import body
from tests.support.deltas import opened
from tests.support.serving import Desk, desk

OLD = f"{hashlib.md5(b'old').hexdigest()}:3:Old.Hash\n"
FINE = b"nothing to see in here " * 40


def hashed(name: str, content: bytes) -> str:
    return f"{hashlib.md5(content).hexdigest()}:{len(content)}:{name}\n"


def zipped(*contents: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for number, content in enumerate(contents):
            made.writestr(f"{number}.bin", content)
    return out.getvalue()


class House:
    """A service whose databases can be exchanged."""

    def __init__(self, made: Desk, folder: Path) -> None:
        self.made, self._folder = made, folder

    def change(self, **files: str) -> None:
        assert self.made.renew(opened(self._folder / "rules", self._folder / "state", **files)) == ""

    def ask(self, content: bytes) -> Result:
        """As a daemon asks: what is known, else a scan."""
        fd = memory_file(content)
        found = self.made.service.recall(fd, b"object")
        if isinstance(found, Result):
            os.close(fd)
            return found
        return self.made.result(self.made.ask(fd, key=found))

    def learn(self, content: bytes) -> None:
        assert self.ask(content).status is Status.CLEAN
        assert self.ask(content).cached

    def scanned(self) -> int:
        """Objects that no table has answered so far."""
        stats = self.made.service.stats()
        return stats.answered - stats.known


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    image = opened(tmp_path / "rules", tmp_path / "state", old_hdb=OLD)
    with desk(tmp_path, server=start_server(), image=image) as made:
        yield House(made, tmp_path)


def test_a_hash_of_another_size_concerns_nobody(house):
    house.learn(FINE)
    house.learn(zipped(FINE, FINE[1:]))
    before = house.scanned()
    house.change(old_hdb=OLD, new_hdb=hashed("New.Hash", b"somebody else"))
    assert house.ask(FINE).cached
    assert house.ask(zipped(FINE, FINE[1:])).cached
    assert house.scanned() == before


def test_a_hash_of_its_size_is_asked_and_then_it_is_known_again(house):
    house.learn(FINE)
    house.change(old_hdb=OLD, new_hdb=hashed("New.Hash", FINE[::-1]))
    assert not house.ask(FINE).cached
    assert house.ask(FINE).cached


def test_what_a_new_hash_names_is_found(house):
    house.learn(FINE)
    house.change(old_hdb=OLD, new_hdb=hashed("New.Hash", FINE))
    assert [threat.name for threat in house.ask(FINE).threats] == ["New.Hash.UNOFFICIAL"]


def test_what_a_new_hash_of_any_size_names_is_found(house):
    house.learn(FINE)
    house.change(old_hdb=OLD, new_hsb=f"{hashlib.sha256(FINE).hexdigest()}:*:New.Any:73\n")
    assert house.ask(FINE).status is Status.INFECTED


@pytest.mark.parametrize("members", [2, 13, 40])
def test_a_member_that_a_new_hash_names_is_found(house, members):
    """More members than sizes are kept of, too."""
    contents = [FINE[number:] for number in range(members)]
    house.learn(zipped(*contents))
    house.change(old_hdb=OLD, new_hdb=hashed("New.Hash", contents[-1]))
    assert house.ask(zipped(*contents)).status is Status.INFECTED


@pytest.mark.parametrize("content", [FINE, zipped(FINE)])
def test_a_new_body_signature_is_asked(house, content):
    house.learn(content)
    house.change(old_hdb=OLD, new_ndb=body("New.Body", "something else"))
    assert not house.ask(content).cached
    assert house.ask(content).cached
    house.change(old_hdb=OLD, new_ndb=body("New.Body", "something else") + body("Newer.Body", "to see in here"))
    assert [threat.name for threat in house.ask(content).threats] == ["Newer.Body.UNOFFICIAL"]


def test_one_for_another_kind_of_file_concerns_nobody(house):
    house.learn(FINE)
    house.change(old_hdb=OLD, new_ndb=body("New.Body", "to see in here", target=1))
    assert house.ask(FINE).cached


def test_what_nobody_asked_for_meanwhile_is_not_forgotten_nor_believed(house):
    """The lines of two changes, though nobody asked after the first."""
    house.learn(FINE)
    first = hashed("New.Hash", FINE)
    house.change(old_hdb=OLD, new_hdb=first)
    house.change(old_hdb=OLD, new_hdb=first, newer_hdb=hashed("Newer.Hash", b"somebody else"))
    assert house.ask(FINE).status is Status.INFECTED


def test_signatures_that_come_back_know_what_they_knew(house):
    house.learn(FINE)
    house.change(old_hdb=OLD, new_hdb=hashed("New.Hash", FINE))
    house.change(old_hdb=OLD)
    assert house.ask(FINE).cached


def test_other_limits_know_nothing(house):
    house.learn(FINE)
    settings = house.made.service._settings
    options = replace(settings.options, limits=Limits(max_depth=3))
    house.made.service.change(settings._replace(options=options))
    assert house.ask(FINE).cached
    house.change(old_hdb=OLD, new_hdb=hashed("New.Hash", b"somebody else"))
    assert not house.ask(FINE).cached


# ---- the table


GENERATIONS = [bytes([number]) * 16 for number in range(30)]
FIRST = GENERATIONS[3]


@pytest.fixture
def known() -> Iterator[tuple[Recall, int]]:
    """A table that knows one stream, for the first generation; of what it holds nothing is told."""
    table, fd = Recall(lambda number: False, places=64), memory_file(b"fine")
    table.renew(FIRST, b"")
    key = table.look(fd, 0)
    assert isinstance(key, bytes)
    assert table.add(fd, key, b"")
    yield table, fd
    os.close(fd)


def row_of(known: tuple[Recall, int]) -> int | None:
    """None: known. Else the row that is enough, 0 = all."""
    table, fd = known
    key = table.look(fd, 0)
    return table.row(key) if isinstance(key, bytes) else None


def test_nothing_new_changes_nothing(known):
    known[0].renew(GENERATIONS[1], pack_table([(FIRST, 0, 0, [])]))
    assert row_of(known) is None


def test_of_what_nothing_is_told_every_new_line_is_asked(known):
    rows = [(FIRST, 1 << 5, 0, []), (GENERATIONS[9], 0, 0, [])]
    known[0].renew(GENERATIONS[1], pack_table(rows))
    assert row_of(known) == 1


def test_the_row_is_that_of_its_own_generation(known):
    known[0].renew(GENERATIONS[9], pack_table([(FIRST, ALL_TARGETS, 0, [])]))
    known[0].renew(GENERATIONS[8], pack_table([(GENERATIONS[2], 0, 0, []), (FIRST, 1 << 5, 0, [])]))
    assert row_of(known) == 2


@pytest.mark.parametrize(
    "table",
    [
        b"",
        b"no table at all",
        pack_table([(FIRST, ALL_TARGETS, FLAG_FULL, [])]),
        pack_table([(GENERATIONS[5], 0, 0, [])]),
    ],
)
def test_where_the_table_does_not_speak_of_it_it_is_scanned_in_full(known, table):
    known[0].renew(GENERATIONS[1], table)
    assert row_of(known) == 0
    known[0].renew(FIRST, b"")
    assert row_of(known) == 0


def test_what_nobody_asks_for_is_kept_for_some_changes_alone(known):
    later = GENERATIONS[4:]
    for number, generation in enumerate(later, 1):
        older = [FIRST, *later[: number - 1]]
        known[0].renew(generation, pack_table([(one, ALL_TARGETS, 0, []) for one in older]))
        assert row_of(known) == (1 if number < 8 else 0)

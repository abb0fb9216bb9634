"""Monsters before the judge, with real workers: what a reader would show is found and not in what is delivered."""

from __future__ import annotations

from pathlib import Path

import pytest

from kavfs.mail.core import Core, Curer
from kavfs.mail.envelope import Envelope, Recipient
from kavfs.model import Status
from tests.support import gmime
from tests.support.cores import core_parts
from tests.support.judging import Court, outcome_of, spooled
from tests.support.monsters import Monster
from tests.support.objects import EICAR
from tests.unit.test_mail_parts import python_shows

WEIGHTY = {Status.INFECTED, Status.CURED, Status.ERROR}
ENVELOPE = Envelope(b"a@x", (Recipient(b"b@x"),))


class Infected(Monster):
    """With something infected in one of its parts."""

    def __init__(self, seed: int, where: int) -> None:
        super().__init__(seed)
        self.where = where

    def content(self) -> bytes:
        content = super().content()
        return EICAR + content if self.count - 1 == self.where else content


def infected(seed: int) -> bytes:
    plain = Monster(seed)
    plain.message()
    return Infected(seed, seed % max(1, plain.count)).message()


def shown(data: bytes) -> list[str]:
    """Who shows that it is infected."""
    readers = {"Python": python_shows, "GMime": gmime.shows}
    return [name for name, reader in readers.items() if any(EICAR in content for content in reader(data))]


def judged(folder: Path, seeds: range) -> None:
    """Each of them; at least half do show it to somebody."""
    seen = 0
    with core_parts(folder) as parts:

        async def all_of_them(core: Core, curer: Curer) -> None:
            nonlocal seen
            for seed in seeds:
                court, data = Court(), infected(seed)
                court.scan, court.cure = core.scan, curer  # type: ignore[method-assign, assignment]
                spool = spooled(data)
                plan = await court.judge()(ENVELOPE, spool)
                outcome = outcome_of(plan, ENVELOPE, spool)
                plan.close()
                spool.close()
                if who := shown(data):
                    seen += 1
                    statuses = {one.status for one in court.cases[0].findings}
                    assert statuses & WEIGHTY, f"monster {seed}: not found, but shown by {who}: {statuses}"
                assert not shown(outcome.only), f"monster {seed}: still shown by {shown(outcome.only)}"

        parts.run(all_of_them)
    assert seen > len(seeds) / 2


def test_what_readers_show_of_monsters_is_found_and_removed(tmp_path: Path) -> None:
    judged(tmp_path, range(300))


@pytest.mark.long
@pytest.mark.parametrize("first", range(300, 5000, 940))
def test_what_readers_show_of_very_many_monsters_is_found_and_removed(first: int, tmp_path: Path) -> None:
    judged(tmp_path, range(first, first + 940))

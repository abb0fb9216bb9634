"""amavisd-new, Debian's, with its own entry for clamd pointed at our socket: it asks CONTSCAN for the folder with the
parts of a mail, as the user that it runs as, who alone may read them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.amavisd import Amavis, amavisd, give_to_user
from tests.support.archives import make_zip
from tests.support.daemons import EICAR_NAME, Aveserver, databases
from tests.support.mailing import open_folder
from tests.support.programs import EICAR

AFTERWARDS = """
@av_scanners = grep {{ ref($_) && $_->[0] eq 'ClamAV-clamd' }} @av_scanners;
@av_scanners == 1 or die 'the entry for clamd has another name now';
$av_scanners[0]->[2]->[1] =~ m{{^/.*clamd\\.ctl$}} or die 'the socket stands elsewhere now';
$av_scanners[0]->[2]->[1] = '{socket}';
@av_scanners_backup = ();
$virus_scanners_failure_is_fatal = 1;
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Aveserver]:
    with open_folder("aveserver") as top, Aveserver(top, databases(top / "databases")) as running:
        running.for_everybody()
        yield running


@pytest.fixture(scope="module")
def amavis(server: Aveserver) -> Iterator[Amavis]:
    with open_folder("amavis") as top:
        home = top / "home"
        (home / "tmp").mkdir(parents=True)
        give_to_user(home)
        with amavisd(top, home, AFTERWARDS.format(socket=server.clamd)) as running:
            yield running


def test_clean_passes(amavis: Amavis) -> None:
    before = len(amavis.sink.taken)
    assert amavis.send(("notes.zip", make_zip({"notes.txt": b"nothing in here"}))) == ""
    assert len(amavis.sink.taken) == before + 1


@pytest.mark.parametrize("deep", [0, 1, 3])
def test_eicar_is_blocked_by_its_name(amavis: Amavis, deep: int) -> None:
    content = EICAR
    for _ in range(deep):
        content = make_zip({"game.com": content})
    before = len(amavis.sink.taken)
    assert f"INFECTED: {EICAR_NAME}" in amavis.send(("game.zip", content), ("letter.txt", b"fine"))
    assert len(amavis.sink.taken) == before


def test_it_is_our_server_that_answers(amavis: Amavis, server: Aveserver) -> None:
    """Without it there is no verdict, and mail must not pass for that. The last test of this file."""
    server.stop()
    assert re.search("temporar|scanners failed|451|4[.]", amavis.send(("notes.txt", b"fine")))

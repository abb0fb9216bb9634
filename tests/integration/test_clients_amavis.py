"""amavisd-new, Debian's, with two of its own entries on our sockets: ClamAV-clamd, which asks CONTSCAN for the folder
with the parts of a mail, and aveclient, which is called with the parts. Both as the user that amavisd runs as, who
alone may read them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.amavisd import Amavis, amavisd, give_to_user
from tests.support.archives import make_zip
from tests.support.aveclients import build
from tests.support.daemons import EICAR_NAME, Aveserver, databases
from tests.support.mailing import open_folder
from tests.support.programs import EICAR

AFTERWARDS = """
@av_scanners = grep {{ ref($_) && $_->[0] eq '{entry}' }} @av_scanners;
@av_scanners == 1 or die 'the entry has another name now';
{socket}
@av_scanners_backup = ();
$virus_scanners_failure_is_fatal = 1;
"""
# The sockets of the test in place of those in the entries.
ENTRIES = {
    "ClamAV-clamd": "$av_scanners[0]->[2]->[1] =~ s{{^/.*clamd.ctl$}}{{{clamd}}} or die;",
    "KasperskyLab AVP - aveclient": "$av_scanners[0]->[2] =~ s{{ /var/run/aveserver }}{{ {ave} }} or die;",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Aveserver]:
    with open_folder("aveserver") as top, Aveserver(top, databases(top / "databases")) as running:
        running.for_everybody()
        yield running


@pytest.fixture(scope="module", params=ENTRIES)
def amavis(request: pytest.FixtureRequest, server: Aveserver) -> Iterator[Amavis]:
    with open_folder("amavis") as top:
        home = top / "home"
        (home / "tmp").mkdir(parents=True)
        give_to_user(home)
        (top / "bin").mkdir()
        build(top / "bin" / "aveclient")
        socket = ENTRIES[request.param].format(clamd=server.clamd, ave=server.ave)
        with amavisd(top, home, AFTERWARDS.format(entry=request.param, socket=socket)) as running:
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


def test_nobody_else_gives_the_verdict(amavis: Amavis, server: Aveserver) -> None:
    """Without our sockets there is none, and mail does not pass."""
    for path in (server.clamd, server.ave):
        path.rename(path.with_suffix(".away"))
    try:
        before = len(amavis.sink.taken)
        assert "4.5.0" in amavis.send(("notes.txt", b"fine"))
        assert len(amavis.sink.taken) == before
    finally:
        for path in (server.clamd, server.ave):
            path.with_suffix(".away").rename(path)

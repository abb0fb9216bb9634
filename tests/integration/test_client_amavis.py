"""amavisd-new, Debian's, with its own entry for kavscanner, lets a clean mail through and stops EICAR in a zip.

Nothing stands in for it: mail goes in and out by SMTP on the loopback, parts lie where it puts them, and the scanner is
called with the command line of /etc/amavis/conf.d/15-av_scanners by the user that it runs as.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.amavisd import Amavis, amavisd, give_to_user
from tests.support.archives import make_zip
from tests.support.kavscanner import CHECKOUT
from tests.support.mailing import open_folder
from tests.support.programs import EICAR

AFTERWARDS = """
@av_scanners_backup = grep { ref($_) && $_->[0] eq 'Kaspersky Antivirus v5.5' } @av_scanners_backup;
@av_scanners_backup == 1 or die 'the entry for kavscanner has another name now';
@av_scanners = ();
"""


def interpreter() -> str:
    """Ours, or that of the system where ours lies in a folder that is closed to other users."""
    ours = Path(sys.executable).resolve()
    if all(folder.stat().st_mode & 0o005 == 0o005 for folder in ours.parents):
        return str(ours)
    theirs = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if not os.access(theirs, os.X_OK):
        pytest.skip(f"{ours} is closed to other users, as whom amavisd runs, and there is no {theirs}")
    return theirs


def make_home(top: Path) -> Path:
    """A copy of the program that the user can read, a scanner of that name, and the user's own folder."""
    shutil.copytree(CHECKOUT / "kavfs", top / "lib" / "kavfs", ignore=shutil.ignore_patterns("__pycache__"))
    home = top / "home"
    for folder in (home / "tmp", home / "config" / "kavfs", top / "bin"):
        folder.mkdir(parents=True)
    (home / "config" / "kavfs" / "kavfs.conf").write_text(
        f"[path]\nBasesPath={top}/lib/kavfs/signatures/starter\nTempPath={home}/tmp\n"
    )
    scanner = top / "bin" / "kavscanner"
    scanner.write_text(
        f'#!/bin/sh\necho "$@" >> {home}/calls\nexport PYTHONPATH={top}/lib PYTHONDONTWRITEBYTECODE=1\n'
        f"export XDG_CONFIG_HOME={home}/config XDG_STATE_HOME={home}/state\n"
        f'exec {interpreter()} -m kavfs.cli.kavscanner "$@"\n'
    )
    scanner.chmod(0o755)
    give_to_user(home)
    return home


@pytest.fixture(scope="module")
def amavis() -> Iterator[Amavis]:
    with open_folder("amavis") as top, amavisd(top, make_home(top), AFTERWARDS) as running:
        yield running


def packed(name: str, content: bytes) -> bytes:
    return make_zip({name: content})


def calls(amavis: Amavis) -> list[str]:
    return (amavis.home / "calls").read_text().splitlines()


def test_a_clean_mail_passes(amavis: Amavis) -> None:
    before = len(amavis.sink.taken)
    assert amavis.send(("notes.zip", packed("notes.txt", b"nothing in here"))) == ""
    assert len(amavis.sink.taken) == before + 1
    words = calls(amavis)[-1].split()
    assert words[:6] == ["-i0", "-xn", "-xp", "-mn", "-R", "-ePASBME"]
    assert len(words) > 6


def test_eicar_in_a_zip_is_blocked_by_name(amavis: Amavis) -> None:
    before = len(amavis.sink.taken)
    answer = amavis.send(("game.zip", packed("game.com", EICAR)), ("letter.txt", b"fine"))
    assert "INFECTED: EICAR-Test-File" in answer
    assert len(amavis.sink.taken) == before


def test_eicar_deep_in_what_amavis_cannot_open_is_blocked(amavis: Amavis) -> None:
    inner = packed("a.zip", packed("b.zip", packed("c.com", EICAR)))
    assert "INFECTED: EICAR-Test-File" in amavis.send(("x.zip", inner))


def test_after_a_find_clean_mail_still_passes(amavis: Amavis) -> None:
    assert "INFECTED" in amavis.send(("game.zip", packed("game.com", EICAR)))
    assert amavis.send() == ""

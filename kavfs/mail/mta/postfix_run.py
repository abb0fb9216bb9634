"""Postfix's programs: postconf on copies of its files, and its check of what is in force."""

from __future__ import annotations

import os
import tempfile

from kavfs.mail.mta import tools
from kavfs.mail.mta.postfix import MAIN, MASTER, Edit, Texts
from kavfs.mail.mta.wish import Refused


def postconf(texts: Texts, edits: tuple[Edit, ...]) -> dict[str, str]:
    """What main.cf and master.cf become. Raises Refused when postconf does not take them."""
    if not edits:
        return dict(texts)
    with tempfile.TemporaryDirectory(prefix="kavfs-mta-") as folder:
        for name in (MAIN, MASTER):
            with open(os.path.join(folder, name), "w", encoding="latin-1", newline="") as file:
                file.write(texts[name])
        for edit in edits:
            said = tools.run("postconf", "-c", folder, edit.option, edit.word)
            if said.code:
                raise Refused(f"postconf {edit.option}: {said.error.replace(folder + '/', '')}")
        found = {}
        for name in (MAIN, MASTER):
            with open(os.path.join(folder, name), encoding="latin-1", newline="") as file:
                found[name] = file.read()
        return found


def complaints(folder: str, whole: bool) -> list[str]:
    """What Postfix has against its configuration in *folder*; *whole*: its queue and programs are looked at, too."""
    for option in ("-n", "-M"):
        if wrong := tools.run("postconf", "-c", folder, option).wrong():
            return wrong
    return tools.run("postfix", "-c", folder, "check").wrong() if whole else []

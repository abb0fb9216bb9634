"""Found: which mail programs are in a root, where their configuration is, and whether they run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from kavfs.mail.mta import files

NAMES = ("postfix", "exim", "sendmail", "qmail")

_PROGRAMS = {
    "postfix": ("/usr/sbin/postfix", "/usr/local/sbin/postfix"),
    "exim": ("/usr/sbin/exim4", "/usr/sbin/exim", "/usr/exim/bin/exim", "/usr/local/sbin/exim"),
    "sendmail": ("/usr/libexec/sendmail/sendmail", "/usr/lib/sm.bin/sendmail", "/usr/sbin/sendmail.sendmail"),
    "qmail": ("/var/qmail/bin/qmail-send",),
}
_CONFIGURATIONS = {
    "postfix": ("/etc/postfix", "/usr/local/etc/postfix"),
    "exim": ("/etc/exim4/exim4.conf", "/etc/exim4", "/etc/exim/exim.conf", "/etc/exim.conf", "/usr/exim/configure"),
    "sendmail": ("/etc/mail",),
    "qmail": ("/var/qmail",),
}
_PROVED_BY = {"postfix": "main.cf", "sendmail": "sendmail.cf", "qmail": "bin"}
_RUNNING = {
    "postfix": re.compile(r".*/postfix(?:/sbin)?/master"),
    "exim": re.compile(r".*/exim4?"),
    "sendmail": re.compile(r".*/sendmail(?:-mta|/sendmail|\.sendmail)?"),
    "qmail": re.compile(r".*/qmail-send"),
}


class Found(NamedTuple):
    """*place* "": no configuration is here. *form* is Exim's: file, template, split."""

    name: str
    program: str = ""
    place: str = ""
    form: str = ""
    running: bool | None = None  # None: it is another system's root

    @property
    def here(self) -> bool:
        return bool(self.program or self.place)


def find(name: str, root: str, place: str = "") -> Found:
    """*place*: where the configuration is, when somebody has said it."""
    program = next((path for path in _PROGRAMS[name] if _exists(root, path)), "")
    place = place or next((path for path in _CONFIGURATIONS[name] if _is_place(name, root, path)), "")
    running = _runs(name) if root == "/" else None
    return Found(name, program, place, _form(root, place) if name == "exim" and place else "", running)


def _form(root: str, place: str) -> str:
    if not os.path.isdir(files.real(root, place)):
        return "file"
    said = files.read(root, f"{place}/update-exim4.conf.conf") or b""
    split = re.findall(rb"^dc_use_split_config=['\"]?(\w*)", said, re.MULTILINE)
    return "split" if split[-1:] == [b"true"] else "template"


def _is_place(name: str, root: str, path: str) -> bool:
    if name == "exim":
        return _exists(root, f"{path}/update-exim4.conf.conf") or os.path.isfile(files.real(root, path))
    return _exists(root, f"{path}/{_PROVED_BY[name]}")


def _exists(root: str, path: str) -> bool:
    return os.path.exists(files.real(root, path))


def _runs(name: str) -> bool:
    return any(_RUNNING[name].fullmatch(program) for program in _programs())


def _programs() -> Iterator[str]:
    """What the processes of this system are; root sees all."""
    for process in os.listdir("/proc"):
        if process.isdigit():
            with suppress(OSError):
                yield os.readlink(f"/proc/{process}/exe").removesuffix(" (deleted)")

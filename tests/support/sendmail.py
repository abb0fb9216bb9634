"""Sendmail as a program of the test's own: one process for each conversation, as `sendmail -bs` speaks on its stdin.

Its package cannot be installed beside that of Exim, so `make system-test` unpacks it into build/apart. With the group
of its file it would not look for libraries there, so it is copied.
"""

from __future__ import annotations

import os
import shutil
import smtplib
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.kavscanner import CHECKOUT
from tests.support.mailing import PATIENCE

APART = CHECKOUT / "build" / "apart"
CF = APART / "usr/share/sendmail/cf"
SETTINGS = """divert(-1)dnl
define(`_CF_DIR_', `{cf}/')dnl
include(`{cf}/m4/cf.m4')dnl
VERSIONID(`test')
OSTYPE(`linux')
define(`confDOMAIN_NAME', `host.example.org')
define(`QUEUE_DIR', `{top}/queue')
define(`STATUS_FILE', `{top}/statistics')
define(`ALIAS_FILE', `')
define(`confDELIVERY_MODE', `interactive')
define(`SMART_HOST', `relay:[127.0.0.1]')
define(`RELAY_MAILER_ARGS', `TCP $h {port}')
FEATURE(`nocanonify')
FEATURE(`promiscuous_relay')
FEATURE(`accept_unresolvable_domains')
INPUT_MAIL_FILTER(`kavfs', `S=inet:{milter}@127.0.0.1, F=T, T=S:1m;R:1m;E:5m')
MAILER(`smtp')
"""


class Sendmail:
    def __init__(self, top: Path) -> None:
        self._top = top

    @contextmanager
    def client(self) -> Iterator[smtplib.SMTP]:
        """A conversation with a process of its own. Sendmail waits a minute for a host name with a dot."""
        ours, theirs = socket.socketpair()
        ours.settimeout(PATIENCE)
        command = f"hostname host.example.org && exec {self._top}/sendmail -bs -C {self._top}/sendmail.cf"
        libraries = next(APART.glob("usr/lib/*/libwrap.so.0")).parent
        with theirs:
            process = subprocess.Popen(
                ["unshare", "--uts", "sh", "-c", command],
                stdin=theirs,
                stdout=theirs,
                env={"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(libraries)},
            )
        try:
            with _Client(ours) as client:
                yield client
        finally:
            ours.close()
            process.wait(PATIENCE)


class _Client(smtplib.SMTP):
    """On a socket that is there."""

    def __init__(self, sock: socket.socket) -> None:
        self._given = sock
        super().__init__("host.example.org", 25, "test.example.org", PATIENCE)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._given


def sendmail(top: Path, milter: int, port: int) -> Sendmail:
    """Behind the milter on that port; mail that was taken goes to *port* on loopback."""
    if not (CF / "m4/cf.m4").exists():
        pytest.fail("there is no Sendmail: make system-test")
    (top / "queue").mkdir(mode=0o700)
    shutil.copyfile(APART / "usr/libexec/sendmail/sendmail", top / "sendmail")
    (top / "sendmail").chmod(0o755)
    settings = SETTINGS.format(cf=CF, top=top, milter=milter, port=port)
    made = subprocess.run(["m4", "-"], input=settings, capture_output=True, text=True, timeout=60, check=True).stdout
    (top / "sendmail.cf").write_text(made)
    return Sendmail(top)

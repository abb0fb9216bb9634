"""Postfix as a program of the test's own: a configuration, a queue and a port in one folder.

Its package cannot be installed beside that of Exim, so `make system-test` unpacks it into build/apart; an installed one
is taken where there is one.
"""

from __future__ import annotations

import os
import pwd
import select
import signal
import smtplib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.kavscanner import CHECKOUT
from tests.support.mailing import free_port

PATIENCE_MS = 60_000
OWNER, GROUP = "mail", "games"  # stand in for the accounts that the package would make
PRIVATE = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace")
MAIN = """
compatibility_level = 3.6
queue_directory = {top}/spool
data_directory = {top}/data
daemon_directory = {root}/usr/lib/postfix/sbin
command_directory = {root}/usr/sbin
shlib_directory = {root}/usr/lib/postfix
meta_directory = {top}/conf
import_environment = MAIL_CONFIG LD_LIBRARY_PATH={root}/usr/lib/postfix
mail_owner = {owner}
setgid_group = {group}
maillog_file = {top}/log
maillog_file_prefixes = {top}
myhostname = host.example.org
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
local_recipient_maps =
alias_maps =
default_transport = {transport}
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
milter_default_action = tempfail
"""
MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
anvil unix - - n - 1 anvil
smtp unix - - n - - smtp
discard unix - - n - - discard
error unix - - n - - error
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    def __init__(self, top: Path, port: int) -> None:
        self.port = port
        self._top = top

    @contextmanager
    def client(self) -> Iterator[smtplib.SMTP]:
        with smtplib.SMTP("127.0.0.1", self.port, "test.example.org", PATIENCE_MS / 1000) as client:
            yield client

    def held(self) -> list[Path]:
        """Mails that are in quarantine."""
        return list((self._top / "spool" / "hold").iterdir())


def root_of_postfix() -> Path:
    for root in (Path("/"), CHECKOUT / "build" / "apart"):
        if (root / "usr/lib/postfix/sbin/master").exists():
            return root
    pytest.fail("there is no Postfix: make system-test")


@contextmanager
def postfix(
    top: Path, milter: Path | None, transport: str = "discard", settings: str = "", services: str = ""
) -> Iterator[Postfix]:
    """*transport*: where mail goes that was taken, "smtp:[127.0.0.1]:PORT". *settings*, *services*: more of main.cf and
    master.cf."""
    root, port = root_of_postfix(), free_port()
    for name in ("conf", "spool", "data"):
        (top / name).mkdir()
    owner = pwd.getpwnam(OWNER).pw_uid
    for name in (*PRIVATE, "public", "maildrop", "pid"):
        (top / "spool" / name).mkdir(mode=0o755 if name in ("public", "pid") else 0o700)
        os.chown(top / "spool" / name, 0 if name == "pid" else owner, 0)
    os.chown(top / "data", owner, 0)
    values = {"top": top, "root": str(root).rstrip("/"), "owner": OWNER, "group": GROUP, "transport": transport}
    if milter is not None:
        settings += f"smtpd_milters = unix:{milter}\n"
    (top / "conf" / "main.cf").write_text(MAIN.format(**values) + settings)
    (top / "conf" / "master.cf").write_text(MASTER.format(port=port) + services)
    environment = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": f"{root}/usr/lib/postfix"}
    master = root / "usr/lib/postfix/sbin/master"
    # -w: it comes back when a process in the background has begun to listen
    words = [master, "-c", top / "conf", "-w"]
    started = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    log = top / "log"
    assert started.returncode == 0, f"{started.stderr}{log.read_text() if log.exists() else ''}"
    running = os.pidfd_open(int((top / "spool" / "pid" / "master.pid").read_text()))
    try:
        yield Postfix(top, port)
    finally:
        stop(running)


def stop(running: int, how: signal.Signals = signal.SIGTERM) -> None:
    """End the process behind a pidfd, and close that."""
    try:
        ended = select.poll()
        ended.register(running, select.POLLIN)
        signal.pidfd_send_signal(running, how)
        assert ended.poll(PATIENCE_MS), "it does not end"
    finally:
        os.close(running)

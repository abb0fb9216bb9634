"""OpenSMTPD that relays what comes to us, by LMTP or SMTP, and takes it back on another port.

Its package cannot be installed beside that of Exim, so `make system-test` unpacks it into build/apart. Its accounts and
folders are built in: it gets a mount namespace in which they are there.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.daemon import wait_until
from tests.support.kavscanner import CHECKOUT
from tests.support.mailing import PATIENCE, free_port
from tests.support.mta_house import Last, Scanner, Way, Ways

APART = CHECKOUT / "build" / "apart"
WAYS = ("lmtp", "smtp")
CONFIGURATION = """
smtp max-message-size 4M
listen on 127.0.0.1 port {lmtp} tag LMTP hostname host.example.org
listen on 127.0.0.1 port {smtp} tag SMTP hostname host.example.org
listen on 127.0.0.1 port {back} tag JUDGED hostname host.example.org
action "lmtp" relay host "lmtp://127.0.0.1:{to_lmtp}" helo host.example.org
action "smtp" relay host "smtp+notls://127.0.0.1:{to_smtp}" helo host.example.org
action "onward" relay host "smtp+notls://127.0.0.1:{last}" helo host.example.org
match tag LMTP from any for any action "lmtp"
match tag SMTP from any for any action "smtp"
match from any for any action "onward"
"""
ACCOUNTS = {"opensmtpd": 64001, "opensmtpq": 64002}
HOME = "/var/lib/opensmtpd/empty"
NAMESPACE = """
mount --bind {top}/passwd /etc/passwd
mount --bind {top}/group /etc/group
mount -t tmpfs -o mode=755 none /var/lib
mount -t tmpfs -o mode=755 none /var/spool
mount -t tmpfs -o mode=755 none /run
mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd
chmod 711 /var/spool/smtpd
exec {smtpd} -d -f {top}/smtpd.conf
"""


@contextmanager
def opensmtpd_ways(top: Path) -> Iterator[Ways]:
    if not (APART / "usr/sbin/smtpd").exists():
        pytest.fail("there is no OpenSMTPD: make system-test")
    ports = {name: free_port() for name in (*WAYS, "back")}
    with ExitStack() as stack:
        last = stack.enter_context(Last())
        scanner = Scanner(top, f"smtp:127.0.0.1:{ports['back']}")
        stack.callback(scanner.stop)
        scanner.start()
        values = {"to_lmtp": scanner.lmtp, "to_smtp": scanner.smtp, "last": last.port}
        (top / "smtpd.conf").write_text(CONFIGURATION.format(**ports, **values))
        (top / "smtpd.conf").chmod(0o600)
        accounts = [
            f"{name}:x:{number}:{number}::/var/lib/opensmtpd/empty:/bin/false" for name, number in ACCOUNTS.items()
        ]
        groups = [f"{name}:x:{number}:" for name, number in ACCOUNTS.items()]
        for place, lines in (("passwd", accounts), ("group", groups)):
            (top / place).write_text("\n".join([Path("/etc", place).read_text().rstrip("\n"), *lines, ""]))
        shutil.copyfile(APART / "usr/sbin/smtpctl", top / "smtpctl")
        os.chown(top / "smtpctl", 0, ACCOUNTS["opensmtpq"])
        (top / "smtpctl").chmod(0o2555)  # it insists
        command = NAMESPACE.format(top=shlex.quote(str(top)), smtpd=shlex.quote(str(APART / "usr/sbin/smtpd")))
        with (top / "log").open("wb") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            process = subprocess.Popen(["unshare", "--mount", "sh", "-e", "-c", command], **streams)
        try:
            wait_until(lambda: process.poll() is not None or _listens(ports["back"]))
            assert process.poll() is None, (top / "log").read_text()
            again = ["nsenter", "--mount", f"--target={process.pid}", top / "smtpctl", "schedule", "all"]
            yield Ways(scanner, last, {name: Way(ports[name], last, again) for name in WAYS})
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE):
        return True
    return False

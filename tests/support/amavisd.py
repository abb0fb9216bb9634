"""amavisd-new, Debian's, as a program of the test's own: mail goes in and out by SMTP on the loopback.

Its scanners are the entries of /etc/amavis/conf.d/15-av_scanners, of which a test chooses with lines of its own.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.mailing import Sink, free_port, letter, send

DAEMON = Path("/usr/sbin/amavisd")
ENTRIES = Path("/etc/amavis/conf.d/15-av_scanners")
CONFIGURATION = """
use strict;
$mydomain = 'example.org';  $myhostname = 'host.example.org';
$daemon_user = '{user}';  $daemon_group = '{user}';  $max_servers = 1;
$MYHOME = '{home}';  $TEMPBASE = '{home}/tmp';  $lock_file = '{home}/lock';  $pid_file = '{home}/pid';
$enable_db = 0;  $path = '{bin}:/usr/bin:/bin';
$log_level = 2;  $do_syslog = 0;
$inet_socket_bind = '127.0.0.1';  $inet_socket_port = {listens};
$forward_method = 'smtp:[127.0.0.1]:{sink}';  $notify_method = $forward_method;
$final_virus_destiny = D_REJECT;  $virus_quarantine_to = undef;  $enable_dkim_verification = 0;
@bypass_spam_checks_maps = (1);  @bypass_virus_checks_maps = ();
1;
"""


@dataclass
class Amavis:
    port: int
    sink: Sink
    home: Path

    def send(self, *attachments: tuple[str, bytes]) -> str:
        """What it answers: "" when it took the mail."""
        return send(self.port, letter(*attachments))[1]


def user() -> str:
    """As whom it runs."""
    return "amavis" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def give_to_user(top: Path) -> None:
    account = pwd.getpwnam(user())
    for folder, _, names in os.walk(top):
        for name in (folder, *(os.path.join(folder, name) for name in names)):
            os.chown(name, account.pw_uid, account.pw_gid)


@contextmanager
def amavisd(top: Path, home: Path, afterwards: str) -> Iterator[Amavis]:
    """*home* is the user's own, with a folder tmp in it; *afterwards*: Perl that chooses the scanners."""
    assert DAEMON.exists(), "amavisd-new is not installed: make system-test"
    with Sink() as sink:
        port = free_port()
        values = {"user": user(), "home": home, "bin": f"{top}/bin", "listens": port}
        (top / "amavisd.conf").write_text(CONFIGURATION.format(**values, sink=sink.server_address[1]))
        (top / "last.conf").write_text(f"use strict;\n{afterwards}\n1;\n")
        command = [DAEMON, "-c", top / "amavisd.conf", "-c", ENTRIES, "-c", top / "last.conf", "foreground"]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, **streams) as daemon:
            reader = wait_until_ready(daemon)
            try:
                yield Amavis(port, sink, home)
            finally:
                daemon.terminate()
                reader.join(60)
                sink.shutdown()


def wait_until_ready(daemon: subprocess.Popen[bytes]) -> threading.Thread:
    """It says so on its standard error, which is read to its end lest it should wait for us."""
    assert daemon.stdout is not None
    said: list[bytes] = []
    ready = threading.Event()

    def read(lines: Iterable[bytes]) -> None:
        for line in lines:
            said.append(line)
            if b"READY=1" in line:
                ready.set()
        ready.set()

    reader = threading.Thread(target=read, args=(daemon.stdout,), daemon=True)
    reader.start()
    ready.wait(60)
    if not any(b"READY=1" in line for line in said):
        daemon.terminate()
        pytest.fail(f"amavisd did not start: {b''.join(said).decode(errors='replace')}")
    return reader

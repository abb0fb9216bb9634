"""amavisd-new, Debian's, with its own entry for kavscanner, lets a clean mail through and stops EICAR in a zip.

Nothing stands in for it: mail goes in and out by SMTP on the loopback, parts lie where it puts them, and the scanner is
called with the command line of /etc/amavis/conf.d/15-av_scanners by the user that it runs as.
"""

from __future__ import annotations

import io
import os
import pwd
import shutil
import smtplib
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

import pytest

from tests.support.kavscanner import CHECKOUT
from tests.support.programs import EICAR

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
AFTERWARDS = """
use strict;
@av_scanners_backup = grep { ref($_) && $_->[0] eq 'Kaspersky Antivirus v5.5' } @av_scanners_backup;
@av_scanners_backup == 1 or die 'the entry for kavscanner has another name now';
@av_scanners = ();
1;
"""


class Mailbox(socketserver.StreamRequestHandler):
    """The next mail server: takes everything."""

    server: Sink

    def handle(self) -> None:
        self.say("220 sink")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"DATA":
                self.say("354 go on")
                lines = list(iter(self.rfile.readline, b".\r\n"))
                self.server.taken.append(b"".join(lines))
            self.say("221 bye" if word == b"QUIT" else "250 fine")
            if word == b"QUIT":
                return

    def say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")


class Sink(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Mailbox)
        self.taken: list[bytes] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


@dataclass
class Amavis:
    port: int
    sink: Sink
    home: Path

    def send(self, *attachments: tuple[str, bytes]) -> str:
        """What it answers: "" when it took the mail."""
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "a@example.org", "b@example.org", "test"
        mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="example.org")
        mail.set_content("Hello\n")
        for name, content in attachments:
            mail.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
        with smtplib.SMTP("127.0.0.1", self.port, timeout=60) as client:
            try:
                client.send_message(mail)
            except smtplib.SMTPDataError as error:
                return bytes(error.smtp_error).decode() if isinstance(error.smtp_error, bytes) else error.smtp_error
        return ""

    def calls(self) -> list[str]:
        return (self.home / "calls").read_text().splitlines()


def interpreter() -> str:
    """Ours, or that of the system where ours lies in a folder that is closed to other users."""
    ours = Path(sys.executable).resolve()
    if all(folder.stat().st_mode & 0o005 == 0o005 for folder in ours.parents):
        return str(ours)
    theirs = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if not os.access(theirs, os.X_OK):
        pytest.skip(f"{ours} is closed to other users, as whom amavisd runs, and there is no {theirs}")
    return theirs


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def make_home(top: Path, user: str) -> Path:
    """A copy of the program that the user can read, a scanner of that name, and the user's own folder."""
    top.chmod(0o755)
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
    account = pwd.getpwnam(user)
    for folder, _, names in os.walk(home):
        for name in (folder, *(os.path.join(folder, name) for name in names)):
            os.chown(name, account.pw_uid, account.pw_gid)
    return home


@pytest.fixture(scope="module")
def amavis() -> Iterator[Amavis]:
    assert DAEMON.exists(), "amavisd-new is not installed: make system-test"
    user = "amavis" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    with tempfile.TemporaryDirectory(prefix="kavfs-amavis-") as top, Sink() as sink:
        home = make_home(Path(top), user)
        port = free_port()
        conf = Path(top) / "amavisd.conf"
        values = {"user": user, "home": home, "bin": f"{top}/bin", "listens": port}
        conf.write_text(CONFIGURATION.format(**values, sink=sink.server_address[1]))
        (Path(top) / "last.conf").write_text(AFTERWARDS)
        command = [DAEMON, "-c", conf, "-c", ENTRIES, "-c", f"{top}/last.conf", "foreground"]
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


def packed(name: str, content: bytes) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return whole.getvalue()


def test_a_clean_mail_passes(amavis: Amavis) -> None:
    before = len(amavis.sink.taken)
    assert amavis.send(("notes.zip", packed("notes.txt", b"nothing in here"))) == ""
    assert len(amavis.sink.taken) == before + 1
    words = amavis.calls()[-1].split()
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

"""Exim 4, Debian's heavy one, with its clamd scanner on our socket: clean mail is taken, EICAR refused by its name, and
while we are not there mail is deferred.

Each connection is served as inetd would do it: Exim gets the connected socket as its standard streams.
"""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.archives import make_zip
from tests.support.daemons import EICAR_NAME, Aveserver, databases
from tests.support.mailing import letter, open_folder, send
from tests.support.programs import EICAR

EXIM = Path("/usr/sbin/exim4")
USER = "Debian-exim"
CONFIGURATION = """
primary_hostname = host.example.org
spool_directory = {top}/spool
log_file_path = {top}/spool/%slog
keep_environment =
host_lookup =
queue_only = true
av_scanner = clamd:{socket}
acl_smtp_rcpt = everybody
acl_smtp_data = content
begin acl
everybody:
  accept
content:
  deny    malware = *
          message = it has $malware_name
  accept
begin routers
all:
  driver = accept
  transport = nowhere
begin transports
nowhere:
  driver = appendfile
  file = /dev/null
"""


@dataclass
class Exim:
    """Answers on a port, one process for each connection."""

    configuration: Path

    def __enter__(self) -> Exim:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                streams = {"stdin": connection, "stdout": connection, "stderr": subprocess.DEVNULL}
                subprocess.run([EXIM, "-C", self.configuration, "-bs"], **streams, check=False, timeout=60)


@dataclass
class House:
    exim: Exim
    server: Aveserver
    spool: Path


@pytest.fixture
def house() -> Iterator[House]:
    assert EXIM.exists(), "exim4-daemon-heavy is not installed: make system-test"
    with open_folder("exim") as top:
        spool = top / "spool"
        spool.mkdir()
        account = pwd.getpwnam(USER)
        os.chown(spool, account.pw_uid, account.pw_gid)
        server = Aveserver(top, databases(top / "databases"))
        configuration = top / "exim.conf"
        configuration.write_text(CONFIGURATION.format(top=top, socket=server.clamd))
        with server, Exim(configuration) as exim:
            server.for_everybody()
            yield House(exim, server, spool)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="Exim takes another configuration from root alone")
def test_clean_passes_eicar_is_named_and_without_us_mail_waits(house: House) -> None:
    port = house.exim.port
    assert send(port, letter(("notes.zip", make_zip({"a": b"fine"})))) == (250, "")
    assert len(list(house.spool.glob("input/*-D"))) == 1

    for infected in (("a.com", EICAR), ("a.zip", make_zip({"a.com": EICAR}))):
        assert send(port, letter(infected)) == (550, f"it has {EICAR_NAME}")
    assert send(port, letter()) == (250, "")

    house.server.stop()
    code, _ = send(port, letter(("a.com", EICAR)))
    assert code == 451
    assert len(list(house.spool.glob("input/*-D"))) == 2

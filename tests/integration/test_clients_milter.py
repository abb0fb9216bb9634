"""clamav-milter behind Postfix, on our socket: clean mail is taken, infected mail refused or held, and while we are not
there mail is to come again.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.archives import make_zip
from tests.support.daemons import EICAR_NAME, Aveserver, databases
from tests.support.mailing import letter, open_folder, send
from tests.support.postfix import Postfix, postfix, stop
from tests.support.programs import EICAR

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="Postfix and the milter change their users"),
]
MILTER = Path("/usr/sbin/clamav-milter")
CONFIGURATION = """
MilterSocket {milter}
MilterSocketMode 666
FixStaleSocket yes
Foreground no
PidFile {top}/pid
ClamdSocket unix:{clamd}
TemporaryDirectory {top}
OnClean Accept
OnInfected {infected}
OnFail Defer
RejectMsg it has %v
AddHeader Replace
"""


@contextmanager
def clamav_milter(top: Path, clamd: Path, infected: str) -> Iterator[Path]:
    """Its socket. It goes to the background when it listens."""
    assert MILTER.exists(), "clamav-milter is not installed: make system-test"
    settings, socket = top / "milter.conf", top / "milter.sock"
    settings.write_text(CONFIGURATION.format(milter=socket, clamd=clamd, top=top, infected=infected))
    ran = subprocess.run([MILTER, "--config-file", settings], timeout=60, capture_output=True)
    # It tells its first process with SIGINT that it listens, now and then before that one waits for it.
    assert ran.returncode in (0, -signal.SIGINT), ran.stderr
    running = os.pidfd_open(int((top / "pid").read_text()))
    try:
        yield socket
    finally:
        stop(running, signal.SIGKILL)  # it looks for SIGTERM each five seconds


@dataclass
class House:
    postfix: Postfix
    server: Aveserver


@contextmanager
def house(infected: str) -> Iterator[House]:
    with open_folder("milter") as top:
        server = Aveserver(top, databases(top / "databases"))
        with server, clamav_milter(top, server.clamd, infected) as milter, postfix(top, milter) as running:
            yield House(running, server)


ZIPPED = ("game.zip", make_zip({"game.com": EICAR}))


def test_infected_mail_is_refused_by_its_name_and_without_us_mail_is_to_come_again() -> None:
    with house("Reject") as mail:
        port = mail.postfix.port
        assert send(port, letter(("notes.zip", make_zip({"a": b"fine"})))) == (250, "")
        for infected in (("game.com", EICAR), ZIPPED):
            code, said = send(port, letter(infected))
            assert code == 550
            assert EICAR_NAME in said
        assert send(port, letter()) == (250, "")
        assert mail.postfix.held() == []
        mail.server.stop()
        code, _ = send(port, letter())
        assert code in (421, 451)


def test_infected_mail_is_held() -> None:
    with house("Quarantine") as mail:
        assert send(mail.postfix.port, letter()) == (250, "")
        assert mail.postfix.held() == []
        assert send(mail.postfix.port, letter(ZIPPED)) == (250, "")
        assert len(mail.postfix.held()) == 1

"""What stands around a mail server that has us as its filter: smtpscanner with the real engine, the program that mail
servers start, and a last server where everything arrives.

A mail server's own part is a port where mail goes in (`Way`).
"""

from __future__ import annotations

import email
import email.policy
import os
import select
import signal
import smtplib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import mail_kinds
from tests.support.daemon import wait_until
from tests.support.daemons import children, databases
from tests.support.kavscanner import CHECKOUT, environment
from tests.support.mail_kinds import Letter, infected_text
from tests.support.mailing import PATIENCE, House, Taken, free_port
from tests.support.smtprelays import build

SETTINGS = """
[path]
BasesPath={db}
[smtpscan.path]
StatePath={top}/state
SocketPath={socket}
StatusSocketPath=no
[smtpscan.general]
ForwardMailer={forward}
Protocol=lmtp
EHLOsupportXFORWARD=yes
HostName=filter.example.org
[smtpscan.network]
Listen=lmtp:127.0.0.1:{lmtp}, smtp:127.0.0.1:{smtp}
MilterListen={milter}
SocketMode=0666
[smtpscan.options]
Jobs=1
"""
QUIET = "AdminNotify=no\nSenderNotify=no\nRecipientNotify=no\n"
GROUPS = f"""
[smtpscan.group:nothing]
Recipients=^nothing@
RecipientAction=remove
RecipientAttachReport=no
{QUIET}
[smtpscan.group:brave]
Recipients=^brave@
RecipientAction=unchanged
RecipientAttachReport=no
{QUIET}
[smtpscan.group:default]
{QUIET}{mail_kinds.FILTERS}
"""


class Scanner:
    """smtpscanner as a daemon, and a configuration that programs for one conversation have too."""

    def __init__(self, top: Path, forward: str, more: str = "", lmtp: int = 0) -> None:
        self.top, self.forward = top, forward
        self.lmtp, self.smtp, self.milter = lmtp or free_port(), free_port(), top / "milter"
        self.socket, self.configuration = top / "socket", top / "kavfs.conf"
        places = {"socket": self.socket, "lmtp": self.lmtp, "smtp": self.smtp, "milter": self.milter}
        text = SETTINGS.format(top=top, db=databases(top / "databases"), forward=forward, **places)
        self.configuration.write_text(text + (more or mail_kinds.SETTINGS + GROUPS))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Clients can be served behind this."""
        words = [sys.executable, "-m", "kavfs.cli.smtpscanner", "-c", self.configuration, "--foreground", "--listen"]
        where = self.top / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, (self.top / "said").open("ab") as said:
            where.unlink(missing_ok=True)
            notify.bind(str(where))
            variables = {**environment(self.top), "NOTIFY_SOCKET": str(where)}
            streams = {"stdin": subprocess.DEVNULL, "stdout": said, "stderr": said}
            self._process = process = subprocess.Popen(words, cwd=CHECKOUT, env=variables, **streams)
            ended = os.pidfd_open(process.pid)
            try:
                while True:
                    ready = select.select([notify, ended], [], [], PATIENCE)[0]
                    assert ready == [notify], (self.top / "said").read_text()
                    if b"READY=1" in notify.recv(4096).split(b"\n"):
                        return
            finally:
                os.close(ended)

    def engine(self) -> list[int]:
        """Processes that scan."""
        assert self._process is not None
        below = children(self._process.pid)
        return [one for one in below if Path(f"/proc/{one}/comm").read_text() == "kavfs-worker\n"]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Tell it to end, and wait; SIGKILL: as if the machine had lost it."""
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(PATIENCE)
            finally:
                self._process.kill()
                self._process.wait()


def program(folder: Path) -> Path:
    """The program that mail servers start, in a folder that every user may enter."""
    script = f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(CHECKOUT)!r})\n"
    return build(folder, f"{script}from kavfs.cli.smtpscanner import main\nmain()\n")


class Last(House):
    """The last mail server, which remembers what it was given and can be asked for one of it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Taken] = []

    def find(self, met: Callable[[Taken], bool]) -> Taken:
        """The first that is like this; waits for it."""
        at = 0
        while True:
            for one in self.seen[at:]:
                if met(one):
                    self.seen.remove(one)
                    return one
            at = len(self.seen)
            self.seen.append(self.next())

    def has(self, ident: str, recipient: str) -> bool:
        """Whether something came to somebody with this Message-ID."""
        wanted = f"<{ident}>".encode()
        return any(recipient.encode() in one.recipients and wanted in one.content for one in self.rest())

    def get(self, ident: str, recipient: str) -> bytes:
        """What came to somebody with this Message-ID."""
        wanted = f"<{ident}>".encode()
        return self.find(
            lambda one: recipient.encode() in one.recipients and wanted in one.content and one.sender != b""
        ).content

    def notice(self, ident: str, recipient: str) -> EmailMessage:
        """What somebody was told of a message."""
        wanted = f"<{ident}>".encode()
        found = self.find(
            lambda one: one.recipients == (recipient.encode(),) and wanted in one.content and not one.sender
        )
        notice = email.message_from_bytes(found.content, policy=email.policy.default)
        assert isinstance(notice, EmailMessage)
        return notice

    def rest(self) -> list[Taken]:
        """What has come and nobody has asked for."""
        while not self.arrived.empty():
            self.seen.append(self.next())
        return self.seen


class Holding(House):
    """Does not answer to a message until it is told to, and then takes none of those that it held."""

    def __init__(self) -> None:
        self.came, self.free = threading.Event(), threading.Event()
        super().__init__()

    def taking(self, taken: Taken) -> bytes:
        if self.free.is_set():
            return super().taking(taken)
        self.came.set()
        self.free.wait(PATIENCE)
        return b"451 come again"


_QUIETLY: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "timeout": PATIENCE}


class Way:
    """One way through a mail server and us to the last one."""

    def __init__(self, port: int, last: Last, again: Sequence[Path | str] = ()) -> None:
        self.port, self.last = port, last
        self._again = again

    def came(self, ident: str, to: str) -> bytes:
        """What came to somebody with this Message-ID. What the mail server has kept is tried again until then."""
        if self._again:
            wait_until(lambda: self.last.has(ident, to) or not subprocess.run(self._again, **_QUIETLY))
        return self.last.get(ident, to)

    def send(self, content: bytes, *to: str, sender: str = "a@example.org") -> tuple[int, str]:
        """Code and text of the answer to the message."""
        with smtplib.SMTP("127.0.0.1", self.port, local_hostname="test.example.org", timeout=PATIENCE) as client:
            client.ehlo()
            code, said = client.mail(sender, ["BODY=8BITMIME"])
            assert code == 250, said
            for one in to:
                code, said = client.rcpt(one)
                assert code == 250, said
            code, said = client.data(content)
            return code, said.decode()

    def attempt(self, content: bytes, to: str) -> int:
        """The first answer that is not yes."""
        with smtplib.SMTP("127.0.0.1", self.port, local_hostname="test.example.org", timeout=PATIENCE) as client:
            try:
                client.sendmail("a@example.org", [to], content)
            except smtplib.SMTPResponseException as error:
                return error.smtp_code
            except smtplib.SMTPRecipientsRefused as error:
                return error.recipients[to][0]
        return 250

    def sent(self, content: bytes, *to: str) -> None:
        code, said = self.send(content, *to)
        assert code == 250, said


class Ways(NamedTuple):
    """A running mail server, and what is beside it."""

    scanner: Scanner
    last: Last
    ways: dict[str, Way]
    holding: int = 0  # port where the way "hold" has a filter of its own

    def way(self, name: str) -> Way:
        return self.ways[name]


def check_kind(way: Way, kind: str) -> None:
    """A mail of each kind arrives as the usual rules say."""
    mail = Letter(kind)
    way.sent(mail.content, "b@example.org")
    mail.check(way.last.get(mail.id, "b@example.org"))


def check_groups(way: Way) -> None:
    """Recipients of one message get each their own: a cleaned copy, the message as it came, nothing at all."""
    mail = Letter("infected")
    way.sent(mail.content, "b@example.org", "brave@example.org")
    mail.check(way.came(mail.id, "b@example.org"))
    mail.check_unchanged(way.came(mail.id, "brave@example.org"), "infected")


def check_nothing(way: Way) -> None:
    """What is removed without a word does not arrive; the next mail does."""
    ident, content = infected_text()
    way.sent(content, "nothing@example.org")
    mail = Letter("clean")
    way.sent(mail.content, "nothing@example.org")
    mail.check(way.last.get(mail.id, "nothing@example.org"))
    assert not any(ident.encode() in one.content for one in way.last.seen)


def check_too_large(way: Way) -> None:
    """What is larger than what is taken at all comes back to its sender."""
    mail = Letter("oversize", size=1_200_000)
    code, _ = way.send(mail.content, "b@example.org")
    if code == 250:
        came = way.last.find(lambda one: b"a@example.org" in one.recipients and mail.id.encode() in one.content)
        assert b"552" in came.content or b"5.3.4" in came.content
    else:
        assert code == 552


def check_waiting(way: Way, scanner: Scanner) -> None:
    """While there is no engine mail waits with the mail server, which has it, and goes on afterwards."""
    mail = Letter("infected")
    scanner.stop(signal.SIGKILL)
    try:
        way.sent(mail.content, "b@example.org")
    finally:
        scanner.start()
    mail.check(way.came(mail.id, "b@example.org"))


def check_engine_killed(way: Way, scanner: Scanner) -> None:
    """Processes that scan are killed while they have a message."""
    mail = Letter("infected")
    scanning = scanner.engine()
    assert scanning
    for one in scanning:
        os.kill(one, signal.SIGSTOP)
    way.sent(mail.content, "b@example.org")
    for one in scanning:
        os.kill(one, signal.SIGKILL)
    mail.check(way.last.get(mail.id, "b@example.org"))

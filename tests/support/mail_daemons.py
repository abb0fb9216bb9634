"""A real smtpscanner as a process of its own, the mail server behind it, and clients that keep every answer."""

from __future__ import annotations

import os
import select
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.support.daemon import databases, free_port
from tests.support.kavscanner import CHECKOUT

PATIENCE = 60.0


class Taken(NamedTuple):
    """A message that the next mail server has."""

    sender: bytes
    recipients: tuple[bytes, ...]
    content: bytes  # dots unstuffed


class Mailbox(socketserver.StreamRequestHandler):
    """Takes everything, but for recipients whose address says what they are answered: 550@, 451@."""

    server: NextHop

    def handle(self) -> None:
        self.say(b"220 next ESMTP")
        sender, recipients = b"", []
        while line := self.rfile.readline():
            verb, _, rest = line.strip().partition(b" ")
            match verb.upper():
                case b"EHLO":
                    self.say(b"250-next\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 100000000")
                case b"MAIL":
                    sender, recipients = _address(rest), []
                    self.say(b"250 sender")
                case b"RCPT":
                    code = _address(rest).partition(b"@")[0]
                    if code.isdigit():
                        self.say(code + b" as you wish")
                    else:
                        recipients.append(_address(rest))
                        self.say(b"250 recipient")
                case b"DATA":
                    self.say(b"354 go on")
                    lines = iter(self.rfile.readline, b".\r\n")
                    content = b"".join(one[1:] if one.startswith(b".") else one for one in lines)
                    self.server.take(Taken(sender, tuple(recipients), content))
                    self.say(b"250 taken")
                case b"QUIT":
                    self.say(b"221 bye")
                    return
                case _:
                    self.say(b"250 fine")

    def say(self, line: bytes) -> None:
        self.wfile.write(line + b"\r\n")


def _address(rest: bytes) -> bytes:
    return rest.partition(b"<")[2].partition(b">")[0]


class NextHop(socketserver.ThreadingTCPServer):
    """The next mail server, on a port of its own."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Mailbox)
        self._taken: list[Taken] = []
        self._news = threading.Condition()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def take(self, one: Taken) -> None:
        with self._news:
            self._taken.append(one)
            self._news.notify_all()

    def mail(self, to: bytes) -> list[Taken]:
        """What has come for one recipient, notices of ours left out."""
        with self._news:
            return [one for one in self._taken if to in one.recipients and one.sender]

    def notices(self, to: bytes, count: int = 1) -> list[Taken]:
        """So many notices for one recipient, which come a little later."""

        def there() -> list[Taken]:
            return [one for one in self._taken if to in one.recipients and not one.sender]

        with self._news:
            assert self._news.wait_for(lambda: len(there()) >= count, PATIENCE), self._taken
            return there()


class Conversation:
    """A client that says lines and hears replies."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.settimeout(PATIENCE)
        self._file = sock.makefile("rb")

    @classmethod
    def to(cls, port: int) -> Conversation:
        return cls(socket.create_connection(("127.0.0.1", port), PATIENCE))

    def hear(self) -> bytes:
        """The last line of a reply; b"" at the end, however it came."""
        with suppress(ConnectionResetError):
            while line := self._file.readline():
                if line[3:4] != b"-":
                    return line.rstrip(b"\r\n")
        return b""

    def say(self, *lines: bytes, replies: int = 1) -> list[bytes]:
        self.socket.sendall(b"".join(line + b"\r\n" for line in lines))
        return [self.hear() for _ in range(replies)]

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def send(port: int, recipients: Sequence[bytes], content: bytes, lmtp: bool = False) -> list[bytes]:
    """Replies to RCPT that are no 250, and those behind the message: one, or by LMTP one for each recipient."""
    with Conversation.to(port) as client:
        assert client.hear().startswith(b"220 ")
        client.say(b"LHLO me" if lmtp else b"EHLO me")
        assert client.say(b"MAIL FROM:<from@example.org>")[0].startswith(b"250 ")
        answers = [client.say(b"RCPT TO:<%s>" % one)[0] for one in recipients]
        taken = [answer for answer in answers if answer.startswith(b"250 ")]
        refused = [answer for answer in answers if answer not in taken]
        if not taken:
            return refused
        assert client.say(b"DATA")[0].startswith(b"354 ")
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        return refused + client.say(stuffed + b".", replies=len(taken) if lmtp else 1)


@dataclass
class Smtpscanner:
    """Running; SMTP, LMTP and its own socket."""

    folder: Path
    process: subprocess.Popen[bytes]
    hop: NextHop
    smtp: int
    lmtp: int
    said: bytes = field(default=b"")

    @property
    def configuration(self) -> Path:
        return self.folder / "kavfs.conf"

    def wait_for(self, text: bytes) -> bytes:
        """Standard error until *text* is in it."""
        assert self.process.stderr is not None
        end = time.monotonic() + PATIENCE
        while text not in self.said:
            ready, _, _ = select.select([self.process.stderr], [], [], end - time.monotonic())
            data = os.read(self.process.stderr.fileno(), 65536) if ready else b""
            assert data, (text, self.said, self.process.poll())
            self.said += data
        return self.said

    def stop(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        _, rest = self.process.communicate(timeout=PATIENCE)
        self.said += rest
        return self.process.returncode


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(CHECKOUT)}


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "kavfs.cli.smtpscanner", *map(str, words)]


def configuration(folder: Path, forward: str, text: str = "", listen: str = "") -> Path:
    """A file with everything in *folder*; *text* behind it, first keys of [smtpscan.group:default]."""
    path = folder / "kavfs.conf"
    path.write_text(
        f"[path]\nBasesPath={databases(folder)}\n"
        f"[smtpscan.path]\nSocketPath={folder}/socket\nStatePath={folder}/state\n"
        f"[smtpscan.general]\nForwardMailer={forward}\nHostName=us.example.org\n"
        f"[smtpscan.options]\nJobs=1\n[smtpscan.network]\nListen={listen}\n"
        f"[smtpscan.group:default]\n{text}"
    )
    return path


@contextmanager
def running(folder: Path, text: str = "", forward: str = "") -> Iterator[Smtpscanner]:
    """In the foreground, listening, in front of a NextHop (or *forward*)."""
    hop, smtp, lmtp = NextHop(), free_port(), free_port()
    listen = f"smtp:127.0.0.1:{smtp},lmtp:127.0.0.1:{lmtp}"
    path = configuration(folder, forward or f"smtp:127.0.0.1:{hop.port}", text, listen)
    process = subprocess.Popen(
        command("-c", path, "--listen", "--foreground"), stderr=subprocess.PIPE, env=environment()
    )
    scanner = Smtpscanner(folder, process, hop, smtp, lmtp)
    try:
        scanner.wait_for(b"ready")
        yield scanner
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        finally:
            hop.shutdown()
            hop.server_close()

"""Mailing: letters, a way to send them that keeps the answer, and a mail server that takes everything."""

from __future__ import annotations

import queue
import smtplib
import socket
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import NamedTuple

PATIENCE = 60.0


def letter(*attachments: tuple[str, bytes]) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.org", "b@example.org", "test"
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="example.org")
    mail.set_content("Hello\n")
    for name, content in attachments:
        mail.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return mail


def send(port: int, mail: EmailMessage) -> tuple[int, str]:
    """Code and text of the answer to the letter; 250 when it was taken."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="test.example.org", timeout=PATIENCE) as client:
        try:
            client.send_message(mail)
        except smtplib.SMTPDataError as error:
            said = error.smtp_error
            return error.smtp_code, said.decode() if isinstance(said, bytes) else said
    return 250, ""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def open_folder(name: str) -> Iterator[Path]:
    """A temporary folder that other users may enter; those of pytest they may not."""
    with tempfile.TemporaryDirectory(prefix=f"kavfs-{name}-") as top:
        Path(top).chmod(0o755)
        yield Path(top)


class Mailbox(socketserver.StreamRequestHandler):
    """The next mail server: takes everything but commands with what is `refused` in them."""

    server: Sink

    def handle(self) -> None:
        self.say("220 sink")
        while line := self.rfile.readline():
            word = line[:4].upper()
            self.server.lines.append(line.rstrip())
            if any(name in line for name in self.server.refused):
                self.say("550 5.1.1 not here")
                continue
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
        self.lines: list[bytes] = []  # commands
        self.refused: list[bytes] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Taken(NamedTuple):
    """A message that a house has taken."""

    recipients: tuple[bytes, ...]
    content: bytes  # as it came, dots unstuffed
    sender: bytes = b""


class _Door(socketserver.StreamRequestHandler):
    server: House

    def handle(self) -> None:
        self.say(b"220 house")
        recipients: list[bytes] = []
        sender = b""
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word in (b"MAIL", b"RSET"):
                recipients, sender = [], line.partition(b"<")[2].partition(b">")[0]
            elif word == b"RCPT":
                recipients.append(line.partition(b"<")[2].partition(b">")[0])
            elif word == b"DATA":
                self.say(b"354 go on")
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
                    if not line:
                        return  # whoever spoke is gone
                    lines.append(line.removeprefix(b"."))
                content = b"".join(lines)
                self.say(self.server.taking(Taken(tuple(sorted(recipients)), content, sender)))
                continue
            elif word == b"EHLO":
                self.say(b"250-house\r\n250 8BITMIME")
                continue
            self.say(b"221 bye" if word == b"QUIT" else b"250 fine")
            if word == b"QUIT":
                return

    def say(self, line: bytes) -> None:
        self.wfile.write(line + b"\r\n")


class House(socketserver.ThreadingTCPServer):
    """The last mail server: takes everything, and tells what came for whom (`next`)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Door)
        self.arrived: queue.Queue[Taken] = queue.Queue()
        self.port: int = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def taking(self, taken: Taken) -> bytes:
        """The answer to a message."""
        self.arrived.put(taken)
        return b"250 fine"

    def next(self) -> Taken:
        return self.arrived.get(timeout=PATIENCE)

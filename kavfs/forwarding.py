"""Forwarding: where judged mail goes, as ForwardMailer says it; the configuration and the mail service both read it.

    smtp:host[:port]   lmtp:host[:port]   smtp:(command args)   lmtp:(command args)   qmail:(command args)

A host in brackets may be an IPv6 address; one that begins with a slash is a UNIX socket and has no port.
"""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple

PORT = 25

_COMMAND = re.compile(r"(smtp|lmtp|qmail): *\((.*)\)", re.DOTALL)
_HOST = re.compile(r"(smtp|lmtp):(?:\[([0-9A-Fa-f:.]+(?:%\w+)?)\]|([^\s:/\[\]()]+))(?::([0-9]{1,5}))?")
_UNIX = re.compile(r"(smtp|lmtp):(/[^\0]+)", re.DOTALL)
_FORMS = "smtp:host[:port], lmtp:host[:port], smtp:(command), lmtp:(command), qmail:(command)"


class Destination(NamedTuple):
    """One of *command*, *path* and *host* is set."""

    protocol: str  # smtp, lmtp, qmail
    host: str = ""
    port: int = PORT
    path: str = ""
    command: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.command:
            return f"{self.protocol}:({shlex.join(self.command)})"
        if self.path:
            return f"{self.protocol}:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.protocol}:{host}:{self.port}"


def parse(text: str) -> Destination:
    """Raises ValueError. A command is split into words as a shell does it, and no shell sees it."""
    text = text.strip()
    if match := _COMMAND.fullmatch(text):
        return Destination(match[1], command=_words(text, match[2]))
    if match := _UNIX.fullmatch(text):
        return Destination(match[1], path=match[2])
    if match := _HOST.fullmatch(text):
        port = int(match[4]) if match[4] else PORT
        if 0 < port < 65536:
            return Destination(match[1], host=match[2] or match[3], port=port)
    raise ValueError(f"'{text}' is none of {_FORMS}")


def _words(text: str, command: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise ValueError(f"'{text}': {error}") from None
    if not words or "\0" in command:
        raise ValueError(f"'{text}': there is no command")
    return words

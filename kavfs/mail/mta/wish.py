"""Wish: what an integration shall be, as checked values: none of them can become more than one word in a file."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from kavfs.errors import KavfsError, UsageError

_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})")
_PATH = re.compile(r"/[A-Za-z0-9._/+-]+")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


class Refused(KavfsError):
    """Something stands in the way; nothing was changed, or everything was put back. str() says what."""


class Address(NamedTuple):
    """A TCP address in numbers: a name could mean another host tomorrow."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.bracketed if ':' in self.host else self.host}:{self.port}"

    @property
    def bracketed(self) -> str:
        return f"[{self.host}]"

    @property
    def loopback(self) -> bool:
        return ipaddress.ip_address(self.host).is_loopback


SCANNER = Address("127.0.0.1", 10025)
BACK = Address("127.0.0.1", 10026)
MILTER = Address("127.0.0.1", 10027)


class Wish(NamedTuple):
    """*scanner*: where smtpscanner listens; *back*: where the MTA takes judged mail; *program* and *config* are for
    the ways that start smtpscanner for each session, as *user*."""

    way: str
    scanner: Address = SCANNER
    back: Address = BACK
    program: str = "/usr/bin/smtpscanner"
    config: str = "/etc/kavfs/kavfs.conf"
    user: str = "kavfs-aveserver"

    @property
    def forward(self) -> str:
        """The value of ForwardMailer that this needs; "": none, the MTA keeps the message (milter)."""
        return "" if self.way == "milter" else f"smtp:{self.back}"


def address(text: str) -> Address:
    """Raises UsageError."""
    match = _ADDRESS.fullmatch(text)
    try:
        host = str(ipaddress.ip_address((match[1] or match[2]) if match else ""))
    except ValueError:
        raise UsageError(f"{text!r} is no address: 127.0.0.1:10025 or [::1]:10025") from None
    port = int(match[3]) if match else 0
    if not 0 < port < 65536:
        raise UsageError(f"{text!r}: there is no such port")
    return Address(host, port)


def plain_path(text: str) -> str:
    """A path that means the same in every configuration file, or UsageError."""
    if not _PATH.fullmatch(text):
        raise UsageError(f"{text!r}: an absolute path of letters, digits and . _ + - is needed here")
    return text


def account(text: str) -> str:
    if not _USER.fullmatch(text):
        raise UsageError(f"{text!r} is no name of an account")
    return text

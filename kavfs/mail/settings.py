"""Settings: what a session with a client and a connection to the next hop are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Capabilities = Mapping[bytes, bytes]  # keyword of EHLO in capitals -> what stands behind it

PASSED = (b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"SIZE", b"DSN", b"ENHANCEDSTATUSCODES")
ATTRIBUTES = (b"NAME", b"ADDR", b"PORT", b"PROTO", b"HELO", b"IDENT", b"SOURCE")  # of XFORWARD
XCLIENT_ATTRIBUTES = (b"NAME", b"ADDR", b"PORT", b"PROTO", b"HELO", b"LOGIN", b"DESTADDR", b"DESTPORT")


class Limits(NamedTuple):
    """What one client may ask for. 0 of *size*: no limit."""

    size: int = 0  # bytes of a message
    recipients: int = 1000  # of a message; the others hear 452 and come again
    line: int = 2048  # bytes of a command
    commands: int = 200  # in a row that are no mail: NOOP, RSET, VRFY ...
    errors: int = 20  # commands that we refused
    excess: int = 1 << 26  # bytes beyond *size* that are read to say 552; then the connection ends
    idle: float = 300.0  # seconds without a byte from the client


class Times(NamedTuple):
    """Seconds that the next hop may take, as RFC 5321 4.5.3.2 has them."""

    connect: float = 30.0
    command: float = 300.0
    block: float = 180.0  # for a piece of a message to be taken
    final: float = 600.0  # from the last dot to the reply


class Settings(NamedTuple):
    """*offer*: keywords that may be announced (`PASSED`, XFORWARD, XCLIENT); each is only if the next hop has it."""

    name: bytes = b"localhost"
    lmtp: bool = False
    offer: tuple[bytes, ...] = PASSED
    xforward: tuple[bytes, ...] = ATTRIBUTES
    normalise: bool = False  # bare CR and LF become CR LF; else the message is refused
    limits: Limits = Limits()


def offered(settings: Settings, hop: Capabilities, trusted: bool) -> dict[bytes, bytes]:
    """What we announce to a client in front of a next hop with these capabilities. *trusted*: may it use XCLIENT?"""
    found = {}
    for keyword in settings.offer:
        value = hop.get(keyword)
        if value is None or (keyword == b"XCLIENT" and not trusted):
            continue
        if keyword == b"SIZE":
            value = _size(settings.limits.size, value)
        elif keyword in (b"XFORWARD", b"XCLIENT"):
            value = _attributes(settings.xforward if keyword == b"XFORWARD" else XCLIENT_ATTRIBUTES, value)
            if not value:
                continue
        elif keyword not in PASSED:
            continue  # we could not keep what it promises
        else:
            value = b""
        found[keyword] = value
    return found


def _size(ours: int, theirs: bytes) -> bytes:
    limit = int(theirs) if theirs.isdigit() and len(theirs) < 20 else 0
    sizes = [size for size in (ours, limit) if size]
    return b"%d" % min(sizes) if sizes else b""


def _attributes(ours: tuple[bytes, ...], theirs: bytes) -> bytes:
    names = theirs.upper().split()
    return b" ".join(name for name in ours if name in names)

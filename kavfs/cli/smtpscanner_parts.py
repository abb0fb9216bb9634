"""Parts of smtpscanner as its configuration wants them: what a session is made of, and where its clients connect."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

from kavfs.cli.smtpscanner_options import MILTER, RELAY, Wanted
from kavfs.config.mail_settings import MailSettings
from kavfs.daemon import listening
from kavfs.errors import ConfigError
from kavfs.mail.milter import MilterLimits
from kavfs.mail.onward import NoHop, Onward
from kavfs.mail.receiving import Crowd
from kavfs.mail.settings import PASSED, Limits, Settings
from kavfs.mail.spool import Spool
from kavfs.temporary import writable

KINDS = ("smtp", "lmtp", RELAY, MILTER)

Sockets = list[tuple[str, socket.socket]]  # with one of KINDS


def name_of(settings: MailSettings) -> bytes:
    """What we call ourselves."""
    return (settings.host_name or socket.getfqdn() or "localhost").encode("ascii", "replace")


def session(settings: MailSettings) -> Settings:
    """Of a conversation with a client."""
    off = {b"8BITMIME": not settings.eight_bit, b"DSN": not settings.dsn}
    offer = [keyword for keyword in PASSED if not off.get(keyword)]
    if settings.xforward:
        offer.append(b"XFORWARD")
    if settings.trusted:
        offer.append(b"XCLIENT")
    return Settings(
        name=name_of(settings),
        lmtp=settings.lmtp,
        offer=tuple(offer),
        xforward=tuple(word.encode() for word in settings.xforward_attributes),
        normalise=settings.bare_newlines,
        limits=Limits(size=settings.received_max, recipients=settings.recipients_max, idle=settings.idle),
    )


def crowd(settings: MailSettings) -> Crowd:
    return Crowd(settings.connections, settings.connections_client)


def spools(settings: MailSettings) -> Callable[[], Spool]:
    return partial(Spool, writable(settings.scan.temp))


def milter_limits(settings: MailSettings) -> MilterLimits:
    return MilterLimits(size=settings.received_max, recipients=settings.recipients_max)


def onward(settings: MailSettings) -> Onward | NoHop:
    """The next hop. ConfigError: none is named, and there are not milters alone."""
    if settings.forward is None and settings.milter and not settings.listen:
        return NoHop()
    if settings.forward is None:
        raise ConfigError("ForwardMailer: [smtpscan.general] must say where mail goes")
    return Onward(settings.forward, name_of(settings))


def open_listeners(wanted: Wanted) -> Sockets:
    """Those that systemd handed over, by name, and the others made: a place that was handed over is not made again."""
    found: Sockets = []
    given = set()
    for name, sock in listening.handed():
        if name not in KINDS:
            sock.close()
            continue
        found.append((name, sock))
        given.add(_address(sock))
    for listener in wanted.listeners():
        if (listener.path or (listener.host, listener.port)) not in given:
            found.append((listener.protocol, listening.listen(listener)))
    return found


def _address(sock: socket.socket) -> bytes | tuple[str, int]:
    name = sock.getsockname()
    return name.encode() if isinstance(name, str) else bytes(name) if isinstance(name, bytes) else tuple(name[:2])

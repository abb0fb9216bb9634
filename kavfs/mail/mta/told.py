"""Told: what is left for the administrator to do, and what is wrong with an integration, in words."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from kavfs.mail.mta import exim, postfix, qmail, sendmail
from kavfs.mail.mta.found import Found
from kavfs.mail.mta.wish import Address, Wish

WAYS = {"postfix": postfix.WAYS, "exim": exim.WAYS, "sendmail": sendmail.WAYS, "qmail": qmail.WAYS}
"""By the name of the MTA; the first one is taken when none is named."""

PATIENCE_S = 5.0

_OURS = ("systemctl enable kavfs-smtpscanner", "systemctl restart kavfs-smtpscanner")
_STARTED = ("spawn", "command", "mailer", "queue")  # ways by which the MTA starts our program itself


def is_started(way: str) -> bool:
    return way in _STARTED


def forward(found: Found, wish: Wish) -> str:
    """The value that ForwardMailer must have; "": none is needed."""
    return f"qmail:({found.place}/bin/{qmail.ORIGINAL})" if found.name == "qmail" else wish.forward


def listen(wish: Wish) -> str:
    """What the daemon must listen on, as `Listen` says it; "": the MTA starts it, or it is a milter."""
    if is_started(wish.way) or wish.way == "milter":
        return ""
    return f"{'smtp' if wish.way == 'proxy' else 'lmtp'}:{wish.scanner}"


def settings(found: Found, wish: Wish) -> list[str]:
    """Lines that kavfs.conf needs."""
    lines = []
    if to := forward(found, wish):
        lines += ["[smtpscan.general]", f"ForwardMailer={to}"]
    if is_started(wish.way) and wish.way != "queue":
        lines.append("Protocol=lmtp")
    if place := listen(wish):
        lines += ["[smtpscan.network]", f"Listen={place}"]
    elif wish.way == "milter":
        lines += ["[smtpscan.network]", f"MilterListen=inet:{wish.scanner}"]
    return lines


def commands(found: Found, wish: Wish | None) -> tuple[str, ...]:
    """What is left to be done; None: the integration has been removed. We listen before mail is sent to us: an MTA
    that finds nobody there waits long until it looks again."""
    return (*(_OURS if wish and not is_started(wish.way) else ()), *_of_mta(found, wish))


def _of_mta(found: Found, wish: Wish | None) -> tuple[str, ...]:
    """What makes it see the configuration."""
    if found.name == "postfix":
        return ("postfix reload",)
    if found.name == "exim":
        return exim.restart(found.form != "file")
    if found.name == "sendmail":
        return sendmail.starts(wish) if wish else ("systemctl restart sendmail",)
    return ()


def loops(found: Found, wish: Wish, to: str) -> Iterator[str]:
    """Why mail would go round if ForwardMailer is *to*."""
    if found.name == "qmail" and to == f"qmail:({found.place}/bin/{qmail.QUEUE})":
        yield f"ForwardMailer={to} is our stand-in itself: mail would go round in a loop"
    elif to.rpartition(":")[2] == str(wish.scanner.port) and to.partition(":")[2] == str(wish.scanner):
        yield f"ForwardMailer={to} is where the scanner listens: mail would go round in a loop"


def silent(place: Address, who: str) -> Iterator[str]:
    """Nothing, if somebody accepts a connection there."""
    try:
        socket.create_connection((place.host, place.port), PATIENCE_S).close()
    except OSError as error:
        yield f"{who} does not listen on {place}: {error.strerror or error}"

"""Failures: who has asked to be told that a message did not arrive (RFC 3461), and the report that says so (RFC 3464).

The header of the message goes back with it, its content never does, even where RET=FULL asks: what is blocked here was
found, or not looked at, and the sender's address may be forged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.utils import formatdate

from kavfs.mail.case import Case
from kavfs.mail.envelope import Parameters, Recipient

STATUS = b"5.7.1"  # delivery not authorized, message refused
VALUE_MAX = 500  # bytes of what a client has given

_HEX = re.compile(rb"\+([0-9A-F]{2})")
_SHOWN = re.compile(rb"[ -~]+")
_TYPE = re.compile(rb"[A-Za-z0-9-]{1,30}")


def asked(recipient: Recipient) -> bool | None:
    """Whether the sender wants to hear of a failure for this recipient; None: it is left to us."""
    notify = dict(recipient.parameters).get(b"NOTIFY")
    return None if notify is None else b"FAILURE" in notify.upper().split(b",")


def report(case: Case, failed: Iterable[Recipient], name: bytes) -> bytes:
    """The content of message/delivery-status, with CRLF. *name*: that of this host."""
    envid = _decoded(dict(case.envelope.parameters).get(b"ENVID", b""))
    head = [b"Reporting-MTA: dns; " + (_shown(name) or b"localhost")]
    head += [b"Original-Envelope-Id: " + envid] if envid else []
    head.append(b"Arrival-Date: " + formatdate(case.time, localtime=True).encode("ascii"))
    groups = [head, *(_recipient(one) for one in failed)]
    return b"\r\n".join(b"".join(line + b"\r\n" for line in group) for group in groups)


def _recipient(recipient: Recipient) -> list[bytes]:
    kind, original = original_of(recipient.parameters)
    lines = [b"Original-Recipient: " + kind + b"; " + original] if original else []
    address = recipient.address if _shown(recipient.address) else b"unknown"
    return [*lines, b"Final-Recipient: rfc822; " + address, b"Action: failed", b"Status: " + STATUS]


def original_of(parameters: Parameters) -> tuple[bytes, bytes]:
    """Type and address of ORCPT; empty when there is none, or none that could be shown."""
    kind, _, text = dict(parameters).get(b"ORCPT", b"").partition(b";")
    original = _decoded(text)
    return (kind, original) if original and _TYPE.fullmatch(kind) else (b"", b"")


def headers(lines: Iterable[bytes]) -> bytes:
    """The lines of a header as text/rfc822-headers may hold them: ASCII, not too long."""
    plain = (bytes(c if 0x20 <= c < 0x7F or c == 9 else ord("?") for c in line[:998]) for line in lines)
    return b"".join(line + b"\r\n" for line in plain)


def _decoded(xtext: bytes) -> bytes:
    """What stands in xtext, if it can be shown on one line."""
    return _shown(_HEX.sub(lambda found: bytes([int(found[1], 16)]), xtext[: 3 * VALUE_MAX]))


def _shown(value: bytes) -> bytes:
    return value if len(value) <= VALUE_MAX and _SHOWN.fullmatch(value) else b""

"""Answering: to whom a program may write because of a message that it got (RFC 3834): a person, and nobody else."""

from __future__ import annotations

import re

from kavfs.mail.fields import Header

_AUTOMATIC = re.compile(
    rb"(mailer-daemon|listserv|majordomo|mailman|sympa|bounces?([+=-].*)?|owner-.*"
    rb"|.*-(owner|request|bounces?|confirm|errors|relay|return)([+=-].*)?)",
    re.DOTALL,
)
_BULK = (b"bulk", b"list", b"junk")


def automatic(address: bytes) -> bool:
    """Whether a program reads what is sent there, as far as its name tells."""
    local = address.rpartition(b"@")[0] if b"@" in address else address
    return _AUTOMATIC.fullmatch(local.strip(b'"').lower()) is not None


def unanswerable(sender: bytes, header: Header) -> str:
    """Why the sender of a message is told nothing; empty when he may be."""
    if not sender:
        return "null sender"
    if automatic(sender):
        return "automatic sender"
    for field in header.fields:
        value = field.value.strip().lower()
        first = value.partition(b";")[0].partition(b"(")[0].strip()
        if field.name.startswith(b"list-") or field.name in (b"mailing-list", b"x-mailing-list"):
            return "mailing list"
        if field.name == b"precedence" and first in _BULK:
            return "bulk mail"
        if field.name == b"auto-submitted" and first != b"no":
            return "automatic mail"
        if field.name == b"x-auto-response-suppress" and first not in (b"", b"none"):
            return "automatic mail"
        if field.name == b"content-type" and first == b"multipart/report":
            return "automatic mail"
        if field.name == b"return-path" and value == b"<>":
            return "null sender"
    return ""

"""Addresses: the ways in which one may be written, and the one that is compared with."""

from __future__ import annotations

import re

_QUOTED = re.compile(rb'\\(.)|"', re.DOTALL)
_PLAIN = re.compile(rb"[^\s\"\\<>]*")


def bare(address: bytes) -> bytes:
    """An address of SMTP as qmail has it: no route, no quotes."""
    if address.startswith(b"@"):
        address = address.partition(b":")[2]
    return _QUOTED.sub(rb"\1", address)


def quoted(address: bytes) -> bytes:
    """An address of qmail as SMTP has it: quotes where something in the local part needs them."""
    local, at, domain = address.rpartition(b"@")
    if not at:
        local, domain = address, b""
    if _PLAIN.fullmatch(local):
        return address
    return b'"' + re.sub(rb'(["\\])', rb"\\\1", local) + b'"' + at + domain


def usual(address: bytes) -> bytes:
    """The same address as people write it: no route, no quotes that are not needed, no dot behind its domain. Mail for
    "boss"@example.org. is for boss@example.org, and a pattern that means him must not miss it."""
    if address.startswith(b"@") or b'"' in address or b"\\" in address:
        address = quoted(bare(address))
    return address[:-1] if address.endswith(b".") and b"@" in address else address

"""Sections of OneNote as far as their files go: each behind a GUID and its length ([MS-ONESTORE] 2.6.13)."""

from __future__ import annotations

import struct
from uuid import UUID

SECTION = UUID("7B5C52E4-D88C-4DA7-AEB1-5378D02996D3").bytes_le
STORE = UUID("109ADD3F-911B-49F5-A5D0-1791EDC8AED8").bytes_le
WEB_STORE = UUID("638DE92F-A6D4-4BC1-9A36-B3FC2511A5B7").bytes_le
FILE = UUID("BDE316E7-2665-4511-A4C4-8D4D0B7A9EAC").bytes_le
FILE_END = UUID("71FBA722-0F79-4A0B-BB13-899256426B24").bytes_le


def stored(content: bytes, *, size: int | None = None) -> bytes:
    """A file as it lies in a section. *size*: what it says of its length, where that is a lie."""
    head = FILE + struct.pack("<QIQ", len(content) if size is None else size, 0, 0)
    return head + content + bytes(-len(content) % 8) + FILE_END


def section(*parts: bytes, store: bytes = STORE) -> bytes:
    return (SECTION + bytes(32) + store).ljust(1024, b"\0") + b"".join(parts)

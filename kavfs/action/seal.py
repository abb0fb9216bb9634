"""Seal: an item of a store as it lies on disk: encrypted, and any change of it is noticed.

    magic (8) | id of the item (8) | nonce (12) | key of the item under the master key (32 + 16)     -> the head
    chunk, chunk ...                                                                                each with 16 more

AES-256-GCM throughout. Each item has a key of its own, so the nonce of a chunk is its number, and whether it is the
last one (the STREAM construction): chunks that are left out, exchanged or cut off at the end do not open. The head is
authenticated with every chunk, and with it the item's id: no item can pass for another one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"kavfs-q1"
ID = 8  # bytes
KEY = 32
NONCE = 12
TAG = 16
HEAD = len(MAGIC) + ID + NONCE + KEY + TAG
CHUNK = 1 << 18  # bytes of content in each chunk but the last


class Damaged(Exception):
    """What lies on disk was not written with this key, or was changed since; str() says which."""


def sealed(master: bytes, item: bytes, content: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of an item that holds *content*, whose pieces may be of any size. *item* is its id."""
    key, nonce = os.urandom(KEY), os.urandom(NONCE)
    before = MAGIC + item + nonce
    head = before + AESGCM(master).encrypt(nonce, key, before)
    yield head
    cipher, number, waiting = AESGCM(key), 0, bytearray()
    for piece in content:
        waiting += piece
        while len(waiting) > CHUNK:  # what is left over may be the last one, so it is never empty but for an empty item
            yield cipher.encrypt(_nonce(number, False), bytes(waiting[:CHUNK]), head)
            del waiting[:CHUNK]
            number += 1
    yield cipher.encrypt(_nonce(number, True), bytes(waiting), head)


def opened(master: bytes, item: bytes, fd: int) -> Iterator[bytes]:
    """The content of the item in the file *fd*, from its beginning; each piece is proved before it is given. Raises
    Damaged, also after some pieces: only who has come to the end has seen the item whole. *item* b"" = any."""
    head = _read(fd, HEAD)
    if len(head) != HEAD or not head.startswith(MAGIC):
        raise Damaged("it is not an item of a store")
    if item and head[len(MAGIC) : len(MAGIC) + ID] != item:
        raise Damaged("it is another item than its name says")
    split = HEAD - KEY - TAG
    try:
        key = AESGCM(master).decrypt(head[split - NONCE : split], head[split:], head[:split])
    except InvalidTag:
        raise Damaged("its key does not open: it was changed, or written with another master key") from None
    cipher, number = AESGCM(key), 0
    data = _read(fd, CHUNK + TAG)
    while True:
        following = _read(fd, CHUNK + TAG)
        try:
            yield cipher.decrypt(_nonce(number, not following), data, head)
        except InvalidTag:
            raise Damaged(f"it was changed or cut off, at its {number + 1}. part") from None
        if not following:
            return
        data = following
        number += 1


def item_of(fd: int) -> bytes:
    """The id in the head of a file, at offset 0; b"" when it is no item."""
    head = os.pread(fd, len(MAGIC) + ID, 0)
    return head[len(MAGIC) :] if head.startswith(MAGIC) and len(head) == len(MAGIC) + ID else b""


def pieces(fd: int, size: int = CHUNK) -> Iterator[bytes]:
    """The bytes of a file from its beginning, without moving its position."""
    at = 0
    while data := os.pread(fd, size, at):
        yield data
        at += len(data)


def write(fd: int, data: bytes | memoryview) -> None:
    """All of it. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(NONCE - 1, "big") + bytes([last])


def _read(fd: int, size: int) -> bytes:
    """So many bytes from the position on, fewer only at the end of the file."""
    found = bytearray()
    while len(found) < size and (data := os.read(fd, size - len(found))):
        found += data
    return bytes(found)

"""Control socket: messages between coordinator and fork server, one JSON line and descriptors each.

Both ends are ours and trust each other; no walker or worker ever holds an end. What can be long (lists of roots) goes
into a memfd whose descriptor travels first, so that no message meets the limit of a socket buffer.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from typing import Any

MESSAGE_MAX = 65536
FDS_MAX = 250  # the kernel takes 253

Message = dict[str, Any]


def send(sock: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """One message with descriptors; they stay the caller's."""
    socket.send_fds(sock, [json.dumps(message).encode()], list(fds))


def receive(sock: socket.socket) -> tuple[Message, list[int]] | None:
    """The next message, or None when the other end is closed."""
    try:
        data, fds, _, _ = socket.recv_fds(sock, MESSAGE_MAX, FDS_MAX)
    except ConnectionResetError:
        return None
    if not data:
        return None
    message = json.loads(data)
    assert isinstance(message, dict)
    return message, fds


def write_long(value: Message) -> int:
    """A memfd that holds *value*; the caller closes it."""
    fd = os.memfd_create("kavfs-setup", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(json.dumps(value).encode())
    return fd


def read_long(fd: int) -> Message:
    """What write_long put there."""
    value = json.loads(os.pread(fd, os.fstat(fd).st_size, 0))
    assert isinstance(value, dict)
    return value


def text_of(path: bytes) -> str:
    """Bytes as JSON can carry them, and back with bytes_of."""
    return path.decode("latin-1")


def bytes_of(text: str) -> bytes:
    return text.encode("latin-1")

"""Milter's wire: frames between a mail server and its filters, and what stands in them (versions 2 to 6).

A frame is a length, a letter and data. The letters of both directions are those of Sendmail's libmilter.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator

from kavfs.mail.commands import has_controls
from kavfs.mail.envelope import Parameters
from kavfs.mail.fields import HEADER_MAX
from kavfs.mail.replies import Reply

VERSION, OLDEST = 6, 2
CHUNK_MAX = 65535  # bytes of a body in one frame of ours
FRAME_MAX = HEADER_MAX + 65536  # bytes of a frame of theirs: a body's are as ours, one field may be longer
TEXT_MAX = 400  # bytes of a reply

# What we may ask a server to do, and parts of the dialogue that we can do without.
ADD_FIELDS, CHANGE_BODY, DELETE_RECIPIENTS, CHANGE_FIELDS = 0x01, 0x02, 0x08, 0x10
ACTIONS = ADD_FIELDS | CHANGE_BODY | DELETE_RECIPIENTS | CHANGE_FIELDS
NO_EOH, NO_UNKNOWN, NO_DATA, SPACE = 0x40, 0x100, 0x200, 0x100000  # SPACE: a value is sent as it stands behind ":"
UNANSWERED = {b"L": 0x80, b"C": 0x1000, b"H": 0x2000, b"B": 0x80000}  # commands that need no answer of ours
STEPS = NO_EOH | NO_UNKNOWN | NO_DATA | SPACE | sum(UNANSWERED.values())

CONTINUE, TEMPFAIL, DISCARD, PROGRESS, REPLY = b"c", b"t", b"d", b"p", b"y"
ADD, INSERT, CHANGE, WITHOUT, BODY = b"h", b"i", b"m", b"-", b"b"


class Strange(Exception):
    """The other side does not speak as a mail server does."""


def frame(code: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", 1 + len(data)) + code + data


def take_frame(held: bytearray) -> tuple[bytes, bytes] | None:
    """The letter and the data of the first frame, which is taken out, if it has come wholly. Raises Strange."""
    if len(held) < 4:
        return None
    (size,) = struct.unpack_from(">I", held)
    if not 1 <= size <= FRAME_MAX:
        raise Strange(f"a frame of {size} bytes")
    if len(held) < 4 + size:
        return None
    code, data = bytes(held[4:5]), bytes(held[5 : 4 + size])
    del held[: 4 + size]
    return code, data


def body_frames(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """A new body. One that is empty is said so. Raises OSError."""
    none = True
    for piece in pieces:
        for first in range(0, len(piece), CHUNK_MAX):
            none = False
            yield frame(BODY, piece[first : first + CHUNK_MAX])
    if none:
        yield frame(BODY)


def written(answer: Reply) -> bytes:
    """A reply of one line. A per cent sign means something to some servers, 421 that the server itself closes."""
    code = answer.code if 400 <= answer.code < 600 and answer.code != 421 else 451
    kind = b"%d" % (code // 100)
    enhanced = answer.enhanced if answer.enhanced[:1] == kind else kind + b".3.0"
    text = b" ".join(answer.lines)[:TEXT_MAX]
    plain = bytes(c if 0x20 <= c < 0x7F else 0x3F for c in text)
    return b"%d %s %s\0" % (code, enhanced, plain.replace(b"%", b"%%"))


def path(data: bytes, keys: tuple[bytes, ...]) -> tuple[bytes, Parameters]:
    """Address and parameters of MAIL and RCPT; of these only *keys*. Raises Strange."""
    words = data.removesuffix(b"\0").split(b"\0")
    if any(has_controls(word) for word in words):
        raise Strange("an address with control characters")
    address = words[0].strip()
    if address.startswith(b"<") and address.endswith(b">"):
        address = address[1:-1]
    pairs = [word.partition(b"=") for word in words[1:]]
    found = {key.upper(): value for key, _, value in pairs if key.upper() in keys}
    return address, tuple(found.items())


def client(data: bytes) -> bytes:
    """The address of a client out of CONNECT, or b"". Raises Strange."""
    _, end, rest = data.partition(b"\0")
    if not end or not rest:
        raise Strange("a connection without its kind")
    if rest[:1] not in (b"4", b"6"):
        return b""
    text = rest[3:].partition(b"\0")[0].decode("ascii", "replace").removeprefix("IPv6:")
    try:
        return str(ipaddress.ip_address(text)).encode("ascii")
    except ValueError:
        return b""

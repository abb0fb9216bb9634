"""Composing: a notice as a message: fields, a text, and what is attached, written to a spool with CRLF.

Python's email package makes every field and every text. What is attached passes through in pieces: an object may be
large, and many messages are at work at a time. All is ASCII, but for a message that is enclosed as it is. No value can
begin a field or a part of its own.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterable, Iterator
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from typing import NamedTuple

from kavfs.action.cure.pieces import Source, chunks_of
from kavfs.mail.spool import Spool
from kavfs.mail.templates import one_line
from kavfs.report.names import shown_text

POLICY = SMTP.clone(cte_type="7bit")
LINE = 57  # bytes in a line of base64
NAME_MAX = 120

_UNWANTED = re.compile(r'[/\\:*?"<>|]')
_MSGID = re.compile(r"<[!-;=?-~]{1,240}>")


class Part(NamedTuple):
    """*fields*: whole, with line ends. *content*: as it stands below them, without a line end behind it."""

    fields: bytes
    content: Iterable[bytes]


def head(sender: bytes, to: bytes, subject: str, host: bytes, replied: bool) -> EmailMessage:
    """The fields of a notice. *replied*: it answers what its addressee has sent, or seems to have."""
    message = EmailMessage(policy=POLICY)
    message["From"] = _address(sender) or "MAILER-DAEMON"
    message["To"] = _address(to) or "undisclosed-recipients:;"
    message["Subject"] = _encodable(one_line(subject)).replace("=?", "= ?")  # Python would decode it once more
    message["Date"] = formatdate(localtime=True)
    domain = host.decode("ascii", "replace")
    message["Message-ID"] = make_msgid(domain=domain if re.fullmatch(r"[A-Za-z0-9.-]+", domain) else "localhost")
    message["Auto-Submitted"] = "auto-replied" if replied else "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    return message


def answers(message: EmailMessage, msgid: str) -> None:
    """Have it stand beside the message that it speaks of, if that has an id that is one."""
    if _MSGID.fullmatch(msgid):
        message["In-Reply-To"] = message["References"] = msgid


def _address(raw: bytes) -> Address | None:
    """None where it cannot stand in a field."""
    try:
        return Address(addr_spec=raw.decode("ascii")) if b"=?" not in raw else None
    except (ValueError, IndexError, MessageError, AttributeError):  # what the parser makes of what is no address
        return None


def write(spool: Spool, message: EmailMessage, text: str, parts: Iterable[Part], kind: str = "multipart/mixed") -> None:
    """The notice with this text; without *parts* it is nothing but that. Raises OSError."""
    parts = list(parts)
    if not parts:
        _set_text(message, text)
        spool.write(message.as_bytes())
        return
    boundary = "=_kavfs_" + secrets.token_hex(16)
    message["MIME-Version"] = "1.0"
    message["Content-Type"] = f'{kind}; boundary="{boundary}"'
    inner = EmailMessage(policy=POLICY)
    _set_text(inner, text)
    del inner["MIME-Version"]
    line = b"--" + boundary.encode("ascii")
    spool.write(b"".join(POLICY.fold_binary(name, value) for name, value in message.raw_items()))
    spool.write(b"\r\n" + line + b"\r\n" + inner.as_bytes())
    for part in parts:
        spool.write(b"\r\n" + line + b"\r\n" + part.fields + b"\r\n")
        for piece in part.content:
            spool.write(piece)
    spool.write(b"\r\n" + line + b"--\r\n")


def _set_text(message: EmailMessage, text: str) -> None:
    safe = re.sub(r"[^\n\t]+", lambda found: shown_text(found[0]), text)
    message.set_content(_encodable(safe), charset="utf-8")


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


# ---- parts -----------------------------------------------------------------------------------------------------------


def attached(name: str, content: Iterable[bytes]) -> Part:
    """Bytes as a file that no reader opens by itself."""
    made = EmailMessage(policy=POLICY)
    made["Content-Type"] = "application/octet-stream"
    made["Content-Transfer-Encoding"] = "base64"
    made.add_header("Content-Disposition", "attachment", filename=harmless(name))
    return Part(_fields(made), _base64(content))


def enclosed(source: Source) -> Part:
    """A whole message as it is."""
    eight = any(not piece.isascii() for piece in chunks_of([source]))
    fields = [("Content-Type", "message/rfc822"), ("Content-Transfer-Encoding", "8bit" if eight else "7bit")]
    return plain([*fields, ("Content-Disposition", "attachment")], chunks_of([source]))


def plain(fields: Iterable[tuple[str, str]], content: Iterable[bytes]) -> Part:
    """A part of ours; *content* is ASCII with CRLF."""
    made = EmailMessage(policy=POLICY)
    for name, value in fields:
        made[name] = value
    return Part(_fields(made), content)


def harmless(name: str) -> str:
    """A file's name without folders; its letters stay."""
    last = re.split(r"[/\\]", name)[-1]
    shown = _UNWANTED.sub("_", _encodable(shown_text(last)))[:NAME_MAX]
    return shown if shown.strip("._ ") else "attachment"


def _fields(made: EmailMessage) -> bytes:
    return b"".join(
        POLICY.fold_binary(name, value) for name, value in made.raw_items() if name.lower() != "mime-version"
    )


def _base64(content: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for piece in content:
        held += piece
        whole = len(held) - len(held) % LINE
        if whole:
            yield base64.encodebytes(held[:whole]).replace(b"\n", b"\r\n")
            held = held[whole:]
    yield base64.encodebytes(held).replace(b"\n", b"\r\n")

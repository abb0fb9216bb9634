"""MIME parts of one message as ranges of its bytes, with the names that the scanner gives them (ext/object/mail.c)."""

from __future__ import annotations

import codecs
import email
import email.errors
import email.header
import email.message
import email.parser
import email.utils
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kavfs.action.cure.refused import Refused, Why

NESTING = 100  # multiparts inside multiparts
PARTS_MAX = 10_000
MESSAGES = ("message/rfc822", "message/rfc2822", "message/global", "message/news")
ISO_8859 = (1, 2, 5, 7, 8, 9, 15)
CHARSETS = (
    "ascii",
    "latin-1",
    "raw-unicode-escape",
    "utf-8",
    "utf-7",
    "utf-16",
    "koi8-r",
    "koi8-u",
    "big5",
    "gbk",
    "gb18030",
    "shift_jis",
    "euc-jp",
    "euc-kr",
)
BLOCK = re.compile(rb"^begin(?:-base64)? [0-7]{3,6} ([^\r\n]+)\r?\n", re.MULTILINE)
BLOCK_END = re.compile(rb"^(?:end|====)(?=\r?$)", re.MULTILINE)
FIELD = re.compile(rb"[!-9;-~]+[ \t]*:|From |>From |[ \t]")


def load_charsets() -> None:
    """What names are written in: Python reads the tables from files, which the sandbox closes."""
    windows = [f"cp{number}" for number in range(1250, 1257)]
    for name in (*CHARSETS, "iso-2022-jp", "tis-620", *windows, *(f"iso-8859-{number}" for number in ISO_8859)):
        codecs.lookup(name)


@dataclass(slots=True)
class Part:
    start: int  # of its header
    body: int
    end: int  # without the line end that belongs to the boundary below it
    place: str  # "1.2.3"
    fields: email.message.Message
    signed: bool  # it, or something around it
    children: list[Part] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return _parameter(self.fields.get_content_type) or "text/plain"

    @property
    def encoding(self) -> str:
        return str(self.fields.get("Content-Transfer-Encoding", "")).strip().lower()

    def names(self) -> list[bytes]:
        """What the scanner may call it, best first."""
        names = []
        if self.kind not in MESSAGES and (raw := _parameter(self.fields.get_filename)):
            words = _words(raw)
            names = [words, words.partition(b'"')[0], raw.encode("utf-8", "surrogateescape")]  # GMime ends at a quote
        return [*names, b"part-" + self.place.encode()]


def parts_of(data: bytes) -> Part:
    """The message as a tree of parts."""
    root = _entity(data, 0, len(data), "1", signed=False, depth=0)
    if sum(1 for _ in leaves(root)) > PARTS_MAX:
        raise Refused(Why.TOO_MANY)
    return root


def leaves(part: Part) -> Iterator[Part]:
    """Parts that hold no others; enclosed messages are such."""
    if part.kind.startswith("multipart/") and part.children:
        for child in part.children:
            yield from leaves(child)
    else:
        yield part


def blocks(data: bytes, part: Part) -> Iterator[tuple[bytes, int, int]]:
    """Files that stand in a text as uuencoded blocks: name, start, end."""
    at = part.body
    while found := BLOCK.search(data, at, part.end):
        over = BLOCK_END.search(data, found.end(), part.end)
        at = over.end() if over else part.end
        yield found[1], found.start(), at


def header_end(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the header ends, and where the body begins."""
    at = start
    while at < end:
        stop = data.find(b"\n", at, end)
        stop = end if stop < 0 else stop + 1
        line = data[at:stop]
        if not line.strip(b"\r\n"):
            return at, stop
        if not FIELD.match(line):
            return at, at
        at = stop
    return end, end


def fields_of(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """The fields of a header: name in small letters, and all bytes with continued lines."""
    lines = data[start:end].splitlines(keepends=True)
    held: list[bytes] = []
    for line in [*lines, b""]:
        if held and line[:1] not in (b" ", b"\t"):
            yield held[0].partition(b":")[0].strip().lower(), b"".join(held)
            held = []
        held.append(line)


def _entity(data: bytes, start: int, end: int, place: str, *, signed: bool, depth: int) -> Part:
    if depth > NESTING:
        raise Refused(Why.ODD)
    stop, body = header_end(data, start, end)
    fields = email.message.Message()
    for name, raw in fields_of(data, start, stop):
        if name.startswith(b"content-"):
            text = raw.partition(b":")[2].decode("utf-8", "surrogateescape")
            fields[name.decode("latin-1")] = re.sub(r"\r?\n[ \t]*", " ", text.strip("\r\n")).strip()
    kind = _parameter(fields.get_content_type) or "text/plain"
    signed = signed or kind in ("multipart/signed", "application/pkcs7-mime", "application/x-pkcs7-mime")
    part = Part(start, body, end, place, fields, signed)
    boundary = _parameter(fields.get_boundary)
    if kind.startswith("multipart/") and boundary:
        above = place + "." if depth else "1."
        spans = _spans(data, body, end, boundary.encode("utf-8", "surrogateescape"))
        for number, (first, last) in enumerate(spans, 1):
            part.children.append(_entity(data, first, last, f"{above}{number}", signed=signed, depth=depth + 1))
    return part


def _parameter(get: Callable[[], str | None]) -> str | None:
    """What Python's library reads of a field; None where it stumbles over what it does not expect."""
    try:
        return get()
    except (ValueError, TypeError, LookupError):
        return None


def _spans(data: bytes, body: int, end: int, boundary: bytes) -> list[tuple[int, int]]:
    """What stands between the lines of a boundary."""
    line = re.compile(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r?\n|\r?\Z)", re.MULTILINE)
    spans: list[tuple[int, int]] = []
    start = -1
    for found in line.finditer(data, body, end):
        if start >= 0:
            spans.append((start, max(start, _before(data, found.start()))))
        start = -1 if found[1] else found.end()
        if found[1] or len(spans) > PARTS_MAX:
            break
    if start >= 0:
        spans.append((start, end))
    return spans


def _before(data: bytes, at: int) -> int:
    """Where the line above ends."""
    if data[at - 2 : at] == b"\r\n":
        return at - 2
    return at - 1 if data[at - 1 : at] == b"\n" else at


def _words(raw: str) -> bytes:
    """A name with its encoded words decoded, as UTF-8."""
    try:
        pieces = email.header.decode_header(raw)
    except email.errors.HeaderParseError:
        pieces = [(raw, None)]
    text = b""
    for piece, charset in pieces:
        if isinstance(piece, str):
            text += piece.encode("utf-8", "surrogateescape")
            continue
        try:
            text += piece.decode(charset or "ascii").encode()
        except (LookupError, ValueError):  # a NUL in the name of a charset is a ValueError
            text += piece
    return text

"""Names: parameters of fields as any reader may understand them, names of attachments, and names that harm nobody.

Readers disagree about parameters that are doubled, cut, quoted by halves or encoded in two ways at once. What filters
look at is every name that one of them would show."""

from __future__ import annotations

import email.errors
import email.header
import re
import urllib.parse
from collections.abc import Iterable, Iterator

PARAMETER = re.compile(rb"""(?:^|[;\s"])([!#$&+.^_`|~A-Za-z0-9-]+(?:\*[0-9]*)*\*?)\s*=\s*""")
QUOTED = re.compile(rb"\"(?:[^\"\\]|\\.)*\"?", re.DOTALL)
UNQUOTED = re.compile(rb"[^;]{0,1024}")
BRACKET = re.compile(rb"\\.|[()]", re.DOTALL)
LINE_END = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")  # for Python's library
SHOWN_MAX = 100
NAMING = ((b"content-disposition", b"filename"), (b"content-type", b"name"), (b"content-disposition", b"name"))
VALUE_MAX = 16384  # bytes of one field that are taken apart: the expressions are not run on more
NAMES_MAX = 64


def without_comments(value: bytes) -> bytes:
    """(Comments (nested)) taken out, which may stand anywhere in a field."""
    value = value[:VALUE_MAX]
    begun: list[int] = []
    comments: list[tuple[int, int]] = []
    for match in BRACKET.finditer(value):
        if match[0] == b"(" or (match[0] == b"\\(" and not begun):  # outside of comments nothing is escaped
            begun.append(match.end() - 1)
        elif match[0] == b")" and begun:
            start = begun.pop()
            while comments and comments[-1][0] > start:
                comments.pop()
            comments.append((start, match.end()))
    pieces, at = [], 0
    for start, end in comments:
        pieces.append(value[at:start])
        at = end
    return b" ".join([*pieces, value[at:]])


def parameters(value: bytes, name: bytes) -> Iterator[bytes]:
    """Every reading of a parameter of a field, as it stands: quotes and percent signs are gone from it."""
    if name not in value.lower():
        return  # as most have it
    seen: set[bytes] = set()
    for text in dict.fromkeys((value[:VALUE_MAX], without_comments(value))):
        found: list[tuple[bytes, bytes, bytes]] = []
        for match in PARAMETER.finditer(text):
            key = match[1].lower()
            if key == name or key.startswith(name + b"*"):
                quoted = QUOTED.match(text, match.end())
                behind = UNQUOTED.match(text, quoted.end() if quoted else match.end())
                found.append((key, quoted[0] if quoted else b"", behind[0].strip() if behind else b""))
        for one in _readings(found, name):
            if one not in seen and len(seen) < NAMES_MAX:
                seen.add(one)
                yield one


def _readings(found: list[tuple[bytes, bytes, bytes]], name: bytes) -> Iterator[bytes]:
    """*found*: key, what is quoted, what stands behind that up to a semicolon."""
    pieces: dict[int, bytes] = {}
    for key, quoted, bare in found:
        plain = _unquoted(quoted) if quoted else bare
        if key == name:
            yield from _plain_readings(plain, quoted, bare)
            continue
        middle = key[len(name) :].strip(b"*")
        if not middle:
            yield _extended(plain)
        elif middle.isdigit():
            number = int(middle[:6])
            if key.endswith(b"*"):
                plain = _extended(plain) if number == 0 else urllib.parse.unquote_to_bytes(plain)
            pieces.setdefault(number, plain)
    if pieces:
        yield b"".join(text for _, text in sorted(pieces.items()))


def _plain_readings(plain: bytes, quoted: bytes, bare: bytes) -> Iterator[bytes]:
    yield plain
    if not quoted:
        yield bare.split()[0] if bare.split() else bare
        yield bare.strip(b"'")
    elif bare:
        yield quoted + b" " + bare
    elif quoted[-1:] != b'"' or len(quoted) == 1:  # not closed
        yield quoted.strip()
        yield plain.split(b";")[0].rstrip()


def _unquoted(raw: bytes) -> bytes:
    inner = raw[1:-1] if raw[-1:] == b'"' and len(raw) > 1 else raw[1:]
    return re.sub(rb"\\(.)", rb"\1", inner, flags=re.DOTALL)


def _extended(raw: bytes) -> bytes:
    """charset'language'text, as UTF-8."""
    charset, first, rest = raw.partition(b"'")
    _, second, text = rest.partition(b"'")
    if not first or not second:
        return urllib.parse.unquote_to_bytes(raw)
    plain = urllib.parse.unquote_to_bytes(text)
    try:
        return plain.decode(charset.decode("ascii") or "ascii").encode("utf-8", "surrogateescape")
    except (LookupError, ValueError):
        return plain


def decoded_words(raw: bytes) -> bytes:
    """With =?encoded?words?= decoded, as UTF-8."""
    text = raw.decode("utf-8", "surrogateescape")
    if "=?" not in text:
        return raw
    # Behind the last end there is no such word: Python's library would look for the end of each beginning there.
    text, end, rest = LINE_END.sub(" ", text).rpartition("?=")
    if not end:
        return raw
    try:
        pieces = email.header.decode_header(re.sub(r"(?<=\?=)(?==\?)", " ", text + end))
    except (email.errors.HeaderParseError, ValueError):
        return raw
    out = b""
    for piece, charset in pieces:
        if isinstance(piece, str):
            out += piece.encode("utf-8", "surrogateescape")
            continue
        try:
            out += piece.decode(charset or "ascii").encode("utf-8", "surrogateescape")
        except (LookupError, ValueError):
            out += piece
    return out + rest.encode("utf-8", "surrogateescape")


def names_of(fields: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, ...]:
    """What an attachment may be called, best first, in UTF-8. *fields*: name and value of the part's fields."""
    held = list(fields)
    names: dict[bytes, None] = {}
    for field, parameter in NAMING:
        for name, value in held:
            if name != field:
                continue
            for raw in parameters(value, parameter):
                for one in (decoded_words(raw), raw):
                    if one and len(names) < NAMES_MAX:
                        names[one] = None
    return tuple(names)


def safe(name: bytes, instead: bytes = b"attachment") -> bytes:
    """A name in plain ASCII without folders, for headers and for people: what comes in mail is hostile."""
    last = re.split(rb"[/\\]", name)[-1]
    shown = bytes(byte if 0x20 < byte < 0x7F and byte not in b'"<>\\:*?|%' else ord("_") for byte in last[:SHOWN_MAX])
    return shown if shown.strip(b"._") else instead

"""Texts that a regular expression of PCRE matches, found by walking through it and proved by libpcre2 itself.

text = matching(b"a(b|c)+d", "i", random.Random(1))     raises Unmakeable where none was found
"""

from __future__ import annotations

import ctypes
import ctypes.util
import random
import re
from functools import cache
from re import _constants as op
from re import _parser as parser
from typing import Any


class Unmakeable(ValueError):
    """No sample of this line can be made; the text says why, in words that many lines share."""


TRIES = 40
MOST = 6  # times that an endless repetition is taken
WORD = b"abcdefghijklmnopqrstuvwxyz0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SPACE = b" \n\r\t\f\v"
PLEASANT = b" abcdefgxyz0123456789ABCXYZ_.,;=()\"'\n\t\0"
CATEGORIES = {op.CATEGORY_DIGIT: b"0123456789", op.CATEGORY_SPACE: SPACE, op.CATEGORY_WORD: WORD}
CATEGORIES |= {
    op.CATEGORY_NOT_DIGIT: bytes(set(range(256)) - set(b"0123456789")),
    op.CATEGORY_NOT_SPACE: bytes(set(range(256)) - set(SPACE)),
    op.CATEGORY_NOT_WORD: bytes(set(range(256)) - set(WORD)),
}
# What PCRE writes otherwise than Python does.
SPELLINGS = [
    (rb"\(\?<(?![=!])", b"(?P<"),
    (rb"\\[kg]\{(\w+)\}|\\k<(\w+)>|\\k'(\w+)'", rb"(?P=\1\2\3)"),
    (rb"\\h", rb"[ \\t]"), (rb"\\R", rb"\\r\\n"), (rb"\\K|\\G", b""),
    (rb"\\x\{([0-9A-Fa-f]{2})\}", rb"\\x\1"), (rb"\\x(?![0-9A-Fa-f]{2})", rb"\\x00"), (rb"\\e", rb"\\x1b"),
    (rb"\\([zZ])", rb"\\Z"), (rb"\[:alpha:\]", b"A-Za-z"), (rb"\[:alnum:\]", b"A-Za-z0-9"), (rb"\[:digit:\]", b"0-9"),
    (rb"\[:space:\]", rb"\\s"), (rb"\[:xdigit:\]", b"0-9A-Fa-f"), (rb"\[:upper:\]", b"A-Z"), (rb"\[:lower:\]", b"a-z"),
    (rb"\\/", b"/"), (rb"\(\?[a-zA-Z]*-?[a-z]+\)", b""),
]  # fmt: skip


@cache
def _pcre() -> ctypes.CDLL:
    library = ctypes.CDLL(ctypes.util.find_library("pcre2-8") or "libpcre2-8.so.0")
    for name in ("pcre2_compile_8", "pcre2_match_data_create_8", "pcre2_match_context_create_8"):
        getattr(library, name).restype = ctypes.c_void_p
    library.pcre2_get_ovector_pointer_8.restype = ctypes.POINTER(ctypes.c_size_t)
    return library


OPTIONS = {"i": 0x8, "s": 0x20, "m": 0x400, "x": 0x80, "A": 0x80000000, "E": 0x10, "U": 0x40000}


def find(expression: bytes, flags: str, text: bytes) -> tuple[int, int] | None:
    """Where libpcre2 finds the expression in the text, within as many steps as ClamAV allows."""
    library = _pcre()
    options = sum(OPTIONS.get(flag, 0) for flag in set(flags))
    error, at, size = ctypes.c_int(), ctypes.c_size_t(), ctypes.c_size_t
    code = library.pcre2_compile_8(
        expression, size(len(expression)), ctypes.c_uint32(options), ctypes.byref(error), ctypes.byref(at), None
    )
    if not code:
        raise Unmakeable("a regular expression that libpcre2 refuses")
    context = ctypes.c_void_p(library.pcre2_match_context_create_8(None))
    library.pcre2_set_match_limit_8(context, ctypes.c_uint32(100_000))
    library.pcre2_set_recursion_limit_8(context, ctypes.c_uint32(2000))
    data = ctypes.c_void_p(library.pcre2_match_data_create_8(ctypes.c_uint32(1), None))
    try:
        found = library.pcre2_match_8(ctypes.c_void_p(code), text, size(len(text)), size(0), 0, data, context)
        if found < 0:
            return None
        places = library.pcre2_get_ovector_pointer_8(data)
        return int(places[0]), int(places[1])
    finally:
        library.pcre2_match_data_free_8(data)
        library.pcre2_match_context_free_8(context)
        library.pcre2_code_free_8(ctypes.c_void_p(code))


def _chars(items: Any) -> bytes:
    """The bytes that a class [...] allows."""
    allowed: set[int] = set()
    negated = False
    for kind, value in items:
        if kind is op.NEGATE:
            negated = True
        elif kind is op.LITERAL:
            allowed.add(value)
        elif kind is op.RANGE:
            allowed |= set(range(value[0], value[1] + 1))
        elif kind is op.CATEGORY:
            allowed |= set(CATEGORIES[value])
    return bytes(set(range(256)) - allowed if negated else allowed)


class _Writer:
    """One walk through a parsed expression; what it writes may still be wrong (assertions), so the caller looks."""

    def __init__(self, rng: random.Random, plain: bool) -> None:
        self.rng = rng
        self.plain = plain  # shortest repetitions, first branches, assertions left out
        self.groups: dict[int, bytes] = {}

    def pick(self, allowed: bytes) -> bytes:
        if not allowed:
            raise Unmakeable("a class that allows nothing")
        letters = [c for c in b"abcdefgxyzABCXYZ" if c in allowed]
        nice = [c for c in PLEASANT if c in allowed] or list(allowed)
        nice = letters if letters and self.rng.random() < 0.7 else nice  # names end where words end, then
        return bytes([self.rng.choice(nice)])

    def text(self, items: Any) -> bytes:
        return b"".join(self.item(kind, value) for kind, value in items)

    def item(self, kind: Any, value: Any) -> bytes:
        if kind is op.LITERAL:
            return bytes([value & 0xFF])
        if kind is op.NOT_LITERAL:
            return self.pick(bytes(set(range(256)) - {value}))
        if kind is op.ANY:
            return self.pick(b"abcxyz012")
        if kind is op.IN:
            return self.pick(_chars(value))
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            low, high, inner = value
            most = low if self.plain else min(int(high), low + MOST)
            return b"".join(self.text(inner) for _ in range(self.rng.choice([low, self.rng.randint(low, most)])))
        if kind is op.SUBPATTERN:
            written = self.text(value[3])
            if value[0] is not None:
                self.groups[value[0]] = written
            return written
        if kind is op.BRANCH:
            return self.text(value[1][0] if self.plain else self.rng.choice(value[1]))
        if kind is op.GROUPREF:
            return self.groups.get(value, b"")
        if kind is op.GROUPREF_EXISTS:
            return self.text(value[1] if value[0] in self.groups else (value[2] or ()))
        if kind is op.ATOMIC_GROUP:
            return self.text(value)
        if kind is op.ASSERT:
            return b"" if self.rng.random() < 0.3 else self.text(value[1])
        return b""  # places (^ $ \b) and what must not be there


def matching(expression: bytes, flags: str, rng: random.Random) -> tuple[bytes, int, int]:
    """(text, start and end of the match in it); the match is most of the text."""
    spelled = expression
    spelled = re.sub(rb"\\Q(.*?)\\E", lambda quoted: re.escape(quoted[1]), spelled)
    for pattern, new in SPELLINGS:
        spelled = re.sub(pattern, new, spelled)
    modes = sum({"i": re.I, "s": re.S, "m": re.M, "x": re.X}.get(flag, 0) for flag in set(flags))
    try:
        tree = parser.parse(spelled, modes)
    except (re.error, IndexError, OverflowError):
        raise Unmakeable("a regular expression in a syntax that the generator cannot read") from None
    find(expression, flags, b"")  # it can be compiled at all
    for attempt in range(TRIES):
        body = _Writer(rng, plain=attempt == 0).text(tree)
        for before, after in ((b"", b""), (b"\n", b"\n"), (b" ", b" "), (b"a", b"a")):
            text = before + body + after
            found = find(expression, flags, text)
            if found and found[1] > found[0]:
                return text, found[0], found[1]
    raise Unmakeable("a regular expression for which no text was found")

"""Readers of container signatures, one on each line: what a container says of one of its members.

.cdb            ``Name:Container:ContainerSize:NameRegex:Packed:Unpacked:Encrypted:Position:Res1:Res2[:Min[:Max]]``
.zmd, .rmd      ``Name:Encrypted:NameRegex:Unpacked:Packed:CRC32:Method:Position:MaxDepth``, of zip and of rar

``*`` stands for anything, ``a-b`` for a range, a bound of 0 for an open end. The regular expression is POSIX extended
and may match anywhere in the name; with ``(?i)`` in front capital and small letters are alike. As for ClamAV, Res1,
Res2, Method and MaxDepth say nothing.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from kavfs._native import match
from kavfs.signatures.filetypes import ANY, formats_of
from kavfs.signatures.lines import Rejected, Tally, check_level, number, read_lines

ROW = struct.Struct("=4Q4Q4Q8I")  # kav_metadata in ext/match/format.h
MOST = (1 << 64) - 1
ANYTHING = 0, MOST
ANY_FORMAT = (MOST, MOST, MOST, MOST)
ENCRYPTED = {b"0": 0, b"1": 1, b"*": 2}
NAME_MAX = 1023
PATTERN_MAX = 1024
WEIGHT_MAX = 10_000  # signs of a pattern with its repetitions written out, as the matcher's compiler does


class Rows:
    """The rows of a part while they are made, and the text that they point into."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []
        self.text = bytearray()

    def keep(self, word: bytes) -> tuple[int, int]:
        at = len(self.text)
        self.text += word
        return at, len(word)


Reader = Callable[[bytes, Rows, Tally], None]


def read_cdb(text: bytes, rows: Rows, tally: Tally) -> None:
    def take(line: bytes, row: int) -> None:
        name, container, size, pattern, packed, unpacked, encrypted, position, *rest = _fields(line, 10, 12)
        levels = rest[2:]
        check_level(*[number(level, "engine level") for level in levels])
        formats = ANY_FORMAT if container in (b"*", ANY.encode()) else _formats(container)
        ranges = [_range(word) for word in (size, packed, unpacked, position)]
        _add(rows, row, name, formats, ranges, pattern, encrypted, 0)

    read_lines(text, take, tally)


def read_zmd(text: bytes, rows: Rows, tally: Tally) -> None:
    _read_old(text, rows, tally, _formats(b"CL_TYPE_ZIP"))


def read_rmd(text: bytes, rows: Rows, tally: Tally) -> None:
    _read_old(text, rows, tally, _formats(b"CL_TYPE_RAR"))


def _read_old(text: bytes, rows: Rows, tally: Tally, formats: tuple[int, ...]) -> None:
    def take(line: bytes, row: int) -> None:
        name, encrypted, pattern, unpacked, packed, crc, method, position, depth = _fields(line, 9, 9)
        for word in (method, depth):
            _exact(word)
        ranges = [ANYTHING, _exact(packed), _exact(unpacked), _exact(position)]
        if crc != b"*" and not re.fullmatch(rb"[0-9a-fA-F]{1,8}", crc):
            raise Rejected("malformed CRC")
        _add(rows, row, name, formats, ranges, pattern, encrypted, 0 if crc == b"*" else int(crc, 16))

    read_lines(text, take, tally)


def _fields(line: bytes, least: int, most: int) -> list[bytes]:
    fields = line.split(b":")
    if not least <= len(fields) <= most:
        raise Rejected("wrong number of fields")
    return fields


def _add(
    rows: Rows,
    line: int,
    name: bytes,
    formats: tuple[int, ...],
    ranges: list[tuple[int, int]],
    pattern: bytes,
    encrypted: bytes,
    crc: int,
) -> None:
    if not 0 < len(name) <= NAME_MAX:
        raise Rejected("no name")
    if encrypted not in ENCRYPTED:
        raise Rejected("malformed flag of encryption")
    blind = pattern.startswith(b"(?i)")
    regex = b"" if pattern == b"*" else posix_pattern(pattern.removeprefix(b"(?i)"))
    least, most = zip(*ranges, strict=True)
    words = *rows.keep(name), *rows.keep(regex)
    rows.rows.append(ROW.pack(*least, *most, *formats, line, *words, crc, ENCRYPTED[encrypted], blind))


def _formats(word: bytes) -> tuple[int, ...]:
    """The formats that a name of ClamAV's stands for, a bit each in words of 64."""
    bits = sum(1 << number for number in formats_of(word.decode("ascii", "replace")))
    return tuple(bits >> shift & MOST for shift in range(0, 256, 64))


def _exact(word: bytes) -> tuple[int, int]:
    if word == b"*":
        return ANYTHING
    value = number(word, "number")
    return value, value


def _range(word: bytes) -> tuple[int, int]:
    least, dash, most = word.partition(b"-")
    if not dash:
        return _exact(word)
    low, high = number(least, "range"), number(most, "range")
    return (low, high) if low == high else (low, high or MOST)


BRACKET = re.compile(rb"\[\^?\]?(?:\[[:.=][^]]*[:.=]\]|[^]])*\]")
REPEAT = re.compile(rb"\{(\d*)(?:,(\d*))?\}")


def posix_pattern(pattern: bytes) -> bytes:
    """A pattern as the system's matcher takes it; raises Rejected where it has none, or would take long.

    Where a backslash stands before a letter or digit, that one is meant as it is: what the C library makes of some of
    these, references among them, ClamAV's matcher does not know."""
    if not pattern or len(pattern) > PATTERN_MAX or b"\0" in pattern:
        raise Rejected("malformed regular expression")
    tokens: list[bytes] = []
    at = 0
    while at < len(pattern):
        whole = BRACKET.match(pattern, at) or REPEAT.match(pattern, at)
        if whole:
            tokens.append(whole[0])
            at = whole.end()
        elif pattern[at : at + 1] == b"\\":
            sign = pattern[at + 1 : at + 2]
            tokens.append(sign if re.fullmatch(rb"[0-9A-Za-z<>`']", sign) else b"\\" + sign)
            at += 2
        else:
            tokens.append(pattern[at : at + 1])
            at += 1
    if _weight(tokens) > WEIGHT_MAX:
        raise Rejected("regular expression with too many repetitions")
    out = b"".join(tokens)
    if not match.is_pattern(out):
        raise Rejected("malformed regular expression")
    return out


def _weight(tokens: list[bytes]) -> int:
    """Signs of a pattern when all repetitions are written out. "+" is one as well: a++++ has sixteen."""
    around: list[int] = []
    total = last = 0
    for token in tokens:
        repeat = REPEAT.fullmatch(token)
        if token == b"(":
            around.append(total)
            total = last = 0
        elif token == b")" and around:
            last = total
            total += around.pop()
        elif repeat or token == b"+":
            times = max(int(repeat[1] or 1), int(repeat[2] or 1), 1) if repeat else 2
            total += last * (times - 1)
            last *= times
        elif token not in (b"*", b"?"):
            last = 1
            total += 1
    return total + sum(around)

"""Xmledit: elements of a small XML part of a package found by their bytes, so that it is edited and not written anew.

Parts are hostile: no document type (so no entities), nothing but UTF-8, a limit of size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from xml.parsers import expat

from kavfs.action.cure.refused import Refused, Why

SIZE_MAX = 16 << 20  # bytes
ELEMENTS_MAX = 1 << 18
ENCODING = re.compile(rb"""\s*<\?xml[^>]*?\bencoding\s*=\s*["']([^"']*)["']""")
BOM = b"\xef\xbb\xbf"


class Element(NamedTuple):
    name: str  # "NAMESPACE NAME"
    attributes: dict[str, str]
    start: int  # of its first tag, in bytes
    end: int  # behind its last tag


class Edit(NamedTuple):
    start: int
    end: int
    new: bytes = b""


def elements(data: bytes) -> list[Element]:
    """All elements one level below the root. Refused where it is no XML that Office would write."""
    if len(data) > SIZE_MAX:
        raise Refused(Why.TOO_MANY)
    told = ENCODING.match(data.removeprefix(BOM))
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or (told and told[1].lower() not in (b"utf-8", b"us-ascii", b"ascii")):
        raise Refused(Why.ODD)
    reader = _Reader(data)
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError:
        raise Refused(Why.DAMAGED) from None
    return reader.found


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.found: list[Element] = []
        self._data = data
        self._depth = 0
        self._open: tuple[str, dict[str, str], int] = ("", {}, 0)
        self.parser = expat.ParserCreate("utf-8", " ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._doctype

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 2:
            self._open = name, attributes, self.parser.CurrentByteIndex

    def _end(self, name: str) -> None:
        if self._depth == 2:
            _, attributes, start = self._open
            if len(self.found) >= ELEMENTS_MAX:
                raise Refused(Why.TOO_MANY)
            end = _tag_end(self._data, start)
            if self._data[end - 2 : end] != b"/>":
                end = _tag_end(self._data, self.parser.CurrentByteIndex)
            self.found.append(Element(name, attributes, start, end))
        self._depth -= 1

    def _doctype(self, *_: object) -> None:
        raise Refused(Why.ODD)


def _tag_end(data: bytes, at: int) -> int:
    """Behind the tag that begins at *at*: its ">" outside of quotes. The text is well-formed."""
    quote = 0
    for place in range(at, len(data)):
        byte = data[place]
        if quote:
            quote = 0 if byte == quote else quote
        elif byte in b"\"'":
            quote = byte
        elif byte == 0x3E:
            return place + 1
    raise Refused(Why.DAMAGED)


def with_value(data: bytes, element: Element, attribute: str, new: bytes) -> Edit:
    """Another value for an attribute without references in it."""
    old = element.attributes[attribute].encode()
    tag = data[element.start : _tag_end(data, element.start)]
    found = re.search(rb"""\s%s\s*=\s*(["'])(%s)\1""" % (attribute.encode(), re.escape(old)), tag)
    if found is None:
        raise Refused(Why.ODD)
    return Edit(element.start + found.start(2), element.start + found.end(2), new)


def edited(data: bytes, edits: Iterable[Edit]) -> bytes:
    out, at = [], 0
    for edit in sorted(edits):
        if edit.start < at:
            raise Refused(Why.ODD)
        out += [data[at : edit.start], edit.new]
        at = edit.end
    return b"".join([*out, data[at:]])

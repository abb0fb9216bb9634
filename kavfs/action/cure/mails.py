"""Mail: an infected part gives way to a few words that say so; not a byte besides changes. From an attached archive the
infected member alone is taken, and the attachment is encoded again."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from functools import partial
from typing import NamedTuple

from kavfs.action.cure.mimeparts import Part, blocks, fields_of, header_end, leaves, parts_of
from kavfs.action.cure.pieces import Pieces, Source, chunks_of, size_of
from kavfs.action.cure.refused import Refused, Why
from kavfs.action.cure.task import Layer, Named, Task, joined, shown

MESSAGE_MAX = 128 << 20  # bytes: a message is held in memory
NAME_SHOWN = 100
NOTE_FIELDS = b"Content-Type: text/plain; charset=us-ascii"
PLAIN = ("", "7bit", "8bit", "binary")
LENGTH = re.compile(rb"^content-length:[ \t]*([0-9]{1,12})[ \t]*\r?$", re.MULTILINE | re.IGNORECASE)
CONTENT, MIME = b"content-", b"mime-version"


class Place(NamedTuple):
    """A member of a message, and where it stands."""

    part: Part
    name: bytes
    block: tuple[int, int] | None = None  # a file inside a text


def cure_mail(task: Task, layer: Layer) -> Pieces:
    source = layer.source
    if source.size > MESSAGE_MAX:
        raise Refused(Why.MEMORY)
    data = source.read(0, source.size)
    root = parts_of(data)
    places = _places(task, layer, data, root)
    doubled = Counter(place.name for place in places)
    members = [Named(one.name, _size(data, one) if doubled[one.name] > 1 else None) for one in places]
    edits: list[tuple[int, int, Pieces]] = []
    chosen = task.chosen(layer, members)
    texts = {id(places[index].part) for index in chosen if places[index].block is not None}
    for index, path in chosen.items():
        place = places[index]
        if place.part.signed:
            raise Refused(Why.SIGNED)
        if place.block is None and id(place.part) in texts:
            continue  # the text around a file that goes: the scanner opens it as a container as well
        inner = task.inside(path, partial(_decoded, task, source, data, place), layer)
        edits.append(_note(data, place, root) if inner is None else _again(data, place.part, inner))
    return _edited(source, edits + _length(data, root, edits))


def _length(data: bytes, root: Part, edits: list[tuple[int, int, Pieces]]) -> list[tuple[int, int, Pieces]]:
    """The new Content-Length of a message that has a right one: some mailboxes are told apart by nothing else. It may
    leave out the empty line between two messages."""
    found, body = LENGTH.search(data, 0, root.body), len(data) - root.body
    if not found or not body - 2 <= int(found[1]) <= body or any(start < root.body for start, _, _ in edits):
        return []
    more = sum(size_of(new) - (end - start) for start, end, new in edits)
    return [(found.start(1), found.end(1), [b"%d" % (int(found[1]) + more)])]


def _places(task: Task, layer: Layer, data: bytes, root: Part) -> list[Place]:
    places = []
    for part in leaves(root):
        names = part.names()
        known = [name for name in names if shown(joined(layer.path, name)) in task.lines]
        places.append(Place(part, (known or names)[0]))
        if part.encoding in PLAIN:
            places += [Place(part, name, (start, end)) for name, start, end in blocks(data, part)]
    return places


def _size(data: bytes, place: Place) -> int | None:
    """Bytes of a part when it is decoded."""
    if place.block is not None:
        return None
    body = data[place.part.body : place.part.end]
    if place.part.encoding == "base64":
        return len(_from_base64(body))
    return len(binascii.a2b_qp(body)) if place.part.encoding == "quoted-printable" else len(body)


def _from_base64(body: bytes) -> bytes:
    try:
        return binascii.a2b_base64(body)
    except binascii.Error:
        raise Refused(Why.DAMAGED) from None


# ---- parts from which something was taken out -----------------------------------------------------------------


def _decoded(task: Task, source: Source, data: bytes, place: Place) -> Source:
    part = place.part
    if place.block is not None:
        raise Refused(Why.METHOD)
    if part.encoding == "base64":
        return task.scratch.keep([_from_base64(data[part.body : part.end])])
    if part.encoding in PLAIN:
        return source.part(part.body, part.end)
    raise Refused(Why.METHOD)


def _again(data: bytes, part: Part, inner: Pieces) -> tuple[int, int, Pieces]:
    """The part with what is left of its content, in lines as long as they were."""
    if part.encoding != "base64":
        return part.body, part.end, inner
    if size_of(inner) > MESSAGE_MAX:
        raise Refused(Why.MEMORY)
    body = data[part.body : part.end]
    first = body.lstrip(b"\r\n").split(b"\n")[0].strip()
    width = len(first) if len(first) % 4 == 0 and 4 <= len(first) <= 998 else 76
    text = base64.b64encode(b"".join(chunks_of(inner)))
    lines = [text[at : at + width] for at in range(0, len(text), width)]
    end = _line_end(data)
    return part.body, part.end, [end.join(lines) + (end if body.endswith(b"\n") else b"")]


def _edited(source: Source, edits: list[tuple[int, int, Pieces]]) -> Pieces:
    """The message with these ranges replaced."""
    pieces: Pieces = []
    at = 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        if start < at:
            raise Refused(Why.ODD)  # a file in a text that goes itself
        pieces += [source.part(at, start), *new]
        at = end
    return [*pieces, source.part(at, source.size)]


# ---- notes ----------------------------------------------------------------------------------------------------


def _note(data: bytes, place: Place, root: Part) -> tuple[int, int, Pieces]:
    """What stands in the place of a part that goes, and where."""
    part, end = place.part, _line_end(data)
    if place.block is not None:
        return *place.block, [words(place.name)]
    if part is root:
        return 0, len(data), [without_content(data, place.name)]
    return part.start, part.end, [NOTE_FIELDS + end + end + words(place.name) + end]


def without_content(data: bytes, name: bytes) -> bytes:
    """A message with its header, but for what describes the content, and a note for a body."""
    stop, _ = header_end(data, 0, len(data))
    end = _line_end(data)
    kept = [raw for field, raw in fields_of(data, 0, stop) if not field.startswith((CONTENT, MIME))]
    header = b"".join(kept)
    if header and not header.endswith(b"\n"):
        header += end
    return header + b"MIME-Version: 1.0" + end + NOTE_FIELDS + end + end + words(name) + end


def words(name: bytes) -> bytes:
    """In plain ASCII: names of attachments are hostile."""
    shown_name = bytes(byte if 0x20 < byte < 0x7F and byte not in b'"<>\\' else ord("_") for byte in name[:NAME_SHOWN])
    return b'[kavfs: "' + shown_name + b'" was infected and has been removed.]'


def _line_end(data: bytes) -> bytes:
    at = data.find(b"\n")
    return b"\r\n" if at > 0 and data[at - 1 : at] == b"\r" else b"\n"

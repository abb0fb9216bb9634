"""Vessels: files of each target type with a wish's pieces where it wants them, and what such files lie in."""

from __future__ import annotations

import base64
import random
import zlib
from collections.abc import Callable, Sequence
from types import ModuleType

from tests.support import archives, headers
from tests.support.compound import compound, object_of_rtf, package, project, rtf
from tests.support.samples.pieces import Piece, Wish
from tests.support.samples.regexes import Unmakeable

PROGRAMS: dict[int, tuple[Callable[..., bytes], int]] = {
    1: (headers.pe, 0x400),
    6: (headers.elf, 0x100),
    9: (headers.macho, 0x400),
}
MOST_SECTIONS = 14
MOST_BYTES = 4 << 20


def span(wish: Wish, name: str, least: int, most: int) -> tuple[int, int]:
    """An attribute "5-10"; the other bounds where it is not given."""
    text = wish.attributes.get(name)
    if text is None:
        return least, most
    low, _, high = text.partition("-")
    return int(low), int(high or low)


class Room:
    """Bytes that are filled at some places; the rest is filling."""

    def __init__(self, filling: bytes) -> None:
        self.filling = filling
        self.bytes = bytearray()
        self.taken: list[tuple[int, int, bytes]] = []

    def put(self, at: int, data: bytes) -> None:
        if at < 0 or at + len(data) > MOST_BYTES:
            raise Unmakeable("a place that a small file does not have")
        for start, end, other in self.taken:
            low, high = max(at, start), min(at + len(data), end)
            if low < high and data[low - at : high - at] != other[low - start : high - start]:
                raise Unmakeable("pieces that lie over one another")
        self.bytes.extend(self.filling * max(0, at + len(data) - len(self.bytes)))
        self.bytes[at : at + len(data)] = data
        self.taken.append((at, at + len(data), data))

    def append(self, data: bytes, gap: bytes) -> None:
        self.bytes += gap
        self.put(len(self.bytes), data)


def finish(wish: Wish, body: bytes, tail: Sequence[Piece]) -> bytes:
    """The body, and behind it what is counted from the end; in all as long as the signature asks."""
    end = Room(b"\0")
    length = max((piece.place.number for piece in tail), default=0)
    for piece in tail:
        if piece.place.number < len(piece.data):
            raise Unmakeable("a place behind the end")
        end.put(length - piece.place.number, piece.data)
    closing = bytes(end.bytes).ljust(length, b"\0")
    low, high = span(wish, "FileSize", 0, 1 << 40)
    gap = max(16 if tail else 0, low - len(body) - len(closing))
    if gap > MOST_BYTES or len(body) + gap + len(closing) > high:
        raise Unmakeable("a size that the file cannot have")
    return body + bytes(gap) + closing


def program(wish: Wish) -> bytes:
    """An executable with sections, an entry point and version information."""
    make, first = PROGRAMS[wish.target]
    by: dict[str, list[Piece]] = {}
    for piece in wish.pieces:
        by.setdefault(piece.place.kind, []).append(piece)
    low, high = span(wish, "NumberOfSections", 1, 0xFFFF)
    numbered = [piece.place.section for piece in (*by.get("section", ()), *by.get("inside", ()))]
    versions = by.get("version", [])
    count = max(low, 1 + max(numbered, default=0), 2 if versions or "last" in by else 1)
    if count > min(high, MOST_SECTIONS) or (versions and wish.target != 1):
        raise Unmakeable("a number of sections that the file cannot have")
    rooms = [Room(b"\xcc") for _ in range(count)]
    for piece in by.get("section", ()):
        rooms[piece.place.section].put(piece.place.number, piece.data)
    for piece in by.get("last", ()):
        rooms[-1].put(piece.place.number, piece.data)
    for piece in by.get("at", ()):
        if piece.place.number >= first:
            rooms[0].put(piece.place.number - first, piece.data)
    entries = by.get("entry", [])
    least, most = span(wish, "EntryPoint", first, 1 << 40)
    entry = max(0, least - first, -min((piece.place.number for piece in entries), default=0))
    if entries and rooms[0].bytes:
        entry = max(entry, len(rooms[0].bytes) - min(piece.place.number for piece in entries))
    if entry + first > most:
        raise Unmakeable("an entry point that the file cannot have")
    for piece in entries:
        rooms[0].put(entry + piece.place.number, piece.data)
    for piece in by.get("inside", ()):
        rooms[piece.place.section].append(piece.data, b"\xcc" * 4)
    rooms[0].put(max(entry + 16, len(rooms[0].bytes)), b"\xcc" * 16)
    for piece in by.get("any", ()):
        rooms[0].append(piece.data, b"\0\0\0\0")
    bodies = [bytes(room.bytes).ljust(0x200, b"\xcc") for room in rooms]
    if versions:
        bodies[-1] = resources(versions, bodies)
        image = make(bodies, entry, len(bodies) - 1)
    else:
        image = make(bodies, entry)
    return finish(wish, written_over(image, [p for p in by.get("at", ()) if p.place.number < first]), by.get("end", ()))


def resources(versions: Sequence[Piece], bodies: Sequence[bytes]) -> bytes:
    """A section with the strings that the pieces are: name, zero, value, in UTF-16."""
    if any(len(body) > headers.PAGE for body in bodies):
        raise Unmakeable("version information behind large sections")
    strings = {}
    for piece in versions:
        key, _, value = piece.data.decode("utf-16-le", "replace").partition("\0")
        strings[key.encode()] = value.strip("\0").encode()
    section = headers.version(strings, headers.PAGE * len(bodies))
    if any(piece.data not in section for piece in versions):
        raise Unmakeable("version information that is no string")
    return section


def written_over(image: bytes, pieces: Sequence[Piece]) -> bytes:
    """What is to stand in the headers, where they do not say anything else."""
    out = bytearray(image)
    for piece in pieces:
        at, end = piece.place.number, piece.place.number + len(piece.data)
        if any(old not in (0, new) for old, new in zip(out[at:end], piece.data, strict=False)):
            raise Unmakeable("a place in the headers that says something else")
        out[at:end] = piece.data
    return bytes(out)


def plain(wish: Wish, tools: ModuleType) -> bytes:
    """A file of another type: what it begins with, then the pieces."""
    if any(piece.place.kind in ("entry", "section", "inside", "last", "version") for piece in wish.pieces):
        raise Unmakeable("an offset of executables for a type that is none")
    build = tools.SKELETON.get(wish.target)
    if build is None:
        raise Unmakeable("a target type that is not known")
    text = wish.target in (3, 7)
    room = Room(b"a" if text else b"\xcc")
    _, first = build(b"")
    if wish.target == 2 and any(piece.place.kind == "at" and piece.place.number < first for piece in wish.pieces):
        return source(wish)
    fixed = [piece for piece in wish.pieces if piece.place.kind == "at"]
    begins = [piece for piece in fixed if piece.place.number < first]
    if wish.target in (0, 7) and begins:
        first, begins, build = 0, [], lambda payload: (payload, 0)
    for piece in fixed:
        if piece.place.number >= first:
            room.put(piece.place.number - first, piece.data)
    for piece in wish.pieces:
        if piece.place.kind == "any":
            room.append(piece.data, b"\n\n" if text else b"\0\0\0\0")
    image = build(bytes(room.bytes) + (b"\n" if text else b"\0" * 4))[0]
    return finish(wish, written_over(image, begins), [piece for piece in wish.pieces if piece.place.kind == "end"])


def source(wish: Wish) -> bytes:
    """A compound file with a macro of which the source has the pieces: where ClamAV looks for a document's, too."""
    room = Room(b" ")
    for piece in wish.pieces:
        if piece.place.kind == "at":
            room.put(piece.place.number, piece.data)
    for piece in wish.pieces:
        if piece.place.kind == "any":
            room.append(piece.data, b"\r\n")
    return document(finish(wish, bytes(room.bytes), []))


def document(text: bytes) -> bytes:
    return compound({"Macros": {"VBA": project({"Module1": text + b"\r\n"})}})


def mail(content: bytes) -> bytes:
    lines = base64.encodebytes(content)
    head = (
        b"From: a@example.com\nTo: b@example.com\nSubject: t\nDate: Mon, 2 Jan 2006 15:04:05 +0000\nMIME-Version: 1.0\n"
    )
    head += b'Content-Type: multipart/mixed; boundary="=b"\n\n--=b\nContent-Type: application/octet-stream\n'
    return (
        head
        + b"Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=a.bin\n\n"
        + lines
        + b"\n--=b--\n"
    )


def pdf(content: bytes) -> bytes:
    """A PDF of which one stream, packed by Flate, holds the content."""
    packed = zlib.compress(content)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>",
        b"<</Length %d/Filter/FlateDecode>>\nstream\n%s\nendstream" % (len(packed), packed),
    ]
    out, places = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, item in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table = b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % at for at in places)
    return out + table + b"trailer\n<</Size 5/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % len(out)


def office(folder: str) -> Callable[[bytes], bytes]:
    main = {"word": "document.xml", "xl": "workbook.xml", "ppt": "presentation.xml"}[folder]

    def make(content: bytes) -> bytes:
        names = {"[Content_Types].xml": b"<Types/>", "_rels/.rels": b"<Relationships/>", f"{folder}/{main}": b"<x/>"}
        return archives.make_zip({**names, f"{folder}/media/a.bin": content})

    return make


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "CL_TYPE_ANY": lambda content: archives.make_zip({"a.bin": content}),
    "CL_TYPE_ZIP": lambda content: archives.make_zip({"a.bin": content}),
    "CL_TYPE_GZ": lambda content: __import__("gzip").compress(content, mtime=0),
    "CL_TYPE_BZ": lambda content: __import__("bz2").compress(content),
    "CL_TYPE_XZ": lambda content: __import__("lzma").compress(content),
    "CL_TYPE_POSIX_TAR": lambda content: archives.make_tar({"a.bin": content}),
    "CL_TYPE_MAIL": mail,
    "CL_TYPE_PDF": pdf,
    "CL_TYPE_MSOLE2": lambda content: compound({"Object": {"\x01Ole10Native": package(b"a.bin", content)}}),
    "CL_TYPE_RTF": lambda content: rtf(object_of_rtf(b"Package", package(b"a.bin", content)[4:])),
    "CL_TYPE_OOXML_WORD": office("word"),
    "CL_TYPE_OOXML_XL": office("xl"),
    "CL_TYPE_OOXML_PPT": office("ppt"),
}


def around(wish: Wish, content: bytes) -> bytes:
    """The content in what the signature wants around it."""
    names = [name for name in wish.attributes.get("Intermediates", "").split(">") if name]
    container = wish.attributes.get("Container")
    if container and not names:
        names = [container]
    for name in reversed(names):
        if name not in CONTAINERS:
            raise Unmakeable(f"a container of type {name}")
        content = CONTAINERS[name](content)
    return content


def sample(wish: Wish, tools: ModuleType) -> bytes:
    for name in ("IconGroup1", "IconGroup2"):
        if name in wish.attributes:
            raise Unmakeable("an icon of a given group")
    if "HandlerType" in wish.attributes:
        raise Unmakeable("HandlerType: a type that the layer is given")
    return around(wish, program(wish) if wish.target in PROGRAMS else plain(wish, tools))


# --- the same text in another dress -------------------------------------------------------------------------------


def _text(wish: Wish) -> bytes:
    if wish.target not in (0, 2, 3, 7) or wish.attributes.keys() - {"Engine", "Target"}:
        raise Unmakeable("no dress: not a plain text")
    if any(piece.place.kind != "any" for piece in wish.pieces):
        raise Unmakeable("no dress: pieces with offsets")
    text = b"\n".join(piece.data for piece in wish.pieces)
    if any((c < 32 and c not in b"\t\r\n") or c > 126 for c in text):
        raise Unmakeable("no dress: bytes that no text has")
    return text


def _shouted(text: bytes, rng: random.Random) -> bytes:
    """Small letters as capitals here and there, and every blank doubled: what normalisation undoes."""
    letters = (bytes([c]).upper() if rng.random() < 0.5 else bytes([c]) for c in text)
    return b"".join(letters).replace(b" ", b" \t ")


DRESSES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "macro": lambda text, rng: document(text.replace(b"\n", b"\r\n")),
    "pdf stream": lambda text, rng: pdf(text),
    "mail": lambda text, rng: mail(text),
    "html": lambda text, rng: b"<html><body>\n<p>" + _shouted(text, rng) + b"\n</body></html>\n",
    "text": lambda text, rng: b"Plain Text line\n" + _shouted(text, rng) + b"\n",
    "package": lambda text, rng: CONTAINERS["CL_TYPE_MSOLE2"](text),
    "zip": lambda text, rng: archives.make_zip({"a.txt": text}),
}  # fmt: skip


def dressed(wish: Wish, dress: str, rng: random.Random) -> bytes:
    return DRESSES[dress](_text(wish), rng)

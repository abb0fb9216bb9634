"""Documents of Office in compound files (.doc, .xls, .ppt): macros taken out where they lie.

The storage of a VBA project is unlinked, zeroed and freed; all other streams keep their bytes, but for the few numbers
that say that there are macros:

    Word        lcbCmds in the FIB: key bindings and menus that call them ([MS-DOC] 2.5.6)
    Excel       ObProj in the workbook: without a project Excel would mourn it ([MS-XLS] 2.4.185)
    PowerPoint  VBAInfoAtom ([MS-PPT] 2.4.11); the project itself is an object in the one stream,
                packed or plain

Infected OLE objects of PowerPoint become empty ones. What else is infected in such a document is not taken out: without
it there would be no text.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from kavfs.action.cure.compound import STORAGE, STREAM, Compound, Entry, empty
from kavfs.action.cure.pieces import Pieces
from kavfs.action.cure.refused import Refused, Why
from kavfs.action.cure.task import Layer, Task, is_below, joined, shown

PROJECTS = ("MACROS", "_VBA_PROJECT_CUR", "_VBA_PROJECT")  # storages that hold a project and nothing else
BESIDE = ("VBA", "PROJECT", "PROJECTWM", "PROJECTLK")  # what a project is made of, where it has no storage of its own
SIGNATURES = ("_SIGNATURES", "_XMLSIGNATURES")

WORD, ENCRYPTED, WORD_97 = 0xA5EC, 0x0100, 0xC1
CMDS = 24  # of the pairs in a FIB
OBPROJ, EXCEL9FILE, EOF, BOUND_SHEET = 0x00D3, 0x01C0, 0x000A, 0x0085
VBA_MODULE = 6  # kind of a sheet
RECORDS_MAX = 1 << 20
OLE_OBJECT, CONTAINERS, VBA_INFO = 0x1011, (0x03E8, 0x07D0, 0x03FF), 0x0400
PACKED = 1


def cure_ole2(task: Task, layer: Layer) -> Pieces:
    compound = Compound(layer.source)
    if compound.root.find(*SIGNATURES):
        raise Refused(Why.SIGNED)
    wanted = {path for path in task.infected if is_below(path, layer.path)}
    whole = not layer.path and b"" in task.infected
    for storage, parts in list(_projects(compound)):
        held = {path for path in wanted if any(_is_in(path, layer, compound.path(part)) for part in parts)}
        if held or whole:
            _forget_project(compound, compound.parent(storage) if storage.number else storage)
            for part in parts:
                compound.take_out(part)
            _note(task, held | {b""} if whole else held)
            wanted -= held
    for stream in [e for e in compound.root.inside if e.named("POWERPOINT DOCUMENT") and e.kind == STREAM]:
        wanted = _cure_presentation(task, layer, compound, stream, wanted)
    if wanted:
        raise Refused(Why.NO_MACRO)
    if whole and b"" not in task.gone:
        raise Refused(Why.ITSELF)
    if not compound.root.inside:
        raise Refused(Why.NOTHING_LEFT)
    return compound.pieces()


def _is_in(path: bytes, layer: Layer, name: bytes) -> bool:
    """Whether *path* is the part called *name* or something in it."""
    part = shown(joined(layer.path, name))
    return path == part or path.startswith(part + b"/")


def _note(task: Task, paths: set[bytes]) -> None:
    for path in sorted(paths):
        task.take_out(path)


def _projects(compound: Compound) -> Iterator[tuple[Entry, list[Entry]]]:
    """The storages that hold a VBA project, and what of each has to go."""
    inside: set[int] = set()
    for entry in compound.all():
        if entry.kind == STREAM or entry.parent in inside:
            if entry.parent in inside:
                inside.add(entry.number)
            continue
        code = entry.find("VBA")
        if entry.kind == STORAGE and entry.named(*PROJECTS):
            inside.add(entry.number)
            yield entry, [entry]
        elif code is not None and code.kind == STORAGE and code.find("DIR", "_VBA_PROJECT"):
            inside.add(code.number)
            yield entry, [part for part in entry.inside if part.named(*BESIDE)]


def _forget_project(compound: Compound, document: Entry) -> None:
    """Let the document in this storage say that it has no macros."""
    for stream in document.inside:
        if stream.kind != STREAM:
            continue
        if stream.named("WORDDOCUMENT"):
            _forget_in_word(compound, stream)
        elif stream.named("WORKBOOK", "BOOK"):
            _forget_in_excel(compound, stream)


def _forget_in_word(compound: Compound, stream: Entry) -> None:
    magic, version = struct.unpack("<HH", compound.read(stream, 0, 4))
    flags = struct.unpack("<H", compound.read(stream, 10, 2))[0]
    if magic != WORD or version < WORD_97:
        raise Refused(Why.ODD)  # macros of Word 6 stand in this very stream
    if flags & ENCRYPTED:
        raise Refused(Why.ENCRYPTED)
    at = 34 + 2 * struct.unpack("<H", compound.read(stream, 32, 2))[0]
    at += 2 + 4 * struct.unpack("<H", compound.read(stream, at, 2))[0]
    pairs = struct.unpack("<H", compound.read(stream, at, 2))[0]
    if pairs > CMDS:
        compound.set(stream, at + 2 + 8 * CMDS + 4, bytes(4))


def _forget_in_excel(compound: Compound, stream: Entry) -> None:
    """ObProj becomes Excel9File, which is as empty: the places of sheets are counted from the beginning."""
    at = 0
    for _ in range(RECORDS_MAX):
        if at + 4 > stream.size:
            raise Refused(Why.DAMAGED)
        kind, size = struct.unpack("<HH", compound.read(stream, at, 4))
        if kind == EOF:
            return
        if kind == OBPROJ:
            compound.set(stream, at, struct.pack("<H", EXCEL9FILE))
        elif kind == BOUND_SHEET and compound.read(stream, at + 9, 1)[0] == VBA_MODULE:
            raise Refused(Why.ODD)  # as Excel 95 kept macros: in sheets
        at += 4 + size
    raise Refused(Why.TOO_MANY)


# ---- presentations ----------------------------------------------------------------------------------------------


def _cure_presentation(task: Task, layer: Layer, compound: Compound, stream: Entry, wanted: set[bytes]) -> set[bytes]:
    """Make infected objects empty ones; what of *wanted* is not in them is given back."""
    gone: set[bytes] = set()
    has_project = False
    for at, kind, size in list(_records(compound, stream, 0, stream.size)):
        if kind != OLE_OBJECT:
            continue
        names = [b"object at %d" % (at + 12), b"object at %d" % (at + 8)]  # packed, plain: ext/ole/powerpoint.c
        held = {path for path in wanted if any(_is_in(path, layer, name) for name in names)}
        if held:
            has_project |= any(_is_in(path, layer, name + b"/VBA") for path in held for name in names)
            _empty_object(compound, stream, at, size)
            gone |= held
    if has_project:
        _forget_in_presentation(compound, stream, 0, stream.size)
    _note(task, gone)
    return wanted - gone


def _records(compound: Compound, stream: Entry, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(place, kind, bytes) of each record between two places."""
    for _ in range(RECORDS_MAX):
        if at + 8 > end:
            return
        kind, size = struct.unpack("<HI", compound.read(stream, at + 2, 6))
        if size > end - at - 8:
            raise Refused(Why.DAMAGED)
        yield at, kind, size
        at += 8 + size
    raise Refused(Why.TOO_MANY)


def _empty_object(compound: Compound, stream: Entry, at: int, size: int) -> None:
    instance = struct.unpack("<H", compound.read(stream, at, 2))[0] >> 4
    data = empty()
    if instance == PACKED:
        data = struct.pack("<I", len(data)) + zlib.compress(data, 9)
    compound.set(stream, at + 8, (data if len(data) <= size else b"").ljust(size, b"\0"))


def _forget_in_presentation(compound: Compound, stream: Entry, at: int, end: int) -> None:
    """Each edit that was saved has a document of its own."""
    waiting = [(at, end)]
    while waiting:
        for place, kind, size in _records(compound, stream, *waiting.pop()):
            if kind in CONTAINERS:
                waiting.append((place + 8, place + 8 + size))
            elif kind == VBA_INFO and size >= 8:
                compound.set(stream, place + 8, bytes(8))  # where the project is, and that there is one

"""Documents of Office in zip archives (.docm, .xlsm, .pptm ... and what only has another name): macros taken out.

With the project go its signatures and data, what relationships and [Content_Types].xml say of them, and the type of the
main part becomes the one without macros. An infected object (embeddings, activeX) stays as an empty one, because what
shows it needs it. All other members stay as they lie.

Office opens a file called .docm only if its main part says that it may have macros: under such a name the type stays.
It says what the document may have, not what it has: the relationship to a project is an optional one, and a .docm
without it is whole by ECMA-376 (Word saves such files itself). The file is not renamed: others know it by its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from posixpath import dirname, normpath
from posixpath import join as join_path
from urllib.parse import unquote

from kavfs.action.cure.compound import empty
from kavfs.action.cure.pieces import Pieces, Source
from kavfs.action.cure.refused import Refused, Why
from kavfs.action.cure.task import Layer, Named, Task
from kavfs.action.cure.xmledit import SIZE_MAX, Edit, Element, edited, elements, with_value
from kavfs.action.cure.zipdir import Directory, read_directory
from kavfs.action.cure.zips import New, cure_zip, pack_member, rewrite, unpack_member

TYPES = "[content_types].xml"
TYPES_SPACE = "http://schemas.openxmlformats.org/package/2006/content-types "
LINK = "http://schemas.openxmlformats.org/package/2006/relationships Relationship"
OFFICE = (
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.ms-word.",
    "application/vnd.ms-excel.",
    "application/vnd.ms-powerpoint.",
)
MACRO_TYPES = (
    "application/vnd.ms-office.vbaproject",
    "application/vnd.ms-office.vbaprojectsignature",
    "application/vnd.ms-office.vbaprojectsignatureagile",
    "application/vnd.ms-office.vbaprojectsignaturev3",
    "application/vnd.ms-word.vbadata+xml",
)
MACRO_LINKS = ("vbaproject", "vbaprojectsignature", "vbaprojectsignatureagile", "vbaprojectsignaturev3", "wordvbadata")
MACRO_NAMES = ("vbaproject.bin", "vbadata.xml", "vbaprojectsignature.bin")
OTHER_TYPE = b"application/octet-stream"  # of parts that had the type of macros by their ending alone
MACRO_SHEET = "macrosheet+xml"  # of Excel 4: no project, and allowed only where the main part says so
OBJECT_FOLDERS = ("embeddings", "activex")
MACRO_ENDINGS = (b".docm", b".dotm", b".xlsm", b".xltm", b".xlam", b".pptm", b".potm", b".ppsm", b".ppam")
_PLAIN = "application/vnd.openxmlformats-officedocument."
MAIN = {
    "application/vnd.ms-word.document.macroenabled.main+xml": _PLAIN + "wordprocessingml.document.main+xml",
    "application/vnd.ms-word.template.macroenabledtemplate.main+xml": _PLAIN + "wordprocessingml.template.main+xml",
    "application/vnd.ms-excel.sheet.macroenabled.main+xml": _PLAIN + "spreadsheetml.sheet.main+xml",
    "application/vnd.ms-excel.template.macroenabled.main+xml": _PLAIN + "spreadsheetml.template.main+xml",
    "application/vnd.ms-excel.addin.macroenabled.main+xml": _PLAIN + "spreadsheetml.sheet.main+xml",
    "application/vnd.ms-powerpoint.presentation.macroenabled.main+xml": _PLAIN + "presentationml.presentation.main+xml",
    "application/vnd.ms-powerpoint.template.macroenabled.main+xml": _PLAIN + "presentationml.template.main+xml",
    "application/vnd.ms-powerpoint.slideshow.macroenabled.main+xml": _PLAIN + "presentationml.slideshow.main+xml",
    "application/vnd.ms-powerpoint.addin.macroenabled.main+xml": _PLAIN + "presentationml.presentation.main+xml",
}


@dataclass(slots=True)
class Package:
    """A document: its parts by name, as names are compared: small letters, no slash in front."""

    task: Task
    source: Source
    directory: Directory
    parts: dict[str, int]  # -> index of the entry
    declared: bytes = b""  # [Content_Types].xml
    overrides: dict[str, str] = field(default_factory=dict)  # part -> type, in small letters
    defaults: dict[str, str] = field(default_factory=dict)  # ending -> type

    def load(self, part: str) -> bytes:
        entry = self.directory.entries[self.parts[part]]
        if entry.unpacked > SIZE_MAX:
            raise Refused(Why.TOO_MANY)
        data = unpack_member(self.task, self.source, entry)
        return data.read(0, data.size)


def cure_package(task: Task, layer: Layer) -> Pieces:
    """A zip archive, which may be a document."""
    directory = read_directory(layer.source)
    if not any(_plain(entry.name) == TYPES for entry in directory.entries):
        return _cure_archive(task, layer)
    package = _open(task, layer.source, directory)
    types = (*package.overrides.values(), *package.defaults.values())
    if not any(kind.startswith(OFFICE) for kind in types):
        return _cure_archive(task, layer)
    if any(part.startswith("_xmlsignatures/") for part in package.parts):
        raise Refused(Why.SIGNED)
    return _cure_document(package, layer)


def _cure_archive(task: Task, layer: Layer) -> Pieces:
    if not layer.path and b"" in task.infected:
        raise Refused(Why.ITSELF)
    return cure_zip(task, layer)


def _cure_document(package: Package, layer: Layer) -> Pieces:
    task, entries = package.task, package.directory.entries
    chosen = task.chosen(layer, [Named(entry.name, entry.unpacked) for entry in entries])
    whole = not layer.path and b"" in task.infected
    links = dict(_links(package))
    macros = _macros(package, links)
    removed: set[int] = set()
    changed: dict[int, New] = {}
    names = {index: part for part, index in package.parts.items()}
    for index, path in chosen.items():
        if names[index] in macros:
            task.take_out(path)
        elif _is_object(names[index]):
            changed[index] = _emptied(package, index, path, layer)
        else:
            raise Refused(Why.NO_MACRO)
    if whole:
        if not macros:
            raise Refused(Why.ITSELF)
        task.take_out(b"")
    if whole or any(names[index] in macros for index in chosen):
        removed = {package.parts[part] for part in macros}
        plain = not (layer.path or task.name).lower().endswith(MACRO_ENDINGS)
        for part, data in _without(package, macros, links, plain):
            index = package.parts[part]
            changed[index] = pack_member(task, entries[index], [data])
    return rewrite(layer.source, package.directory, removed, changed, {})


def _emptied(package: Package, index: int, path: bytes, layer: Layer) -> New:
    """An object without what is infected in it; an empty one where that is all of it."""
    entry = package.directory.entries[index]
    inner = package.task.inside(path, partial(unpack_member, package.task, package.source, entry), layer)
    if inner is None:
        inner = [empty() if entry.name.lower().endswith(b".bin") else b""]
    return pack_member(package.task, entry, inner)


# ---- what a package is made of ------------------------------------------------------------------------------------


def _plain(name: bytes | str) -> str:
    """The name of a part as names are compared."""
    text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else unquote(name)
    return text.replace("\\", "/").lstrip("/").lower()


def _open(task: Task, source: Source, directory: Directory) -> Package:
    parts: dict[str, int] = {}
    for index, entry in enumerate(directory.entries):
        if parts.setdefault(_plain(entry.name), index) != index:
            raise Refused(Why.DOUBLED)
    package = Package(task, source, directory, parts)
    package.declared = package.load(TYPES)
    for element in elements(package.declared):
        kind = element.attributes.get("ContentType", "").strip().lower()
        if element.name == TYPES_SPACE + "Override":
            package.overrides[_plain(element.attributes.get("PartName", ""))] = kind
        elif element.name == TYPES_SPACE + "Default":
            package.defaults[element.attributes.get("Extension", "").lower()] = kind
    return package


def _is_object(part: str) -> bool:
    return any(folder in OBJECT_FOLDERS for folder in part.split("/")[:-1]) and not part.endswith(".rels")


def _links(package: Package) -> Iterator[tuple[str, list[tuple[str, str, Edit]]]]:
    """Part with relationships -> (kind, target, what removes it) of each."""
    for part in package.parts:
        if not part.endswith(".rels"):
            continue
        data = package.load(part)
        base = dirname(dirname(part))
        found = []
        for element in elements(data):
            kind = element.attributes.get("Type", "").rpartition("/")[2].lower()
            if element.name == LINK and element.attributes.get("TargetMode", "").lower() != "external":
                target = _target(base, element.attributes.get("Target", ""))
                found.append((kind, target, Edit(element.start, element.end)))
        yield part, found


def _target(base: str, target: str) -> str:
    """The part that a relationship leads to."""
    return _plain(target) if target.startswith("/") else normpath(join_path(base, _plain(target)))


def _macros(package: Package, links: dict[str, list[tuple[str, str, Edit]]]) -> set[str]:
    """The parts that are macros, with their relationships: by type, by relationship, by name."""
    told = {target for found in links.values() for kind, target, _ in found if kind in MACRO_LINKS}
    macros = {
        part
        for part in package.parts
        if part in told or package.overrides.get(part) in MACRO_TYPES or part.rpartition("/")[2] in MACRO_NAMES
    }
    about = {f"{dirname(part)}/_rels/{part.rpartition('/')[2]}.rels".lstrip("/") for part in macros}
    return macros | (about & package.parts.keys())


def _without(
    package: Package, macros: set[str], links: dict[str, list[tuple[str, str, Edit]]], plain: bool
) -> Iterator[tuple[str, bytes]]:
    """The parts that speak of macros, as they are without."""
    for part, found in links.items():
        edits = [edit for kind, target, edit in found if kind in MACRO_LINKS or target in macros]
        if edits and part not in macros:
            yield part, edited(package.load(part), edits)
    declared = edited(package.declared, _types_without(package, macros, plain))
    if declared != package.declared:
        yield TYPES, declared


def _is_declared(package: Package, part: str, element: Element) -> bool:
    """Whether a part has its type from this default."""
    ending = element.attributes.get("Extension", "").lower()
    return bool(ending) and part.rpartition(".")[2] == ending and part not in package.overrides


def _types_without(package: Package, macros: set[str], plain: bool) -> Iterator[Edit]:
    types = (*package.overrides.values(), *package.defaults.values())
    plain = plain and not any(kind.endswith(MACRO_SHEET) for kind in types)
    for element in elements(package.declared):
        kind = element.attributes.get("ContentType", "").strip().lower()
        if kind in MACRO_TYPES and any(_is_declared(package, part, element) for part in package.parts.keys() - macros):
            yield with_value(package.declared, element, "ContentType", OTHER_TYPE)
        elif kind in MACRO_TYPES or _plain(element.attributes.get("PartName", "")) in macros:
            yield Edit(element.start, element.end)
        elif plain and kind in MAIN:
            yield with_value(package.declared, element, "ContentType", MAIN[kind].encode())

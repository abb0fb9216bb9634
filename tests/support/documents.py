"""Documents of Office with macros: made by the libraries that others use, and a project put in as Office would."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib

import docx
import olefile
import openpyxl

from tests.support.compound import Tree, compound, project
from tests.support.objects import EICAR

MACRO = b'Attribute VB_Name = "M"\r\nSub AutoOpen()\r\n  x = "' + EICAR + b'"\r\nEnd Sub\r\n'
HARMLESS = MACRO.replace(EICAR, b"nothing")
LINKS = "http://schemas.microsoft.com/office/2006/relationships/"
VBA_TYPE = "application/vnd.ms-office.vbaProject"
DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"

Members = list[tuple[str, bytes]]

MAIN = {
    "docm": ("wordprocessingml.document", "application/vnd.ms-word.document.macroEnabled"),
    "dotm": ("wordprocessingml.document", "application/vnd.ms-word.template.macroEnabledTemplate"),
    "xlsm": ("spreadsheetml.sheet", "application/vnd.ms-excel.sheet.macroEnabled"),
    "xltm": ("spreadsheetml.sheet", "application/vnd.ms-excel.template.macroEnabled"),
    "xlam": ("spreadsheetml.sheet", "application/vnd.ms-excel.addin.macroEnabled"),
    "pptm": ("presentationml.presentation", "application/vnd.ms-powerpoint.presentation.macroEnabled"),
    "ppsm": ("presentationml.presentation", "application/vnd.ms-powerpoint.slideshow.macroEnabled"),
    "potm": ("presentationml.presentation", "application/vnd.ms-powerpoint.template.macroEnabled"),
}


def vba_project(macro: bytes = MACRO) -> bytes:
    return compound({"VBA": project({"M": macro}), "PROJECT": b'ID="{0}"\r\n'})


def members_of(data: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def package(members: Members) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def plain_docx(paragraphs: list[str]) -> bytes:
    document, out = docx.Document(), io.BytesIO()
    for text in paragraphs:
        document.add_paragraph(text)
    document.save(out)
    return out.getvalue()


def plain_xlsx(rows: list[list[str]]) -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.create_sheet("Other").append(["another sheet"])
    book.save(out)
    return out.getvalue()


def plain_pptx() -> bytes:
    """A presentation as far as this is about it: no slides."""
    types = (
        '<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/ppt/presentation.xml" ContentType="application/vnd.openxmlformats-officedocument.'
        'presentationml.presentation.main+xml"/></Types>'
    )
    space = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
    link = f'<Relationship Id="rId1" Type="{DOCUMENT}" Target="ppt/presentation.xml"/>'
    head = f"<Relationships {space}>{link}</Relationships>"
    return package(
        [
            ("[Content_Types].xml", types.encode()),
            ("_rels/.rels", head.encode()),
            ("ppt/presentation.xml", b'<p:presentation xmlns:p="urn:p"/>'),
            ("ppt/_rels/presentation.xml.rels", f"<Relationships {space}></Relationships>".encode()),
        ]
    )


def with_macros(plain: bytes, kind: str, macro: bytes = MACRO, default: bool = False, at: int | None = None) -> bytes:
    """The document as one of *kind*, with a project, its data and its own relationships. *default*: declared by its
    ending, as Office does it."""
    old, new = MAIN[kind]
    members = dict(members_of(plain))
    main = next(name for name in members if name in ("word/document.xml", "xl/workbook.xml", "ppt/presentation.xml"))
    folder = main.partition("/")[0]
    links = f"{folder}/_rels/{main.partition('/')[2]}.rels"
    types = members["[Content_Types].xml"].decode()
    types = types.replace(f"application/vnd.openxmlformats-officedocument.{old}.main+xml", f"{new}.main+xml")
    declared = f'<Default Extension="bin" ContentType="{VBA_TYPE}"/>' * default
    if not default:
        declared = f"<Override\n  ContentType='{VBA_TYPE}' PartName='/{folder}/vbaProject.bin'></Override>"
    declared += f'<Override PartName="/{folder}/vbaData.xml" ContentType="application/vnd.ms-word.vbaData+xml"/>'
    members["[Content_Types].xml"] = types.replace("</Types>", declared + "</Types>").encode()
    link = f'<Relationship Id="rIdV" Type="{LINKS}vbaProject" Target="vbaProject.bin"/>'
    members[links] = members[links].replace(b"</Relationships>", link.encode() + b"</Relationships>")
    new_members = [
        (f"{folder}/vbaProject.bin", vba_project(macro)),
        (f"{folder}/vbaData.xml", b"<wne:vbaSuppData xmlns:wne='urn:x'/>"),
        (
            f"{folder}/_rels/vbaProject.bin.rels",
            f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship '
            f'Id="rId1" Type="{LINKS}wordVbaData" Target="vbaData.xml"/></Relationships>'.encode(),
        ),
    ]
    rows = list(members.items())
    at = len(rows) if at is None else at
    return package(rows[:at] + new_members + rows[at:])


def tree_of(data: bytes) -> Tree:
    """All streams of a compound file, by a reader that is not ours."""
    tree: Tree = {}
    with olefile.OleFileIO(io.BytesIO(data)) as file:
        for path in file.listdir():
            here = tree
            for name in path[:-1]:
                here = here.setdefault(name, {})  # type: ignore[assignment]
            here[path[-1]] = file.openstream(path).read()
    return tree


def streams_of(data: bytes) -> dict[str, bytes]:
    with olefile.OleFileIO(io.BytesIO(data), raise_defects=olefile.DEFECT_INCORRECT) as file:
        return {"/".join(path): file.openstream(path).read() for path in file.listdir()}


def word(cmds: int = 77, flags: int = 0, version: int = 0xC1) -> bytes:
    """A stream "WordDocument" that begins as it should."""
    head = struct.pack("<HH", 0xA5EC, version) + bytes(6) + struct.pack("<H", flags) + bytes(20)
    pairs = [(0, 0)] * 0x5D
    pairs[24] = (1234, cmds)
    fib = head + struct.pack("<H", 14) + bytes(28) + struct.pack("<H", 22) + bytes(88) + struct.pack("<H", len(pairs))
    return fib + b"".join(struct.pack("<II", *pair) for pair in pairs) + b"The text of it. " * 400


def record(kind: int, content: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def workbook(sheet_kind: int = 0) -> bytes:
    """A stream "Workbook" with a project."""
    sheet = record(0x85, struct.pack("<IBBBB", 400, 0, sheet_kind, 1, 0) + b"S")
    code_name = record(0x1BA, struct.pack("<HB", 12, 0) + b"ThisWorkbook")
    head = record(0x809, bytes(16)) + record(0x1C0) + record(0xD3) + code_name + sheet + record(0x0A)
    return head.ljust(400, b"\0") + record(0x809, bytes(16)) + bytes(5000) + record(0xD3) + record(0x0A)


def powerpoint(inner: bytes, *, packed: bool = True) -> bytes:
    """A stream "PowerPoint Document": a document that names its project, and that as an object, packed or plain."""
    info = struct.pack("<HHIIII", 2, 0x400, 12, 7, 1, 2)
    tree = struct.pack("<HHI", 0x1F, 0x3FF, len(info)) + info
    tree = struct.pack("<HHI", 0xF, 0x7D0, len(tree)) + tree
    tree = struct.pack("<HHI", 0xF, 0x3E8, len(tree)) + tree
    data = struct.pack("<I", len(inner)) + zlib.compress(inner) if packed else inner
    storage = struct.pack("<HHI", packed << 4, 0x1011, len(data)) + data
    return tree + storage + struct.pack("<HHI", 0, 0x1772, 5000) + bytes(5000)


def words(seed: random.Random, count: int) -> str:
    return " ".join("".join(seed.choices("abcdefghij", k=seed.randint(2, 9))) for _ in range(count))

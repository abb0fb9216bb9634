"""Documents of Office against clamscan: the same macros, streams and objects, the same names.

One run of clamscan over all files, near misses among them. Where clamscan is known not to look, the difference is
named in `BEYOND` with its reason.
"""

from __future__ import annotations

import io
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from tests.support import differential, onenote, tnef
from tests.support.compound import Tree, compound, object_of_rtf, package, project, rtf, stored

pytestmark = [
    pytest.mark.clamav,
    pytest.mark.skipif(shutil.which("clamscan") is None, reason="clamscan is not installed (make system-test)"),
]

SOURCE = (
    b'Attribute VB_Name = "Module1"\r\nSub AutoOpen()\r\n\tCall   Fetch("Http://Evil  Place", _\r\n   Now)\r\n'
    b"  Name_With_Marks = Caf\xe9\r\nEnd Sub\r\n"
)
NEAR = SOURCE.replace(b"AutoOpen", b"AutoOpem").replace(b"Evil", b"Evik").replace(b"Name_With", b"Name_Wist")
NEAR = NEAR.replace(b"VB_Name", b"VB_Nane")
MARK, NEAR_MARK = b"a payload that only this test knows", b"a payload that only this test knowz"
FILLING = bytes(range(256)) * 40

LINES: list[tuple[str, int, str, bytes]] = [
    ("Raw.Ole2", 2, "*", b"Sub AutoOpen()\r\n\tCall   Fetch"),
    ("Raw.Any", 0, "*", b"Sub AutoOpen()\r\n\tCall   Fetch"),
    ("Raw.AtStart", 2, "0", b'Attribute VB_Name = "Module1"'),
    ("Raw.Page", 0, "*", b"Marks = Caf\xe9\r\n"),
    ("Normal.Any", 0, "*", b'sub autoopen()\r\n call fetch("Http://Evil  Place", now)'),
    ("Normal.Ole2", 2, "*", b'sub autoopen()\r\n call fetch("Http'),
    ("Normal.Text", 7, "*", b'sub autoopen()\r\n call fetch("http'),
    ("Normal.Page", 0, "*", "name_with_marks = caf\u00e9".encode()),
    ("Head.Title", 0, "0", b"REM VBA project extracted from Microsoft Office document\n\nREM PROJECTSYSKIND: Win"),
    ("Head.Module", 0, "*", b"REM MODULENAME: Module1\nREM MODULENAMEUNICODE: Module1\nREM MODULESTREAMNAME: Module1"),
    ("Head.Version", 0, "*", b"REM PROJECTVERSION: 1467127224.6\nREM PROJECTMODULES: "),
    ("Head.End", 0, "*", b"\nREM MODULETYPE: Procedural\nREM " + b"#" * 50 + b'\nattribute vb_name = "Module1"'),
    ("Mark.Any", 0, "*", MARK),
    ("Mark.AtStart", 0, "0", MARK),
    ("Mark.Text", 7, "*", MARK),
    ("Mark.Ole2", 2, "*", MARK),
]

# What kavfs finds and clamscan does not.
BEYOND = {
    # clamscan reads tables of 512 bytes, whatever the size of the sectors
    "large sectors": {"Head.Title", "Head.Module", "Head.Version", "Head.End", "Normal.Any", "Normal.Page"}
    | {"Raw.Ole2", "Raw.Any", "Raw.AtStart", "Raw.Page"},
    # clamscan takes chunks that are not packed for packed ones
    "chunks stored": {"Head.End", "Normal.Any", "Normal.Page", "Raw.Ole2", "Raw.Any", "Raw.AtStart", "Raw.Page"},
}


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return out.getvalue()


def slides(content: bytes) -> bytes:
    deflated = zlib.compress(content)
    atom = struct.pack("<HHII", 0x10, 0x1011, 4 + len(deflated), len(content)) + deflated
    return struct.pack("<HHI", 0, 0x03E8, 8) + bytes(8) + atom


def samples(source: bytes, mark: bytes) -> dict[str, bytes]:
    word = b"\xec\xa5\xc1\0" + bytes(5000)
    unpacked = project({"Module1": b""})
    unpacked["Module1"] = bytes(21) + stored(source.ljust(4096, b" "))
    trees: dict[str, Tree] = {
        "macros": {
            "WordDocument": word,
            "Macros": {"VBA": project({"ThisDocument": b"' nothing\r\n", "Module1": source})},
        },
        "macros not compiled": {"Macros": {"VBA": project({"Module1": source}, compiled_too=False)}},
        "chunks stored": {"Macros": {"VBA": unpacked}},
        "long macro": {"_VBA_PROJECT_CUR": {"VBA": project({"Module1": source + b"' filling in\r\n" * 600})}},
        "stream": {"Workbook": FILLING, "Text": mark + b" " * 5000},
        "short stream": {"Workbook": FILLING, "Text": mark + b" and so on, plainly a text\n"},
        "package": {
            "Object": {"\x01Ole10Native": package(b"a.txt", mark + b" packed in plain text")},
            "WordDocument": word,
        },
        "zip in package": {"Object": {"\x01Ole10Native": package(b"a.zip", zipped(a=mark * 3))}},
        "slides": {"PowerPoint Document": slides(compound({"Text": mark * 9, "VBA": project({"Module1": source})}))},
        "activemime": {"Editdata": struct.pack("<I", 9 * len(mark)) + zlib.compress(mark * 9)},
        "compound in compound": {"Inner": compound({"VBA": project({"Module1": source})})},
    }
    files = {name: compound(tree) for name, tree in trees.items()}
    files["large sectors"] = compound(trees["macros"], 4096)
    files["docm"] = zipped(
        word__document_xml=b"<x/>", word__vbaProject_bin=compound({"VBA": project({"Module1": source})})
    )
    files["onenote"] = onenote.section(onenote.stored(mark), FILLING, onenote.stored(zipped(a=mark * 3)))
    files["onenote with a zip"] = onenote.section(onenote.stored(zipped(a=mark * 3)), FILLING)
    files["rtf package"] = rtf(object_of_rtf(b"Package", package(b"a.txt", mark + b" in a text")[4:]))
    files["rtf document"] = rtf(object_of_rtf(b"Word.Document.8", compound({"Text": mark * 9})))
    return files


def test_documents_give_the_names_that_clamscan_gives(tmp_path: Path) -> None:
    databases, files = tmp_path / "databases", tmp_path / "files"
    databases.mkdir()
    files.mkdir()
    (databases / "test.ndb").write_text("".join(f"{n}:{t}:{at}:{text.hex()}\n" for n, t, at, text in LINES))
    hits, misses = samples(SOURCE, MARK), samples(NEAR, NEAR_MARK)
    for name in hits:
        (files / name).write_bytes(hits[name])
        (files / f"near {name}").write_bytes(misses[name])
    theirs = differential.clamscan(databases, files, tmp_path)
    ours = differential.ours(databases, files, tmp_path, theirs)
    found = {name for names in ours.values() for name in names}
    assert {name.removesuffix(".UNOFFICIAL") for name in found} == {n for n, *_ in LINES if n not in NEVER}
    for name in (*hits, *(f"near {name}" for name in hits)):
        mine = {n.removesuffix(".UNOFFICIAL") for n in ours.get(name, ())}
        clam = {n.removesuffix(".UNOFFICIAL") for n in theirs.get(name, ())}
        assert clam <= mine, name
        assert mine - clam == BEYOND.get(name.removeprefix("near "), set()) & mine - clam, name


# Sources are never matched in these forms.
NEVER = {"Normal.Ole2", "Normal.Text"}


def office(folder: str) -> bytes:
    names = ("[Content_Types].xml", "_rels/.rels", "docProps/app.xml", f"{folder}/document.xml")
    return zipped(**{name.replace("/", "__"): MARK + b" in text" for name in names})


def test_what_is_in_a_document_knows_what_it_is_in(tmp_path: Path) -> None:
    databases, files = tmp_path / "databases", tmp_path / "files"
    databases.mkdir()
    files.mkdir()
    around = ("ZIP", "OOXML_WORD", "OOXML_XL", "OOXML_PPT", "MSOLE2", "RTF", "ONENOTE")
    lines = [f"In.{c};Engine:81-255,Container:CL_TYPE_{c},Target:0;0;{MARK.hex()}\n" for c in around]
    (databases / "test.ldb").write_text("".join(lines))
    (files / "zip").write_bytes(zipped(a=MARK))
    (files / "ole").write_bytes(compound({"Text": MARK * 9}))
    (files / "rtf").write_bytes(samples(SOURCE, MARK)["rtf package"])
    (files / "one").write_bytes(onenote.section(onenote.stored(MARK), FILLING))
    for folder in ("word", "xl", "ppt"):
        (files / folder).write_bytes(office(folder))
    theirs = differential.clamscan(databases, files, tmp_path)
    assert differential.ours(databases, files, tmp_path, theirs) == theirs
    assert theirs["word"] == {"In.OOXML_WORD", "In.ZIP"}


def winmails(mark: bytes) -> dict[str, bytes]:
    packed = zipped(a=mark * 3)
    inner = tnef.tnef(tnef.attached(b"a.zip", packed))
    return {
        "file": tnef.tnef(tnef.attached(b"a.txt", mark + b" in plain text")),
        "zip": tnef.tnef(tnef.attribute(tnef.BODY, b"see below\0"), tnef.attached(b"a.txt", b"-"), inner[6:]),
        "file in a file": tnef.tnef(tnef.attached(b"winmail.dat", inner)),
        "letter in a letter": tnef.tnef(tnef.letter_inside(b"Inner", inner)),
        "page": tnef.tnef(
            tnef.attribute(tnef.PROPERTIES, tnef.properties(tnef.value(tnef.UNICODE, tnef.P_HTML, wide(mark))))
        ),
        "cut": tnef.tnef(tnef.attached(b"a.zip", packed), tnef.attached(b"b", b"x" * 90))[:-40],
        "nameless": tnef.tnef(tnef.attribute(tnef.RENDERING, bytes(14)), tnef.attribute(tnef.DATA, packed)),
    }


def wide(text: bytes) -> bytes:
    return (b"<html>" + text).decode().encode("utf-16-le")


def test_what_outlook_packs_gives_the_names_that_clamscan_gives(tmp_path: Path) -> None:
    """And the text of the letter, which clamscan does not take out."""
    databases, files = tmp_path / "databases", tmp_path / "files"
    databases.mkdir()
    files.mkdir()
    around = ("TNEF", "ZIP", "MAIL")
    lines = [f"In.{c};Engine:81-255,Container:CL_TYPE_{c},Target:0;0;{MARK.hex()}\n" for c in around]
    (databases / "test.ldb").write_text("".join(lines))
    (databases / "test.ndb").write_text(f"Mark.Any:0:*:{MARK.hex()}\nMark.AtStart:0:0:{MARK.hex()}\n")
    (databases / "test.cdb").write_text("Said.Name:*:*:a.txt:*:*:*:*:*:*\n")
    hits, misses = winmails(MARK), winmails(NEAR_MARK)
    for name in hits:
        (files / name).write_bytes(hits[name])
        (files / f"near {name}").write_bytes(misses[name])
    theirs = differential.clamscan(databases, files, tmp_path)
    ours = differential.ours(databases, files, tmp_path, theirs)
    assert set(theirs) == set(hits) - {"page"}
    assert ours == {**theirs, "page": {"In.TNEF", "Mark.Any"}}

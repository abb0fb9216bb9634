"""Forty documents from a seed, cured: the tools that others use open them, with the text as before, and all other
members are byte for byte the same. And recipes on their way from a database to the curing process."""

from __future__ import annotations

import hashlib
import io
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import docx
import openpyxl
import pytest

from kavfs.action.cure.refused import WHY_TEXTS, Why
from kavfs.model import Status
from kavfs.options import ScanOptions, WalkOptions
from kavfs.ports import Cured
from kavfs.scan.curing import Curing
from kavfs.scan.verifier import Verifier
from kavfs.signatures.image import compile_image
from tests.support import office
from tests.support.compound import compound, project
from tests.support.curing import zip_of
from tests.support.databases import body
from tests.support.documents import (
    HARMLESS,
    MACRO,
    members_of,
    package,
    plain_docx,
    plain_xlsx,
    powerpoint,
    streams_of,
    tree_of,
    vba_project,
    with_macros,
    words,
)
from tests.support.objects import EICAR, image

OPTIONS = ScanOptions(WalkOptions(()))
SEED, OOXML, OLE2 = 5, 28, 12
RECORD_AT = 44  # in powerpoint(): where the project's object begins

PAGE = b"<html><body><p>Text of the page</p></body></html>\n"
CODE = b"<script>/*in*/ var x = 'marker of what was put in'; /*out*/</script>\n"
RECIPE = f"Injected:delete:begin-{len(CODE)}={hashlib.sha256(CODE).hexdigest()}:*\n"


def cure_by(cure: Curing, rescan: Verifier, data: bytes, name: bytes) -> tuple[Cured, bytes]:
    """What the curing process makes of it, which is clean."""
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out:
        source.write(data)
        source.flush()
        done = cure(source.fileno(), out.fileno(), rescan(source.fileno(), name))
        out.seek(0)
        if not done.why:
            assert rescan(out.fileno(), name).status is Status.CLEAN
        return done, out.read()


def text_of_docx(data: bytes) -> list[str]:
    return [paragraph.text for paragraph in docx.Document(io.BytesIO(data)).paragraphs]


def text_of_xlsx(data: bytes) -> list[list[object]]:
    book = openpyxl.load_workbook(io.BytesIO(data))
    return [[cell.value for cell in row] for sheet in book for row in sheet.rows]


@pytest.mark.parametrize("kind", ["docm", "xlsm"])
def test_documents_open_with_their_text(kind: str) -> None:
    seed = random.Random(SEED)
    with Verifier(image(), OPTIONS) as rescan, Curing(OPTIONS, rescan) as cure:
        for number in range(OOXML // 2):
            rows = [words(seed, seed.randint(1, 30)) for _ in range(seed.randint(1, 60))]
            plain = plain_docx(rows) if kind == "docm" else plain_xlsx([row.split() for row in rows])
            extra = [
                (f"customXml/item{i}.bin", seed.randbytes(seed.randint(0, 5000))) for i in range(seed.randint(0, 4))
            ]
            plain = package([*members_of(plain), *extra])
            count = len(members_of(plain))
            document = with_macros(plain, kind, default=bool(number % 2), at=seed.randint(0, count))
            done, written = cure_by(cure, rescan, document, b"document")
            assert done.why == ""
            was, now = dict(members_of(plain)), dict(members_of(written))
            assert list(now) == list(was)
            assert [name for name in was if was[name] != now[name]] in ([], ["[Content_Types].xml"])
            text: Callable[[bytes], object] = text_of_docx if kind == "docm" else text_of_xlsx
            assert text(written) == text(plain)


@pytest.mark.skipif(not office.is_there(), reason="needs LibreOffice: make system-test")
def test_old_documents_open_in_libreoffice_with_their_text(tmp_path: Path) -> None:
    """Made by LibreOffice, a project put in."""
    seed = random.Random(SEED)
    sources: dict[str, list[Path]] = {"doc": [], "xls": []}
    for number in range(OLE2):
        form = ("doc", "xls")[number % 2]
        rows = [words(seed, seed.randint(1, 30)) for _ in range(seed.randint(1, 200))]
        data = plain_docx(rows) if form == "doc" else plain_xlsx([row.split() for row in rows])
        path = tmp_path / f"{number}.{form}x"
        path.write_bytes(data)
        sources[form].append(path)
    with Verifier(image(), OPTIONS) as rescan, Curing(OPTIONS, rescan) as cure:
        for form, storage, text in (("doc", "Macros", "txt:Text"), ("xls", "_VBA_PROJECT_CUR", "csv")):
            olds = office.converted(sources[form], form, tmp_path / "old")
            cured_ones = []
            for old in olds:
                modules = {
                    f"M{i}": seed.choice((MACRO, HARMLESS)) * seed.randint(1, 40) for i in range(seed.randint(0, 5))
                }
                tree = tree_of(old.read_bytes())
                tree[storage] = {"VBA": project({"M": MACRO, **modules}), "PROJECT": b"ID", "PROJECTwm": b"\0"}
                document = compound(tree)
                done, written = cure_by(cure, rescan, document, b"document")
                assert done.why == ""
                was, now = streams_of(document), streams_of(written)
                assert set(was) - set(now) == {name for name in was if name.startswith(storage)}
                assert [name for name in now if now[name] != was[name]] in ([], ["WordDocument"], ["Workbook"])
                (tmp_path / f"cured-{old.name}").write_bytes(written)
                cured_ones.append(tmp_path / f"cured-{old.name}")
            before = office.converted(olds, text, tmp_path / "before")
            after = office.converted(cured_ones, text, tmp_path / "after")
            assert [one.read_bytes() for one in after] == [one.read_bytes() for one in before]


SLIDES = """<?xml version="1.0" encoding="UTF-8"?>
<office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0" office:version="1.2"
 office:mimetype="application/vnd.oasis.opendocument.presentation"><office:body><office:presentation>
 <draw:page draw:name="p1"/></office:presentation></office:body></office:document>"""


@pytest.mark.skipif(not office.is_there(), reason="needs LibreOffice: make system-test")
def test_an_old_presentation_opens_in_libreoffice(tmp_path: Path) -> None:
    """The project as an object behind all others: an edit of its own would have to name it."""
    (tmp_path / "a.fodp").write_text(SLIDES)
    (old,) = office.converted([tmp_path / "a.fodp"], "ppt", tmp_path / "old")
    tree, name = tree_of(old.read_bytes()), "PowerPoint Document"
    slides, project_record = tree[name], powerpoint(vba_project())[RECORD_AT:]
    assert isinstance(slides, bytes)
    tree[name] = slides + project_record
    with Verifier(image(), OPTIONS) as rescan, Curing(OPTIONS, rescan) as cure:
        done, written = cure_by(cure, rescan, compound(tree), b"a.ppt")
    assert done.why == ""
    was, now = streams_of(compound(tree)), streams_of(written)
    assert [one for one in was if was[one] != now[one]] == [name]
    assert now[name][: len(slides)] == slides
    (tmp_path / "cured.ppt").write_bytes(written)
    office.converted([tmp_path / "cured.ppt"], "pdf", tmp_path / "after")


def test_recipes_of_a_database_reach_the_curing_process(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "a.ndb").write_text(body("Injected", "marker of what was put in"))
    (rules / "a.cure").write_text(RECIPE)
    with (
        compile_image([str(rules)], tmp_path / "state") as known,
        Verifier(known, OPTIONS) as rescan,
        Curing(OPTIONS, rescan, known.recipes) as cure,
    ):
        done, written = cure_by(cure, rescan, CODE + PAGE, b"index.html")
        assert (done.why, written) == ("", PAGE)
        done, written = cure_by(cure, rescan, zip_of([("w/index.html", CODE + PAGE), ("b", b"b")]), b"a.zip")
        assert (done.why, members_of(written)) == ("", [("w/index.html", PAGE), ("b", b"b")])
        done, written = cure_by(cure, rescan, CODE.replace(b"var", b"let") + PAGE, b"index.html")
        assert (done.why, written) == (WHY_TEXTS[Why.NO_RECIPE], b"")


def test_names_reach_the_curing_process() -> None:
    document = with_macros(plain_docx(["Text"]), "docm")
    with Verifier(image(), OPTIONS) as rescan, Curing(OPTIONS, rescan) as cure:
        for name, kept in ((b"/d/a.docm", True), (b"/d.docm/a.docx", False)):
            _, written = cure_by(cure, rescan, document, name)
            assert (b"macroEnabled.main" in dict(members_of(written))["[Content_Types].xml"]) is kept


@pytest.mark.parametrize("data", [b"", b"PK\3\4" + bytes(100), bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600) + EICAR])
def test_what_is_no_document_is_left_alone(data: bytes) -> None:
    with Verifier(image(), OPTIONS) as rescan, Curing(OPTIONS, rescan) as cure:
        done, written = cure_by(cure, rescan, data, b"name")
        assert done.why
        assert written == b""

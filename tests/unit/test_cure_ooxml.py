"""OOXML: macros go with all that speaks of them; the main part says it has none; every other member stays."""

from __future__ import annotations

import io
import posixpath
import zipfile
from xml.etree import ElementTree

import docx
import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kavfs.action.cure.compound import empty
from kavfs.action.cure.refused import Refused, Why
from tests.support.compound import compound
from tests.support.curing import Outcome, cured, zip_of
from tests.support.documents import (
    HARMLESS,
    MAIN,
    Members,
    members_of,
    package,
    plain_docx,
    plain_pptx,
    plain_xlsx,
    vba_project,
    with_macros,
)
from tests.support.objects import EICAR, scan

PLAIN = {"word": plain_docx(["Text of it"]), "xl": plain_xlsx([["a", "b"], ["1", "2"]]), "ppt": plain_pptx()}
OF = {kind: PLAIN[{"d": "word", "x": "xl", "p": "ppt"}[kind[0]]] for kind in MAIN}


def refused(data: bytes, name: bytes = b"") -> Why:
    with pytest.raises(Refused) as caught:
        cured(data, name)
    return caught.value.why


def raw(data: bytes, name: str) -> bytes:
    """A member as it lies in the archive, header included."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entry = archive.getinfo(name)
    return data[entry.header_offset : entry.header_offset + 30 + len(name) + len(entry.extra) + entry.compress_size]


def texts(data: bytes) -> list[str]:
    return [paragraph.text for paragraph in docx.Document(io.BytesIO(data)).paragraphs]


def changed(members: Members, name: str, old: bytes, new: bytes) -> Members:
    assert any(each == name and old in content for each, content in members)
    return [(each, content.replace(old, new) if each == name else content) for each, content in members]


@pytest.mark.parametrize("default", [False, True])
@pytest.mark.parametrize("kind", MAIN)
def test_macros_go_and_the_document_is_as_it_was_without(kind: str, default: bool) -> None:
    plain = OF[kind]
    document = with_macros(plain, kind, default=default)
    outcome = cured(document)
    was, now = dict(members_of(plain)), dict(members_of(outcome.data))
    assert list(now) == list(was)
    assert all(now[name] == was[name] for name in was if name != "[Content_Types].xml")
    types = now["[Content_Types].xml"]
    assert b"acro" not in types
    assert b"vba" not in types
    for name in set(was) - {"[Content_Types].xml"}:
        if not name.endswith(".rels"):
            assert raw(outcome.data, name) == raw(document, name)
    assert scan(outcome.data).clean


def test_the_plain_types_are_those_of_the_libraries() -> None:
    assert dict(members_of(cured(with_macros(OF["docm"], "docm")).data)) == dict(members_of(OF["docm"]))
    assert texts(cured(with_macros(OF["docm"], "docm")).data) == ["Text of it"]
    book = openpyxl.load_workbook(io.BytesIO(cured(with_macros(OF["xlsm"], "xlsm")).data))
    assert [[cell.value for cell in row] for row in book.active.rows] == [["a", "b"], ["1", "2"]]


def test_what_is_called_docm_keeps_the_type_that_office_wants_for_that_name() -> None:
    for name, kept in ((b"a.docm", True), (b"A.DOCM", True), (b"a.docx", False), (b"a.doc", False), (b"docm", False)):
        now = dict(members_of(cured(with_macros(OF["docm"], "docm"), name).data))
        assert (b"macroEnabled.main" in now["[Content_Types].xml"]) is kept
        assert b"vba" not in now["[Content_Types].xml"]


def faults(data: bytes) -> list[str]:
    """What of a package the rules of ECMA-376 part 2 do not allow: a part without a type, a type without its part, a
    relationship that leads nowhere."""
    parts = {f"/{name}": content for name, content in members_of(data)}
    types = ElementTree.fromstring(parts.pop("/[Content_Types].xml"))
    named = {each.get("PartName", "") for each in types if each.tag.endswith("Override")}
    endings = {each.get("Extension") for each in types if each.tag.endswith("Default")}
    found = [f"no type: {part}" for part in parts.keys() - named if part.rpartition(".")[2] not in endings]
    found += [f"no part: {part}" for part in named - parts.keys()]
    for part, content in parts.items():
        if not part.endswith(".rels"):
            continue
        base = posixpath.dirname(posixpath.dirname(part))
        for link in ElementTree.fromstring(content):
            target = posixpath.normpath(posixpath.join(base, link.get("Target", "")))
            if link.get("TargetMode") != "External" and target not in parts:
                found.append(f"leads nowhere: {part} {target}")
    return found


def type_of_main(data: bytes) -> str:
    parts = dict(members_of(data))
    links = ElementTree.fromstring(parts["_rels/.rels"])
    (main,) = [link.get("Target", "") for link in links if link.get("Type", "").endswith("/officeDocument")]
    types = ElementTree.fromstring(parts["[Content_Types].xml"])
    (kind,) = [each.get("ContentType", "") for each in types if each.get("PartName") == "/" + main.lstrip("/")]
    return kind


@pytest.mark.parametrize("default", [False, True])
@pytest.mark.parametrize("kind", MAIN)
def test_what_is_left_is_a_whole_package_of_the_type_that_its_name_says(kind: str, default: bool) -> None:
    document = with_macros(OF[kind], kind, default=default)
    unnamed = {fault for fault in faults(document) if fault.startswith("no part")}  # what the libraries leave
    with_name, plain = cured(document, f"a.{kind}".encode()).data, cured(document, f"a.{kind[:-1]}x".encode()).data
    assert set(faults(with_name)) <= unnamed
    assert set(faults(plain)) <= unnamed
    assert type_of_main(with_name) == type_of_main(document)
    assert type_of_main(plain) == type_of_main(OF[kind]) or "macro" not in type_of_main(plain).lower()
    assert not [name for name, _ in members_of(with_name) if "vba" in name.lower()]


def test_a_document_in_an_archive_is_cured_there() -> None:
    outcome = cured(zip_of([("a/b.docx", with_macros(OF["docm"], "docm")), ("c", b"c")]))
    (_, inner), _ = members_of(outcome.data)
    assert texts(inner) == ["Text of it"]
    assert all(path.startswith(b"a/b.docx/word/vba") for path in outcome.gone)


def test_project_under_another_name_and_place() -> None:
    members = members_of(with_macros(OF["docm"], "docm"))
    odd = [("word/media/Fine.PNG" if name == "word/vbaProject.bin" else name, content) for name, content in members]
    odd = [(name, content) for name, content in odd if name != "word/_rels/vbaProject.bin.rels"]
    odd = changed(odd, "word/_rels/document.xml.rels", b'"vbaProject.bin"', b'"../WORD/media/fine%2EPNG"')
    odd = changed(odd, "[Content_Types].xml", b"/word/vbaProject.bin", b"/word/Nowhere.bin")
    now = dict(members_of(cured(package(odd)).data))
    assert "word/media/Fine.PNG" not in now
    assert now["word/_rels/document.xml.rels"] == dict(members_of(OF["docm"]))["word/_rels/document.xml.rels"]


def test_only_an_object_is_infected_so_only_that_is_emptied() -> None:
    document = with_macros(OF["docm"], "docm", HARMLESS)
    members = [
        *members_of(document),
        ("word/embeddings/oleObject1.bin", compound({"S": EICAR * 2})),
        ("word/embeddings/b.xlsm", with_macros(OF["xlsm"], "xlsm")),
        ("word/activeX/activeX1.bin", compound({"Contents": b"fine" * 50})),
    ]
    outcome = cured(package(members))
    was, now = dict(members), dict(members_of(outcome.data))
    assert list(now) == list(was)
    assert now["word/embeddings/oleObject1.bin"] == empty()
    inner = openpyxl.load_workbook(io.BytesIO(now["word/embeddings/b.xlsm"]))
    assert inner.active["A1"].value == "a"
    same = set(was) - {"word/embeddings/oleObject1.bin", "word/embeddings/b.xlsm"}
    assert all(now[name] == was[name] for name in same)


def test_other_parts_are_not_taken_out() -> None:
    for name in ("word/document.xml", "word/media/image1.png", "docProps/app.xml"):
        members = [(each, content) for each, content in members_of(OF["docm"]) if each != name]
        assert refused(package([*members, (name, EICAR)])) is Why.NO_MACRO


def test_packages_of_others_are_archives() -> None:
    types = b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
    outcome = cured(zip_of([("[Content_Types].xml", types), ("e.com", EICAR), ("a", b"a")]))
    assert [name for name, _ in members_of(outcome.data)] == ["[Content_Types].xml", "a"]


def test_signed_and_doubled_and_hostile_xml() -> None:
    members = members_of(with_macros(OF["docm"], "docm"))
    assert refused(package([*members, ("_xmlsignatures/sig1.xml", b"<a/>")])) is Why.SIGNED
    with pytest.warns(UserWarning, match="Duplicate"):
        assert refused(package([*members, ("[Content_Types].xml", b"<a/>")])) is Why.DOUBLED
    assert refused(package([*members, ("WORD/Document.xml", b"<a/>")])) is Why.DOUBLED
    bomb = b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    for part in ("[Content_Types].xml", "word/_rels/document.xml.rels"):
        content = dict(members)[part]
        at = content.index(b"?>") + 2
        for new, why in (
            (content[:at] + bomb + content[at:], Why.ODD),
            (content[:-5], Why.DAMAGED),
            (content.replace(b"UTF-8", b"UTF-7").replace(b"utf-8", b"utf-7"), Why.ODD),
            (content.decode().encode("utf-16"), Why.ODD),
        ):
            assert refused(package([(name, new if name == part else old) for name, old in members])) is why


def test_attributes_with_brackets_and_comments_around() -> None:
    members = members_of(with_macros(OF["docm"], "docm"))
    noise = b'<!-- <Override PartName="/word/vbaProject.bin"/> --><Relationship Id="q" Type="t>" Target="a>b"/>'
    part = "word/_rels/document.xml.rels"
    now = dict(
        members_of(cured(package(changed(members, part, b"</Relationships>", noise + b"</Relationships>"))).data)
    )
    assert now[part] == dict(members_of(OF["docm"]))[part].replace(b"</Relationships>", noise + b"</Relationships>")


def test_macro_sheets_of_excel_4_keep_the_type() -> None:
    sheet = '<Override PartName="/xl/macrosheets/s.xml" ContentType="application/vnd.ms-excel.macrosheet+xml"/></Types>'
    members = changed(members_of(with_macros(OF["xlsm"], "xlsm")), "[Content_Types].xml", b"</Types>", sheet.encode())
    now = dict(members_of(cured(package(members)).data))
    assert b"macroEnabled.main" in now["[Content_Types].xml"]
    assert "xl/vbaProject.bin" not in now


DOCUMENT = with_macros(OF["docm"], "docm")
TYPES = dict(members_of(DOCUMENT))["[Content_Types].xml"]


@given(st.lists(st.tuples(st.integers(0, len(TYPES) - 1), st.binary(max_size=3)), max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_stands_in_the_types_it_is_cured_or_refused(edits: list[tuple[int, bytes]]) -> None:
    types = TYPES
    for at, new in edits:
        types = types[:at] + new + types[at + len(new) :]
    try:
        outcome: Outcome | None = cured(
            package([(name, types if name[0] == "[" else old) for name, old in members_of(DOCUMENT)])
        )
    except Refused:
        return
    assert outcome is not None
    assert not scan(outcome.data).threats


def test_vba_project_alone_is_nothing_but_a_macro() -> None:
    assert refused(vba_project()) is Why.NOTHING_LEFT

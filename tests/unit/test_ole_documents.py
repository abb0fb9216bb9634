"""Documents of Office: what is in a stream, a macro or a package is found; what lies ends soon and harms nothing."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest

from kavfs.model import Reason, Status
from tests.support.compound import (
    END,
    Compound,
    Tree,
    compound,
    object_of_rtf,
    package,
    packed,
    project,
    rtf,
    stored,
)
from tests.support.objects import EICAR, F_CONTAINER, F_ELSEWHERE, NEAR_MISS, scan

FILLING = bytes(range(256)) * 40
MACRO = b'Attribute VB_Name = "M"\r\nSub AutoOpen()\r\n  x = "' + EICAR + b'"\r\nEnd Sub\r\n'


def scattered(content: bytes, sector: int = 512) -> bytes:
    """A stream whose bytes stand in no row: only who follows the chain sees them."""
    made = Compound({"S": content}, sector)
    plain = made.build()
    count = -(-len(content) // sector)
    body = plain[sector : sector * (count + 1)]
    turned = b"".join(body[i * sector : (i + 1) * sector] for i in reversed(range(count)))
    lies = {i: i - 1 for i in range(1, count)} | {0: END}
    made = Compound({"S": content}, sector, fat_lies=lies, entry_lies={"S": {"start": count - 1}})
    again = made.build()
    return again[:sector] + turned + again[sector * (count + 1) :]


def far(content: bytes) -> bytes:
    """Content across the border of two sectors."""
    return FILLING[: 4096 + 512 - 30] + content + FILLING


def packed_zip(content: bytes = EICAR) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bad.com", content * 3)
    return out.getvalue()


@pytest.mark.parametrize("sector", [512, 4096])
def test_a_stream_is_read_along_its_chain(sector: int) -> None:
    content = FILLING[: 2 * 4096 - 30] + EICAR + FILLING
    verdict = scan(scattered(content, sector))
    assert verdict.infected == [b"S"]
    assert not verdict.flags & F_CONTAINER
    assert scan(scattered(content.replace(EICAR, NEAR_MISS), sector)).clean


def test_a_short_stream_is_read_out_of_the_mini_stream() -> None:
    assert b"S" in scan(compound({"A": b"a" * 100, "S": b"s" * 30 + EICAR, "B": b"b"})).infected
    assert scan(compound({"A": b"a" * 100, "S": b"s" * 30 + NEAR_MISS, "B": b"b"})).clean


def test_more_fat_than_the_header_has_room_for() -> None:
    tree: Tree = {"large": bytes(8 << 20), "S": far(packed_zip())}
    assert scan(compound(tree)).infected == [b"S/bad.com"]


def test_storages_and_odd_names_are_shown() -> None:
    tree: Tree = {"Outer": {"Inn\u00e9r": {"\x05Summary": EICAR}}, "\u3b3f\u4840": EICAR}
    infected = scan(compound(tree)).infected
    assert "Outer/Inn\u00e9r/\x05Summary".encode() in infected
    assert len(infected) >= 2


def document(macro: bytes, packer=packed, before: int = 21) -> bytes:  # type: ignore[no-untyped-def]
    storage = project({"M": b""}, before=before)
    storage["M"] = bytes(before) + packer(macro)
    return compound({"Macros": {"VBA": storage}, "WordDocument": b"\xec\xa5" + bytes(5000)})


@pytest.mark.parametrize("packer", [packed, stored])
def test_macros_are_unpacked(packer) -> None:  # type: ignore[no-untyped-def]
    source = b"' comment\r\n" * 700 + MACRO  # in the second chunk
    verdict = scan(document(source, packer))
    assert b"Macros/VBA/project.bas" in verdict.infected
    assert b"Macros/VBA/M.bas" in verdict.infected
    assert verdict.format == "ole2"
    assert scan(document(source.replace(EICAR, NEAR_MISS), packer)).clean


def test_a_macro_that_breaks_off_is_damage_and_the_rest_is_seen() -> None:
    source = MACRO + b"dim a\r\n" * 900
    storage = project({"M": b""}, before=0)
    storage["M"] = packed(source)[:-20] + b"\xff" + b"\xff" * 19
    verdict = scan(compound({"VBA": storage}))
    assert b"VBA/project.bas" in verdict.infected
    assert verdict.reasons & Reason.DAMAGED


def test_a_stream_called_dir_that_is_none() -> None:
    assert scan(compound({"dir": b"nothing of the kind" * 20, "M": b"x"})).clean


def test_a_docm() -> None:
    def docm(macro: bytes) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("[Content_Types].xml", "<Types/>")
            archive.writestr("word/document.xml", "<w:document/>")
            archive.writestr("word/vbaProject.bin", compound({"VBA": project({"M": macro})}))
        return out.getvalue()

    assert b"word/vbaProject.bin/VBA/project.bas" in scan(docm(MACRO)).infected
    assert scan(docm(MACRO.replace(EICAR, NEAR_MISS))).clean


def test_packages_and_packed_objects_hold_files() -> None:
    nested = compound({"P": {"\x01Ole10Native": package(b"a.zip", packed_zip())}})
    assert b"a.zip/bad.com" in scan(nested).infected
    inner = compound({"VBA": project({"M": MACRO})})
    for content, bad in ((inner, True), (inner[:-1], True), (compound({"S": NEAR_MISS}), False)):
        atom = struct.pack("<HHII", 0x10, 0x1011, 4 + len(zlib.compress(content)), len(content)) + zlib.compress(
            content
        )
        slides = struct.pack("<HHI", 0, 0x03E8, 8) + bytes(8) + atom
        infected = scan(compound({"PowerPoint Document": slides})).infected
        assert any(path.endswith(b"VBA/project.bas") for path in infected) is bad


@pytest.mark.parametrize("instance", [0, 1])
def test_objects_of_presentations_that_are_not_packed(instance: int) -> None:
    """Whatever the record says of itself; a byte less of the mark and it is nothing at all."""
    for macro, cut, bad in ((MACRO, 0, True), (MACRO.replace(EICAR, NEAR_MISS), 0, False), (MACRO, 1, False)):
        content = compound({"VBA": project({"M": macro})})[cut:]
        atom = struct.pack("<HHI", instance << 4, 0x1011, len(content)) + content
        infected = scan(compound({"PowerPoint Document": atom + struct.pack("<HHI", 0, 0x1772, 0)})).infected
        assert (b"object at 8/VBA/project.bas" in infected) is bad
        assert bad or not infected


def book(*records: tuple[int, bytes]) -> bytes:
    rows = [(0x809, struct.pack("<HHHHII", 0x600, 5, 0, 0, 0, 0)), *records, (0x0A, b"")]
    return b"".join(struct.pack("<HH", kind, len(body)) + body for kind, body in rows)


def sheet(kind: int) -> tuple[int, bytes]:
    return 0x85, struct.pack("<IBB", 0, 0, kind) + b"\6\0Macro1"


FAR = (0x3C, b"\x85\0\6\0\1\1" * 1300)  # a continued record; longer than what is read at once


@pytest.mark.parametrize(
    ("tree", "asks"),
    [
        ({"Workbook": book(sheet(1))}, True),
        ({"Inner": {"BOOK": book(FAR, sheet(0), *[FAR] * 9, sheet(1))}}, True),
        ({"Workbook": book((0x0A, b""), (0x809, struct.pack("<HHH", 0x600, 0x40, 0)))}, True),
        ({"Workbook": book(FAR, sheet(0), sheet(2), sheet(6))}, False),
        ({"Workbook": book((0x0A, b""), (0x809, struct.pack("<HHH", 0x600, 0x10, 0)))}, False),
        ({"Workbook": book(sheet(1))[:-10]}, False),
        ({"Other": book(sheet(1))}, False),
    ],
)
def test_workbooks_with_sheets_of_macros_are_for_another_engine_too(tree: Tree, asks: bool) -> None:
    found = scan(compound(tree))
    assert bool(found.flags & F_ELSEWHERE) is asks
    assert found.clean


def test_a_stream_packed_as_activemime_is() -> None:
    stream = struct.pack("<I", len(EICAR) * 3) + zlib.compress(EICAR * 3)
    assert scan(compound({"S": stream})).infected == [b"S"]
    assert scan(compound({"S": stream[:4] + zlib.compress(NEAR_MISS)})).clean


@pytest.mark.parametrize(
    ("tree", "asks"),
    [
        ({"EncryptedPackage": FILLING, "EncryptionInfo": b"\4\0\4\0" + bytes(60)}, True),
        ({"EncryptedPackage": FILLING}, False),
        ({"WordDocument": b"\xec\xa5" + bytes(9) + b"\1" + bytes(5000)}, True),
        ({"WordDocument": b"\xec\xa5" + bytes(8) + b"\xff\xfe" + bytes(5000)}, False),
        ({"Workbook": struct.pack("<HHIHHH", 0x809, 4, 0, 0x2F, 2, 0) + FILLING}, True),
        ({"Workbook": struct.pack("<HHIHHHH", 0x809, 4, 0, 0x85, 0, 0x2F, 0) + FILLING}, False),
        ({"Current User": bytes(12) + struct.pack("<I", 0xF3D1C4DF) + bytes(20)}, True),
        ({"Current User": bytes(12) + struct.pack("<I", 0xE391C05F) + bytes(20)}, False),
    ],
)
def test_documents_that_ask_for_a_password(tree: Tree, asks: bool) -> None:
    verdict = scan(compound(tree))
    assert (verdict.status is Status.PROTECTED) is asks
    assert bool(verdict.reasons & Reason.ENCRYPTED) is asks


def test_chains_that_turn_in_circles_end() -> None:
    content = FILLING + EICAR + FILLING
    last = len(content) // 512 - 1
    verdict = scan(Compound({"S": content}, fat_lies={last: 0}, entry_lies={"S": {"size": 0x7FFFFFFF}}).build())
    assert verdict.infected[-1] == b"S"
    assert verdict.reasons & Reason.DAMAGED
    assert verdict.scanned < 20 * len(content)


def test_directories_that_turn_in_circles_end() -> None:
    lies = {"A": {"left": 0, "right": 1, "child": 2}, "B": {"left": 1, "right": 2, "child": 1}}
    made = Compound({"A": {"X": b"x"}, "B": FILLING + EICAR}, entry_lies=lies)
    made.build()
    assert scan(made.build()).status is not Status.ERROR


@pytest.mark.parametrize("at", [30, 32, 44, 48, 56, 60, 64, 68, 72, 76])
@pytest.mark.parametrize("value", [0, 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_lies_in_the_header(at: int, value: int) -> None:
    whole = compound({"S": FILLING, "T": b"t"})
    width = 2 if at < 44 else 4
    lied = whole[:at] + (value & (1 << 8 * width) - 1).to_bytes(width, "little") + whole[at + width :]
    verdict = scan(lied)
    assert verdict.status in (Status.CLEAN, Status.CORRUPTED)
    assert verdict.scanned < 10 * len(whole)


def test_every_cut_is_answered() -> None:
    whole = compound({"Macros": {"VBA": project({"M": MACRO})}, "\x01Ole10Native": package(b"a", EICAR)})
    for end in range(0, len(whole), 97):
        assert scan(whole[:end]).status in (Status.CLEAN, Status.CORRUPTED, Status.INFECTED)


@pytest.mark.parametrize("content", [package(b"a.txt", b"x" * 50 + EICAR)[4:], compound({"S": EICAR})])
def test_objects_in_rtf(content: bytes) -> None:
    whole = rtf(object_of_rtf(b"Package", content))
    assert scan(whole).infected
    assert scan(whole.replace(b"\\objdata", b"\\objdate")).clean
    broken = whole.replace(b"\r\n", b"{\\*\\junk 4142}\r\n\t")  # passed over by those who read RTF
    assert scan(broken).infected
    assert scan(rtf(object_of_rtf(b"Package", content.replace(EICAR, NEAR_MISS)))).clean


def test_rtf_that_ends_in_the_middle() -> None:
    whole = rtf(object_of_rtf(b"Package", compound({"S": EICAR})))
    for end in range(60, len(whole), 211):
        assert scan(whole[:end]).status in (Status.CLEAN, Status.INFECTED, Status.CORRUPTED)

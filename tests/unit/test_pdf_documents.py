"""PDF and Flash: what stands in streams, scripts and packed films is found; what lies ends soon and harms nothing."""

from __future__ import annotations

import zlib
from itertools import product

import pytest

from kavfs.limits import Limits
from kavfs.model import Reason, Status, Switch
from kavfs.options import EVERYTHING
from tests.support.bombs import pdf_of_object_streams_in_circles
from tests.support.objects import EICAR, F_CONTAINER, NEAR_MISS, scan, scanner
from tests.support.pdfs import FILTERS, Lock, Pdf, document, encoded, escaped, film, lzw

FILLING = bytes(range(256)) * 300
SEALED = [(2, False), (3, False), (4, False), (4, True), (5, True), (6, True)]


@pytest.mark.parametrize("filters", [(), *((f,) for f in FILTERS), *product(FILTERS, FILTERS)])
def test_streams_behind_filters(filters: tuple[str, ...]) -> None:
    verdict = scan(document(FILLING + EICAR + FILLING, filters))
    assert verdict.infected == ([b"obj 3 0"] if filters else [b"", b"obj 3 0"])
    assert not verdict.flags & F_CONTAINER
    assert scan(document(FILLING + NEAR_MISS + FILLING, filters)).clean


@pytest.mark.parametrize("name", ["LZWDecode", "FlateDecode"])
def test_a_stream_that_breaks_off_is_seen_as_far_as_it_goes(name: str) -> None:
    whole = encoded(EICAR + FILLING, [name])
    made = Pdf()
    made.add(b"<</Filter/%s/Length 9>>stream\n%s\nendstream" % (name.encode(), whole[: len(whole) // 2]))
    assert scan(made.build()).infected == [b"obj 1 0"]


def test_one_wrong_letter_and_a_stream_is_taken_as_it_is() -> None:
    made = Pdf()
    made.add(b"<</Filter/ASCII85Decode>>stream\n~\x01" + EICAR + b"\nendstream")
    assert b"obj 1 0" in scan(made.build()).infected


def test_late_table_widths_of_lzw() -> None:
    data = bytes(range(256)) * 2 + EICAR + bytes(5000) + NEAR_MISS * 9
    made = Pdf()
    made.add(b"<</Filter/LZWDecode/DecodeParms<</EarlyChange 0>>>>stream\n%s\nendstream" % lzw(data, early=0))
    assert scan(made.build()).infected == [b"obj 1 0"]


def test_telling_names_with_escapes_are_suspicious() -> None:
    made = Pdf()
    made.add(b"<</Type/Catalog/Open#41ction 2 0 R>>")
    made.add(b"<</Some#41ction(x)>>")
    verdict = scan(made.build())
    assert verdict.status is Status.SUSPICIOUS
    assert verdict.threats == [(b"", b"Heuristics.PDF.ObfuscatedNameObject")]
    assert scan(made.build(), scanner(switches=EVERYTHING & ~Switch.HEURISTIC)).clean
    assert scan(made.build().replace(b"Open#41", b"OpenA")).clean


def test_names_with_escapes_and_short_names_are_the_same_names() -> None:
    content = zlib.compress(EICAR)
    for name in (b"/Filter/Fl#61te#44ecode", b"/Filter/Fl", b"/#46ilter[/F#6C]"):
        made = Pdf()
        made.add(b"<<%s>>stream\r\n%s\r\nendstream" % (name, content))
        assert b"obj 1 0" in scan(made.build()).infected


@pytest.mark.parametrize("separator", [b"\n", b"\r\n\n", b"\r", b" \n"])
def test_a_stream_that_begins_late(separator: bytes) -> None:
    made = Pdf()
    made.add(b"<</Filter/FlateDecode>>stream%s%s\nendstream" % (separator, zlib.compress(EICAR)))
    assert scan(made.build()).infected == [b"obj 1 0"]


def test_objects_are_found_without_tables_and_ends() -> None:
    stream = b"7 0 obj<</Filter/FlateDecode>>stream\n" + zlib.compress(EICAR)
    for text in (
        stream,
        b"1 0 obj<<>>endobj" + stream,
        b"%%EOF" + stream,
        b"\nfoo obj 1 obj " + stream,
        b"x" * 900 + b"\n" + stream,
    ):
        assert scan(b"%PDF-1.4\n" + text).infected == [b"obj 7 0"]
    assert scan(b"%PDF-1.4\n" + stream.replace(b" obj", b" opj")).clean


def test_objects_inside_of_object_streams() -> None:
    for filters in ((), ("FlateDecode",), ("ASCII85Decode", "LZWDecode")):
        made = Pdf()
        made.add(b"<</Type/Catalog>>")
        made.packed({10: b"<</A(b)>>", 11: b"<</S/JavaScript/JS(" + EICAR.replace(b"(", b"\\(") + b")>>"}, filters)
        made.packed({12: b"<</S/JavaScript/JS<%s>>>" % EICAR.hex().encode(), 13: b"<<>>"}, filters)
        infected = scan(made.build()).infected
        assert b"obj 12 0" in infected


def test_scripts_in_strings() -> None:
    hexed = b"<</S/JavaScript/JS<%s>>>" % EICAR.hex().encode()
    for body, bad in (
        (hexed, True),
        (hexed.replace(b"/JS<", b"/JX<"), False),
        (hexed.replace(EICAR.hex().encode(), NEAR_MISS.hex().encode()), False),
    ):
        made = Pdf()
        made.add(body)
        assert scan(made.build()).infected == ([b"obj 1 0"] if bad else [])


def test_scripts_whose_brackets_are_escaped_are_seen_as_they_run() -> None:
    for content, bad in ((EICAR, True), (NEAR_MISS, False)):
        body = b"<</S/JavaScript/JS(" + escaped(content) + b")>>"
        plain, inside = Pdf(), Pdf()
        plain.add(body)
        inside.stream(b"9 0 " + body, ["FlateDecode"], b"/Type/ObjStm/N 1/First 4")
        assert scan(plain.build()).infected == ([b"obj 1 0 script"] if bad else [])
        assert scan(inside.build()).infected == ([b"obj 9 0 script"] if bad else [])


def test_object_streams_that_name_each_other_hide_nothing() -> None:
    numbers = [b"obj %d 0 script" % number for number in range(3, 8)]
    assert scan(pdf_of_object_streams_in_circles(EICAR, 5)).infected == numbers
    assert scan(pdf_of_object_streams_in_circles(NEAR_MISS, 5)).clean


def test_what_a_page_shows_is_put_together() -> None:
    made = Pdf()
    made.add(b"<</Type/Page/Contents 2 0 R>>")
    text = b"this text stands for unwanted software"
    made.stream(b"BT\n[(This te)-20(xt  sta)]TJ\n[(nds for unwanted software)]TJ", ["FlateDecode"])
    assert scan(made.build()).infected == [b"obj 2 0 contents"]
    made.objects[0] = b"<</Type/Page/Kontents 2 0 R>>"
    assert scan(made.build()).clean
    assert text not in made.build()


def test_pictures_are_not_unpacked_but_jpegs_are_shown() -> None:
    assert scan(document(EICAR, ["FlateDecode"], b"/Length 5/Subtype/Image")).clean
    made = Pdf()
    made.add(b"<</Subtype/Image/Filter[/FlateDecode/DCTDecode]>>stream\n%s\nendstream" % zlib.compress(EICAR))
    assert scan(made.build()).infected == [b"obj 1 0"]


@pytest.mark.parametrize(("revision", "aes"), SEALED)
def test_documents_that_the_empty_password_opens(revision: int, aes: bool) -> None:
    for content, bad in ((EICAR, True), (NEAR_MISS, False)):
        made = Pdf(Lock(revision, aes))
        made.stream(FILLING + content, ["FlateDecode"])
        made.stream(content * 2, [])
        made.script(content)
        verdict = scan(made.build())
        assert verdict.infected == ([b"obj 1 0", b"obj 2 0", b"obj 3 0"] if bad else [])
        assert not verdict.reasons


@pytest.mark.parametrize(("revision", "aes"), SEALED)
def test_documents_that_want_a_password(revision: int, aes: bool) -> None:
    verdict = scan(document(EICAR, ["FlateDecode"], lock=Lock(revision, aes, password=b"secret")))
    assert verdict.status is Status.PROTECTED
    assert verdict.reasons == Reason.ENCRYPTED


def test_revision_6_opens_by_the_empty_password_of_the_owner() -> None:
    lock = Lock(6, password=b"secret", owner=b"")
    assert scan(document(EICAR, ["FlateDecode"], lock=lock)).infected == [b"obj 3 0"]


def test_encryption_is_read_from_a_table_that_is_a_stream() -> None:
    made = Pdf(Lock(4, True))
    made.stream(EICAR, ["FlateDecode"])
    whole = made.build()
    head, tail = whole.split(b"xref\n", 1)
    trailer = tail[tail.index(b"<<") + 2 : tail.index(b">>\nstartxref")]
    table = b"9 0 obj\n<</Type/XRef%s>>stream\n%s\nendstream\nendobj\nstartxref\n0\n%%%%EOF\n" % (trailer, bytes(5000))
    assert scan(head + table).infected == [b"obj 1 0"]


@pytest.mark.parametrize("packing", ["zlib", "lzma"])
def test_films_are_unpacked(packing: str) -> None:
    whole = film(FILLING + EICAR + FILLING, packing)
    assert scan(whole).infected == [b"film"]
    assert scan(film(FILLING + NEAR_MISS, packing)).clean
    assert scan(film(EICAR + FILLING * 9, packing)[:-20]).infected == [b"film"]
    assert scan(whole[:20]).status in (Status.CLEAN, Status.CORRUPTED)


def test_a_thousand_filters_end() -> None:
    bomb = FILLING
    for _ in range(4):
        bomb = zlib.compress(bomb)
    made = Pdf()
    made.add(b"<</Filter[%s]>>stream\n%s\nendstream" % (b"/FlateDecode" * 1000, bomb))
    made.add(b"<</Filter[%s]>>stream\n%s\nendstream" % (b"/ASCIIHexDecode" * 1000, b"41" * 5000))
    made.stream(EICAR, ["FlateDecode"])
    assert scan(made.build()).infected == [b"obj 3 0"]


def test_a_bomb_is_partial() -> None:
    content = zlib.compress(bytes(64 << 20), 9)
    for _ in range(2):
        content = zlib.compress(content, 9)
    made = Pdf()
    made.add(b"<</Filter[%s]>>stream\n%s\nendstream" % (b"/FlateDecode" * 3, content))
    verdict = scan(made.build(), scanner(Limits(max_unpacked=8 << 20)))
    assert verdict.reasons & Reason.BYTES


def test_circles_and_lies_end() -> None:
    made = Pdf()
    made.add(b"<</Type/Catalog/OpenAction 1 0 R/Contents 1 0 R/JavaScript 1 0 R>>")
    made.add(b"<</Filter/FlateDecode/Length 2 0 R>>stream\n%s\nendstream" % zlib.compress(EICAR))
    made.add(b"<</Type/ObjStm/N 99999999/First 9>>stream\n1 0 2 0 3 0 4 0\nendstream")
    made.add(b"<</Type/ObjStm/N -5/First 4294967296>>stream\n1 0\nendstream")
    made.add(b"<<" * 20000 + b">>" * 20000)
    made.add(
        b"<</Type/ObjStm/N 2/First 8/Length 999999999999999999999>>stream\n1 0 2 4 <<>><</Type/ObjStm>>\nendstream"
    )
    assert b"obj 2 0" in scan(made.build()).infected


@pytest.mark.parametrize(
    "piece",
    [
        b"1 0 obj ",
        b"1 0 obj<</JavaScript 1 0 R>>endobj ",
        b"obj ",
        b"0 obj\n",
        b"1 0 obj<<stream endobj ",
        b"\n/Encrypt 1 0 R",
        b"1 0 obj<</S/JavaScript/JS(",
        b"1 0 obj<</Length 1 0 R>>stream\nx endstream endobj ",
        b" " * 300 + b"obj",
    ],
)
def test_a_million_of_the_same_take_time_in_proportion(piece: bytes) -> None:
    whole = b"%PDF-1.4\n" + piece * ((1 << 20) // len(piece))
    verdict = scan(whole, scanner(Limits(time_base=20)))
    assert not verdict.reasons & Reason.TIME


def test_every_cut_is_answered() -> None:
    made = Pdf(Lock(6))
    made.stream(EICAR, ["ASCII85Decode", "FlateDecode"])
    made.packed({10: b"<</A 1>>"})
    made.script(EICAR)
    whole = made.build()
    for end in range(0, len(whole), 41):
        assert scan(whole[:end]).status in (Status.CLEAN, Status.PROTECTED, Status.INFECTED)

"""PDF and Flash against clamscan: the same streams, scripts and films, the same names.

One run of clamscan over all files, near misses among them. Where clamscan is known not to look, the difference is
named in `BEYOND` with its reason.
"""

from __future__ import annotations

import io
import shutil
import zipfile
import zlib
from itertools import product
from pathlib import Path

import pytest

from tests.support import differential
from tests.support.pdfs import FILTERS, Lock, Pdf, document, film, lzw

pytestmark = [
    pytest.mark.clamav,
    pytest.mark.skipif(shutil.which("clamscan") is None, reason="clamscan is not installed (make system-test)"),
]

MARK = b"A payload   that only this test knows, and what stands behind it: "
NEAR = MARK.replace(b"knows", b"knowz").replace(b"payload", b"paylaod")
FILLING = bytes(range(256)) * 40

LINES: list[tuple[str, int, str, bytes]] = [
    ("Mark.Any", 0, "*", MARK),
    ("Mark.AtStart", 0, "0", MARK),
    ("Mark.AtEnd", 0, f"EOF-{2 * len(MARK)}", MARK * 2),
    ("Mark.Text", 7, "*", b"a payload that only this test knows"),
    ("Mark.TextAtStart", 7, "0", b"a payload that only"),
    ("Mark.Pdf", 10, "*", MARK),
    ("Mark.Flash", 11, "*", MARK),
    ("Mark.FlashAtStart", 11, "8", MARK),
    ("Mark.FlashHead", 11, "0", b"FWS\x0a"),
    ("Mark.Page", 3, "*", b'<html><body onload="a payload that only this test'),
    ("Mark.Inside", 0, "*", b"a payload that only this test knows, and"),
]

ANY = {"Mark.Any", "Mark.AtStart", "Mark.AtEnd", "Mark.Text", "Mark.TextAtStart", "Mark.Inside"}

# What kavfs finds and clamscan does not.
BEYOND: dict[str, set[str]] = {
    # clamscan unpacks them only where another filter stands beside them, or a page shows them
    **dict.fromkeys(("LZWDecode", "RunLengthDecode"), ANY),
    **{f"{a} {b}": ANY for a, b in product(("LZWDecode", "RunLengthDecode"), repeat=2)},
    # clamscan ends such a script at its first NUL
    **{f"script {name}": ANY for name in ("R4 AES", "R5", "R6")},
    **{f"script {name}": {"Mark.AtEnd"} for name in ("R2", "R3", "R4")},
    # clamscan shows streams without filters as they are, enciphered
    **{f"plain {name}": ANY for name in ("R2", "R3", "R4", "R4 AES", "R5", "R6")},
    # clamscan sees pages and forms of XFA only in normal form, or not as texts
    "page": {"Mark.Any"},
    "xfa": {"Mark.Text"},
    # clamscan takes digits in lines for none
    "hex in lines": ANY,
}


def zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", data)
    return out.getvalue()


def one(body: bytes, *others: bytes, lock: Lock | None = None) -> bytes:
    made = Pdf(lock)
    for text in (body, *others):
        made.add(text)
    return made.build()


def script(text: bytes, lock: Lock) -> bytes:
    made = Pdf(lock)
    made.add(b"<</Type/Catalog>>")
    made.script(text)
    return made.build()


def packed(text: bytes, filters: tuple[str, ...]) -> bytes:
    made = Pdf()
    made.add(b"<</Type/Catalog/Pages 2 0 R>>")
    made.packed({10: b"<</A 1>>", 11: b"<</S/JavaScript/JS (%s) >>" % text, 12: b"<</B 2>>"}, filters)
    return made.build()


def contents(text: bytes) -> bytes:
    made = Pdf()
    made.add(b"<</Type/Page/Contents 2 0 R>>")
    made.stream(b"BT /F1 12 Tf\n[(%s)-250(%s)-20( %s)]TJ\nET\n" % (text[:5], text[5:], text), ["FlateDecode"])
    return made.build()


def samples(mark: bytes) -> dict[str, bytes]:
    double = mark * 2
    deflated = zlib.compress(double)
    page = b'<html><body onload="' + mark + b'"></body></html>'
    files = {name: document(double, [name]) for name in FILTERS}
    files |= {f"{a} {b}": document(double, [a, b]) for a, b in product(FILTERS, FILTERS)}
    files |= {
        "no filter": document(double),
        "six filters": document(double, ["ASCII85Decode", "FlateDecode"] * 3),
        "long": document(FILLING * 60 + double, ["FlateDecode"]),
        "page": document(page, ["FlateDecode"]),
        "zip": document(zipped(double), extra=b"/Type/EmbeddedFile"),
        "film in stream": document(film(double), ["FlateDecode"]),
        "pdf in pdf": document(document(double, ["FlateDecode"]), ["ASCII85Decode"]),
        "escaped": one(b"<</Fil#74er/Fl#61teDecode>>stream\n%s\nendstream" % deflated),
        "torn": one(b"<</Filter/FlateDecode>>stream\n%s\nendstream" % zlib.compress(double + FILLING)[:-60]),
        "wrong length": one(b"<</Filter/FlateDecode/Length 3>>stream\n%s\nendstream" % deflated),
        "length elsewhere": one(
            b"<</Length 2 0 R>>stream\r\n%s\r\nendstream" % double, b"%d" % len(double), b"<</A 1>>"
        ),
        "blank line first": one(b"<</Filter/FlateDecode>>stream\n \n%s\nendstream" % deflated),
        "hex in lines": one(b"<</Filter/ASCIIHexDecode>>stream\n%s>\nendstream" % double.hex("\n", 40).encode()),
        "late widths": one(
            b"<</Filter[/LZWDecode/ASCIIHexDecode]/DecodeParms<</EarlyChange 0>>>>stream\n%s\nendstream"
            % lzw((FILLING[:512] + double).hex().encode() + b">", early=0)
        ),
        "picture": document(double, ["FlateDecode"], b"/Length 9/Subtype/Image"),
        "jpeg": one(b"<</Subtype/Image/Filter[/FlateDecode/DCTDecode]>>stream\n%s\nendstream" % deflated),
        "unknown filter": one(b"<</Filter[/FlateDecode/None]>>stream\n%s\nendstream" % deflated),
        "no end": b"%PDF-1.1\n1 0 obj<</Filter/FlateDecode>>stream\n" + deflated,
        "late header": b"\n" * 900 + document(double, ["FlateDecode"]),
        "script": one(b"<</S/JavaScript/JS (%s) >>" % double),
        "script in hex": one(b"<</S/JavaScript/JS <%s> >>" % double.hex().encode()),
        "script elsewhere": one(
            b"<</S/JavaScript/JS 2 0 R>>", b"<</Filter/FlateDecode>>stream\n%s\nendstream" % deflated
        ),
        "action": one(b"<</Type/Catalog/OpenAction 2 0 R>>", b"<</S/URI/URI(%s)>>" % double),
        "launch": one(b"<</S/Launch/F(%s)>>" % double),
        "contents": contents(double),
        "packed": packed(double, ("FlateDecode",)),
        "packed plainly": packed(double, ()),
        "xfa": document(b"<xdp:xdp><script>" + double + b"</script></xdp:xdp>", ["FlateDecode"], b"/Type/XFA"),
        "film": film(double),
        "film in lzma": film(double, "lzma"),
        "film as it is": film(double, ""),
        "film torn": film(double + FILLING)[:-50],
    }
    for name, lock in locks().items():
        files[f"sealed {name}"] = document(double, ["FlateDecode"], lock=lock)
        files[f"script {name}"] = script(double, lock)
        files[f"plain {name}"] = document(double, lock=lock)
    files["secret"] = document(double, ["FlateDecode"], lock=Lock(4, True, password=b"x"))
    return files


def locks() -> dict[str, Lock]:
    return {
        "R2": Lock(2),
        "R3": Lock(3),
        "R4": Lock(4),
        "R4 AES": Lock(4, True),
        "R5": Lock(5),
        "R6": Lock(6),
    }


def test_the_names_that_clamscan_gives(tmp_path: Path) -> None:
    databases, files = tmp_path / "databases", tmp_path / "files"
    databases.mkdir()
    files.mkdir()
    (databases / "test.ndb").write_text("".join(f"{n}:{t}:{at}:{text.hex()}\n" for n, t, at, text in LINES))
    hits, misses = samples(MARK), samples(NEAR)
    for name in hits:
        (files / name).write_bytes(hits[name])
        (files / f"near {name}").write_bytes(misses[name])
    theirs = differential.clamscan(databases, files, tmp_path)
    ours = differential.ours(databases, files, tmp_path, theirs)
    wrong = {}
    for name in (*hits, *(f"near {name}" for name in hits)):
        mine = {n.removesuffix(".UNOFFICIAL") for n in ours.get(name, ())}
        clam = {n.removesuffix(".UNOFFICIAL") for n in theirs.get(name, ())}
        if clam - mine or mine - clam - BEYOND.get(name, set()):
            wrong[name] = (clam - mine, mine - clam)
    assert not wrong
    found = {n.removesuffix(".UNOFFICIAL") for names in ours.values() for n in names}
    assert found == {n for n, *_ in LINES} | {"Heuristics.PDF.ObfuscatedNameObject"}

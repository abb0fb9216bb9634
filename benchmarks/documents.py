"""Documents: what the third corpus is made of: documents, archives and letters as they lie on a file server.

Every maker takes (words, random, size, serial) and gives a file of very roughly *size* bytes. The serial number goes
into every member, so that nothing is there twice, neither as a file nor inside one.
"""

from __future__ import annotations

import base64
import gzip
import io
import random
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

from benchmarks.corpus import SEED, Corpus, Maker, Sizes, Words, html, kept, make, source, text
from tests.support import compound

FILES = 2000
SIZES = Sizes(100 << 10, 1.2, 6 << 10, 8 << 20)
VERSION = 1  # of the generator: another number makes other files
STAMP = (2024, 2, 29, 12, 0, 0)
XML = b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
OFFICE = b"http://schemas.openxmlformats.org/"

Members = list[tuple[str, bytes]]


# ---- pictures


def jpeg(rnd: random.Random, size: int, serial: int) -> bytes:
    """Headers as cameras write them, and what looks like entropy-coded data."""
    head = bytes.fromhex("ffd8ffe000104a46494600010101004800480000") + b"\xff\xfe\0\x12" + b"picture %08d" % serial
    tables = b"\xff\xdb\0\x43\0" + bytes(rnd.randrange(1, 99) for _ in range(64))
    frame = bytes.fromhex("ffc00011080200030003012200021101031101ffda000c03010002110311003f00")
    return head + tables + frame + rnd.randbytes(size).replace(b"\xff", b"\xff\0") + b"\xff\xd9"


def png(rnd: random.Random, size: int, serial: int) -> bytes:
    """Noise of sixteen greys: deflate makes half of it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = max(1, 2 * size // 512)
    grey = rnd.randbytes(rows * 512).translate(bytes(0x55 + (i & 15) for i in range(256)))
    pixels = b"".join(b"\0" + grey[i * 512 : (i + 1) * 512] for i in range(rows))
    head = struct.pack(">IIBBBBB", 512, rows, 8, 0, 0, 0, 0)
    body = chunk(b"tEXt", b"Title\0%08d" % serial) + chunk(b"IDAT", zlib.compress(pixels, 6)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body


def pictures(rnd: random.Random, size: int, serial: int, folder: str) -> Members:
    """About *size* bytes of pictures."""
    found: Members = []
    while size > 2000:
        each = min(size, rnd.randint(2000, 300_000))
        kind, make = rnd.choice((("jpeg", jpeg), ("png", png)))
        found.append((f"{folder}/image{len(found) + 1}.{kind}", make(rnd, each, serial * 100 + len(found))))
        size -= each
    return found


# ---- Office: zip with XML


def zipped(members: Members) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name, STAMP), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def ooxml(folder: str, kind: str, parts: Members, serial: int) -> bytes:
    """A document with its parts, and what stands in each one besides: types, relations, properties, styles."""
    overrides = b"".join(b'<Override PartName="/%s" ContentType="application/xml"/>' % n.encode() for n, _ in parts)
    main = f"{folder}/{kind}.xml".encode()
    styles = b"".join(
        b'<style id="s%d.%d"><name val="heading %d"/><rPr><sz val="%d"/></rPr></style>' % (serial, i, i, 20 + i)
        for i in range(60)
    )
    common: Members = [
        (
            "[Content_Types].xml",
            XML + b"<Types xmlns='%spackage/2006/content-types'>" % OFFICE + overrides + b"</Types>",
        ),
        (
            "_rels/.rels",
            XML + b'<Relationships><Relationship Id="rId%d" Target="%s"/></Relationships>' % (serial, main),
        ),
        ("docProps/core.xml", XML + b"<cp:coreProperties><dc:title>Paper %d</dc:title></cp:coreProperties>" % serial),
        (f"{folder}/styles.xml", XML + b"<styles>" + styles + b"</styles>"),
    ]
    return zipped([*common, *parts])


def sentences(words: Words, rnd: random.Random, size: int) -> list[bytes]:
    return words.take(rnd, size).split(b"\n")


def docx(words: Words, rnd: random.Random, size: int, serial: int) -> bytes:
    mark = b"%08X" % serial
    runs = [
        b'<w:p w:rsidR="' + mark + b'" w:rsidRDefault="%08X"><w:pPr><w:pStyle w:val="Normal"/><w:jc w:val="both"/>'
        b'</w:pPr><w:r><w:rPr><w:sz w:val="%d"/></w:rPr><w:t xml:space="preserve">'
        % (rnd.getrandbits(32), i % 30)
        + line
        + b"</w:t></w:r></w:p>"
        for i, line in enumerate(sentences(words, rnd, size))
    ]
    body = XML + b"<w:document xmlns:w='%swordprocessingml/2006/main'><w:body>" % OFFICE + b"".join(runs)
    part = ("word/document.xml", body + b"</w:body></w:document>")
    return ooxml("word", "document", [part, *pictures(rnd, size * 6 // 10, serial, "word/media")], serial)


def xlsx(words: Words, rnd: random.Random, size: int, serial: int) -> bytes:
    sheets: Members = []
    rest, row = size * 5, serial
    while rest > 0:
        rows = bytearray(XML + b"<worksheet xmlns='%sspreadsheetml/2006/main'><sheetData>" % OFFICE)
        stop = min(rest, 800_000)
        while len(rows) < stop:
            row += 1
            cells = (
                b'<c r="%c%d" s="%d"><v>%.4f</v></c>' % (65 + i, row, i % 4, rnd.random() * 9999) for i in range(12)
            )
            rows += b'<row r="%d" spans="1:12">' % row + b"".join(cells) + b"</row>"
        rest -= stop
        sheets.append((f"xl/worksheets/sheet{len(sheets) + 1}.xml", bytes(rows + b"</sheetData></worksheet>")))
    strings = b"".join(b"<si><t>" + w + b"</t></si>" for w in words.take(rnd, size // 2).split(b" "))
    sheets.append(("xl/sharedStrings.xml", XML + b"<sst count='%d'>" % serial + strings + b"</sst>"))
    return ooxml("xl", "workbook", sheets, serial)


def pptx(words: Words, rnd: random.Random, size: int, serial: int) -> bytes:
    slides: Members = []
    for i in range(max(1, size // 20_000)):
        shapes = b"".join(
            b'<p:sp><p:nvSpPr><p:cNvPr id="%d" name="Title %d"/></p:nvSpPr><p:txBody><a:p><a:r><a:t>' % (serial, k)
            + line[:400]
            + b'</a:t></a:r></a:p></p:txBody><a:off x="%d" y="%d"/></p:sp>' % (rnd.getrandbits(20), rnd.getrandbits(20))
            for k, line in enumerate(sentences(words, rnd, 6000))
        )
        slides.append((f"ppt/slides/slide{i + 1}.xml", XML + b"<p:sld><p:cSld>" + shapes + b"</p:cSld></p:sld>"))
    return ooxml("ppt", "presentation", [*slides, *pictures(rnd, size * 8 // 10, serial, "ppt/media")], serial)


# ---- Office: compound files


def macros(words: Words, rnd: random.Random, serial: int) -> dict[str, bytes]:
    def module(number: int) -> bytes:
        lines = [
            b"    %s = Range(%d).Value ' %s\r\n"
            % (line[:8].strip().replace(b" ", b"_"), rnd.getrandbits(16), line[8:60])
            for line in sentences(words, rnd, 4000)
        ]
        return b'Attribute VB_Name = "M%d"\r\nSub S%d()\r\n' % (number, serial) + b"".join(lines) + b"End Sub\r\n"

    return {f"Module{i}": module(i) for i in range(1, rnd.randint(2, 5))}


def ole2(words: Words, rnd: random.Random, size: int, serial: int) -> bytes:
    """A document of old Office; every third has macros."""
    letters = words.take(rnd, size // 3)
    main = b"%08d" % serial + rnd.randbytes(size // 6) + letters.decode("latin-1").encode("utf-16-le")[: size // 3]
    tree: compound.Tree = {
        "WordDocument": b"\xec\xa5\xc1\0".ljust(1024, b"\0") + main,  # nothing in its header says that it is encrypted
        "1Table": struct.pack(f"<{size // 24}I", *(rnd.getrandbits(32) for _ in range(size // 24))),
        "Data": b"".join(data for _, data in pictures(rnd, size // 3, serial, "")),
        "\5SummaryInformation": b"\xfe\xff\0\0" + b"Paper %d" % serial + bytes(400),
    }
    if serial % 3 == 0:
        tree["Macros"] = {"VBA": compound.project(macros(words, rnd, serial)), "PROJECT": b'ID="{%08X}"\r\n' % serial}
    return compound.compound(tree)


# ---- PDF


def pdf(words: Words, rnd: random.Random, size: int, serial: int) -> bytes:
    """Pages, of which each has its text in a Flate stream; pictures; a font."""
    out = io.BytesIO()
    out.write(b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n")
    places: list[int] = []

    def item(body: bytes) -> None:
        places.append(out.tell())
        out.write(b"%d 0 obj\n" % len(places) + body + b"\nendobj\n")

    def stream(more: bytes, data: bytes) -> None:
        item(b"<< /Length %d %s >>\nstream\n" % (len(data), more) + data + b"\nendstream")

    pages = max(1, size // 12_000)
    kids = b" ".join(b"%d 0 R" % (3 + 2 * i) for i in range(pages))
    item(b"<< /Type /Catalog /Pages 2 0 R /Title (Paper %d) >>" % serial)
    item(b"<< /Type /Pages /Count %d /Kids [ %s ] >>" % (pages, kids))
    for i in range(pages):
        item(b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R >>" % (4 + 2 * i))
        lines = [b"1 0 0 1 72 %d Tm (%s) Tj\n" % (800 - k, w) for k, w in enumerate(sentences(words, rnd, 6000))]
        stream(b"/Filter /FlateDecode", zlib.compress(b"BT /F1 11 Tf %d TL\n" % serial + b"".join(lines) + b"ET"))
    for _, data in pictures(rnd, size // 2, serial, ""):
        stream(b"/Type /XObject /Subtype /Image /Width 512 /Height 512 /Filter /DCTDecode", data)
    glyphs = b"%08d" % serial + rnd.randbytes(size // 10) + bytes(size // 20)
    stream(b"/Length1 %d /Filter /FlateDecode" % len(glyphs), zlib.compress(glyphs))
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    at, count = out.tell(), len(places) + 1
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % count + table)
    out.write(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, at))
    return out.getvalue()


# ---- archives and letters


def some_files(words: Words, rnd: random.Random, size: int, serial: int) -> Members:
    """What people pack: texts, sources, pages, pictures, something binary; *size* bytes when packed, more or less."""
    found: Members = []
    while size > 0:
        number = serial * 1000 + len(found)
        each = min(2 * size + 500, rnd.randint(500, 400_000))
        kind = rnd.choices(("txt", "py", "html", "jpeg", "bin"), (4, 4, 3, 2, 2))[0]
        if kind == "jpeg":
            data = jpeg(rnd, each // 2, number)
        elif kind == "bin":
            data = b"%08d" % number + rnd.randbytes(each // 3) + bytes(each // 3) + words.take(rnd, each // 3)
        else:
            data = {"txt": text, "py": source, "html": html}[kind](words, rnd, each, number)
        size -= len(data) if kind == "jpeg" else len(data) * 2 // 5
        found.append((f"folder{number % 3}/file{number:09d}.{kind}", data))
    return found


def packed_zip(words: Words, rnd: random.Random, size: int, serial: int) -> bytes:
    return zipped(some_files(words, rnd, size, serial))


def tar_gz(words: Words, rnd: random.Random, size: int, serial: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in some_files(words, rnd, size, serial):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(data), 1_709_208_000
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(out.getvalue(), 6, mtime=0)


def letter(words: Words, rnd: random.Random, size: int, serial: int) -> bytes:
    """Text, the same as a page, and one to three attachments."""
    edge = b"----=_Part_%d" % serial
    parts = [
        b"Content-Type: text/plain; charset=us-ascii\n\n" + text(words, rnd, 2000, serial),
        b"Content-Type: text/html; charset=us-ascii\n\n" + html(words, rnd, 4000, serial),
    ]
    count = rnd.randint(1, 3)
    for i in range(count):
        number = serial * 10 + i
        kind = rnd.choice(("docx", "xlsx", "pdf", "jpeg", "zip"))
        each = max(4000, size * 3 // 4 // count)
        data = jpeg(rnd, each, number) if kind == "jpeg" else KINDS[kind][1](words, rnd, each, number)
        head = b'Content-Type: application/octet-stream; name="a%d.%s"\nContent-Disposition: attachment\n'
        head = head % (number, kind.encode()) + b"Content-Transfer-Encoding: base64\n\n"
        parts.append(head + base64.encodebytes(data))
    head = b"From: a%d@example.org\nTo: b@example.org\nSubject: papers %d\nMIME-Version: 1.0\n" % (serial, serial)
    head += b'Date: Thu, 29 Feb 2024 12:00:00 +0000\nContent-Type: multipart/mixed; boundary="%s"\n\n' % edge
    return head + b"".join(b"--" + edge + b"\n" + part + b"\n" for part in parts) + b"--" + edge + b"--\n"


KINDS: dict[str, tuple[int, Maker]] = {
    "docx": (20, docx),
    "xlsx": (15, xlsx),
    "pptx": (8, pptx),
    "doc": (12, ole2),
    "pdf": (20, pdf),
    "zip": (10, packed_zip),
    "tar.gz": (5, tar_gz),
    "eml": (10, letter),
}


def documents(cache: Path, seed: int = SEED, count: int = FILES) -> Corpus:
    """The documents and archives, from the cache or made now."""
    folder = kept(cache / f"documents-v{VERSION}-{seed}-{count}", lambda part: make(part, KINDS, SIZES, seed, count))
    return Corpus("documents and archives", folder, f"{count:,} files from seed {seed}, no content twice")

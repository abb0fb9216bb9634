"""Targets: what is fuzzed, and with what it begins. A new parser gets a line in TARGETS and seeds."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass

from kavfs._native import match
from kavfs.signatures.cdb import Rows
from kavfs.signatures.ftm import read_ftm
from kavfs.signatures.lines import Tally
from tests.support import (
    archives,
    authenticode,
    dispatching,
    executables,
    fakes,
    icons,
    matching,
    onenote,
    pdfs,
    pictures,
    signed_programs,
    tnef,
)
from tests.support.compound import Tree, compound, object_of_rtf, package, project, rtf

Seeds = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Target:
    """A C file with LLVMFuzzerTestOneInput, and the bytes that it begins with."""

    source: str
    seeds: Callable[[], Seeds]
    defines: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()
    greedy: bool = False  # a library of others in it takes what memory a header asks for; it is refused then


def opener(name: str, layout: str, seeds: Callable[[], Seeds], *more: str) -> Target:
    defines = (f"OPENER=kav_open_{name}", f"FORMAT=KAV_FMT_{layout}", *more)
    return Target("fuzz_opener", seeds, defines, ("sink", "sink_span"))


FILES = {"a.txt": b"a line of a text that packs well\n" * 40, "b/c.bin": bytes(range(256)) * 4}


def documents() -> Seeds:
    macro = b'Attribute VB_Name = "M"\r\nSub AutoOpen()\r\nEnd Sub\r\n' * 20
    tree: Tree = {"VBA": project({"M": macro}), "\x01Ole10Native": package(b"a", b"x" * 90), "Large": bytes(9000)}
    slides: Tree = {"PowerPoint Document": b"\x10\0\x11\x10\x20\0\0\0\x09\0\0\0x\x9c" + bytes(40)}
    inner = compound({"S": b"content"})
    sheets = b"\x09\x08\4\0\0\6\5\0\x85\0\7\0\0\0\0\0\0\1\0\x0a\0\0\0"
    raw: Tree = {"PowerPoint Document": b"\0\0\x11\x10" + len(inner).to_bytes(4, "little") + inner}
    return {
        "raw": compound(raw),
        "book": compound({"Workbook": sheets}),
        "plain": compound(tree),
        "large-sectors": compound(tree, 4096),
        "slides": compound(slides),
    }


def rich_texts() -> Seeds:
    inner = object_of_rtf(b"Package", package(b"a", b"b")[4:])
    return {"rtf": rtf(inner + object_of_rtf(b"X", compound({"S": b"content"})))}


def papers() -> Seeds:
    text = b"BT (a text on a page) Tj ET\n" * 20
    flate = "FlateDecode"
    chains = ((flate,), ("LZWDecode",), ("ASCII85Decode", flate), ("ASCIIHexDecode",), ("RunLengthDecode",))
    found = {"-".join(chain): pdfs.document(text, chain) for chain in chains}
    for revision in (2, 3, 4, 5, 6):
        lock = pdfs.Lock(revision, aes=revision > 3)
        found[f"locked-{revision}"] = pdfs.document(text, (flate,), lock=lock)
    packed = pdfs.Pdf()
    packed.add(b"<</Type/Catalog/OpenAction 3 0 R>>")
    packed.packed({3: b"<</S/JavaScript/JS 4 0 R>>", 5: b"[1 2.5 (string) <61> /Name null true]"})
    packed.script(b"app.alert('a')")
    return found | {"packed": packed.build()}


def films() -> Seeds:
    return {packing: pdfs.film(b"frames of a film" * 30, packing) for packing in ("zlib", "lzma")}


def programs() -> Seeds:
    part, at = executables.Part, executables.ALIGNMENT
    sections = [
        part(b".text", b"\x90" * 64),
        part(
            b".idata", executables.imports(2 * at, {b"KERNEL32.dll": [b"ExitProcess", 7], b"ws2_32.dll": [3, b"send"]})
        ),
        part(b".rsrc", executables.version_resource(3 * at, {"CompanyName": "Nobody", "ProductName": "Nothing"})),
    ]
    places = {1: (2 * at, 200), 2: (3 * at, 400)}
    found: Seeds = {}
    for wide in (False, True):
        found[f"pe-{wide}"] = executables.pe(sections, wide=wide, directories=places, overlay=b"rest")
        for big in (False, True):
            found[f"elf-{wide}-{big}"] = executables.elf(wide=wide, big=big)
            found[f"macho-{wide}-{big}"] = executables.macho(wide=wide, big=big)
    return found


def icon_files() -> Seeds:
    depths, sides = (1, 4, 8, 16, 24, 32), ((20, 20), (48, 48), (24, 32))
    return {
        "depths": icons.program_with([icons.icon(16, 16, depth, icons.shapes(depth)) for depth in depths]),
        "sides": icons.program_with([icons.icon(w, h, 4, icons.gray(w)) for w, h in sides]),
    }


def signatures_of_programs() -> Seeds:
    root, leaf, stamper = signed_programs.root(), signed_programs.leaf(), signed_programs.stamper()
    subject = authenticode.inside(root.certificate.subject.public_bytes())
    rule = hashlib.sha1(subject).digest() + root.modulus.to_bytes(128)
    stamp = authenticode.Stamp(stamper, authenticode.NOW)
    return {
        "plain": rule + authenticode.signature(bytes(32), leaf, [root]),
        "stamped": rule + authenticode.signature(bytes(20), leaf, [root, stamper], method="sha1", stamp=stamp),
    }


def graphics() -> Seeds:
    kinds = ((0, 1), (2, 8), (2, 16), (3, 4), (4, 8), (6, 8))
    found = {f"png-{kind}-{depth}": pictures.png(20, 12, kind=kind, depth=depth) for kind, depth in kinds}
    return found | pictures.others(pictures.blotches(20, 12))


def notebooks() -> Seeds:
    inner = onenote.section(onenote.stored(FILES["a.txt"]))
    return {"section": onenote.section(onenote.stored(b"a page"), b"gap", onenote.stored(inner))}


def winmails() -> Seeds:
    text = b"{\\rtf1 " + FILES["a.txt"] + b"}"
    values = tnef.properties(
        tnef.value(tnef.BINARY, tnef.P_RTF, tnef.packed_rtf(text)),
        tnef.value(tnef.UNICODE, tnef.P_BODY, "a tëxt".encode("utf-16-le")),
        tnef.value(tnef.UNICODE | tnef.MANY, 0x8001, b"a\0", b"b\0", name="Keywords"),
        tnef.value(tnef.BINARY, tnef.P_HTML, b"<html>"),
    )
    named = tnef.value(tnef.UNICODE, tnef.P_LONG_NAME, b"n\0a\0m\0e\0")
    whole = tnef.tnef(tnef.attribute(tnef.PROPERTIES, values), tnef.attached(b"a.txt", FILES["a.txt"], named))
    return {
        "letter": whole,
        "inner": tnef.tnef(tnef.attribute(tnef.BODY, b"text\0"), tnef.letter_inside(b"inner", whole)),
        "plain": tnef.tnef(
            tnef.attribute(tnef.PROPERTIES, tnef.properties(tnef.value(tnef.BINARY, tnef.P_RTF, tnef.plain_rtf(text))))
        ),
    }


def fat_files() -> Seeds:
    parts = [executables.macho(), executables.macho(wide=False)]
    return {f"fat{wide:d}": executables.fat(parts, wide=wide) for wide in (False, True)}


def zips() -> Seeds:
    return {
        "deflated": archives.make_zip(FILES),
        "stored": archives.make_zip(FILES, 0),
        "nested": archives.make_zip({"in.zip": archives.make_zip(FILES)}),
        "libarchive": archives.with_libarchive(FILES, "zip"),
        "secret": archives.with_tool(FILES, "7z", "a", "-tzip", "-pinfected", "OUT.zip", "FILES"),
        "aes": archives.with_tool(FILES, "7z", "a", "-tzip", "-mem=AES256", "-pinfected", "OUT.zip", "FILES"),
    }


LETTER = (
    b"From: a@example.org\nSubject: s\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=X\n\n--X\n"
    b"Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<p>=41=42</p>\n--X\n"
    b'Content-Type: application/x; name="a.bin"\nContent-Transfer-Encoding: base64\n\nQUJDREVGR0g=\n--X\n'
    b"Content-Type: message/rfc822\n\nSubject: inner\n\ntext\nbegin 644 f\n#86)C\n`\nend\n--X--\n"
)
YENC = b"=ybegin line=128 size=4 name=a\n\x8b\x8c\x8d\x8e\n=yend size=4\n"


def packed() -> Seeds:
    """What libarchive reads for us."""
    layouts = ("7zip", "newc", "odc", "bin", "arbsd", "argnu", "iso9660", "xar", "pax", "gnutar")
    found = {layout: archives.with_libarchive(FILES, layout)[:60000] for layout in layouts}  # an image ends in zeros
    found |= {
        name: archives.with_libarchive({"x": FILES["a.txt"]}, "raw", (name,))
        for name in ("bzip2", "xz", "lzma", "zstd", "lz4", "lzip", "compress")
    }
    makers = (archives.make_cab, archives.make_lha, archives.make_rar4, archives.make_rar5)
    return found | {maker.__name__: maker(FILES) for maker in makers}


def uuencoded() -> Seeds:
    whole = archives.make_uu({"a.txt": FILES["a.txt"]})
    return {"uu": whole, "cut": whole[:200], "base64": b"begin-base64 644 a\nQUJDREVG\n====\n"}


def riding() -> Seeds:
    whole = archives.make_zip(FILES)
    return {"program": executables.pe(overlay=whole), "script": b"#!/bin/sh\nexit\n" + whole + b"\n# the end\n"}


def letters() -> Seeds:
    return {"letter": LETTER, "yenc": b"Subject: y\n\n" + YENC, "loose": LETTER.replace(b"boundary=X", b"boundary=Y")}


def mailboxes() -> Seeds:
    return {"mbox": b"From a Thu Jan  1 00:00:00 1970\n" + LETTER + b"\nFrom b Thu Jan  1 00:00:00 1970\n" + LETTER}


def records() -> Seeds:
    return {"warc": archives.with_libarchive(FILES, "warc"), "gzip": gzip.compress(b"text" * 100, mtime=0)}


def texts() -> Seeds:
    page = (
        b"<!DOCTYPE html><html><head><script>var a = 'x' + \"y\"; eval(unescape('%61%6c')); function f(b){return b}"
        b"</script></head><body><a href='http://x.example/?a=1&amp;b=2'>&#65;&eacute;</a>"
        b"<img src=data:text/html;base64,PGI+> <!-- c -->"
        b"<script language='JScript.Encode'>#@~^EwAAAA==[Km;s+ YchDbO+vB_kBbiZQUAAA==^#~@</script>"
    )
    packed = b"eval(function(p,a,c,k,e,r){return p}('0 1=2;',3,3,'var|a|b'.split('|'),0,{}))"
    return {"page": page, "wide": page.decode("latin-1").encode("utf-16"), "script": packed, "text": b"Plain  Text\r\n"}


def inline_pages() -> Seeds:
    return {
        "data": b"<html><img src='data:image/png;base64,iVBORw0KGgo='><a href=\"data:text/html,%3Cb%3E\">x</a></html>"
    }


def frames() -> Seeds:
    place, evil = b"p" * 16, fakes.note(b"Evil", b"in/a")
    with open(os.devnull, "rb") as file:
        record = dispatching.record(0, file.fileno(), status=1, notes=1, payload_len=len(evil))
    result = fakes.RESULTS.pack(fakes.RESULT_MAGIC, 1, 7, fakes.LAST, len(evil)) + record + evil
    return {
        "batch": dispatching.batch(dispatching.entry(), dispatching.entry()),
        "result": result,
        "known": dispatching.known(),
        "replay": dispatching.replay(__file__, b"/d/box", evil) + dispatching.replay(__file__),
        "renew": dispatching.renew(place, place),
        "gone": dispatching.gone(place, 1, 2),
    }


def facts() -> Seeds:
    """Records of a store, as ext/cache/cachelayout.h draws them."""
    head, fact, extra = struct.Struct("=Q16sQIIIHBB"), struct.Struct("=QQqqqIIHHBBBB"), struct.Struct("=IIIIIIQ")
    notes = fakes.note(b"Evil", b"in/a")
    told = extra.pack(extra.size + len(notes) + 16, 3, 1, len(notes), 1, 16, 99) + notes + bytes(16)
    rows = b"".join(
        fact.pack(inode, 68, 1, 2, 3, 0, offset, 7, 1, 0, 1, 1 if offset else 0, 0)
        for inode, offset in ((2, 0), (5, 1), (9, 0))
    )
    now = b"now".ljust(16, b"\0")
    return {
        "plain": head.pack(0, b"", 0, 0, 0, 1, 3, 0, 1) + now + rows,
        "told": head.pack(0, b"", 0, 4096, len(told), 1, 3, 0, 2) + now + bytes(16) + rows + bytes(8) + told,
        "split": head.pack(0, b"", 0, 0, 0, 1, 0, 1, 1) + now,
    }


def heads() -> Seeds:
    """The beginning of everything else."""
    makers = (
        documents,
        rich_texts,
        papers,
        films,
        programs,
        graphics,
        zips,
        packed,
        letters,
        mailboxes,
        records,
        texts,
    )
    return {f"{maker.__name__}-{name}": data[:4096] for maker in makers for name, data in maker().items()}


LINES = (
    b"0;0&1;deadbeef??(61|62){2-10}cafebabe*0000aabb;EOF-40:6576616c28::i\n"
    b"1;(0|1)>2,1|2;EP+0:4d5a0a[4-8]90*9192!(41|42)90;S0+4,8:aabbcc;VI:0041\n"
    b"0;0&1;6162636465;0/ab+c(?=d)[x-z]{2,3}/isg\n0;0=1&1>0;61626364{-20}6566;0(>>5#he2#>10,<200)\n"
    b"3;0&1;676f6f64;${2-40}3$\n0;;*:6465(B)6578(L)616?62::fw\n"
)


def expressions() -> Seeds:
    rows = (
        b"[a-z]{2}\\.exe\nab.exe",
        b"(ab|c)+def?gh.*xyz\nabcdegh xyz",
        b"a{2}bcd[^]x]efg\naabcd.efg",
        b"^\\wabc$\nxabc",
    )
    return {str(i): row for i, row in enumerate(rows)}


def hash_lines() -> Seeds:
    md5, sha1, sha256 = b"ab" * 16, b"cd" * 20, b"ef" * 32
    rows = md5 + b":68:Test\n" + sha1 + b":*:Any:73\n" + sha256 + b":5:Third:1:300\n# comment\n"
    return {"layer": b"\0abc" + rows, "section": b"\1xyz" + b"512:" + md5 + b":S\n", "imports": b"\2abc" + rows}


def parts() -> Seeds:
    body = matching.segment(
        (b"A", b"0&1", b"deadbeef??(61|62){2-10}cafebabe", (b"6576616c28", b"*", b"i")),
        (b"B", b"0>1", b"61626364*717569636b", {"target": 7}),
    )
    builder = match.SegmentBuilder(b"p.ldb", bytes(32), False)
    first = builder.pattern(b"617263")
    builder.signature(b"C", 1, 0, [first, builder.probe(rb"0/qu[a-z]+k/i", 1)], b"0&1")
    names = match.build_ignore([b"A", b"Name"])
    rows = Rows()
    read_ftm(b"0:1:616263:T:CL_TYPE_ANY:CL_TYPE_PDF\n1:0,99:6?(62|63):T:CL_TYPE_ANY:CL_TYPE_ELF\n", rows, Tally())
    types = match.build_listed(
        "types", b"".join(rows.rows), bytes(rows.text), database=b"t", digest=bytes(32), official=True
    )
    return {
        "body": body,
        "probes": builder.finish(),
        "ignore": names,
        "types": types,
        "hash": matching.hashes(b"ab" * 16 + b":5:X\n"),
    }


def commands() -> Seeds:
    """The first byte says which protocol, and in which pieces it comes."""
    content = b"\0\0\0\x07content\0\0\0\0"
    return {
        "scans": b"\x03SCAN xmQPRSTUW /a b\r\nSCAN /b\r\n\0scan x\r\nQUIT\r\n\0",
        "session": b"\x04nIDSESSION\nzPING\0nSCAN /a\nzINSTREAM\0" + content + b"nFILDES\nnEND\n",
        "stream": b"\x06zINSTREAM\0" + content,
        "old": b"\x08MULTISCAN /a b\n",
        "large": b"\x0anINSTREAM\n\xff\xff\xff\xff" + b"x" * 80,
        "long": b"\x0cnSCAN /" + b"x" * 80 + b"\n",
    }


def visits() -> Seeds:
    """Deeds of fuzz_front.c: a number, which client's it is, and what belongs to it."""
    connect, send, flood, passed, read, step, answer, lines, leave, finish, end, serve = range(12)

    def deed(what: int, who: int, *more: int | bytes) -> bytes:
        return bytes([what + 16 * who]) + b"".join(one if isinstance(one, bytes) else bytes([one]) for one in more)

    def say(who: int, text: bytes, how: int = send) -> bytes:
        return deed(how, who, len(text), text)

    stream = b"\0\0\0\x40" + b"y" * 64
    slow = say(0, b"zPING\0" * 25, flood) * 2 + deed(serve, 0, 100) * 2 + (deed(read, 0, 255) + deed(step, 0)) * 40
    return {
        "session": deed(connect, 0, 0) + say(0, b"zIDSESSION\0zPING\0zINSTREAM\0" + stream + bytes(4))
        + deed(serve, 0, 2),
        "ave": deed(connect, 1, 1) + say(1, b"SCAN bPQ /a\r\nSCAN x /b\r\nQUIT\r\n") + deed(step, 0)
        + deed(lines, 1, 3, 0) + deed(answer, 1, 3, 0) + deed(step, 0) + deed(read, 1, 5) + deed(finish, 1),
        "passed": deed(connect, 2, 0) + say(2, b"zFILDES\0") + deed(passed, 2, 1, 1, b"\0") + deed(serve, 0, 2),
        "stream": deed(connect, 3, 2) + say(3, b"nINSTREAM\n" + stream * 2) + deed(step, 0) + deed(leave, 3),
        "end": deed(connect, 0, 0) + say(0, b"zIDSESSION\0zPING\0zINS") + deed(step, 0) + deed(end, 0, 0),
        "slow": deed(connect, 0, 0) + say(0, b"zIDSESSION\0") + slow * 18,
    }  # fmt: skip


TARGETS: dict[str, Target] = {
    "commands": Target("fuzz_commands", commands),
    "front": Target("fuzz_front", visits),
    "signatures": Target("fuzz_signatures", lambda: {"lines": LINES}, (), ("trial",)),
    "required": Target("fuzz_required", expressions),
    "hashes": Target("fuzz_hashes", hash_lines),
    "image": Target("fuzz_image", parts, (), ("trial",)),
    "programs": Target("fuzz_exe", programs),
    "icons": Target("fuzz_icon", icon_files),
    "authenticode": Target("fuzz_authenticode", signatures_of_programs),
    "pictures": Target("fuzz_picture", graphics),
    "text": Target("fuzz_text", texts),
    "ole": opener("ole", "OLE2", documents),
    "rtf": opener("rtf", "RTF", rich_texts),
    "onenote": opener("onenote", "ONENOTE", notebooks),
    "tnef": opener("tnef", "TNEF", winmails),
    "pdf": opener("pdf", "PDF", papers),
    "flash": opener("flash", "FLASH", films),
    "zip": opener("zip", "ZIP", zips),
    "mail": opener("mail", "MAIL", letters, "MAIL"),
    "mbox": opener("mbox", "MBOX", mailboxes),
    "gzip": opener("gzip", "GZIP", records),
    "warc": opener("warc", "WARC", records),
    "fat": opener("fat", "MACHO_FAT", fat_files),
    "archives": Target(
        "fuzz_opener",
        packed,
        ("OPENER=kav_open_archive", "FORMAT=kav_type_detect(data,size,size).format"),
        ("sink", "sink_span"),
        greedy=True,
    ),
    "uu": opener("uu", "UU", uuencoded),
    "sfx": opener("sfx", "UNKNOWN", riding),
    "types": Target("fuzz_type", heads),
    "frames": Target("fuzz_frames", frames),
    "store": Target("fuzz_store", facts),
    "inline-data": opener("inline_data", "HTML", inline_pages),
}

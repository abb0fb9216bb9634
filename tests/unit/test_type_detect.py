"""Types: what each format begins with, what only looks like it, and which signatures apply."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kavfs._native.basics import TYPE_HEAD, detect
from kavfs.model import Target
from tests.support.onenote import SECTION


def seen(data: bytes, size: int | None = None) -> tuple[str, Target]:
    name, target = detect(data, size)
    return name, Target(target)


def a_zip(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return out.getvalue()


def a_tar(style: int, name: str = "file") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=style) as archive:
        info = tarfile.TarInfo(name)
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    return out.getvalue()


def old_tar(name: bytes = b"file") -> bytes:
    header = bytearray(512)
    header[: len(name)] = name
    header[100:148] = b"\0".join((b"0000644", b"0000000", b"0000000", b"00000000003", b"00000000000", b""))
    header[148:156] = b" " * 8
    header[148:155] = b"%06o\0" % sum(header)
    return bytes(header) + b"abc".ljust(512, b"\0") + bytes(1024)


NEWC = b"070701" + b"0" * 104 + b"a\0"
ODC = b"070707" + b"0" * 70 + b"a\0"
BMP = (
    b"BM" + (70).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little") + bytes(52)
)
CPIO_LE = b"\xc7\x71" + bytes(4) + (0o100644).to_bytes(2, "little") + bytes(12) + (5).to_bytes(2, "little") + bytes(10)
CPIO_BE = b"\x71\xc7" + bytes(4) + (0o100644).to_bytes(2, "big") + bytes(12) + (5).to_bytes(2, "big") + bytes(10)
LHA = b"\x20\x00-lh5-" + bytes(13) + b"\x01" + bytes(20)
NUL = bytes(64)


def zip_of(*names: bytes) -> bytes:
    """The beginning of a zip with these members."""
    return b"".join(b"PK\3\4" + bytes(26) + name + b"content" for name in names) + NUL


CONTAINERS = {
    "zip": [
        a_zip("a"),
        a_zip(),
        b"PK\7\x08" + a_zip("a"),
        b"PK00" + a_zip("a"),
        zip_of(b"a", b"b", b"c", b"word/document.xml"),
        zip_of(b"words", b"my/xl/a"),
    ],
    "tar": [a_tar(tarfile.USTAR_FORMAT), a_tar(tarfile.GNU_FORMAT), a_tar(tarfile.PAX_FORMAT), old_tar()],
    "cpio": [NEWC, NEWC.replace(b"070701", b"070702"), ODC, CPIO_LE, CPIO_BE],
    "ar": [b"!<arch>\n" + b"a/".ljust(58) + b"`\n", b"!<arch>\n"],
    "7z": [b"7z\xbc\xaf\x27\x1c\0\4" + NUL],
    "rar": [b"Rar!\x1a\x07\0" + NUL, b"Rar!\x1a\x07\1\0" + NUL],
    "cab": [b"MSCF\0\0\0\0" + NUL],
    "lha": [LHA, LHA.replace(b"lh5", b"lhd"), LHA.replace(b"lh5", b"lzs"), LHA.replace(b"lh5", b"pm2")],
    "iso": [bytes(32768) + b"\1CD001\1" + NUL],
    "xar": [b"xar!\0\x1c\0\1" + NUL],
    "warc": [b"WARC/1.0\r\nWARC-Type: response\r\n"],
    "rpm": [b"\xed\xab\xee\xdb\3\0" + NUL],
    "gzip": [gzip.compress(b"abc")],
    "bzip2": [bz2.compress(b"abc"), bz2.compress(b"")],
    "xz": [lzma.compress(b"abc")],
    "lzma": [lzma.compress(b"abc", format=lzma.FORMAT_ALONE)],
    "zstd": [b"\x28\xb5\x2f\xfd" + NUL, b"\x50\x2a\x4d\x18\4\0\0\0abcd\x28\xb5\x2f\xfd" + NUL],
    "lz4": [b"\x04\x22\x4d\x18" + NUL, b"\x02\x21\x4c\x18" + NUL, b"\x51\x2a\x4d\x18\0\0\0\0\x04\x22\x4d\x18" + NUL],
    "compress": [b"\x1f\x9d\x90" + NUL],
    "lzip": [b"LZIP\1\x0c" + NUL],
    "lzop": [b"\x89LZO\0\r\n\x1a\n" + NUL],
    "ooxml-word": [
        zip_of(b"[Content_Types].xml", b"_rels/.rels", b"word/document.xml"),
        zip_of(b"[Content_Types].xml", b"_rels/.rels", b"docProps/app.xml", b"docProps/core.xml", b"word/document.xml"),
    ],
    "onenote": [SECTION + NUL],
    "ooxml-xl": [zip_of(b"xl/workbook.xml")],
    "ooxml-ppt": [zip_of(b"docProps/app.xml", b"ppt/presentation.xml")],
}


@pytest.mark.parametrize(("name", "data"), [(n, d) for n, all_ in CONTAINERS.items() for d in all_])
def test_containers_are_known_and_have_no_target_of_their_own(name: str, data: bytes) -> None:
    assert seen(data) == (name, Target.ANY)


TARGETS = {
    ("pe", Target.PE): [b"MZ\x90\0" + NUL, b"MZ" + bytes(30)],
    ("elf", Target.ELF): [b"\x7fELF\2\1\1" + NUL],
    ("ole2", Target.OLE2): [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + NUL],
    ("pdf", Target.PDF): [
        b"%PDF-1.7\n",
        b"junk " * 100 + b"%PDF-1.4\n",
        b"\0\1" + b"%PDF-1.4\n",
        b"%%PDF-1.4",
        b"x" * 1019 + b"%PDF-",
    ],
    ("macho", Target.MACHO): [bytes.fromhex(m) + NUL for m in ("feedface", "feedfacf", "cefaedfe", "cffaedfe")],
    ("macho-fat", Target.MACHO): [
        bytes.fromhex(m) + NUL for m in ("cafebabe00000002", "cafebabf00000002", "bebafeca02000000", "bfbafeca02000000")
    ],
    ("java", Target.JAVA): [
        bytes.fromhex(m) + NUL for m in ("cafebabe00000034", "cafebabe0003002d", "cafebabeffff0041")
    ],
    ("flash", Target.FLASH): [b"FWS\x08" + NUL, b"CWS\x0a" + NUL, b"ZWS\x0d" + NUL],
    ("png", Target.GRAPHICS): [b"\x89PNG\r\n\x1a\n" + NUL],
    ("jpeg", Target.GRAPHICS): [b"\xff\xd8\xff\xe0" + NUL],
    ("gif", Target.GRAPHICS): [b"GIF87a" + NUL, b"GIF89a" + NUL],
    ("bmp", Target.GRAPHICS): [BMP],
    ("tiff", Target.GRAPHICS): [b"II*\0" + NUL, b"MM\0*" + NUL],
    ("rtf", Target.ANY): [b"{\\rtf1\\ansi hello}", b"{\\rtf1\\bin5 \0\0\0\0\0}"],
    ("html", Target.HTML): [
        b"<html><body>",
        b"text " * 500 + b"<script>x</script>",
        b"\xef\xbb\xbf<HTML><Head>",
        b"\n\n  <!DOCTYPE html>\n<html lang=x><head>",
        b"<SCRIPT\nsrc=x>",
        "<html><body>".encode("utf-16"),
        b"\xfe\xff" + "<p><IFRAME src=x>".encode("utf-16-be"),
        b"<p><a class=x\nhREF=y>",
        b"\1\2\3\0\0<script>x</script>",
    ],
    ("html", Target.TEXT): [b"<!doctype html><p>hi", b"<html lang='en'>hi"],
    ("script", Target.TEXT): [
        b"#!/bin/sh\necho hello\n",
        b"#! /usr/bin/env python3\n",
        b"<?php echo 1;",
        b"@echo off\r\ndir\r\n",
    ],
    ("script", Target.HTML): [b"<?php ?><html><head></head>"],
    ("text", Target.TEXT): [
        b"hello world\n",
        "Größe".encode("latin1"),
        "Привет".encode("cp1251"),
        "Привет".encode(),
        "hello".encode("utf-16"),
        b"\xfe\xff" + "hello".encode("utf-16-be"),
        b"\x1b[1mbold\x1b[0m\x07\x0c\n",
        b"a" * 1024 + NUL,
    ],
    ("unknown", Target.ANY): [NUL, b"hello\0\0world\0\0", b"\1", b"\1\2data\0\0"],
    ("unknown", Target.TEXT): [b"hello\1world", b"\1\2data"],
    ("uu", Target.TEXT): [
        b"begin 644 x.txt\n#0V%T\n`\nend\n",
        b"Here it is:\n\nbegin 644 x\r\n#0V%T\r\n`\r\nend\r\n",
        b"begin-base64 644 x\nQ2F0\n====\n",
    ],
}


@pytest.mark.parametrize(("want", "data"), [(w, d) for w, all_ in TARGETS.items() for d in all_])
def test_formats_choose_the_target_that_clamav_would(want: tuple[str, Target], data: bytes) -> None:
    assert seen(data) == want


NEAR_MISSES = {
    "pk in prose": b"PK is short for public key\n",
    "bzip2 in prose": b"BZh9 is how bzip2 files begin\n",
    "mz in prose": b"MZ are the initials of Mark Zbikowski\n",
    "bm in prose": b"BM is a bitmap's beginning, or Black Metal, and so on and on\n",
    "cab in prose": b"MSCF is how cabinets begin\n",
    "rar in prose": b"Rar! said the lion\n",
    "flash in prose": b"FWS is an abbreviation\n",
    "7z in prose": b"7z is a format\n",
    "xar in prose": b"xar! xar! xar!\n",
    "lzip in prose": b"LZIP is a format\n",
    "cpio in prose": b"070707 is a date, maybe, in some far future, or in the past; who knows what a number is\n",
    "ar in prose": b"!<arch> is the magic of ar\n",
    "lha in prose": b"ab-lh5-abcdefghijklmnopqrstuvwxyz\n",
    "warc in prose": b"WARC/ is how records begin\n",
    "uu in prose": b"begin 644 words\nhello there\n",
    "uu with a number": b"we\nbegin 100 things and end none\nof them\n",
    "uu within a line": b"so begin 644 x\n#0V%T\n`\nend\n",
    "pdf too late": b"x" * 1020 + b"%PDF-1.4\n",
    "pdf in prose": b"%PDF is a magic\n",
    "gif in prose": b"GIF is a format\n",
    "hash without a program": b"#! is called shebang\n",
    "mail in prose": b"To: be or not to be\nthat is the question\n",
    "date in prose": b"Date: we had one, and\nit was nice\n",
    "from in prose": b"From here we go\non and on\n",
    "from alone": b"From: here\n",
    "passwd": b"root:x:0:0:root:/root:/bin/bash\n",
    "yaml": b"name: x\nversion: 3\n\nkeys:\n  - a\n",
    "control file": b"Package: x\nVersion: 1\nMaintainer: me <m@example.com>\n\nPackage: y\n",
    "tar with a wrong checksum": old_tar().replace(b"file", b"else", 1)[:148].replace(b"\0", b" "),
}


@pytest.mark.parametrize("data", NEAR_MISSES.values(), ids=NEAR_MISSES)
def test_text_that_looks_like_a_format_is_text(data: bytes) -> None:
    assert seen(data) == ("text", Target.TEXT)


@pytest.mark.parametrize(
    "data",
    [
        b"PK\1\2" + NUL,
        b"PK\7\x08" + NUL,
        b"BZh0" + NUL,
        b"BZh9" + NUL,
        b"\x1f\x8b\x07" + NUL,
        b"\x1f\x8b\x08\xff" + NUL,
        b"\x1f\x9d\x05" + NUL,
        b"\xcf\xfa\xed\xff" + NUL,
        b"\xca\xfe\xba\xbe" + NUL,
        bytes(32768) + b"\1CD002\1" + NUL,
        b"\x50\x2a\x4d\x18\4\0\0\0abcdefgh" + NUL,
        LHA.replace(b"lh5", b"lh?"),
        CPIO_LE.replace(b"\xa4\x81", b"\xff\xff"),
        bytes(512) * 4,
        old_tar()[:100] + b"1" + old_tar()[101:],
        b"\x5d\0\0\x80\0" + b"\xff" * 8 + b"\1" + NUL,
        b"\x5d\0\0\x81\0" + b"\xff" * 8 + b"\0" + NUL,
        b"RIFF\x40\0\0\0WEBP" + NUL,
    ],
)
def test_binary_data_that_looks_like_a_container_is_none(data: bytes) -> None:
    assert seen(data)[0] == "unknown"


@pytest.mark.parametrize(
    "data", [b"MZ", b"%PD", b"PK\3", b"GIF8", b"\x7fEL", b"BZh9", b"{\\rt", b"<", b"\xff\xfe", b"\xca\xfe\xba\xbe"]
)
def test_a_beginning_that_is_cut_off_is_no_format_yet(data: bytes) -> None:
    assert seen(data)[0] in ("text", "unknown")


def test_a_tar_with_ustar_but_a_wrong_checksum_is_still_opened() -> None:
    assert seen(a_tar(tarfile.GNU_FORMAT).replace(b"file", b"evil", 1)) == ("tar", Target.ANY)


def test_an_empty_layer_is_called_so() -> None:
    assert seen(b"", 0) == ("empty", Target.ANY)


MAILS = {
    "one field": b"From: a@example.com\n\nhello\n",
    "crlf": b"Return-Path: <a@b>\r\nX-Foo: bar\r\n\r\nhello\r\n",
    "received with continuation": b"Received: from a\n\tby b;\n Mon, 1 Jan\nX-Y: z\n\nhi\n",
    "mime first": b"MIME-Version: 1.0\nContent-Type: text/plain\n\nhi\n",
    "unknown first": b"X-Foo: bar\nFrom: a\nTo: b\n\nhi\n",
    "lower case": b"from: a@b\nto: c\n\nhi\n",
    "blank line above": b"\r\n\r\nFrom: a\nSubject: b\n\nhi\n",
    "mark above": b"\xef\xbb\xbfFrom: a\nSubject: b\n\nhi\n",
    "no end of the header": b"Subject: x\nDate: y\n",
    "text instead of the empty line": b"From: a\nTo: b\nhello, this is no field\n",
    "body is html": b"From: a\nTo: b\nContent-Type: text/html\n\n<html><script>\n",
    "body is binary": b"From: a\nTo: b\n\n\0\0\0\0\xff\xfe",
    "qmail": b"Hi. This is the qmail-send program at example.com.\n",
    "quoted from line": b">From a@b Mon Jan 1 00:00:00 2024\nFrom: x\n\nhi",
}


@pytest.mark.parametrize("data", MAILS.values(), ids=MAILS)
def test_messages_are_known_by_their_header(data: bytes) -> None:
    assert seen(data) == ("mail", Target.MAIL)


@pytest.mark.parametrize(
    "data",
    [b"From a@b Mon Jan 1 00:00:00 2024\nFrom: x\n\nhi\n", b"From - Mon Jan 1\r\nX-Mozilla-Status: 0001\r\n\r\n"],
)
def test_mailboxes_are_known_by_their_from_line(data: bytes) -> None:
    assert seen(data) == ("mbox", Target.MAIL)


def test_a_header_longer_than_the_head_is_still_a_header() -> None:
    data = b"Received: x\nTo: a\n" + b"X-Long: " + b"y" * TYPE_HEAD
    assert seen(data[:TYPE_HEAD], len(data)) == ("mail", Target.MAIL)


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from([*(d for all_ in CONTAINERS.values() for d in all_), *MAILS.values(), *NEAR_MISSES.values()]),
    st.integers(0, 600),
    st.binary(max_size=40),
    st.integers(0, 600),
)
def test_no_bytes_do_harm(data: bytes, at: int, change: bytes, cut: int) -> None:
    name, target = detect((data[:at] + change + data[at + len(change) :])[: len(data) - cut])
    assert name
    assert Target(target) in Target

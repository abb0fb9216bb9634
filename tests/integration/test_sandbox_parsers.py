"""What a worker finds inside its sandbox is what the same code finds outside: no parser misses a call it needs."""

from __future__ import annotations

import base64
from pathlib import Path

from kavfs.scan import roles
from kavfs.scan.job import Job
from tests.support import archives, compound
from tests.support.fakes import Notebook, options
from tests.support.objects import EICAR, image, scan_file

CHARSETS = """utf-8 iso-8859-1 iso-8859-2 iso-8859-15 windows-1250 windows-1251 windows-1252 koi8-r koi8-u big5 gbk
    gb18030 shift_jis euc-jp euc-kr iso-2022-jp utf-7 tis-620"""
WORDS = {"koi8-r": "счёт", "koi8-u": "счёт", "windows-1251": "счёт", "big5": "發票", "gbk": "发票", "gb18030": "发票"}
WORDS |= {"shift_jis": "請求書", "euc-jp": "請求書", "iso-2022-jp": "請求書", "euc-kr": "청구서", "tis-620": "ใบ"}


def mail(charset: str) -> bytes:
    """One attachment whose name is written in *charset*."""
    name = WORDS.get(charset, "facture \N{LATIN SMALL LETTER E WITH ACUTE}").encode(charset)
    word = b"=?" + charset.encode() + b"?B?" + base64.b64encode(name) + b"?="
    return (
        b"From: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
        b'Content-Disposition: attachment; filename="' + word + b'"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        + base64.encodebytes(EICAR)
    )  # fmt: skip


def samples() -> dict[str, bytes]:
    files = {"readme.txt": b"nothing", "eicar.com": EICAR}
    made = {
        "a.zip": archives.make_zip(files),
        "a.tar": archives.make_tar(files),
        "a.tar.gz": archives.make_tar(files, "w:gz"),
        "a.tar.bz2": archives.make_tar(files, "w:bz2"),
        "a.tar.xz": archives.make_tar(files, "w:xz"),
        "a.cab": archives.make_cab(files),
        "a.lha": archives.make_lha(files),
        "a4.rar": archives.make_rar4(files),
        "a5.rar": archives.make_rar5(files),
        "a.rpm": archives.make_rpm(files),
        "a.uu": archives.make_uu({"eicar.com": EICAR}),
        "a.7z": archives.with_libarchive(files, "7zip"),
        "a.iso": archives.with_libarchive(files, "iso9660"),
        "a.xar": archives.with_libarchive(files, "xar"),
        "a.cpio.zst": archives.with_libarchive(files, "cpio", ("zstd",)),
        "a.cpio.lz4": archives.with_libarchive(files, "cpio", ("lz4",)),
        "a.rtf": compound.rtf(compound.object_of_rtf(b"Package", compound.package(b"eicar.com", EICAR))),
    }
    return made | {f"{charset}.eml": mail(charset) for charset in CHARSETS.split()}


def test_inside_and_outside_find_the_same(tmp_path: Path) -> None:
    for name, data in samples().items():
        (tmp_path / name).write_bytes(data)
    book = Notebook()
    Job(image(), options(tmp_path, jobs=1), book, server=roles.start_server()).run()
    for name in samples():
        outside = scan_file(tmp_path / name)
        inside = book.of(tmp_path / name)
        told = [(threat.member, threat.name.removesuffix(".UNOFFICIAL").encode()) for threat in inside.threats]
        known = [(member, name.removesuffix(b".UNOFFICIAL")) for member, name in outside.threats]
        assert sorted(told) == sorted(known), name
        assert inside.reasons == outside.reasons, name
        assert inside.threats, name

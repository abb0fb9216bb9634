"""Curers: broken containers of every format that is cured, with what the scanner said of the sound ones."""

from __future__ import annotations

import binascii
import contextlib
import re
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from kavfs.action.cure import cure, prepare
from kavfs.action.cure.pieces import Source
from kavfs.action.cure.refused import Refused
from kavfs.model import Status
from kavfs.scan.curing import inmost_of
from tests.support import archives
from tests.support.compound import compound, project
from tests.support.curing import zip_of
from tests.support.documents import MACRO, plain_docx, powerpoint, vba_project, with_macros, word, workbook
from tests.support.objects import EICAR, ready

Seeds = Mapping[str, bytes]


class Reader(NamedTuple):
    seeds: Callable[[], Seeds]
    trial: Callable[[bytes], None]
    words: tuple[bytes, ...] = ()  # that mean something to it
    mended: Callable[[bytes], bytes] = bytes  # checksums made right, so that what is behind them is reached


FILES = {
    "bad.com": EICAR,
    "fine.txt": b"a line that packs well\n" * 30,
    "in.zip": zip_of([("e", EICAR), ("f", b"f" * 90)]),
}


class _Cures:
    """Broken containers of one format, with what the scanner said of the sound ones."""

    def __init__(self, form: str, made: Callable[[], Seeds]) -> None:
        self._form = form
        self._made = made
        self._infected: set[bytes] = set()
        self._lines: dict[bytes, list[int]] = {}

    def seeds(self) -> Seeds:
        prepare()
        made = self._made()
        for data in made.values():
            with _file(data) as source:
                _, said = ready().scan(source)
            self._infected |= inmost_of({note.member for note in said if note.name and note.member})
            for note in said:
                if not note.name and note.status == Status.INFECTED:
                    self._lines.setdefault(note.member, []).append(note.size)
        return made

    def trial(self, data: bytes) -> None:
        """Cured or refused; what else is raised is a defect of the curing process."""
        with _file(data) as source, _file(b"") as out, _file(b"") as scratch:
            layer = Source(source, 0, len(data))
            with contextlib.suppress(Refused, RecursionError):  # the process answers for both
                cure(layer, out, scratch, self._form, frozenset(self._infected), self._lines, b"name")


@contextlib.contextmanager
def _file(data: bytes) -> Iterator[int]:
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(data)
        yield file.fileno()


def _cures(
    form: str, made: Callable[[], Seeds], words: tuple[bytes, ...] = (), mended: Callable[[bytes], bytes] = bytes
) -> Reader:
    of = _Cures(form, made)
    return Reader(of.seeds, of.trial, words, mended)


def _zips() -> Seeds:
    return {
        "deflated": zip_of(FILES.items()),
        "stored": zip_of(FILES.items(), 0, b"a comment"),
        "libarchive": archives.with_libarchive(FILES, "zip"),
    }


def _documents() -> Seeds:
    return {kind: with_macros(plain_docx(["Text"]), kind, macro=MACRO) for kind in ("docm", "dotm")}


def _compounds() -> Seeds:
    macros = {"VBA": project({"M": MACRO}), "PROJECT": b"ID"}
    return {
        "word": compound({"WordDocument": word(), "1Table": b"t" * 5000, "Macros": macros}),
        "wide": compound({"WordDocument": word(), "1Table": b"t" * 5000, "Macros": macros}, 4096),
        "excel": compound({"Workbook": workbook(), "_VBA_PROJECT_CUR": macros}),
        "powerpoint": compound({"PowerPoint Document": powerpoint(vba_project())}),
    }


def _tars() -> Seeds:
    long = {**FILES, "d" * 90 + "/" + "n" * 120: b"x" * 600}
    made = {layout: archives.with_libarchive(long, layout) for layout in ("pax", "gnutar")}
    return made | {layout: archives.with_libarchive(FILES, layout) for layout in ("ustar", "v7tar")}


def _tar_mended(data: bytes) -> bytes:
    """Blocks that look like headers get their checksum."""
    blocks = bytearray(data)
    for at in range(0, len(blocks) - 511, 512):
        if re.match(rb"[0-7]{6,7}[\0 ]{1,2}", blocks[at + 148 : at + 156]):
            total = sum(blocks[at : at + 148]) + 8 * 32 + sum(blocks[at + 156 : at + 512])
            blocks[at + 148 : at + 156] = b"%06o\0 " % total
    return bytes(blocks)


def _sevenzips() -> Seeds:
    made = {"libarchive": archives.with_libarchive(FILES, "7zip")}
    for name, words in {
        "solid": ("-mhc=off",),
        "stored": ("-mx=0", "-mhc=off"),
        "packed": (),
        "bcj": ("-m0=BCJ",),
    }.items():
        more = ("-m1=LZMA", "-mhc=off") if name == "bcj" else ()
        made[name] = archives.with_tool(FILES, "7z", "a", "-bd", *words, *more, "OUT.7z", "FILES")
    return made


def _sevenzip_mended(data: bytes) -> bytes:
    """The two checksums, and a header that goes to the end."""
    if len(data) < 32:
        return data
    offset = struct.unpack_from("<Q", data, 12)[0]
    header = data[32 + offset :] if offset < len(data) else b""
    start = struct.pack("<QQI", offset, len(header), zlib.crc32(header))
    return data[:8] + struct.pack("<I", zlib.crc32(start)) + start + data[32:]


MAIL = (
    b"From: a@example.org\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=X\r\n\r\n--X\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\nwords\r\n--X\r\n"
    b"Content-Type: application/x; name*0*=utf-8''bad; name*1*=%%2Ecom\r\n"
    b'Content-Disposition: attachment; filename="=?utf-8?B?YmFkLmNvbQ==?="\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    b'%s\r\n--X\r\nContent-Type: multipart/alternative; boundary="Y"\r\n\r\n--Y\r\n\r\n%s\r\n--Y--\r\n--X--\r\n'
)
MAIL_WORDS = (
    *(b"\n", b"\r\n\r\n", b"--X\r\n", b"--X--\r\n", b"\0", b'"', b"=?", b"?=", b":", b";", b"'", b"*", b"%00", b"="),
    *(b"Content-Type: multipart/signed; boundary=X\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n"),
    *(b"=?idna?Q?a.?=", b"=?a\0b?B?YQ?=", b"filename*=idna''a", b"filename*=\0''a%41", b"filename*", b"9" * 4400),
    *(b"begin 644 a\r\n", b"`\r\nend\r\n", b"\xff\xfe", b"From a Thu Jan  1 00:00:00 1970\r\n"),
)


def _mails() -> Seeds:
    encoded = b"".join(_lines_of_base64(EICAR))
    return {"mixed": MAIL % (encoded, EICAR), "uu": b"Subject: u\r\n\r\n" + archives.make_uu({"bad.com": EICAR})}


def _lines_of_base64(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), 57):
        yield binascii.b2a_base64(data[at : at + 57])


def _mboxes() -> Seeds:
    line = b"From a Thu Jan  1 00:00:00 1970\n"
    return {"mbox": b"\n".join(line + mail.replace(b"\r", b"") for mail in _mails().values())}


def _streams(layout: str) -> Callable[[], Seeds]:
    return lambda: {
        name: archives.with_libarchive({"x": inner}, "raw", (layout,))
        for name, inner in {
            "tar": archives.make_tar(FILES),
            "small": archives.make_tar({"e": EICAR, "f": b"f"}),
        }.items()
    }


CURERS: dict[str, Reader] = {
    "zip": _cures("zip", _zips),
    "ooxml": _cures("ooxml-word", _documents, (b"<", b">", b'"', b"/>", b"<!DOCTYPE a>", b"\xff\xfe")),
    "ole2": _cures("ole2", _compounds),
    "tar": _cures("tar", _tars, (b"0", b"7", b"-", b"_", b" ", b"\x80", b"12 path=a\n", b"x", b"S"), _tar_mended),
    "7z": _cures("7z", _sevenzips, tuple(bytes([n]) for n in range(26)), _sevenzip_mended),
    "mail": _cures("mail", _mails, MAIL_WORDS),
    "mbox": _cures("mbox", _mboxes, MAIL_WORDS),
    **{f"{form}": _cures(form, _streams(form)) for form in ("gzip", "bzip2", "xz", "lzma", "zstd", "lz4")},
}

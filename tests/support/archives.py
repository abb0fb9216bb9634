"""Archives made for tests: by the standard library, by libarchive's writers, and by hand for what nothing here writes.

Every maker takes {name: content} and returns the archive as bytes.
"""

from __future__ import annotations

import binascii
import ctypes
import ctypes.util
import io
import os
import struct
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

Files = Mapping[str, bytes]


def make_zip(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def make_tar(files: Files, mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def with_tool(files: Files, *command: str) -> bytes:
    """Run *command* in a folder that holds the files; ``OUT`` in it is the archive's name, ``FILES`` all names."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "in").mkdir()
        for name, content in files.items():
            target = Path(folder, "in", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        out = Path(folder, "out")
        words: list[str] = []
        for word in command:
            words += list(files) if word == "FILES" else [word.replace("OUT", str(out))]
        done = subprocess.run(words, cwd=Path(folder, "in"), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return next(Path(folder).glob("out*")).read_bytes()


@cache
def _libarchive() -> ctypes.CDLL:
    library = ctypes.CDLL(ctypes.util.find_library("archive") or "libarchive.so.13")
    for name in ("archive_write_new", "archive_entry_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.archive_error_string.restype = ctypes.c_char_p
    library.archive_write_data.restype = ctypes.c_ssize_t
    return library


def with_libarchive(files: Files, layout: str, filters: tuple[str, ...] = ()) -> bytes:
    """Let libarchive write format *layout* ("xar", "iso9660", "raw" ...) through *filters* ("lz4" ...)."""
    library = _libarchive()
    writer = ctypes.c_void_p(library.archive_write_new())

    def must(code: int) -> None:
        assert code == 0, library.archive_error_string(writer)

    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        for name in filters:
            must(library.archive_write_add_filter_by_name(writer, name.encode()))
        must(library.archive_write_set_format_by_name(writer, layout.encode()))
        must(library.archive_write_set_bytes_in_last_block(writer, 1))
        must(library.archive_write_open_filename(writer, out.encode()))
        for name, content in files.items():
            entry = ctypes.c_void_p(library.archive_entry_new())
            library.archive_entry_set_pathname(entry, name.encode())
            library.archive_entry_set_size(entry, ctypes.c_int64(len(content)))
            library.archive_entry_set_filetype(entry, ctypes.c_uint(0o100000))
            library.archive_entry_set_perm(entry, ctypes.c_uint(0o644))
            library.archive_entry_set_mtime(entry, ctypes.c_int64(1_000_000_000), ctypes.c_long(0))
            must(library.archive_write_header(writer, entry))
            written = library.archive_write_data(writer, content, ctypes.c_size_t(len(content)))
            assert written == len(content), library.archive_error_string(writer)
            library.archive_entry_free(entry)
        must(library.archive_write_close(writer))
        library.archive_write_free(writer)
        return Path(out).read_bytes()


def make_uu(files: Files) -> bytes:
    (name, content), *rest = files.items()
    assert not rest
    lines = [binascii.b2a_uu(content[i : i + 45]) for i in range(0, len(content), 45)]
    return b"begin 644 " + name.encode() + b"\n" + b"".join(lines) + b"`\nend\n"


def make_rpm(files: Files) -> bytes:
    """A package without any tags: lead, two empty headers, a compressed cpio."""
    lead = struct.pack(">IBBHH66sHH16s", 0xEDABEEDB, 3, 0, 0, 1, b"test-1", 1, 5, b"")
    header = bytes.fromhex("8eade801") + struct.pack(">III", 0, 0, 0)
    return lead + header + header + with_libarchive(files, "newc", ("gzip",))


def make_cab(files: Files, packed: bool = True) -> bytes:
    """One folder, stored or MSZIP, in blocks of 32 KiB."""
    stream = b"".join(files.values())
    blocks = b""
    count = 0
    for at in range(0, len(stream), 32768):
        plain = stream[at : at + 32768]
        data = plain
        if packed:
            deflate = zlib.compressobj(wbits=-15)
            data = b"CK" + deflate.compress(plain) + deflate.flush()
        blocks += struct.pack("<IHH", 0, len(data), len(plain)) + data
        count += 1
    entries = b""
    offset = 0
    for name, content in files.items():
        entries += struct.pack("<IIHHHH", len(content), offset, 0, 0x21, 0, 0x20) + name.encode() + b"\0"
        offset += len(content)
    first = 36 + 8 + len(entries)
    folder = struct.pack("<IHH", first, count, 1 if packed else 0)
    head = struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, first + len(blocks), 0, 36 + 8, 0, 3, 1, 1, len(files), 0, 1, 0)
    return head + folder + entries + blocks


def _crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def make_lha(files: Files) -> bytes:
    """Stored members with headers of level 0."""
    out = b""
    for name, content in files.items():
        rest = b"-lh0-" + struct.pack("<IIIBBB", len(content), len(content), 0x21 << 16, 0x20, 0, len(name))
        rest += name.encode() + struct.pack("<H", _crc16(content))
        out += bytes([len(rest), sum(rest) & 0xFF]) + rest + content
    return out + b"\0"


def _rar4_block(kind: int, flags: int, body: bytes) -> bytes:
    rest = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
    return struct.pack("<H", zlib.crc32(rest) & 0xFFFF) + rest


def make_rar4(files: Files, encrypted: bool = False) -> bytes:
    """Stored members; *encrypted* only says so."""
    out = b"Rar!\x1a\x07\0" + _rar4_block(0x73, 0, bytes(6))
    for name, content in files.items():
        size = len(content)
        body = struct.pack("<IIBIIBBHI", size, size, 3, zlib.crc32(content), 0x21 << 16, 20, 0x30, len(name), 0o100644)
        out += _rar4_block(0x74, 0x8000 | (4 if encrypted else 0), body + name.encode()) + content
    return out + _rar4_block(0x7B, 0x4000, b"")


def _rar5_block(*fields: int | bytes) -> bytes:
    rest = b"".join(_vint(f) if isinstance(f, int) else f for f in fields)
    rest = _vint(len(rest)) + rest
    return struct.pack("<I", zlib.crc32(rest)) + rest


def _vint(number: int) -> bytes:
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def make_rar5(files: Files) -> bytes:
    """Stored members."""
    out = b"Rar!\x1a\x07\x01\0" + _rar5_block(1, 0, 0)
    for name, content in files.items():
        size = len(content)
        checksum = struct.pack("<I", zlib.crc32(content))
        out += _rar5_block(2, 2, size, 4, size, 0o100644, checksum, 0, 1, len(name), name.encode()) + content
    return out + _rar5_block(5, 0, 0)

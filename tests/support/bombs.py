"""Bombs, made when a test needs them: small files that unpack to much, or to the same bytes many times."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib

LEAF = 64 << 20  # bytes of zeros in a leaf of the nested zip


def zeros(size: int) -> bytes:
    """Packed by deflate, raw: one block that needs nothing before it, over and over."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * (size >> 20) + packer.flush()


def _entry(name: bytes, packed: bytes, crc: int, size: int) -> tuple[bytes, bytes]:
    """Local header with data, and the record of the directory without its offset."""
    fields = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, crc, len(packed), size, len(name), 0)
    return b"PK\3\4" + fields + name + packed, b"PK\1\2" + struct.pack("<H", 20) + fields


def _central(record: bytes, name: bytes, offset: int) -> bytes:
    return record + struct.pack("<HHHII", 0, 0, 0, 0, offset) + name


def _end(count: int, size: int, offset: int) -> bytes:
    return b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, size, offset, 0)


def nested_zip(levels: int = 5, width: int = 16) -> bytes:
    """42.zip: zips in zips, each with the same content many times; a leaf of zeros at the bottom."""
    packed = zeros(LEAF)
    crc = 0
    for _ in range(LEAF >> 20):
        crc = zlib.crc32(bytes(1 << 20), crc)
    data = _zip_of_packed([(b"0.dll", packed, crc, LEAF)])
    for level in range(levels):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(width):
                archive.writestr(f"lib {level} {number}.zip", data)
        data = out.getvalue()
    return data


def _zip_of_packed(entries: list[tuple[bytes, bytes, int, int]]) -> bytes:
    body, directory = b"", b""
    for name, packed, crc, size in entries:
        local, record = _entry(name, packed, crc, size)
        directory += _central(record, name, len(body))
        body += local
    return body + directory + _end(len(entries), len(directory), len(body))


def overlapping_zip(count: int = 1000, size: int = 16 << 20) -> bytes:
    """One stretch of packed bytes, and many entries that claim it."""
    packed, crc = zeros(size), 0
    for _ in range(size >> 20):
        crc = zlib.crc32(bytes(1 << 20), crc)
    local, record = _entry(b"A", packed, crc, size)
    directory = b"".join(_central(record, b"A", 0) for _ in range(count))
    return local + directory + _end(count, len(directory), len(local))


def gzip_chain(depth: int = 200) -> bytes:
    data = b"at the bottom"
    for _ in range(depth):
        data = gzip.compress(data, 6, mtime=0)
    return data


def gzip_of_zeros(size: int = 6 << 30) -> bytes:
    """More than an object may unpack to, in one member: a thousand to one."""
    return b"\x1f\x8b\x08\0\0\0\0\0\0\3" + zeros(size) + struct.pack("<II", 0, size & 0xFFFFFFFF)


def gzip_of_gzip_of_zeros(size: int = 6 << 30) -> bytes:
    """A million to one."""
    return gzip.compress(gzip_of_zeros(size), 9, mtime=0)


def nested_tars(depth: int = 1000) -> bytes:
    data = b"at the bottom"
    for _ in range(depth):
        header = tarfile.TarInfo("inner.tar")
        header.size = len(data)
        data = header.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512) + bytes(1024)
    return data


def many_empty_entries(count: int = 1_000_000) -> bytes:
    """A tar of empty files, which has no directory to be counted beforehand."""
    header = tarfile.TarInfo("empty").tobuf(tarfile.USTAR_FORMAT)
    return header * count + bytes(1024)


def mail_of_parts(count: int = 10_000, nesting: int = 1) -> bytes:
    head = b"From: a@example.com\r\nSubject: parts\r\nMIME-Version: 1.0\r\n"
    text = b"".join(b"--b\r\nContent-Type: text/plain\r\n\r\npart %d\r\n" % n for n in range(count))
    mail = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + text + b"--b--\r\n"
    for level in range(nesting - 1):
        edge = b"n%d" % level
        mail = (
            b'Content-Type: multipart/mixed; boundary="' + edge + b'"\r\n\r\n--' + edge + b"\r\n" + mail + b"--" + edge
            + b"--\r\n"
        )  # fmt: skip
    return head + mail

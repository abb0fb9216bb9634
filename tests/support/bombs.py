"""Bombs, made when a test needs them: small files that unpack to much, or to the same bytes many times."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

from tests.support.compound import Compound
from tests.support.pdfs import Pdf, document, escaped

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


class _Bits:
    """Deflate's: the lowest bit of a byte first, codes with their highest bit first."""

    def __init__(self) -> None:
        self.value, self.count = 0, 0

    def put(self, value: int, width: int) -> None:
        self.value |= value << self.count
        self.count += width

    def code(self, value: int, width: int) -> None:
        self.put(int(f"{value:0{width}b}"[::-1], 2), width)

    def bytes(self) -> bytes:
        return self.value.to_bytes(5, "little")


def _literal(size: int) -> bytes:
    """The head of a block that is stored: the next bytes as they are. Five bytes, as everything here."""
    return b"\0" + struct.pack("<HH", size, size ^ 0xFFFF)


def _repeat(size: int, last: bool = False) -> bytes:
    """The last bytes of what came out once more, in five bytes: 20 or 65 of them, or 131 to 162 at the end."""
    bits = _Bits()
    if size == 65:
        bits.put(0b010, 3)  # an empty block
        bits.code(0, 7)
    bits.put(0b010 | last, 3)
    if size == 20:
        for _ in range(2):
            bits.code(264 - 256, 7)  # ten bytes ...
            bits.code(8, 5)  # ... from 17 to 24 back
            bits.put(20 - 17, 3)
    elif size == 65:
        bits.code(276 - 256, 7)
        bits.put(65 - 59, 3)
        bits.code(12, 5)
        bits.put(65 - 65, 5)
    else:
        bits.code(281 - 280 + 0b11000000, 8)
        bits.put(size - 131, 5)
        bits.code(14, 5)
        bits.put(size - 129, 6)
    bits.code(0, 7)
    return bits.bytes()


def _quine(head: bytes, tail: bytes) -> bytes:
    """Head and tail around a deflate stream that unpacks to all three."""
    one, four, again = _literal(5), _literal(20), _repeat(20)
    to_head, head_again = _literal(len(head) + 5), _repeat(len(head) + 5)
    to_tail, tail_again = _literal(len(tail) + 5), _repeat(len(tail) + 5, last=True)
    skip = [again, _literal(0), _literal(0), to_tail]
    code = [to_head, head, to_head, head_again, one, head_again, one, one, four, head_again, one, one, four]
    code += [again, four, again, four, again, four, again, four, *skip, *skip, tail_again, tail, tail_again]
    return head + b"".join(code) + tail


def quine_zip() -> bytes:
    """A zip whose only member is that zip itself."""
    name, comment = b"all the way down, and on.zip".rjust(30, b"_"), b"a comment that fills the room".ljust(35)

    def build(crc: int, packed: int = 0, size: int = 0) -> bytes:
        fields = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, crc, packed, size, len(name), 0)
        head = b"PK\3\4" + fields + name
        central = _central(b"PK\1\2" + struct.pack("<H", 20) + fields, name, 0)
        end = _end(1, len(central), size and size - len(central) - 22 - len(comment))
        tail = central + end[:-2] + struct.pack("<H", len(comment)) + comment
        whole = _quine(head, tail)
        return whole if size else build(crc, len(whole) - len(head) - len(tail), len(whole))

    return build(_own_checksum(lambda crc: zlib.crc32(build(crc))))


def _own_checksum(checksum: Callable[[int], int]) -> int:
    """The number that a file must hold for its checksum to be this number: both depend on each other bit by bit, so
    that 32 linear equations have it."""
    start = checksum(0)
    rows = []  # what each bit changes, and the bit
    for bit in range(32):
        rows.append((checksum(1 << bit) ^ start ^ 1 << bit, 1 << bit))
    wanted, found = start, 0
    for bit in range(32):
        pivot = next((row for row in rows if row[0] >> bit & 1), None)
        if pivot is None:
            continue
        rows = [(r[0] ^ pivot[0], r[1] ^ pivot[1]) if r[0] >> bit & 1 else r for r in rows if r is not pivot]
        if wanted >> bit & 1:
            wanted, found = wanted ^ pivot[0], found ^ pivot[1]
    assert wanted == 0, "these bytes have no such checksum: change the comment"
    return found


def pdf_of_filters(count: int = 1000) -> bytes:
    """A stream behind as many filters, each sound."""
    return document(b"at the bottom", ["FlateDecode"] * count)


def pdf_of_object_streams_in_circles(hidden: bytes = b"nothing", count: int = 200) -> bytes:
    """Object streams that extend each other, name each other's length, and hold objects numbered as themselves."""
    made = Pdf()
    made.add(b"<</Type/Catalog/Pages 2 0 R>>")
    made.add(b"<</Type/Pages/Kids[1 0 R 2 0 R]/Parent 2 0 R>>")
    text = escaped(hidden)
    for number in range(3, 3 + count):
        following = 3 + (number - 2) % count
        script = b"<</S/JavaScript/JS(%s)/Next %d 0 R>>" % (text, number)
        bodies = {number: script, following: b"<</Type/ObjStm/Extends %d 0 R/Length %d 0 R>>" % (number, following)}
        pairs, texts = b"", b""
        for name, body in bodies.items():
            pairs += b"%d %d " % (name, len(texts))
            texts += body + b"\n"
        extra = b"/Type/ObjStm/N 2/First %d/Extends %d 0 R" % (len(pairs), following)
        content = zlib.compress(pairs + texts)
        made.add(b"<</Filter/FlateDecode%s/Length %d 0 R>>\nstream\n%s\nendstream" % (extra, number, content))
    return made.build()


def compound_in_circles(size: int = 1 << 20) -> bytes:
    """A stream whose last sector is followed by its first, and that says to be as long as can be said."""
    last = size // 512 - 1
    return Compound({"S": bytes(size)}, fat_lies={last: 0}, entry_lies={"S": {"size": 0x7FFFFFFF}}).build()

"""Streams inflated in one piece or step by step: nobody can tell from the verdict which way it was.

A stream with more than 1 MiB behind it in its member is taken step by step, whatever it holds; the same one alone is
tried in one piece.
"""

from __future__ import annotations

import gzip
import random
import struct
import zlib
from collections.abc import Callable

import pytest

from kavfs.limits import MIB, Limits
from kavfs.model import Reason
from tests.support.objects import EICAR, NEAR_MISS, Verdict, scan, scanner
from tests.support.pdfs import Pdf, document

STEPS = bytes(MIB + 1)  # behind a stream: too much to be taken in one piece
WHOLE_MADE = 4 * MIB
TEXT = b"".join(b"line %d of a text that is like others\n" % n for n in range(4000))
HELD = 256 << 10  # files up to this size lie in memory while they are scanned


def raw(content: bytes, level: int = 6) -> bytes:
    packer = zlib.compressobj(level, wbits=-15)
    return packer.compress(content) + packer.flush()


def zipped(stream: bytes, unpacked: int, crc: int, behind: bytes = b"", filling: bytes = b"") -> bytes:
    """An archive with one deflated member; filling: before it, so that the file is not held in memory."""
    data = stream + behind
    facts = struct.pack("<HHHIIIIHH", 20, 0, 8, 0, crc, len(data), unpacked, 1, 0)
    local = b"PK\3\4" + facts + b"m" + data
    central = b"PK\1\2" + struct.pack("<H", 20) + facts + struct.pack("<HHHII", 0, 0, 0, 0, len(filling)) + b"m"
    end = struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(filling) + len(local), 0)
    return filling + local + central + b"PK\5\6" + end


def honest(content: bytes, behind: bytes = b"", filling: bytes = b"") -> bytes:
    return zipped(raw(content), len(content), zlib.crc32(content), behind, filling)


def told(verdict: Verdict) -> tuple[object, ...]:
    return verdict.status, verdict.reasons, verdict.threats, verdict.members, verdict.lines


def broken(stream: bytes) -> bytes:
    """A block of the kind that there is not, in the middle of blocks that hold the content."""
    return stream[: len(stream) // 2] + b"\xff" * 64 + stream[len(stream) // 2 :]


def in_blocks(*contents: bytes, end: bytes = b"\3\0") -> bytes:
    """Each content in a block of its own that stands at a byte; end: the last block, an empty one."""
    out = b""
    for content in contents:
        packer = zlib.compressobj(wbits=-15)
        out += packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)
    return out + end


CRC = zlib.crc32(EICAR + TEXT)
SIZE = len(EICAR + TEXT)
STREAM = raw(EICAR + TEXT)
CASES: dict[str, tuple[bytes, int, int]] = {
    "sound": (STREAM, SIZE, CRC),
    "said to be smaller": (STREAM, SIZE - 1, CRC),
    "said to be larger": (STREAM, SIZE + 1, CRC),
    "said to be empty": (STREAM, 0, CRC),
    "said to be huge": (STREAM, 1 << 30, CRC),
    "another checksum": (STREAM, SIZE, CRC ^ 1),
    "damaged": (broken(STREAM), SIZE, CRC),
    "no such block": (in_blocks(EICAR, end=b"\7"), len(EICAR), zlib.crc32(EICAR)),
    "stored": (raw(EICAR + TEXT, 0), SIZE, CRC),
    "nothing at all": (raw(b""), 0, 0),
    "nothing, said to be something": (raw(b""), SIZE, CRC),
    "no stream": (EICAR, len(EICAR), zlib.crc32(EICAR)),
    "a bomb": (raw(EICAR + bytes(6 * MIB)), SIZE, CRC),
    "a bomb that does not lie": (raw(bytes(6 * MIB) + EICAR), 6 * MIB + len(EICAR), 0),
}


@pytest.mark.parametrize("filling", [b"", bytes(HELD)], ids=["held", "read"])
@pytest.mark.parametrize("case", CASES)
def test_both_ways_say_the_same_of_members(case: str, filling: bytes) -> None:
    stream, unpacked, crc = CASES[case]
    alone = scan(zipped(stream, unpacked, crc, filling=filling))
    assert told(alone) == told(scan(zipped(stream, unpacked, crc, STEPS, filling)))
    assert told(alone) == told(scan(zipped(stream, unpacked, crc, b"few bytes", filling)))
    assert (b"m" in alone.infected) == (EICAR in inflated(stream))


def inflated(stream: bytes) -> bytes:
    """As far as it goes."""
    out, unpacker = bytearray(), zlib.decompressobj(wbits=-15)
    try:
        for place in range(len(stream)):
            out += unpacker.decompress(stream[place : place + 1])
    except zlib.error:
        pass
    return bytes(out)


def test_members_that_lie_are_damaged() -> None:
    sound = ["sound", "stored", "nothing at all"]
    for case, facts in CASES.items():
        assert (Reason.DAMAGED in scan(zipped(*facts)).reasons) == (case not in sound)


def test_what_came_before_the_damage_is_seen() -> None:
    for cut in (len(STREAM) - 1, len(STREAM) // 2):
        verdict = scan(zipped(STREAM[:cut], SIZE, CRC))
        assert verdict.infected == [b"m"]
        assert verdict.reasons == Reason.DAMAGED
    assert not scan(zipped(raw(TEXT + NEAR_MISS)[:-1], SIZE, CRC)).threats


@pytest.mark.parametrize("filling", [b"", bytes(HELD)], ids=["held", "read"])
@pytest.mark.parametrize("size", [WHOLE_MADE - 1, WHOLE_MADE, WHOLE_MADE + 1])
def test_members_about_as_large_as_one_piece_may_become(size: int, filling: bytes) -> None:
    for tail in (EICAR, NEAR_MISS):
        content = (TEXT * (size // len(TEXT) + 1))[: size - len(tail)] + tail
        verdict = scan(honest(content, filling=filling))
        assert (verdict.infected, verdict.reasons) == ([b"m"] if tail is EICAR else [], Reason(0))


@pytest.mark.parametrize("filling", [b"", bytes(HELD)], ids=["held", "read"])
@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_members_packed_into_about_as_much_as_is_tried_in_one_piece(extra: int, filling: bytes) -> None:
    content = random.Random(1).randbytes(MIB - 50_000)
    stream = in_blocks(content, TEXT + EICAR)
    for behind in (bytes(MIB + extra - len(stream)), b""):
        verdict = scan(zipped(stream, len(content + TEXT + EICAR), zlib.crc32(content + TEXT + EICAR), behind, filling))
        assert (verdict.infected, verdict.reasons) == ([b"m"], Reason(0))


@pytest.mark.parametrize("behind", [b"", STEPS], ids=["whole", "steps"])
def test_limits_cut_both_ways_alike(behind: bytes) -> None:
    content = TEXT + EICAR
    data = honest(content, behind)
    for limit in (len(content), 0):
        for limits in (Limits(max_member_size=limit), Limits(max_unpacked=limit)):
            verdict = scan(data, scanner(limits))
            assert (verdict.infected, verdict.reasons) == ([b"m"], Reason(0))
    for limits, reason in (
        (Limits(max_member_size=len(content) - 1), Reason.SIZE),
        (Limits(max_unpacked=len(content) - 1), Reason.BYTES),
    ):
        verdict = scan(data, scanner(limits))
        assert (verdict.infected, verdict.reasons) == ([], reason)


def test_one_scanner_inflates_streams_of_every_kind_one_after_another() -> None:
    using = scanner()
    inner = honest(TEXT + EICAR)
    for _ in range(2):
        assert scan(zipped(broken(STREAM), SIZE, CRC), using).infected == [b"m"]
        assert scan(gzip.compress(inner), using).infected == [b"#1/m"]
        assert scan(document(TEXT + EICAR, ["FlateDecode"]), using).infected == [b"obj 3 0"]
        assert scan(gzip.compress(inner) + STEPS, using).infected == [b"#1/m"]
        assert scan(honest(TEXT + NEAR_MISS, filling=bytes(HELD)), using).clean
        assert scan(honest(inner + TEXT, filling=bytes(HELD)), using).infected == [b"m/m"]


def gzipped(content: bytes, flags: int = 0, extra: bytes = b"", crc: int = 0, size: int = 0) -> bytes:
    """crc and size: what they are wrong by."""
    tail = struct.pack("<II", zlib.crc32(content) ^ crc, len(content) ^ size)
    return b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + extra + raw(content) + tail


HEAD_CRC = zlib.crc32(gzipped(b"", 2)[:10]) & 0xFFFF
GZIP: dict[str, tuple[Callable[[bytes], bytes], bool]] = {
    "sound": (gzipped, True),
    "two streams": (lambda c: gzipped(TEXT) + gzipped(c), True),
    "bytes behind": (lambda c: gzipped(c) + b"no stream", True),
    "a checksum of its header": (lambda c: gzipped(c, 2, struct.pack("<H", HEAD_CRC)), True),
    "a wrong checksum of its header": (lambda c: gzipped(c, 2, struct.pack("<H", HEAD_CRC ^ 1)), False),
    "a wrong checksum": (lambda c: gzipped(c, crc=1), False),
    "a wrong size": (lambda c: gzipped(c, size=1), False),
    "no end": (lambda c: gzipped(c)[:-1], False),
    "a second stream that breaks off": (lambda c: gzipped(c) + gzipped(TEXT)[:-100], False),
    "more than fits": (lambda c: gzipped(TEXT * 40 + c), True),
}


@pytest.mark.parametrize("case", GZIP)
def test_gzip(case: str) -> None:
    make, sound = GZIP[case]
    verdict = scan(make(TEXT + EICAR))
    assert (Reason.DAMAGED in verdict.reasons) == (not sound)
    assert (verdict.infected == [b"#1"]) == (case != "a wrong checksum of its header")
    assert not scan(make(TEXT + NEAR_MISS)).threats


PDF: dict[str, Callable[[bytes], bytes]] = {
    "sound": zlib.compress,
    "a wrong checksum": lambda c: zlib.compress(c)[:-1] + b"?",
    "no checksum": lambda c: zlib.compress(c)[:-4],
    "bytes behind": lambda c: zlib.compress(c) + b"few bytes",
    "a line before": lambda c: b"  \n" + zlib.compress(c),
    "more than fits": lambda c: zlib.compress(TEXT * 40 + c),
    "more than is tried": lambda c: zlib.compress(c) + STEPS,
    "damage behind": lambda c: b"\x78\x9c" + in_blocks(c, end=b"\7"),
}


@pytest.mark.parametrize("filling", [b"", b"%" + b" " * HELD + b"\n"], ids=["held", "read"])
@pytest.mark.parametrize("case", PDF)
def test_streams_of_documents(case: str, filling: bytes) -> None:
    for content, infected in ((TEXT + EICAR, [b"obj 1 0"]), (TEXT + NEAR_MISS, [])):
        stream = PDF[case](content)
        made = Pdf()
        made.add(b"<</Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (len(stream), stream))
        assert scan(made.build() + filling).infected == infected


def test_what_two_filters_make_is_the_same_in_pieces() -> None:
    for size in (100, 9000, 70000, 5 * MIB):
        content = TEXT + bytes(range(256)) * (size // 256 + 1) + EICAR
        for second in ("FlateDecode", "ASCIIHexDecode"):
            assert scan(document(content, ["FlateDecode", second])).infected == [b"obj 3 0"]

"""Embedded: programs and archives that begin inside other data are looked at, and what only looks like one is not."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib

import pytest

from kavfs.limits import Limits
from kavfs.model import Reason, Status
from tests.support.executables import Part, fat, macho, pe
from tests.support.objects import EICAR, NEAR_MISS, scan, scanner

# The signature of these tests matches anywhere: what is packed inside is found only where it is unpacked.


def rar(name: bytes, data: bytes) -> bytes:
    """A RAR archive of version 4 with one stored member."""

    def block(kind: int, flags: int, body: bytes, more: int = 0) -> bytes:
        head = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
        return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head

    member = struct.pack("<IIBIIBBHI", len(data), len(data), 3, zlib.crc32(data), 0, 20, 0x30, len(name), 0x20) + name
    return b"Rar!\x1a\7\0" + block(0x73, 0, bytes(6)) + block(0x74, 0x8000, member) + data + block(0x7B, 0x4000, b"")


def packed(data: bytes) -> bytes:
    """A tar.gz of one member, which hides its bytes from those who do not unpack it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        row = tarfile.TarInfo("inner")
        row.size = len(data)
        tar.addfile(row, io.BytesIO(data))
    return file.getvalue()


@pytest.mark.parametrize("front", [pe(), b"\x89PNG\r\n\x1a\n" + bytes(500), bytes(70_000), bytes(262_140)])
def test_an_archive_behind_something_else_is_opened(front: bytes) -> None:
    found = scan(front + rar(b"member", packed(EICAR)))
    assert found.status is Status.INFECTED
    assert any(path.startswith(b"rar@%d/" % len(front)) for path in found.infected)
    assert scan(front + rar(b"member", packed(NEAR_MISS))).clean


def test_a_marker_alone_is_no_archive() -> None:
    marker = b"Rar!\x1a\7\0" + b"7z\xbc\xaf\x27\x1c" + b"MSCF\0\0\0\0" + b"PK\3\4" + b"PE\0\0"
    assert scan(pe(overlay=(marker + bytes(400)) * 40)).clean


@pytest.mark.parametrize("front", [pe(), pe(overlay=b"x" * 9999)])
def test_a_program_inside_a_program_is_looked_at_as_one(front: bytes) -> None:
    found = scan(front + pe([Part(b".text", b"\x90" * 100 + EICAR)], stub=128))
    assert {b"", b"pe@%d" % len(front)} <= set(found.infected)


def test_many_programs_inside_one_are_looked_at_in_part() -> None:
    found = scan(pe() + b"".join(pe([Part(b".text", EICAR)], stub=128) for _ in range(40)))
    assert 10 <= sum(path.startswith(b"pe@") for path in found.infected) <= 16
    assert Reason.MEMBERS in found.reasons


def test_words_that_look_like_a_program_hide_none() -> None:
    inner = pe([Part(b".text", EICAR)], stub=128)
    assert b"pe@%d" % (len(pe()) + 600) in scan(pe() + b"TYPE\0\0" * 100 + inner).infected
    decoys = b"".join(b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" for _ in range(100))
    assert Reason.MEMBERS in scan(pe() + decoys + inner).reasons


@pytest.mark.parametrize("inner", [rar(b"inner", packed(EICAR)), pe([Part(b".text", EICAR)], stub=128)])
def test_what_lies_deeper_than_the_limit_is_said(inner: bytes) -> None:
    for depth, said in ((0, True), (4, False)):
        found = scan(pe() + inner, scanner(Limits(max_depth=depth)))
        assert (Reason.DEPTH in found.reasons) is said
        assert any(b"@" in path for path in found.infected) is not said


@pytest.mark.parametrize(("wide", "big"), [(False, False), (False, True), (True, True)])
def test_every_architecture_of_a_fat_file_is_a_part(wide: bool, big: bool) -> None:
    found = scan(fat([macho(), macho(data=packed(EICAR).ljust(64)), macho(data=EICAR)], wide=wide, big=big))
    assert b"cpu-9" in found.infected
    assert scan(fat([macho(), macho(data=NEAR_MISS)], wide=wide, big=big)).clean


def test_a_fat_file_that_holds_itself_ends() -> None:
    file = bytearray(fat([macho()]))
    struct.pack_into(">2I", file, 16, 0, len(file))
    assert scan(bytes(file)).clean

"""Zip archives that lie: what any zip tool would show is scanned, and what cannot be read is said."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass, field

import pytest

from kavfs.model import Reason, Status
from tests.support.archives import with_tool
from tests.support.objects import EICAR, F_CONTAINER, NEAR_MISS, scan

PACKED = 8
LATER = 1 << 3  # sizes stand behind the data


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


@dataclass
class Entry:
    """One member; local and central say the same unless told otherwise."""

    name: bytes
    content: bytes
    method: int = PACKED
    local: dict[str, int] = field(default_factory=dict)  # method, packed, unpacked, flags, crc
    central: dict[str, int] = field(default_factory=dict)  # the same, and mode, header
    listed: bool = True  # in the central directory
    data: bytes | None = None  # instead of what content and method give

    def facts(self, lies: dict[str, int]) -> dict[str, int]:
        packed = self.packed()
        truth = {"method": self.method, "packed": len(packed), "unpacked": len(self.content), "flags": 0, "mode": 0}
        return {**truth, "crc": zlib.crc32(self.content), **lies}

    def packed(self) -> bytes:
        if self.data is not None:
            return self.data
        return deflated(self.content) if self.method == PACKED else self.content


def build(*entries: Entry, prefix: bytes = b"", comment: bytes = b"", count: int | None = None) -> bytes:
    out, central = prefix, b""
    for e in entries:
        header = len(out) - len(prefix)
        f = e.facts(e.local)
        name_len = len(e.name)
        sizes = (f["crc"], f["packed"], f["unpacked"], name_len, 0)
        out += b"PK\3\4" + struct.pack("<HHHIIIIHH", 20, f["flags"], f["method"], 0, *sizes) + e.name + e.packed()
        if e.listed:
            f = {"header": header, **e.facts(e.central)}
            sizes = (f["crc"], f["packed"], f["unpacked"], name_len, 0)
            rest = (0, 0, 0, f["mode"] << 16, f["header"])
            central += b"PK\1\2" + struct.pack("<HHHHIIIIHHHHHII", 0x314, 20, f["flags"], f["method"], 0, *sizes, *rest)
            central += e.name
    listed = sum(e.listed for e in entries) if count is None else count
    end = struct.pack("<HHHHIIH", 0, 0, listed, listed, len(central), len(out) - len(prefix), len(comment))
    return out + central + b"PK\5\6" + end + comment


HARMLESS = Entry(b"readme.txt", b"harmless\n" * 100)


def bad(content: bytes = EICAR) -> Entry:
    return Entry(b"bad.com", content)


def test_the_builder_writes_what_others_can_read() -> None:
    with zipfile.ZipFile(io.BytesIO(build(HARMLESS, bad()))) as archive:
        assert archive.testzip() is None
    assert scan(build(HARMLESS, bad())).infected == [b"bad.com"]
    assert scan(build(HARMLESS, bad(NEAR_MISS))).clean


def with_entry(**changes: object) -> Entry:
    entry = bad()
    for name, value in changes.items():
        setattr(entry, name, value)
    return entry


HIDING = {
    "unlisted, in front": build(with_entry(listed=False), HARMLESS),
    "unlisted, in the middle": build(HARMLESS, with_entry(listed=False), HARMLESS),
    "unlisted, at the end": build(HARMLESS, with_entry(listed=False)),
    "unlisted, sizes later": build(with_entry(listed=False, local={"flags": LATER, "packed": 0}), HARMLESS),
    "behind another zip": build(bad()) + build(HARMLESS),
    "in front of an empty one": build(bad()) + build(),
    "says it is a folder": build(HARMLESS, with_entry(central={"mode": 0o040755})),
    "says it is a link": build(HARMLESS, with_entry(central={"mode": 0o120777})),
    "says it is a device": build(HARMLESS, with_entry(central={"mode": 0o020666})),
    "named like a folder": build(HARMLESS, with_entry(name=b"bad.com/")),
    "locally stored": build(HARMLESS, with_entry(local={"method": 0})),
    "locally packed": build(with_entry(central={"method": 0})),
    "locally encrypted": build(HARMLESS, with_entry(local={"flags": 1})),
    "listed as encrypted": build(HARMLESS, with_entry(central={"flags": 1})),
    "locally shorter": build(with_entry(local={"packed": 3})),
    "listed as shorter": build(with_entry(central={"packed": 3})),
    "after a stub": build(HARMLESS, bad(), prefix=b"#!/bin/sh\nexit 0\n"),
    "after a stub, counted": b"MZ stub" + build(HARMLESS, bad()),
    "before a long comment": build(bad(), comment=b"c" * 65535),
    "end record in the comment": build(bad(), comment=b"PK\5\6" + bytes(18)),
    "twice": build(HARMLESS, bad(NEAR_MISS), bad()),
    "listed as empty, found by streaming": build(
        HARMLESS,
        with_entry(
            local={"flags": LATER, "packed": 0, "unpacked": 0, "crc": 0},
            central={"flags": LATER, "packed": 0, "unpacked": 0, "crc": 0},
        ),
    ),
    "count too low": build(HARMLESS, bad(), count=1),
    "end cut off": build(HARMLESS, bad())[:-30],
    "directory cut off": build(HARMLESS, bad(), HARMLESS)[: len(build(HARMLESS, bad())) - 90],
}


@pytest.mark.parametrize("trick", HIDING)
def test_a_member_that_hides_is_found(trick: str) -> None:
    verdict = scan(HIDING[trick])
    assert verdict.status is Status.INFECTED
    assert {path.rstrip(b"/") for path in verdict.infected} == {b"bad.com"}


def test_a_sound_archive_with_dead_space_is_clean() -> None:
    """What an updated archive may leave between its members is no damage."""
    dead = build(bad(NEAR_MISS))[:-70]
    assert scan(dead + build(HARMLESS)).clean
    assert scan(b"PK\3\4 is a string in many programs" + build(HARMLESS)).clean


def test_what_is_cut_off_is_damage_and_the_rest_is_scanned() -> None:
    whole = build(HARMLESS, Entry(b"noise", bytes(range(256)) * 64, method=0))
    for length in (len(whole) - 1, len(whole) - 30, len(whole) // 2, 200, 40):
        verdict = scan(whole[:length])
        assert verdict.status is Status.CORRUPTED
        assert verdict.reasons == Reason.DAMAGED
    assert scan(build(bad(), HARMLESS)[:-60]).infected == [b"bad.com"]


DAMAGED = {
    "wrong checksum": build(with_entry(content=NEAR_MISS, local={"crc": 1}, central={"crc": 1})),
    "wrong size": build(with_entry(content=NEAR_MISS, local={"unpacked": 7}, central={"unpacked": 7})),
    "broken stream": build(with_entry(content=NEAR_MISS, data=b"\xff" * 40)),
    "nothing where it is listed": build(with_entry(content=NEAR_MISS, central={"header": 5})),
    "far outside": build(with_entry(content=NEAR_MISS, central={"header": 0xFFFFFF00})),
    "longer than the file": build(
        with_entry(content=NEAR_MISS, method=0, local={"packed": 9999}, central={"packed": 9999})
    ),
    "fewer than counted": build(HARMLESS, count=9),
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_damage_is_said(fault: str) -> None:
    verdict = scan(DAMAGED[fault])
    assert verdict.status is Status.CORRUPTED
    assert verdict.reasons == Reason.DAMAGED
    assert verdict.flags & F_CONTAINER


def test_one_broken_member_does_not_hide_the_next() -> None:
    verdict = scan(build(Entry(b"broken", b"x" * 99, data=b"\xff" * 40), bad()))
    assert verdict.infected == [b"bad.com"]
    assert verdict.lines[b"broken"] == (Status.CORRUPTED, Reason.DAMAGED)


@pytest.mark.parametrize("options", [("-tzip", "-psecret"), ("-tzip", "-psecret", "-mem=AES256"), ("-t7z", "-psecret")])
def test_an_encrypted_member_is_protected(options: tuple[str, ...]) -> None:
    verdict = scan(with_tool({"bad.com": EICAR}, "7z", "a", *options, "OUT.x", "FILES"))
    assert (verdict.status, verdict.reasons) == (Status.PROTECTED, Reason.ENCRYPTED)
    assert verdict.lines == {b"bad.com": (Status.PROTECTED, Reason.ENCRYPTED)}


def test_beside_an_encrypted_member_the_others_are_scanned() -> None:
    protected = Entry(b"secret", b"x", data=bytes(20), local={"flags": 1}, central={"flags": 1})
    verdict = scan(build(protected, bad()))
    assert verdict.status is Status.INFECTED
    assert verdict.reasons == Reason.ENCRYPTED
    assert verdict.infected == [b"bad.com"]


def test_a_7z_with_encrypted_names_is_protected() -> None:
    verdict = scan(with_tool({"bad.com": EICAR}, "7z", "a", "-t7z", "-psecret", "-mhe", "OUT.x", "FILES"))
    assert (verdict.status, verdict.reasons) == (Status.PROTECTED, Reason.ENCRYPTED)


@pytest.mark.parametrize("method", [1, 6, 9, 97])
def test_an_unknown_method_is_said(method: int) -> None:
    verdict = scan(build(Entry(b"old", NEAR_MISS, method=method), bad(NEAR_MISS)))
    assert (verdict.status, verdict.reasons) == (Status.ERROR, Reason.METHOD)
    assert verdict.lines == {b"old": (Status.ERROR, Reason.METHOD)}


def test_sizes_of_64_bits_are_read() -> None:
    out = io.BytesIO()
    archive = zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED)
    with archive, archive.open("bad.com", "w", force_zip64=True) as member:
        member.write(EICAR)
    assert scan(out.getvalue()).infected == [b"bad.com"]
    piped = "cat bad.com | zip -q OUT.zip -"  # zip writes 64-bit records when it cannot know the size
    assert scan(with_tool({"bad.com": NEAR_MISS}, "sh", "-c", piped)).clean


def test_names_are_kept_as_bytes() -> None:
    names = [b"caf\xe9", "café".encode(), b"a\nb", b"..\\..\\x", b"../../x", b"/etc/passwd"]
    verdict = scan(build(*(Entry(name, EICAR) for name in names)))
    assert verdict.infected == names


def test_a_member_that_only_the_directory_lists_is_damage_not_silence() -> None:
    verdict = scan(build(HARMLESS, with_entry(content=NEAR_MISS, central={"header": 3})))
    assert verdict.lines == {b"bad.com": (Status.CORRUPTED, Reason.DAMAGED)}

"""Programs: sections, entry point and version information of PE, ELF and Mach-O files, broken ones included."""

from __future__ import annotations

import random
import struct

import pytest

from kavfs._native.programs import read_program
from tests.support.executables import Part, elf, macho, pe, version_resource


@pytest.mark.parametrize("wide", [False, True])
def test_a_pe_has_its_entry_and_sections_where_they_stand_in_the_file(wide: bool) -> None:
    data = pe([Part(b".text", b"\x90" * 700), Part(b".data", b"D" * 10)], entry=0x1010, wide=wide, overlay=b"behind")
    found = read_program(data)
    assert found is not None
    text, more = found.sections
    assert (found.kind, found.wide, text.name, more.name) == ("pe", wide, b".text", b".data")
    assert data[found.entry] == 0x90
    assert found.entry == text.raw + 0x10
    assert (text.raw_size, more.raw_size) == (1024, 512)
    assert data[more.raw : more.raw + 10] == b"D" * 10
    assert data[found.overlay :] == b"behind"


def test_sizes_are_rounded_up_and_cut_at_the_end_of_the_file() -> None:
    found = read_program(pe([Part(b".text", b"\x90" * 512, size=5000)]))
    assert found is not None
    assert found.sections[0].raw_size == 512
    found = read_program(pe([Part(b".text", b"\x90" * 1024, size=600)]))
    assert found is not None
    assert found.sections[0].raw_size == 1024


def test_a_section_that_is_not_in_the_file_is_counted_and_empty() -> None:
    found = read_program(pe([Part(b".text", b"\x90" * 64), Part(b".gone", b"x", raw=0x100000)]))
    assert found is not None
    assert [section.raw_size for section in found.sections] == [512, 0]


@pytest.mark.parametrize(
    "data",
    [
        pe(entry=0x9000),
        pe(count=0),
        pe(count=40),
        pe()[:200],
        b"MZ" + bytes(200),
        pe([Part(b".text", b"x", virtual=0x80000000)]),
        b"",
    ],
    ids=["entry outside", "no section", "sections not there", "cut", "no header", "impossible size", "empty"],
)
def test_from_what_is_no_sound_pe_nothing_counts(data: bytes) -> None:
    assert read_program(data) is None


def test_version_strings_are_found_where_they_begin() -> None:
    strings = {"CompanyName": "Nobody", "FileVersion": "1.2"}
    resources = Part(b".rsrc", version_resource(0x2000, strings), 0x40000040)
    data = pe([Part(b".text", b"\x90"), resources], directories={2: (0x2000, len(resources.data))})
    found = read_program(data)
    assert found is not None
    assert [data[at : at + 4] for at in found.versions] == [b"C\0o\0", b"F\0i\0"]
    unnamed = pe([Part(b".text", b"\x90"), resources])
    without = read_program(unnamed)
    assert without is not None
    assert without.versions == []


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("big", [False, True])
def test_an_elf_file_in_either_width_and_order(wide: bool, big: bool) -> None:
    found = read_program(elf(wide=wide, big=big))
    assert found is not None
    assert (found.kind, found.entry, len(found.sections)) == ("elf", 0x210, 2)
    assert (found.sections[1].raw, found.sections[1].raw_size) == (0x200, 0x100)
    assert read_program(elf(wide=wide, big=big, entry=0x5000)) is None


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("big", [False, True])
def test_a_mach_o_file_in_either_width_and_order(wide: bool, big: bool) -> None:
    found = read_program(macho(wide=wide, big=big, sections=3))
    assert found is not None
    assert (found.kind, [s.raw for s in found.sections]) == ("macho", [0x400] * 3)
    assert found.sections[0].name == b"__text"


ORIGINALS = [
    pe(
        [Part(b".text", b"\x90" * 64), Part(b".rsrc", version_resource(0x2000, {"A": "b"}))],
        directories={2: (0x2000, 400)},
    ),
    pe(wide=True),
    elf(),
    elf(wide=False, big=True),
    macho(),
    macho(wide=False, big=True),
]


@pytest.mark.parametrize("number", range(len(ORIGINALS)))
def test_hostile_fields_lead_nowhere(number: int) -> None:
    rng = random.Random(number)
    for _ in range(3000):
        data = bytearray(ORIGINALS[number])
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(2, min(len(data), 1200) - 4)
            value = rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(data), rng.getrandbits(32)])
            struct.pack_into("<I", data, at, value)
        found = read_program(bytes(data[: rng.choice([len(data), rng.randrange(len(data))])]))
        if found and found.kind == "pe":
            assert all(s.raw + s.raw_size <= len(data) for s in found.sections if s.raw_size)
            assert found.overlay <= len(data)

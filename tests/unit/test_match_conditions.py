"""What a logical signature asks of a layer as a whole: entry point, sections, the layers around."""

from __future__ import annotations

import pytest

from kavfs._native.match import FORMATS, Conditions, SegmentBuilder
from kavfs.signatures.ldb import read_attributes, read_ldb
from kavfs.signatures.lines import Tally
from tests.support import headers
from tests.support.executables import Part, pe
from tests.support.matching import image, names

BODIES = [headers.marked(b"ALPHA", 0x250), headers.marked(b"BRAVO", 0x180), headers.marked(b"CHARL", 0x200)]
FILES = {1: headers.pe(BODIES), 6: headers.elf(BODIES), 9: headers.macho(BODIES)}
ENTRY = {1: 0x410, 6: 0x110, 9: 0x410}


def holds(attributes: str, data: bytes, around: tuple[str, ...] = ()) -> bool:
    """Is a line with these attributes, whose one part is there, found in *data*?"""
    builder, tally = SegmentBuilder(b"test.ldb", bytes(32), True), Tally()
    read_ldb(f"Hit;Engine:81-255,{attributes};0;{b'BRAVO'.hex()}\n".encode(), builder, tally)
    assert tally.taken == 1, tally.reasons
    return names(image(builder.finish()).scan(data, around=around)) == ["Hit"]


@pytest.mark.parametrize("target", FILES)
def test_the_entry_point_must_lie_in_the_range(target):
    entry = ENTRY[target]
    for low, high in [(entry, entry), (0, entry), (entry, 2**31)]:
        assert holds(f"EntryPoint:{low}-{high},Target:{target}", FILES[target])
    for low, high in [(entry + 1, 2**31), (0, entry - 1), (entry + 1, entry - 1)]:
        assert not holds(f"EntryPoint:{low}-{high},Target:{target}", FILES[target])


@pytest.mark.parametrize("target", FILES)
def test_the_sections_must_be_as_many(target):
    for wanted in ("3-3", "0-3", "3-96"):
        assert holds(f"NumberOfSections:{wanted},Target:{target}", FILES[target])
    for wanted in ("4-96", "0-2", "4-2"):
        assert not holds(f"NumberOfSections:{wanted},Target:{target}", FILES[target])


def test_both_must_hold():
    assert holds("EntryPoint:1040-1040,NumberOfSections:3-3,Target:1", FILES[1])
    assert not holds("EntryPoint:1040-1040,NumberOfSections:2-2,Target:1", FILES[1])
    assert not holds("EntryPoint:1041-1041,NumberOfSections:3-3,Target:1", FILES[1])


def test_where_headers_cannot_be_read_neither_holds():
    broken = FILES[1].replace(b"PE\0\0", b"PX\0\0", 1)
    assert not holds("NumberOfSections:0-96,Target:1", broken)
    assert not holds("EntryPoint:0-4000000,Target:1", broken)
    assert holds("Target:1", broken)


@pytest.mark.parametrize(
    ("attributes", "around", "near"),
    [
        ("Container:CL_TYPE_ZIP", ("zip",), ()),
        ("Container:CL_TYPE_ZIP", ("mail", "zip"), ("zip", "mail")),
        ("Container:CL_TYPE_MAIL", ("mail",), ("zip",)),
        ("Container:CL_TYPE_MAIL", ("mbox",), ("text",)),
        ("Container:CL_TYPE_ANY", (), ("zip",)),
        ("Intermediates:CL_TYPE_ZIP", ("zip",), ("rar",)),
        ("Intermediates:CL_TYPE_MAIL>CL_TYPE_ZIP", ("mail", "zip"), ("zip", "mail")),
        ("Intermediates:CL_TYPE_MAIL>CL_TYPE_ZIP", ("tar", "mail", "zip"), ("zip",)),
        ("Intermediates:CL_TYPE_MAIL>CL_TYPE_ZIP", ("mail", "zip"), ("mail", "tar", "zip")),
        ("Intermediates:CL_TYPE_ANY", ("rar",), ()),
        ("Intermediates:CL_TYPE_ANY>CL_TYPE_ZIP", ("rar", "zip"), ("zip",)),
        ("Intermediates:CL_TYPE_ZIP>CL_TYPE_ANY", ("rar", "zip"), ("zip", "rar")),
        ("Container:CL_TYPE_ZIP,Intermediates:CL_TYPE_MAIL>CL_TYPE_ZIP", ("mail", "zip"), ("mail", "rar")),
    ],
)
def test_the_layers_around_must_be_of_these_types(attributes, around, near):
    assert holds(f"{attributes},Target:0", b"it is BRAVO", around)
    assert not holds(f"{attributes},Target:0", b"it is BRAVO", near)


def test_a_container_type_that_no_format_stands_for_is_read_and_never_there():
    assert not any(holds("Container:CL_TYPE_MSSZDD,Target:0", b"BRAVO", (name,)) for name in FORMATS)


@pytest.mark.parametrize(("sizes", "size", "near"), [("5-6", 5, 4), ("5-6", 6, 7), ("0-5", 5, 6)])
def test_the_size_must_lie_in_the_range(sizes, size, near):
    def data(length: int) -> bytes:
        return b"\0\1BRAVO".ljust(length, b"\2")[-length:]

    assert holds(f"FileSize:{sizes},Target:0", data(size)) == (size >= 5)
    assert not holds(f"FileSize:{sizes},Target:0", data(near))


def test_a_size_up_to_0_is_no_size_at_all():
    assert not holds("FileSize:0-0,Target:0", b"BRAVO")
    assert not holds("FileSize:1-0,Target:0", b"BRAVO")


def test_a_handler_changes_nothing_for_a_signature_of_any_target():
    assert holds("HandlerType:CL_TYPE_PDF,Target:0", b"it is BRAVO")


def test_a_handler_of_another_target_is_taken_and_says_nothing_of_the_layer_itself():
    """What becomes of it: test_object_handlers.py."""
    tally = Tally()
    line = b"N;Engine:51-255,HandlerType:CL_TYPE_PDF,Target:1;0;6162\n"
    read_ldb(line, SegmentBuilder(b"test.ldb", bytes(32), True), tally)
    assert tally.taken == 1
    assert not holds("HandlerType:CL_TYPE_PDF,Target:1", pe([Part(b".text", b"it is BRAVO")]))


def test_the_same_attributes_in_another_order_are_the_same():
    one = read_attributes(b"Engine:51-255,Container:CL_TYPE_RAR,Target:1,NumberOfSections:2-3,FileSize:1-9")
    two = read_attributes(b"Engine:51-255,FileSize:1-9,NumberOfSections:2-3,Target:1,Container:CL_TYPE_RAR")
    rars = frozenset({FORMATS.index("rar")})
    assert one == two
    assert one.conditions == Conditions(sections=(2, 3), chain=(rars,))

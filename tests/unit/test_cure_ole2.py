"""OLE2: macros go where they lie, every other stream keeps its bytes; what lies about itself is refused."""

from __future__ import annotations

import random
import struct
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kavfs.action.cure.compound import Compound as Changed
from kavfs.action.cure.compound import empty
from kavfs.action.cure.pieces import Source
from kavfs.action.cure.refused import Refused, Why
from tests.support.compound import Compound, Tree, compound, project
from tests.support.curing import cured
from tests.support.documents import HARMLESS, MACRO, powerpoint, streams_of, vba_project, word, workbook
from tests.support.objects import EICAR, scan

NOISE = random.Random(1).randbytes(9000)
REST: Tree = {"1Table": NOISE, "\x05SummaryInformation": b"small" * 40, "\x01CompObj": b"x"}
CMDS = 154 + 24 * 8 + 4  # where lcbCmds of Word 97 stands


def macros(macro: bytes = MACRO) -> Tree:
    return {"VBA": project({"M": macro}), "PROJECT": b"ID", "Form1": {"f": b"f" * 5000, "o": b"o"}}


def doc(**more: Tree | bytes) -> Tree:
    return {"WordDocument": word(), **REST, "Macros": macros(), **more}


def refused(data: bytes) -> Why:
    with pytest.raises(Refused) as caught:
        cured(data)
    return caught.value.why


@pytest.mark.parametrize("sector", [512, 4096])
def test_word(sector: int) -> None:
    data = compound(doc(), sector)
    outcome = cured(data)
    was, now = streams_of(data), streams_of(outcome.data)
    assert set(now) == {name for name in was if not name.startswith("Macros")}
    assert all(now[name] == was[name] for name in now if name != "WordDocument")
    assert now["WordDocument"] == was["WordDocument"][:CMDS] + bytes(4) + was["WordDocument"][CMDS + 4 :]
    assert was["WordDocument"][CMDS : CMDS + 4] != bytes(4)
    assert len(outcome.data) == len(data)
    assert outcome.gone == [b"Macros/VBA/M.bas", b"Macros/VBA/project.bas"]
    for trace in (b"Attribut", "Macros".encode("utf-16-le"), "PROJECT".encode("utf-16-le"), b"f" * 20):
        assert trace in data
        assert trace not in outcome.data
    assert scan(outcome.data).clean


def test_what_was_freed_can_be_used_again() -> None:
    """No sector is lost: all that belonged to macros is marked free, and nothing else."""
    data = compound(doc())
    before, after = cured(data).data, Changed
    with tempfile.TemporaryFile() as file:
        file.write(before)
        file.flush()
        read = after(Source(file.fileno(), 0, len(before)))
    owned = sum(read._owned)
    assert sum(1 for number in range(read._count) if read._fat[number] != 0xFFFFFFFF) == owned


def test_excel_says_no_project_and_sheets_stay_where_they_are() -> None:
    for name in ("Workbook", "Book"):
        data = compound({name: workbook(), **REST, "_VBA_PROJECT_CUR": macros()})
        was, now = streams_of(data), streams_of(cured(data).data)
        at = was[name].index(struct.pack("<HH", 0xD3, 0))
        assert now[name] == was[name][:at] + struct.pack("<HH", 0x1C0, 0) + was[name][at + 4 :]
        assert set(now) == {name, *REST}
    assert refused(compound({"Book": workbook(6), **REST, "_VBA_PROJECT_CUR": macros()})) is Why.ODD


@pytest.mark.parametrize("packed", [True, False])
def test_powerpoint(packed: bool) -> None:
    name = "PowerPoint Document"
    data = compound({name: powerpoint(vba_project(), packed=packed), **REST})
    outcome = cured(data)
    was, now = streams_of(data)[name], streams_of(outcome.data)[name]
    assert len(now) == len(was)
    assert now[32:40] == bytes(8)  # where the project is, and whether there is one
    assert (now[:32], now[40:52], now[-5008:]) == (was[:32], was[40:52], was[-5008:])
    assert scan(outcome.data).clean
    if not packed:
        assert now[52 : 52 + len(empty())] == empty()
    harmless = compound({name: powerpoint(vba_project(HARMLESS), packed=packed), **REST, "Macros": macros()})
    assert streams_of(cured(harmless).data)[name] == streams_of(harmless)[name]


def test_only_the_document_with_the_infected_macro_is_touched() -> None:
    inner: Tree = {"Workbook": workbook(), "_VBA_PROJECT_CUR": macros()}
    data = compound({"WordDocument": word(), "Macros": macros(HARMLESS), "ObjectPool": {"_1": inner}})
    was, now = streams_of(data), streams_of(cured(data).data)
    assert set(was) - set(now) == {name for name in was if name.startswith("ObjectPool/_1/_VBA")}
    assert [name for name in now if now[name] != was[name]] == ["ObjectPool/_1/Workbook"]


def test_project_in_the_root_or_in_a_storage_of_another_name() -> None:
    for where in ({"S": {**macros(), "other": NOISE}}, {**macros(), "other": NOISE}):
        now = streams_of(cured(compound(where)).data)
        assert {name.rpartition("/")[2] for name in now} == {"other", "f", "o"}
    assert refused(vba_project()) is Why.NOTHING_LEFT


def test_order_of_siblings_is_kept_whatever_the_tree_looks_like() -> None:
    """All places in a balanced tree: leaf, root, one heir, two."""
    names = ["A", "B", "C", "D", "E", "F", "G"]
    links = {"D": ("B", "F"), "B": ("A", "C"), "F": ("E", "G")}
    for gone in names:
        tree: Tree = {name: {"VBA": project({"M": MACRO})} if name == gone else name.encode() * 60 for name in names}
        made = Compound(tree)
        made.build()
        number = {entry.name: index for index, entry in enumerate(made.entries) if entry.name in names}
        lies = {name: {"left": 0xFFFFFFFF, "right": 0xFFFFFFFF} for name in names}
        lies |= {name: {"left": number[low], "right": number[high]} for name, (low, high) in links.items()}
        lies["Root Entry"] = {"child": number["D"]}
        data = Compound({**tree}, entry_lies=lies).build()
        now = streams_of(cured(data).data)
        assert now == {name: name.encode() * 60 for name in names if name != gone}


def test_what_is_not_macros_is_refused() -> None:
    assert refused(compound({**REST, "S": EICAR * 2, "WordDocument": word()})) is Why.NO_MACRO
    assert refused(compound(doc(S=EICAR))) is Why.NO_MACRO
    assert refused(compound(doc(_signatures=b"s"))) is Why.SIGNED
    assert refused(compound(doc(WordDocument=word(flags=0x100)))) in (Why.ENCRYPTED, Why.NO_MACRO)
    assert refused(compound(doc(WordDocument=word(version=0x65)))) is Why.ODD


def test_shared_sectors_loops_and_lying_sizes() -> None:
    """A stream that is kept and shares bytes with what goes must not lose them."""
    tree = doc()
    made = Compound(tree)
    made.build()
    start = {entry.name: entry.start for entry in made.entries}
    size = {entry.name: entry.size for entry in made.entries}
    assert size["f"] >= 4096
    for lies in (
        {"1Table": {"start": start["f"], "size": size["f"]}},
        {"1Table": {"size": size["1Table"] + 512}},
        {"1Table": {"start": 0x00FFFFFF}},
        {"\x05SummaryInformation": {"start": start["PROJECT"]}},
        {"\x05SummaryInformation": {"size": 4000}},
        {"Macros": {"right": 1}},
        {"PROJECT": {"right": 5}},
        {"Macros": {"right": 0x7FFFFFFF}},
    ):
        with pytest.raises(Refused) as caught:
            cured(Compound(doc(), entry_lies=lies).build())
        assert caught.value.why in (Why.ODD, Why.DAMAGED)
    table = start["1Table"]
    for follows in (table, 0x00FFFFFF, 0xFFFFFFFF):
        with pytest.raises(Refused):
            cured(Compound(doc(), fat_lies={table + 1: follows}).build())


def test_truncated_anywhere() -> None:
    data = compound(doc())
    for length in [*range(0, 600, 37), *range(600, len(data), 611)]:
        try:
            outcome = cured(data[:length])
        except Refused:
            continue
        assert not scan(outcome.data).threats


DATA = compound(doc())


@given(
    st.lists(st.tuples(st.integers(0, len(DATA) - 4), st.sampled_from([0, 1, 2, 0xFFFFFFFE, 0xFFFFFFFF, 0x7FFFFFFF])))
)
@settings(max_examples=150, deadline=None)
def test_whatever_numbers_say_it_is_cured_or_refused(numbers: list[tuple[int, int]]) -> None:
    data = bytearray(DATA)
    for at, number in numbers:
        struct.pack_into("<I", data, at & ~3, number)
    try:
        outcome = cured(bytes(data))
    except Refused:
        return
    assert not scan(outcome.data).threats
    assert len(outcome.data) == len(data)


def test_the_empty_one_is_sound() -> None:
    assert streams_of(empty()) == {}
    assert scan(empty()).clean


def test_a_name_of_an_odd_length_is_read_as_the_scanner_reads_it() -> None:
    """Names are told with the bytes of their end; half a unit belongs to nobody."""
    data = bytearray(compound(doc()))
    at = data.index("1Table".encode("utf-16-le"))
    data[at + 64] += 1
    outcome = cured(bytes(data))
    assert outcome.gone == [b"Macros/VBA/M.bas", b"Macros/VBA/project.bas"]
    assert scan(outcome.data).clean

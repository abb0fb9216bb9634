"""Sections: hashes of PE sections and import tables."""

from __future__ import annotations

import hashlib

import pytest

from kavfs._native import match
from kavfs.model import Reason
from tests.support.executables import Part, imports, pe
from tests.support.matching import names, open_parts

BODY = b"section text".ljust(512, b"\0")
AT = 0x2000


def find(data: bytes, text: str, form: str = "sections") -> list[str]:
    part = match.build_hash_segment(text.encode(), 216, form=form, database=b"a.mdb", digest=bytes(32)).data
    return [name.removesuffix(".UNOFFICIAL") for name in names(open_parts([part]).scan(data, all_match=True))]


@pytest.mark.parametrize("kind", ["md5", "sha1", "sha256"])
def test_a_section_is_found_by_size_and_digest(kind: str) -> None:
    digest = hashlib.new(kind, BODY).hexdigest()
    data = pe([Part(b".text", b"\x90"), Part(b".data", BODY)])
    assert find(data, f"512:{digest}:Some.Section\n") == ["Some.Section"]
    assert find(data, f"513:{digest}:Some.Section\n") == []
    assert find(data, f"*:{digest}:Any.Size:73\n") == ["Any.Size"]
    assert find(data.replace(b"section text", b"section tEXt"), f"512:{digest}:Some.Section\n") == []


def test_only_sections_of_programs_count() -> None:
    line = f"512:{hashlib.md5(BODY).hexdigest()}:Some.Section\n"
    assert find(b"no program" + BODY, line) == []
    assert find(BODY, line) == []


def test_a_section_that_is_there_twice_is_named_once() -> None:
    data = pe([Part(b".a", BODY), Part(b".b", BODY)])
    assert find(data, f"512:{hashlib.md5(BODY).hexdigest()}:Some.Section\n") == ["Some.Section"]


def importing(libraries: dict[bytes, list[bytes | int]], *, wide: bool = False) -> bytes:
    table = imports(AT, libraries)
    size = 20 * (len(libraries) + 1)
    return pe([Part(b".text", b"\x90"), Part(b".idata", table)], directories={1: (AT, size)}, wide=wide)


def by_imports(text: str, size: str | None = None) -> str:
    return f"{hashlib.md5(text.encode()).hexdigest()}:{size or len(text)}:Some.Imports\n"


def test_imports_are_hashed_as_text() -> None:
    data = importing({b"KERNEL32.dll": [b"ExitProcess", b"GetTickCount"], b"other.exe": [b"Run"]})
    text = "kernel32.exitprocess,kernel32.gettickcount,other.exe.run"
    assert find(data, by_imports(text), "imports") == ["Some.Imports"]
    assert find(data, by_imports(text, "*"), "imports") == ["Some.Imports"]
    assert find(data, by_imports(text + "x"), "imports") == []


def test_numbers_that_are_well_known_have_names() -> None:
    data = importing({b"WS2_32.dll": [1, 115], b"oleaut32.dll": [2], b"mine.dll": [7]})
    assert find(data, by_imports("ws2_32.accept,ws2_32.wsastartup,oleaut32.sysallocstring,mine.ord7"), "imports")


def test_programs_of_64_bits_have_no_import_hash() -> None:
    data = importing({b"a.dll": [b"f"]}, wide=True)
    assert find(data, by_imports("a.f"), "imports") == []


def test_an_import_table_that_takes_too_long_to_follow_is_said() -> None:
    """For each function all sections may be gone through; together that is limited."""
    at = 0x1000 * 2001
    table = imports(at, {b"mine.dll": [7] * 40_000})
    sections = [Part(b".%d" % i, b"") for i in range(2000)] + [Part(b".idata", table)]
    data = pe(sections, directories={1: (at, 40)}, entry=0)
    text = by_imports(",".join(["mine.ord7"] * 40_000)).encode()
    part = match.build_hash_segment(text, 216, form="imports", database=b"a.imp", digest=bytes(32)).data
    found = open_parts([part]).scan(data, all_match=True)
    assert (names(found), Reason(found.reasons)) == ([], Reason.MATCH)

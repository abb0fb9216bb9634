"""OneNote: every file in a section is looked at, whatever it says of its length."""

from __future__ import annotations

import pytest

from kavfs.model import Reason
from tests.support.archives import make_zip
from tests.support.objects import EICAR, F_ELSEWHERE, NEAR_MISS, scan
from tests.support.onenote import FILE, WEB_STORE, section, stored

FILLING = bytes(range(256)) * 200


def test_files_are_found_and_opened() -> None:
    for content, bad in ((EICAR, True), (NEAR_MISS, False)):
        parts = [stored(b"a page"), FILLING, b"odd", stored(content), stored(make_zip({"in.com": content}))]
        found = scan(section(*parts, FILLING))
        at = 1024 + len(b"".join(parts[:3])) + 36
        zipped = at + len(parts[3])
        assert ({b"file at %d" % at, b"file at %d/in.com" % zipped} <= set(found.infected)) is bad
        assert found.clean is not bad


@pytest.mark.parametrize("gap", range(0, 40, 5))
def test_a_file_anywhere_is_found(gap: int) -> None:
    """Where the pieces meet in which a section is read."""
    before = bytes((32 << 10) - 1024 - gap)
    packed = stored(make_zip({"in.com": EICAR}))
    assert b"file at %d/in.com" % (1024 + len(before) + 36) in scan(section(before, packed)).infected


def test_a_length_hides_nothing() -> None:
    inner = stored(EICAR)
    for size in (0, 1, 20 + len(inner)):
        found = scan(section(stored(b"A" * 20, size=size), inner))
        assert b"file at %d" % (1024 + len(stored(b"A" * 20)) + 36) in found.infected
    for size in (1 << 40, (1 << 64) - 1):
        found = scan(section(stored(b"x" * 8 + NEAR_MISS, size=size)))
        assert not found.infected
        assert found.reasons is Reason.DAMAGED
        assert b"file at 1060" in scan(section(stored(EICAR, size=size)[: 36 + len(EICAR)])).infected


def test_what_is_no_section_and_what_is_cut_short() -> None:
    data = section(stored(make_zip({"in.com": EICAR})))
    assert not [path for path in scan(b"\0" + data[1:]).infected if path.startswith(b"file at")]
    assert scan(section(FILE)).clean
    assert scan(section(FILE + bytes(19))).clean
    assert scan(section(FILE + bytes(20))).clean


def test_the_store_of_the_web_is_for_another_engine_too() -> None:
    assert scan(section(store=WEB_STORE)).flags & F_ELSEWHERE
    assert not scan(section()).flags & F_ELSEWHERE

"""An object that needs only what is new: clean there is enough, anything else is scanned in full at once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from kavfs._native.worker import ObjectScanner
from kavfs.limits import Limits
from kavfs.model import Reason, Status, Switch
from kavfs.options import EVERYTHING
from kavfs.signatures.image import Image
from tests.support.archives import make_tar, make_zip
from tests.support.databases import body
from tests.support.objects import EICAR, NEAR_MISS, found_in, image_of, parts

F_CONTAINER, F_SUPPRESSED, F_STABLE, F_LAYERS, F_DELTA = 4, 8, 16, 1 << 6, 1 << 7
OLD, NEW = "words that an old signature names", "words that a new signature names"


class Both:
    """A scanner whose whole image knows OLD and NEW, and whose delta, row 1, knows NEW only. Row 2 is empty, row 3 is
    damaged."""

    def __init__(self, folder: Path, exceptions: dict[str, str] | None = None) -> None:
        old, new = body("Test.Old", OLD), body("Test.New", NEW)
        self.full = image_of(folder, {"old.ndb": old, "new.ndb": new, **(exceptions or {})})
        self.delta = image_of(folder, {"new.ndb": new})
        self.junk = os.memfd_create("junk")
        os.write(self.junk, b"no image" * 1000)

    def scanner(self, limits: Limits | None = None, switches: Switch = EVERYTHING) -> ObjectScanner:
        rows = [parts(self.delta), [], [(self.junk, 0, 8000)]]
        return ObjectScanner(parts(self.full), limits or Limits(), int(switches), -1, rows)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return Both(tmp_path_factory.mktemp("delta"))


def full(data: bytes, image: Image, switches: Switch = EVERYTHING):
    return found_in(data, ObjectScanner(parts(image), Limits(), int(switches)))


def notes_of(data: bytes, using: ObjectScanner, delta: int = 0) -> list[tuple]:
    fd = os.memfd_create("object")
    os.write(fd, data)
    notes = using.scan(fd, delta)[1]
    os.close(fd)
    return notes


def test_what_is_clean_there_is_clean(both: Both) -> None:
    data = make_tar({"words": NEAR_MISS, "more": make_zip({"inside": b"plain text"})})
    found = found_in(data, both.scanner(), 1)
    expected = full(data, both.full)
    assert found.status == Status.CLEAN
    assert found.flags == expected.flags | F_DELTA
    assert found.flags & (F_CONTAINER | F_STABLE | F_LAYERS) == F_CONTAINER | F_STABLE | F_LAYERS
    same = ("reasons", "format", "size", "scanned", "members", "views", "depth", "layers", "target")
    assert [getattr(found, name) for name in same] == [getattr(expected, name) for name in same]


def test_only_what_is_new_is_looked_for(both: Both) -> None:
    """Nobody asks so for such an object; that it is not found shows that the whole image was not used."""
    found = found_in(OLD.encode(), both.scanner(), 1)
    assert (found.status, bool(found.flags & F_DELTA)) == (Status.CLEAN, True)


@pytest.mark.parametrize("pack", [bytes, lambda data: make_tar({"a": b"x", "b": data, "c": b"y"})])
def test_what_is_found_there_is_scanned_in_full(both: Both, pack) -> None:
    data = pack(f"{NEW} and {OLD}".encode())
    switches = EVERYTHING | Switch.ALL_MATCH | Switch.ALL_MEMBERS
    found = found_in(data, both.scanner(switches=switches), 1)
    assert found.status == Status.INFECTED
    assert not found.flags & F_DELTA
    plain = ObjectScanner(parts(both.full), Limits(), int(switches))
    assert notes_of(data, both.scanner(switches=switches), 1) == notes_of(data, plain)
    assert {note.name for note in notes_of(data, both.scanner(switches=switches), 1)} >= {
        b"Test.New.UNOFFICIAL",
        b"Test.Old.UNOFFICIAL",
    }
    budget = (found.scanned, found.members)
    expected = found_in(data, plain)
    assert budget == (expected.scanned, expected.members)  # begun anew


@pytest.mark.parametrize("row", [0, 2, 3, 4, 0xFFFFFFFF])
def test_a_row_that_cannot_be_used_is_a_full_scan(both: Both, row: int) -> None:
    using = both.scanner()
    for _ in range(2):
        found = found_in(OLD.encode(), using, row)
        assert (found.status, found.flags & F_DELTA) == (Status.INFECTED, 0)


def test_what_cannot_be_wholly_scanned_is_scanned_in_full(both: Both) -> None:
    data = make_zip({"inner.zip": make_zip({"words": OLD.encode()}), "beside": OLD.encode()})
    found = found_in(data, both.scanner(Limits(max_depth=1)), 1)
    assert (found.status, found.flags & F_DELTA) == (Status.INFECTED, 0)
    assert found.reasons & Reason.DEPTH


def test_member_lines_are_told_once_and_in_order(both: Both) -> None:
    data = make_tar({str(number): make_zip({"inside": b"text"}) for number in range(50)})
    switches = EVERYTHING | Switch.ALL_MEMBERS
    using = both.scanner(switches=switches)
    assert notes_of(data, using, 1) == notes_of(data, ObjectScanner(parts(both.full), Limits(), int(switches)))


def test_more_member_lines_than_are_kept_is_a_full_scan(both: Both) -> None:
    names = {f"{number:05}-" + "n" * 900: b"" for number in range(1500)}
    switches = EVERYTHING | Switch.ALL_MEMBERS
    found = found_in(make_tar(names), both.scanner(switches=switches), 1)
    assert (found.status, found.members, found.flags & F_DELTA) == (Status.CLEAN, 1500, 0)


def test_exceptions_are_asked_in_the_full_image(tmp_path: Path) -> None:
    data = NEW.encode()
    both = Both(tmp_path, {"own.sfp": f"{hashlib.sha256(data).hexdigest()}:{len(data)}:Test.Fine:73\n"})
    found = found_in(data, both.scanner(), 1)
    assert (found.status, found.flags & (F_SUPPRESSED | F_DELTA)) == (Status.CLEAN, F_SUPPRESSED)


def test_many_rows_take_turns(tmp_path: Path) -> None:
    texts = [f"words that signature number {number} names" for number in range(5)]
    images = [image_of(tmp_path, {"new.ndb": body(f"Test.{n}", text)}) for n, text in enumerate(texts)]
    whole = image_of(tmp_path, {"all.ndb": "".join(body(f"Test.{n}", text) for n, text in enumerate(texts))})
    using = ObjectScanner(parts(whole), Limits(), int(EVERYTHING), -1, [parts(one) for one in images])
    for turn in range(20):
        row = turn * 3 % 5
        for number, text in enumerate(texts):
            found = found_in(text.encode(), using, row + 1)
            assert (found.status, bool(found.flags & F_DELTA)) == (
                (Status.INFECTED, False) if number == row else (Status.CLEAN, True)
            )


def test_the_digest_that_is_wanted_in_any_case_is_there(both: Both) -> None:
    found = found_in(EICAR, both.scanner(switches=EVERYTHING | Switch.DIGEST), 1)
    assert found.flags & F_DELTA
    assert found.sha256 == hashlib.sha256(EICAR).digest()

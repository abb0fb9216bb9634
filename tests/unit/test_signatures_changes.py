"""Changes: the table knows every kind of database, and each kind that is read does what its row says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from kavfs.signatures import changes, kinds
from kavfs.signatures.changes import CHANGES, Change, change_of
from kavfs.signatures.kinds import LATER, PACKS, READ
from tests.support.databases import body, logical
from tests.support.deltas import delta_to, generation, names, opened, row_to

KEPT = {"z_ndb": body("Kept.Name-1", "marker that is always there")}


def line(kind: str, number: int) -> str:
    """A line that a kind takes, and another one for another number."""
    text = f"subject {number} of a line"
    match kind:
        case "ndb" | "ndu" | "sdb":
            return body(f"Line.Name-{number}", text)
        case "db":
            return f"Line.Name-{number}={text.encode().hex()}\n"
        case "ldb" | "ldu":
            return logical(f"Line.Name-{number}", text, "and more")
        case "cdb":
            return f"Line.Name-{number}:*:*:{number}:*:*:*:*:*:*\n"
        case "zmd" | "rmd":
            return f"Line.Name-{number}:*:{number}:*:*:*:*:*:*\n"
        case "pwdb":
            return f"Line.Name-{number};;0;{text}\n"
        case "ftm":
            return f"0:0:{text.encode().hex()}:Line:CL_TYPE_ANY:CL_TYPE_MSEXE\n"
        case "idb":
            return f"Line.Name-{number}:One:Two:20{'0' * 118}{number:04x}\n"
        case "crb":
            digest = hashlib.sha1(text.encode()).hexdigest()
            return f"Line.Name-{number};0;{digest};{digest};c0ffee;;1;1;1;;\n"
        case "cure":
            return f"Line.Name-{number}:replace:{text.encode().hex()}=:*\n"
        case "ign" | "ign2":
            return f"Line.Name-{number}\n"
        case "mdb" | "msb" | "mdu" | "msu":
            return f"{len(text)}:{hashlib.md5(text.encode()).hexdigest()}:Line.Name-{number}\n"
        case "hsb" | "hsu" | "sfp":
            return f"{hashlib.sha256(text.encode()).hexdigest()}:{len(text)}:Line.Name-{number}\n"
        case _:
            return f"{hashlib.md5(text.encode()).hexdigest()}:{len(text)}:Line.Name-{number}\n"


def test_every_kind_has_a_row_and_no_other() -> None:
    assert set(CHANGES) == set(READ) | set(LATER) | PACKS
    assert {kind for kind in CHANGES if change_of(kind) is Change.UNREAD} == set(LATER)


def test_what_detects_is_never_nothing() -> None:
    assert all(change_of(kind) in (Change.LINES, Change.FULL) for kind, form in READ.items() if form.detects)


def test_a_kind_that_nobody_has_thought_of_is_everything() -> None:
    assert change_of("new") is Change.FULL


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize(
    ("before", "after", "new"),
    [([1], [1, 2], {2}), ([1], [3], {3}), ([1, 2], [1], set()), ([], [1], {1}), ([1], [], set())],
    ids=["added", "changed", "withdrawn", "a first file", "a last file"],
)
def test_a_change_of_a_kind_means_what_its_row_says(
    kind: str, before: list[int], after: list[int], new: set[int], tmp_path: Path
) -> None:
    def files(numbers: list[int]) -> dict[str, str]:
        return {**KEPT, **({f"a_{kind}": "".join(line(kind, i) for i in numbers)} if numbers else {})}

    older = generation(tmp_path / "rules", tmp_path / "state", **files(before))
    with opened(tmp_path / "rules", tmp_path / "state", **files(after)) as image:
        assert image.generation != older
        delta, row = delta_to(image, older), row_to(image, older)
        assert delta is not None
        assert row is not None
        if change_of(kind) is Change.FULL:
            assert row.full
            return
        assert not row.full
        assert names(delta) == ({f"Line.Name-{i}" for i in new} if READ[kind].detects else set())


@pytest.mark.parametrize("kind", sorted(set(LATER) - kinds.WHOLE_FILES))
def test_a_kind_that_is_not_read_changes_no_answer(kind: str, tmp_path: Path) -> None:
    older = generation(tmp_path / "rules", tmp_path / "state", **KEPT)
    with opened(tmp_path / "rules", tmp_path / "state", **KEPT, **{f"a_{kind}": "some:line\n"}) as image:
        assert image.generation == older


def test_a_kind_whose_change_means_everything_gives_a_full_row(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setitem(changes.CHANGES, "hdb", Change.FULL)
    rules, state = tmp_path / "rules", tmp_path / "state"
    older = generation(rules, state, **KEPT, a_hdb=line("hdb", 1))
    with opened(rules, state, **KEPT, a_hdb=line("hdb", 1), b_ndb=line("ndb", 2)) as image:
        row, delta = row_to(image, older), delta_to(image, older)
        assert row is not None
        assert delta is not None
        assert not row.full
        assert names(delta) == {"Line.Name-2"}
    for numbers in ([1, 2], [2], []):
        changed = {"a_hdb": "".join(line("hdb", i) for i in numbers)} if numbers else {}
        with opened(rules, state, **KEPT, **changed) as image:
            row, delta = row_to(image, older), delta_to(image, older)
            assert row is not None
            assert delta is not None
            assert (row.full, delta.parts) == (True, ())

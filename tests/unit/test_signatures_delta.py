"""Deltas: what is new since an older generation is the difference; where that cannot be told, there is no row."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from kavfs.signatures import delta as deltas
from kavfs.signatures import history
from kavfs.signatures.image import Image, compile_image, open_image
from kavfs.signatures.sources import Source
from kavfs.signatures.store import Store
from tests.support.databases import bodies, body, logical
from tests.support.deltas import delta_to, generation, names, opened, row_to, scan, table

PE = b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + bytes(256)


def hashed(name: str) -> str:
    return f"{hashlib.md5(name.encode()).hexdigest()}:{len(name) + 100}:{name}\n"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return tmp_path / "rules"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


# -- the difference ----------------------------------------------------------------------------------------------------


def spread(rng: random.Random, kinds: dict[str, list[str]]) -> tuple[dict[str, str], set[str]]:
    """Some lines of each kind, on some files, some of them twice: (files, the lines)."""
    files: dict[str, str] = {}
    chosen: set[str] = set()
    for kind, lines in kinds.items():
        some = rng.sample(lines, rng.randint(1, len(lines)))
        chosen.update(some)
        for line in [*some, *rng.sample(some, len(some) // 4)]:
            name = f"{rng.choice('abc')}_{kind}"
            files[name] = files.get(name, "") + line
    return files, chosen


POOL = {
    "hdb": [hashed(f"Pool.Hash-{i}") for i in range(40)],
    "hsb": [f"{hashlib.sha256(b'%d' % i).hexdigest()}:*:Pool.Any-{i}:73\n" for i in range(10)],
    "ndb": [body(f"Pool.Body-{i}", f"body marker number {i:04}") for i in range(20)],
    "ldb": [logical(f"Pool.Pair-{i}", f"left half {i:04}", f"right half {i:04}") for i in range(20)],
}


def name_of(line: str) -> str:
    return next(word for word in line.strip().replace(";", ":").split(":") if word.startswith("Pool."))


@pytest.mark.parametrize("seed", range(24))
def test_it_is_the_difference_of_two_random_sets(seed: int, rules: Path, state: Path) -> None:
    rng = random.Random(seed)
    kinds = POOL if seed % 4 == 0 else {kind: POOL[kind] for kind in ("hdb", "hsb")}
    files, before = spread(rng, kinds)
    older = generation(rules, state, **files)
    files, now = spread(rng, kinds)
    with opened(rules, state, **files) as image:
        delta = delta_to(image, older)
        row = row_to(image, older)
        assert delta is not None
        assert row is not None
        assert names(delta) == {name_of(line) for line in now - before}
        assert row.hashes == {name_of(line) for line in now - before if line in POOL["hdb"] or line in POOL["hsb"]}
        assert not row.full


def test_skipped_generations_are_merged(rules: Path, state: Path) -> None:
    lines = [body(f"Step.Name-{i}", f"marker of step {i}") for i in range(4)]
    older = [generation(rules, state, a_ndb="".join(lines[: i + 1])) for i in range(3)]
    with opened(rules, state, a_ndb="".join(lines)) as image:
        for i, past in enumerate(older):
            delta = delta_to(image, past)
            assert delta is not None
            assert names(delta) == {f"Step.Name-{k}" for k in range(i + 1, 4)}
            assert scan(delta, b"marker of step 3 and marker of step 0") == {b"Step.Name-3"}


def test_after_a_rollback_the_newer_generation_is_an_older_one(rules: Path, state: Path) -> None:
    first, second = body("Back.First-1", "marker of the first"), body("Back.Second-2", "marker of the second")
    before = generation(rules, state, a_ndb=first)
    newer = generation(rules, state, a_ndb=second)
    with opened(rules, state, a_ndb=first) as image:
        assert image.generation == before
        delta = delta_to(image, newer)
        assert delta is not None
        assert names(delta) == {"Back.First-1"}
        assert delta_to(image, before) is None


def test_databases_side_by_side_on_one_state_folder(tmp_path: Path, state: Path) -> None:
    shared = body("Both.Name-1", "marker in both of them")
    one = generation(tmp_path / "one", state, a_ndb=shared + hashed("no body"))
    with opened(tmp_path / "two", state, z_ndb=shared, z_hdb=hashed("Two.Only-1")) as image:
        delta = delta_to(image, one)
        assert delta is not None
        assert names(delta) == {"Two.Only-1"}


def nothing_new(image: Image, older: bytes) -> bool:
    delta, row = delta_to(image, older), row_to(image, older)
    assert delta is not None
    assert row is not None
    return (delta.parts, row.targets, row.sets, row.full) == ((), 0, (), False)


BODY = body("Some.Name-1", "marker of some name")
PAIR = logical("Some.Pair-2", "one half of a pair", "other half of a pair")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({"a_ndb": BODY}, {"b_ndb": BODY}, id="the file has another name"),
        pytest.param({"a_ndb": BODY}, {"a_ndb": BODY + body("Bad.Name-2", "x") + "no signature\n"}, id="rejected"),
        pytest.param({"a_ndb": BODY}, {"a_ndb": BODY, "b_ndb": BODY}, id="the same line in two files"),
        pytest.param({"a_ndb": BODY}, {"a_ndb": BODY.replace("\n", "\r\n")}, id="other line ends"),
        pytest.param({"a_ndb": BODY}, {"a_ndb": "# new\n\n" + BODY.rstrip("\n")}, id="comments"),
        pytest.param({"a_hdb": hashed("A.B-1")}, {"a_hsb": hashed("A.B-1")}, id="hdb and hsb are read alike"),
        pytest.param({"a_ndb": BODY, "a_ldb": PAIR}, {"a_ldb": PAIR}, id="withdrawn"),
        pytest.param({"a_ndb": BODY, "i_ign2": "Some.Name-1\n"}, {"a_ndb": BODY}, id="no longer ignored"),
        pytest.param({"a_ndb": BODY}, {"a_ndb": BODY, "a_fp": hashed("Good.File-1")}, id="an exception"),
    ],
)
def test_nothing_new_is_a_row_without_anything(rules: Path, state: Path, before, after) -> None:  # type: ignore[no-untyped-def]
    older = generation(rules, state, **before)
    with opened(rules, state, **after) as image:
        assert image.generation != older
        assert nothing_new(image, older)


def test_a_line_that_comes_to_be_taken_is_new(rules: Path, state: Path) -> None:
    refused = BODY.replace("\n", ":999\n")  # for engines of a level that is far away
    older = generation(rules, state, a_ndb=PAIR and body("Other.Name-9", "quite another marker") + refused)
    with opened(rules, state, a_ndb=body("Other.Name-9", "quite another marker") + BODY) as image:
        delta = delta_to(image, older)
        assert delta is not None
        assert names(delta) == {"Some.Name-1"}


# -- the table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("new", "targets"),
    [
        ({"b_ndb": body("T.Any-1", "marker for any type")}, 1 << 0),
        ({"b_ndb": body("T.Pe-1", "marker for programs", 1)}, 1 << 1),
        (
            {"b_ndb": body("T.Pe-1", "marker for programs", 1), "b_ldb": logical("T.Pdf-1", "marker", target=10)},
            1 << 1 | 1 << 10,
        ),
        ({"b_ldb": "T.Absent-1;Engine:51-255,Target:1;0=0;" + b"what is not there".hex() + "\n"}, 1 << 1),
        ({"b_hdb": hashed("T.Hash-1")}, 0),
    ],
)  # fmt: skip
def test_targets_are_those_of_new_body_signatures(rules: Path, state: Path, new, targets) -> None:  # type: ignore[no-untyped-def]
    older = generation(rules, state, a_ndb=BODY)
    with opened(rules, state, a_ndb=BODY, **new) as image:
        row = row_to(image, older)
        assert row is not None
        assert row.targets == targets
        assert bool(row.sets) == ("b_hdb" in new)


def test_a_signature_without_any_literal_is_matched_by_the_delta(rules: Path, state: Path) -> None:
    older = generation(rules, state, a_ndb=BODY)
    absent = "T.Absent-1;Engine:51-255,Target:1;0=0;" + b"what is not there".hex() + "\n"
    with opened(rules, state, a_ndb=BODY, b_ldb=absent) as image:
        delta = delta_to(image, older)
        assert delta is not None
        assert scan(delta, PE) == {b"T.Absent-1"}
        assert scan(delta, PE + b"what is not there") == set()


PROBE = "T.Probe-1;Engine:81-255,Target:1;0&1;" + b"key~".hex() + ";0/ab+c/\n"


def test_a_regular_expression_is_matched_by_the_delta(rules: Path, state: Path) -> None:
    older = generation(rules, state, a_ndb=BODY)
    with opened(rules, state, a_ndb=BODY, b_ldb=PROBE) as image:
        delta = delta_to(image, older)
        assert delta is not None
        assert scan(delta, PE + b"key~abbc") == {b"T.Probe-1"}
        assert scan(delta, PE + b"key~ac") == set()


def test_the_delta_sees_layers_of_the_types_that_lists_give_them(rules: Path, state: Path) -> None:
    files = {"a_ndb": BODY, "t_ftm": f"0:0:{b'STRANGE'.hex()}:Strange:CL_TYPE_ANY:CL_TYPE_PDF\n"}
    files["p_pwdb"] = "Pw-1;;0;open sesame\n"
    older = generation(rules, state, **files)
    with opened(rules, state, **files, b_ndb=body("T.Pdf-1", "the new marker", target=10)) as image:
        delta, row = delta_to(image, older), row_to(image, older)
        assert delta is not None
        assert row is not None
        assert (row.full, row.targets) == (False, 1 << 10)
        assert scan(delta, b"STRANGE file with the new marker") == {b"T.Pdf-1"}
        assert scan(delta, b"strange file with the new marker") == set()


@pytest.mark.parametrize(
    "new",
    [{"b_ldb": "T.Macro-1;Engine:51-255,Target:1;0&1;61626364;${4-9}3$\n"}, {"c_ndb": "T.Member-1:1:$3$:6162636465\n"}],
)
def test_macros_and_their_members_are_true_with_old_lines_only(rules: Path, state: Path, new: dict[str, str]) -> None:
    older = generation(rules, state, a_ndb=BODY)
    with opened(rules, state, a_ndb=BODY, **new) as image:
        row = row_to(image, older)
        assert row is not None
        assert row.full


def test_icon_groups_are_right_with_icons_of_another_file_only(rules: Path, state: Path) -> None:
    new = {"b_ldb": "T.Icon-1;Engine:51-255,Target:1,IconGroup2:Some;0;61626364\n"}
    older = generation(rules, state, a_ndb=BODY)
    with opened(rules, state, a_ndb=BODY, **new) as image:
        row = row_to(image, older)
        assert row is not None
        assert row.full


def test_too_much_that_is_new_is_scanned_in_full(rules: Path, state: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    older = generation(rules, state, a_ndb=bodies("Old", 10))
    monkeypatch.setattr(deltas, "FULL_LEAST", 2)
    for new, full in ((2, False), (3, True)):
        with opened(rules, state, a_ndb=bodies("Old", 10), b_ndb=bodies("New", new)) as image:
            row, delta = row_to(image, older), delta_to(image, older)
            assert row is not None
            assert delta is not None
            assert row.full is full
            assert bool(delta.parts) is not full


def test_four_generations_at_most_the_newest_first(rules: Path, state: Path) -> None:
    made = [generation(rules, state, a_hdb="".join(hashed(f"N.N-{k}") for k in range(i + 1))) for i in range(20)]
    with opened(rules, state, a_hdb=hashed("N.Other-1")) as image:
        assert {delta.generation for delta in image.deltas} == set(made[-4:])
    assert len(history.read_history(Store(os.fsencode(state)))) == history.PAST_MAX


def test_only_generations_that_records_use(rules: Path, state: Path) -> None:
    made = [generation(rules, state, a_hdb="".join(hashed(f"N.N-{k}") for k in range(i + 1))) for i in range(7)]
    for used in (made[:2], [], [made[0], b"unknown to history"[:16], made[-1]], made[1:5]):
        with open_image([rules], state, used=used) as image:
            rows = {delta.generation for delta in image.deltas}
            assert rows >= set(used) - {image.generation, b"unknown to history"[:16]}


def test_an_image_file_has_no_history(rules: Path, state: Path, tmp_path: Path) -> None:
    from kavfs.signatures.imagewriter import compile_image_file

    generation(rules, state, a_ndb=BODY)
    with opened(rules, state, a_ndb=BODY + body("New.Name-2", "newer marker")) as image:
        assert image.deltas
    with compile_image_file([rules], tmp_path / "image") as image:
        assert (image.deltas, image.delta_table) == ((), b"")


# -- what is lost or damaged -------------------------------------------------------------------------------------------


def two_steps(rules: Path, state: Path) -> tuple[bytes, dict[str, str]]:
    """An older generation, and the files of the one to come, of which New.* is new."""
    older = generation(rules, state, a_ndb=BODY, a_hdb=hashed("Old.Hash-1"))
    return older, {"a_ndb": BODY + body("New.Name-2", "newer marker"), "a_hdb": hashed("New.Hash-3")}


def lines_of(state: Path) -> list[Path]:
    return sorted((state / "segments").glob("*.lines"))


def spoil(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    match how:
        case "gone":
            path.unlink()
            return
        case "empty":
            data = bytearray()
        case "short":
            del data[-16:]
        case "changed":
            data[-1] ^= 1
        case "head":
            data[0] ^= 1
    path.write_bytes(data)


HOWS = ("gone", "empty", "short", "changed", "head")


@pytest.mark.parametrize("how", HOWS)
def test_spoilt_lines_of_an_older_generation_are_no_row(rules: Path, state: Path, how: str) -> None:
    older, files = two_steps(rules, state)
    for path in lines_of(state):
        spoil(path, how)
    with opened(rules, state, **files) as image:
        assert row_to(image, older) is None
        assert image.signature_count == 3
        newer = image.generation
    with opened(rules, state, **files, b_hdb=hashed("Newest.Hash-1")) as image:
        assert row_to(image, older) is None
        delta = delta_to(image, newer)
        assert delta is not None
        assert names(delta) == {"Newest.Hash-1"}


def test_lines_of_another_segment_under_its_name_are_no_row(rules: Path, state: Path) -> None:
    older, files = two_steps(rules, state)
    one, other = lines_of(state)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    with opened(rules, state, **files) as image:
        assert row_to(image, older) is None


@pytest.mark.parametrize("how", HOWS)
def test_spoilt_lines_of_now_are_made_again(rules: Path, state: Path, how: str) -> None:
    older, files = two_steps(rules, state)
    known = set(lines_of(state))
    with opened(rules, state, **files):
        pass
    for path in set(lines_of(state)) - known:
        spoil(path, how)
    with compile_image([rules], state) as image:
        delta = delta_to(image, older)
        assert delta is not None
        assert names(delta) == {"New.Name-2", "New.Hash-3"}


@pytest.mark.parametrize("how", HOWS)
def test_a_spoilt_history_is_forgotten_but_for_the_image_before(rules: Path, state: Path, how: str) -> None:
    first = generation(rules, state, a_ndb=body("First.Name-1", "very first marker"))
    older, files = two_steps(rules, state)
    spoil(state / "history.json", how)
    with opened(rules, state, **files) as image:
        assert row_to(image, first) is None
        delta = delta_to(image, older)
        assert delta is not None
        assert names(delta) == {"New.Name-2", "New.Hash-3"}


@pytest.mark.parametrize("how", HOWS)
def test_a_spoilt_part_of_a_delta_is_made_again(rules: Path, state: Path, how: str) -> None:
    older, files = two_steps(rules, state)
    opened(rules, state, **files).close()
    with open_image([rules], state) as image:
        parts = [part for row in image.catalog.deltas for part in row.parts]
    for part in parts:
        spoil(state / part.kind / f"{part.key}.bin", how)
    with compile_image([rules], state) as image:
        delta = delta_to(image, older)
        assert delta is not None
        assert scan(delta, b"a newer marker") == {b"New.Name-2"}


@pytest.mark.parametrize("how", HOWS)
def test_a_spoilt_table_is_made_again(rules: Path, state: Path, how: str) -> None:
    older, files = two_steps(rules, state)
    with opened(rules, state, **files) as image:
        good = image.delta_table
    (path,) = (state / "deltas").glob("*.bin")
    spoil(path, how)
    with open_image([rules], state) as image:
        assert image.delta_table == good
        assert row_to(image, older) is not None


def test_a_table_that_is_spoilt_while_open_is_no_table(rules: Path, state: Path) -> None:
    _, files = two_steps(rules, state)
    with opened(rules, state, **files) as image:
        (path,) = (state / "deltas").glob("*.bin")
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        assert (image.delta_table, image.deltas) == (b"", ())


def test_a_file_that_changes_while_its_new_lines_are_taken_gives_no_rows(rules: Path, state: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    older, files = two_steps(rules, state)
    original = deltas.read_texts

    def changed(sources: Sequence[Source]):  # type: ignore[no-untyped-def]
        for source in sources:
            with open(source.path, "rb+") as file:
                text = file.read()
                file.seek(0)
                file.write(b"# pushes every line down\n" + text)
        return original(sources)

    monkeypatch.setattr(deltas, "read_texts", changed)
    with opened(rules, state, **files) as image:
        assert image.deltas == ()
        assert image.signature_count == 3
    monkeypatch.undo()
    with open_image([rules], state) as image:
        delta = delta_to(image, older)
        assert delta is not None
        assert names(delta) == {"New.Name-2", "New.Hash-3"}


def test_what_history_needs_outlives_sweeping_and_what_it_does_not_goes(rules: Path, state: Path) -> None:
    _, files = two_steps(rules, state)
    kept = set(lines_of(state))
    (state / ".new-1-history.json").write_text("left behind by a process that was killed")
    with opened(rules, state, **files) as image:
        assert kept <= set(lines_of(state))
        assert not (state / ".new-1-history.json").exists()
        assert {path.stem for path in (state / "deltas").iterdir()} == {image.catalog.table and image.catalog.table.key}
        assert len(table(image)) == 1

"""Recipes: what is a line of a .cure database, and that nothing but what it says is ever taken out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kavfs.action.cure.recipes import Found, treated
from kavfs.action.cure.refused import Refused, Why
from kavfs.recipe import BadRecipe, parse
from kavfs.signatures.cure import read_cure, sealed, unsealed
from kavfs.signatures.image import open_image
from kavfs.signatures.lines import Tally
from tests.support.curing import cured, zip_of
from tests.support.databases import body
from tests.support.deltas import generation, opened
from tests.support.documents import members_of
from tests.support.objects import EICAR, NEAR_MISS
from tests.support.programs import kavfs

PAGE = b"<?php echo 'page'; ?>\n"
CODE = b"/*in*/ eval('" + EICAR + b"'); /*out*/\n"
FILE = CODE + PAGE


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def treat(data: bytes, *lines: str, hit: int | None = None) -> bytes:
    return treated(data, [Found(hit, tuple(parse(f"Name:{line}") for line in lines))])


def refused(data: bytes, *lines: str, hit: int | None = None) -> bool:
    with pytest.raises(Refused) as caught:
        treat(data, *lines, hit=hit)
    return caught.value.why in (Why.NO_RECIPE, Why.NOTHING_LEFT)


IN, OUT = b"/*in*/".hex(), b"/*out*/\n".hex()


@pytest.mark.parametrize(
    "steps",
    [
        f"delete:0-{len(CODE)}",
        f"delete:begin-begin+{len(CODE)}",
        f"delete:hit-13-hit+{len(CODE) - 13}",
        f"delete:before({IN})-after({OUT})",
        f"delete:0-end-{len(PAGE)}",
        f"replace:{CODE.hex()}=",
    ],
)
def test_each_place_leads_to_the_same_bytes(steps: str) -> None:
    hit, other = FILE.index(EICAR), FILE.replace(b"eval", b"evil")
    assert treat(FILE, f"{steps}:{digest(PAGE)}", hit=hit) == PAGE
    assert refused(FILE, f"{steps}:{digest(PAGE + b'x')}", hit=hit)
    assert refused(FILE + b"x", f"{steps}:{digest(PAGE)}", hit=hit)
    line = f"{steps}:*" if "replace" in steps else f"{steps}={digest(CODE)}:*"
    assert treat(FILE, line, hit=hit) == PAGE
    assert refused(other, line, hit=hit)
    if "before" not in steps and "replace" not in steps:
        assert refused(b"x" + FILE, line, hit=hit)


def test_what_follows_and_the_last_bytes() -> None:
    data = PAGE + CODE
    for steps in (f"keep:{len(PAGE)}", f"keep:before({IN})", f"truncate:{len(CODE)}"):
        assert treat(data, f"{steps}={digest(CODE)}:*") == PAGE
        assert treat(data, f"{steps}:{digest(PAGE)}") == PAGE
        assert refused(data, f"{steps}={digest(PAGE)}:*")
        assert refused(data[:-1] + b"x", f"{steps}={digest(CODE)}:*")
        assert refused(b"x" + data[:-1], f"{steps}:{digest(PAGE)}")


def test_several_steps_are_one_cure() -> None:
    data = CODE + PAGE.replace(b"page", b"PAGE") + CODE
    steps = f"truncate:{len(CODE)}={digest(CODE)};replace:{b'PAGE'.hex()}={b'page'.hex()};delete:0-{len(CODE)}"
    assert treat(data, f"{steps}={digest(CODE)}:*") == PAGE
    assert refused(data, f"{steps}={digest(PAGE)}:*")
    overlap = f"delete:0-10={digest(data[:10])};delete:9-12={digest(data[9:12])}:*"
    assert refused(data, overlap)


def test_a_marker_must_stand_once() -> None:
    line = f"delete:before({IN})-after({OUT})={digest(CODE)}:*"
    assert treat(FILE, line) == PAGE
    assert refused(FILE + CODE, line)
    assert refused(PAGE, line)
    assert refused(FILE + b"aaaa" + b"a", f"replace:{b'aaaa'.hex()}=:*")


def test_places_outside_and_backwards_and_without_a_hit() -> None:
    for steps in (
        "delete:0-1000",
        "delete:begin-1-5",
        "delete:9-5",
        "delete:5-5",
        "truncate:1000",
        "keep:end+1",
        "truncate:0",
    ):
        assert refused(FILE, f"{steps}:{digest(PAGE)}")
    assert refused(FILE, f"delete:hit-end:{digest(PAGE)}", hit=None)


def test_nothing_left_is_no_cure() -> None:
    assert refused(CODE, f"keep:0={digest(CODE)}:*")


def test_the_first_line_that_fits_is_taken() -> None:
    lines = (f"delete:0-4={digest(b'none')}:*", f"replace:{CODE.hex()}=:*", "replace:00000000=:*")
    assert treat(FILE, *lines) == PAGE


def test_every_threat_needs_a_recipe_unless_one_knows_the_result() -> None:
    fits, none = Found(None, (parse(f"N:replace:{CODE.hex()}=:*"),)), Found(None, ())
    whole = Found(None, (parse(f"N:replace:{CODE.hex()}=:{digest(PAGE)}"),))
    other = Found(None, (parse(f"M:replace:{b'page'.hex()}=:*"),))
    assert treated(FILE, [fits]) == treated(FILE, [fits, fits]) == treated(FILE, [whole, none]) == PAGE
    assert treated(FILE, [fits, other]) == PAGE.replace(b"page", b"")
    with pytest.raises(Refused):
        treated(FILE, [fits, none])
    with pytest.raises(Refused):
        treated(FILE, [fits, Found(None, (parse(f"M:delete:0-5={digest(FILE[:5])}:*"),))])


SHA = "0" * 64


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "wrong number of fields"),
        ("Name", "wrong number of fields"),
        ("Name:*", "wrong number of fields"),
        (f":keep:0={SHA}:*", "malformed name"),
        (f"Na me:keep:0={SHA}:*", "malformed name"),
        ("Name:keep:0:*", "nothing says what is removed"),
        ("Name:delete:0-5:*", "nothing says what is removed"),
        ("Name:truncate:5:*", "nothing says what is removed"),
        (f"Name:keep:0={SHA}:", "malformed digest of the result"),
        (f"Name:keep:0:{SHA[:-1]}", "malformed digest of the result"),
        (f"Name:keep:0:{SHA}0", "malformed digest of the result"),
        (f"Name:drop:0:{SHA}", "unknown step"),
        (f"Name:keep:0;:{SHA}", "unknown step"),
        (f"Name:keep::{SHA}", "malformed step: keep"),
        (f"Name:keep: 0:{SHA}", "malformed step: keep"),
        (f"Name:keep:-1:{SHA}", "malformed step: keep"),
        (f"Name:keep:0={SHA[:-1]}:{SHA}", "malformed step: keep"),
        (f"Name:keep:hit:5:{SHA}", "malformed step: keep"),
        (f"Name:delete:5:{SHA}", "malformed step: delete"),
        (f"Name:delete:middle-end:{SHA}", "malformed step: delete"),
        (f"Name:delete:before()-end:{SHA}", "malformed step: delete"),
        (f"Name:delete:\u0661-end:{SHA}", "malformed step: delete"),
        (f"Name:delete:before(aabbc)-end:{SHA}", "malformed hex"),
        (f"Name:delete:before(aabbcc)-end:{SHA}", "a marker that is too short"),
        (f"Name:delete:before({'aa' * 5000})-end:{SHA}", "malformed hex"),
        ("Name:replace:aabbcc=:*", "a marker that is too short"),
        ("Name:replace:aabbccdd=aabbccdd:*", "a step that changes nothing"),
        ("Name:replace:aabbccdd:*", "malformed step: replace"),
        ("Name:replace:=aabbccdd:*", "malformed step: replace"),
        (f"Name:keep:99999999999999999999:{SHA}", "a number that is too large"),
        (f"Name:{';'.join(['keep:0'] * 33)}:{SHA}", "too many steps"),
    ],
)
def test_what_is_no_line(line: str, why: str) -> None:
    with pytest.raises(BadRecipe, match=f"^{why}$"):
        parse(line)


def test_signs_between_places_are_read_in_the_one_way_there_is() -> None:
    for text, start, stop in (
        ("hit-5-hit+20", ("hit", -5), ("hit", 20)),
        ("hit-5-20", ("hit", -5), ("begin", 20)),
        ("hit-5", ("hit", 0), ("begin", 5)),
        ("begin-end", ("begin", 0), ("end", 0)),
        ("end-9-end-3", ("end", -9), ("end", -3)),
    ):
        (step,) = parse(f"Name:delete:{text}:{SHA}").steps
        assert ((step.start.base, step.start.shift), (step.stop.base, step.stop.shift)) == (start, stop)


@given(st.text(alphabet="delet:kpruncahibfo()-+=;*0123456789\u0661 ", max_size=60))
def test_any_text_is_a_line_or_not(text: str) -> None:
    for line in (text, f"Name:{text}:{SHA}", f"Name:keep:{text}:{SHA}", f"Name:delete:{text}:{SHA}"):
        try:
            recipe = parse(line)
        except BadRecipe:
            continue
        assert recipe.steps


@given(st.binary(max_size=40), st.integers(0, 45), st.integers(0, 45))
def test_what_goes_is_what_the_digest_says(data: bytes, start: int, stop: int) -> None:
    wanted = b"bad bytes"
    try:
        out = treat(data + wanted + data, f"delete:{start}-{stop}={digest(wanted)}:*")
    except Refused:
        return
    assert out == data + data


# ---- in a file ------------------------------------------------------------------------------------------------------

LINE = f"Eicar-Test:delete:before({IN})-after({OUT})={digest(CODE)}:*"


def test_injected_code_is_taken_out_of_a_file_and_of_a_member() -> None:
    outcome = cured(FILE, b"a.php", [LINE])
    assert (outcome.data, outcome.gone) == (PAGE, [b""])
    outcome = cured(zip_of([("w/a.php", FILE), ("e.com", EICAR), ("b", b"b")]), b"", [LINE])
    assert members_of(outcome.data) == [("w/a.php", PAGE), ("b", b"b")]
    assert outcome.gone == [b"w/a.php", b"e.com"]


def test_a_member_that_no_recipe_fits_goes_and_a_file_stays() -> None:
    other = FILE.replace(b"eval", b"evil")
    outcome = cured(zip_of([("w/a.php", other), ("b", b"b")]), b"", [LINE])
    assert members_of(outcome.data) == [("b", b"b")]
    with pytest.raises(Refused) as caught:
        cured(other, b"a.php", [LINE])
    assert caught.value.why is Why.NO_RECIPE


# ---- in databases ---------------------------------------------------------------------------------------------------

DATABASES = {"a_ndb": body("Eicar-Test", EICAR.decode())}


def test_recipes_are_read_with_the_databases(tmp_path: Path) -> None:
    lines = f"# comment\n{LINE}\nEicar-Test:keep:0:*\nEicar-Test:keep:0:{SHA}\nOther.UNOFFICIAL:keep:1:{SHA}\n"
    with opened(tmp_path / "rules", tmp_path / "state", **DATABASES, a_cure=lines) as image:
        assert (
            image.recipes("Eicar-Test.UNOFFICIAL") == image.recipes("Eicar-Test") == (LINE, f"Eicar-Test:keep:0:{SHA}")
        )
        assert image.recipes("Other") == (f"Other.UNOFFICIAL:keep:1:{SHA}",)
        assert image.recipes("Third") == ()
        assert image.signature_count == 1
        first = image.generation
    with opened(tmp_path / "rules", tmp_path / "state", **DATABASES, a_cure=lines) as image:
        assert (image.generation, image.recipes("Eicar-Test")[0]) == (first, LINE)
    assert generation(tmp_path / "rules", tmp_path / "state", **DATABASES) != first


def test_info_counts_them_and_names_the_line_of_what_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "a.ndb").write_text(DATABASES["a_ndb"])
    (rules / "b.cure").write_text(f"{LINE}\n\nEicar-Test:drop:0:*\n")
    out = kavfs("db", "info", "--db", str(rules), "--state", str(tmp_path / "state"), "--rejected")
    assert ".cure: 1 file, 1 line taken; 1 not: unknown step" in out
    assert "1 recipe" in out
    assert f"{rules}/b.cure:3: unknown step" in out


def test_image_files_hold_recipes(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "a.ndb").write_text(DATABASES["a_ndb"])
    (rules / "b.cure").write_text(LINE)
    kavfs("db", "compile", str(rules), "-o", str(tmp_path / "image"))
    with open_image([str(tmp_path / "image")], "") as image:
        assert image.recipes("Eicar-Test") == (LINE,)


def test_a_damaged_side_file_has_no_recipes() -> None:
    lines = read_cure(LINE.encode(), Tally())
    good = json.dumps(sealed(lines)).encode()
    assert unsealed(good) == lines
    for bad in (good.replace(b"delete", b"Delete"), good[:-3], b"[]", b"1", b"{}", None, b'{"recipes": [1]}', b"\xff"):
        assert unsealed(bad) == []


def test_near_miss_is_no_finding() -> None:
    with pytest.raises(Refused):
        cured(FILE.replace(EICAR, NEAR_MISS), b"a.php", [LINE])

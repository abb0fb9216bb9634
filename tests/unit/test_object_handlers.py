"""Signatures with a HandlerType: what they match is scanned again as of another type."""

from __future__ import annotations

from pathlib import Path

import pytest

from kavfs.limits import Limits
from kavfs.model import Reason, Switch
from kavfs.options import EVERYTHING
from tests.support.archives import make_zip
from tests.support.handlers import CASES, INNER, PROGRAM, SIGNATURES, Case, rule
from tests.support.objects import Verdict, image_of, scan, scanner


def look(folder: Path, case: Case, limits: Limits | None = None) -> Verdict:
    image = image_of(folder, {"a.ldb": case.rules, "a.ndb": SIGNATURES})
    return scan(case.data, scanner(limits, EVERYTHING | Switch.ALL_MATCH, of=image))


@pytest.mark.parametrize("name", CASES)
def test_what_is_found_with_a_handler(tmp_path: Path, name: str) -> None:
    verdict = look(tmp_path, CASES[name])
    names = [found.decode() for _, found in verdict.threats]
    assert sorted(names) == sorted(CASES[name].names)
    assert not verdict.reasons


def test_it_is_found_in_the_layer_itself_and_members_where_they_are(tmp_path: Path) -> None:
    packed = make_zip({"in.zip": PROGRAM + make_zip({"deep": INNER.encode()})})
    verdict = look(tmp_path, Case(packed, rule("H", 1, "PDF"), frozenset()))
    assert {(path, name.decode().removesuffix(".UNOFFICIAL")) for path, name in verdict.threats} == {
        (b"in.zip", "Any.Mark"), (b"in.zip", "Paper.Mark"), (b"in.zip/deep", "Any.Inner"),
    }  # fmt: skip


def test_a_handler_is_a_layer_more(tmp_path: Path) -> None:
    verdict = look(tmp_path, CASES["a program as a paper"], Limits(max_depth=0))
    assert verdict.reasons & Reason.DEPTH

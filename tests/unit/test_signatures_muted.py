"""Lines that .ign2 names by digest: silent wherever they stand, until one of their letters changes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from kavfs._native import match
from kavfs.signatures.image import Image, open_image
from kavfs.signatures.renew import still_valid
from kavfs.signatures.sources import find_sources
from kavfs.signatures.store import Store
from tests.support.databases import body, logical, write
from tests.support.deltas import delta_to, generation, names, opened

WORDS = "marker of some name"
LINE = body("Some.Name-1", WORDS)
OTHER = body("Other.Name-2", "quite another marker")


def muted(line: str, name: str = "Some.Name-1") -> str:
    return f"{name}:{hashlib.md5(line.rstrip().encode()).hexdigest()}\n"


def found(image: Image, data: str = WORDS + " and quite another marker") -> list[str]:
    parts = match.Image([(part.fd, part.offset, part.length) for part in image.parts])
    return sorted(name.decode().removesuffix(".UNOFFICIAL") for name in parts.scan(data.encode(), all_match=True).names)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return tmp_path / "rules"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.mark.parametrize("database", ["a_ndb", "z_ndb"])
def test_the_line_is_silent_and_others_of_its_name_are_not(rules: Path, state: Path, database: str) -> None:
    second = body("Some.Name-1", "quite another")
    with opened(rules, state, **{database: LINE + OTHER + second}, i_ign2=muted(LINE)) as image:
        assert found(image) == ["Other.Name-2", "Some.Name-1"]
        assert found(image, WORDS) == []
        assert {entry.kind: entry.taken for entry in image.entries} == {"ndb": 2, "ign2": 1}
    with opened(rules, state, **{database: LINE.replace(":*:", ":0:") + OTHER}, i_ign2=muted(LINE)) as image:
        assert found(image) == ["Other.Name-2", "Some.Name-1"]


def test_every_kind_of_line(rules: Path, state: Path) -> None:
    pair = logical("Some.Name-1", "marker", "name")
    hashed = f"{hashlib.md5(WORDS.encode()).hexdigest()}:{len(WORDS)}:Some.Name-1\n"
    for kind, line in (("ldb", pair), ("hdb", hashed), ("ndb", LINE.replace("\n", "\r\n"))):
        with opened(rules, state, a_ndb=OTHER, **{f"b_{kind}": line}) as image:
            assert found(image, WORDS) == ["Some.Name-1"]
        with opened(rules, state, a_ndb=OTHER, **{f"b_{kind}": line}, i_ign2=muted(line)) as image:
            assert found(image, WORDS) == []


def test_it_comes_and_goes_without_the_database_being_touched(rules: Path, state: Path) -> None:
    older = generation(rules, state, a_ndb=LINE + OTHER)
    write(rules, i_ign2=muted(LINE))
    with open_image([rules], state) as image:
        silent = image.generation
        assert found(image) == ["Other.Name-2"]
        assert silent != older
    with open_image([rules], state) as image:
        assert (image.generation, found(image)) == (silent, ["Other.Name-2"])
    (rules / "i.ign2").unlink()
    with open_image([rules], state) as image:
        assert found(image) == ["Other.Name-2", "Some.Name-1"]
        delta = delta_to(image, silent)
        assert delta is not None
        assert names(delta) == {"Some.Name-1"}  # what was clean while it was silent is asked again


def test_a_state_folder_that_is_closed_knows_what_is_silent(rules: Path, state: Path) -> None:
    generation(rules, state, a_ndb=LINE + OTHER, i_ign2=muted(LINE))
    with open_image([rules], state) as image:
        store = Store(bytes(state))
        assert still_valid(image.catalog, find_sources([bytes(rules)]), store)
        (rules / "i.ign2").write_text("# nothing\n")
        assert not still_valid(image.catalog, find_sources([bytes(rules)]), store)


@pytest.mark.clamav
@pytest.mark.skipif(shutil.which("clamscan") is None, reason="clamscan is not installed (make system-test)")
def test_clamscan_takes_the_same_digests(rules: Path, state: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text(WORDS)
    for line in (LINE, logical("Some.Name-1", "marker", "name")):
        kind = "ldb" if ";" in line else "ndb"
        for named in (line, line.upper()):
            with opened(rules, state, z_ndb=OTHER, **{f"a_{kind}": line}, i_ign2=muted(named)) as image:
                theirs = subprocess.run(
                    ["clamscan", "--no-summary", "-d", rules, file], capture_output=True, check=False
                )
                assert (theirs.returncode == 1) == bool(found(image, WORDS)) == (named != line)

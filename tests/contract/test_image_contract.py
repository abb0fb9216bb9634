"""ports.Image: the image of a folder, of a single database and of an image file are the same thing to everybody."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kavfs._native import match
from kavfs.ports import Image
from kavfs.signatures.image import compile_image, open_image
from kavfs.signatures.imagewriter import compile_image_file
from tests.support.databases import logical, write
from tests.support.deltas import scan, table

INFECTED = b"before it the first marker of the contract and after"
PAIR = b"one half of the pair, then the other half of it"
NEAR_MISS = b"the first marker of the contracT, one half of the pair"

RULES = {
    "rules_ldb": logical("Contract.Body-1", "first marker of the contract")
    + logical("Contract.Pair-2", "one half of the pair", "other half of it")
}


def of_a_folder(rules: Path, state: Path) -> Image:
    return open_image([rules], state)


def of_a_folder_compiled_before(rules: Path, state: Path) -> Image:
    compile_image([rules], state).close()
    return open_image([rules], state)


def of_a_single_database(rules: Path, state: Path) -> Image:
    return open_image([rules / "rules.ldb"], state)


def of_an_image_file(rules: Path, state: Path) -> Image:
    compile_image_file([rules], rules.parent / "rules.image").close()
    return open_image([rules.parent / "rules.image"], state)


FORMS: list[Callable[[Path, Path], Image]] = [
    of_a_folder,
    of_a_folder_compiled_before,
    of_a_single_database,
    of_an_image_file,
]


@pytest.fixture
def rules(tmp_path) -> Path:
    folder = write(tmp_path / "rules", **RULES)
    os.utime(folder / "rules.ldb", (1_600_000_000, 1_600_000_000))
    return folder


@pytest.fixture(params=FORMS, ids=lambda form: form.__name__)
def image(request, rules, tmp_path):
    opened = request.param(rules, tmp_path / "state")
    yield opened
    opened.close()


def found(image: Image, data: bytes) -> list[bytes]:
    """Names of all signatures that match, by the matcher itself."""
    return match.Image([(part.fd, part.offset, part.length) for part in image.parts]).scan(data, all_match=True).names


def test_it_says_what_it_is(image, rules, tmp_path):
    assert image.signature_count == 2
    assert image.newest == 1_600_000_000
    assert image.demonstration is False
    assert isinstance(image.generation, bytes)
    assert len(image.generation) == 16
    with open_image([rules], tmp_path / "another state") as other:
        assert image.generation == other.generation


def test_parts_are_whole_and_can_be_mapped_where_they_lie(image):
    assert image.parts
    for part in image.parts:
        assert part.offset % resource.getpagesize() == 0
        assert match.part_is_whole(os.pread(part.fd, part.length, part.offset))
        assert len(os.pread(part.fd, part.length, part.offset)) == part.length


def test_it_finds_what_the_rules_say_and_no_more(image):
    assert found(image, INFECTED) == [b"Contract.Body-1.UNOFFICIAL"]
    assert found(image, PAIR) == [b"Contract.Pair-2.UNOFFICIAL"]
    assert found(image, NEAR_MISS) == []


def test_it_is_used_after_everything_it_came_from_is_gone(image, rules, tmp_path):
    for path in tmp_path.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert found(image, INFECTED) == [b"Contract.Body-1.UNOFFICIAL"]
    assert (image.signature_count, image.newest) == (2, 1_600_000_000)


def test_it_never_changes_though_its_rules_do(image, rules, tmp_path):
    before = image.generation
    (rules / "rules.ldb").write_text(logical("Contract.Other-3", "something else"))
    with open_image([rules], tmp_path / "state") as renewed:
        assert renewed.generation != before
        assert found(renewed, INFECTED) == []
    assert image.generation == before
    assert found(image, INFECTED) == [b"Contract.Body-1.UNOFFICIAL"]


def test_the_rows_of_its_table_are_its_deltas(image):
    rows = table(image)  # checks that they agree
    assert bool(rows) == bool(image.deltas) == bool(image.delta_table)
    assert image.generation not in {delta.generation for delta in image.deltas}


@pytest.mark.parametrize("form", [of_a_folder, of_a_folder_compiled_before, of_a_single_database])
def test_what_is_new_since_an_older_generation_is_an_image_too(form, rules, tmp_path):
    with form(rules, tmp_path / "state") as image:
        older = image.generation
    with (rules / "rules.ldb").open("a") as file:
        file.write(logical("Contract.New-3", "newest marker of the contract"))
    with form(rules, tmp_path / "state") as image:
        (delta,) = image.deltas
        assert delta.generation == older
        assert all(part.offset % resource.getpagesize() == 0 for part in delta.parts)
        assert scan(delta, INFECTED) == set()
        assert scan(delta, b"and the newest marker of the contract") == {b"Contract.New-3"}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_it_is_closed_once_and_for_all(form, rules, tmp_path):
    form(rules, tmp_path / "state").close()
    with (rules / "rules.ldb").open("a") as file:
        file.write(logical("Contract.New-3", "newest marker of the contract"))  # so that there is a delta, too
    before = sorted(os.listdir("/proc/self/fd"))
    image = form(rules, tmp_path / "state")
    fds = [part.fd for part in image.parts] + [part.fd for delta in image.deltas for part in delta.parts]
    image.close()
    assert sorted(os.listdir("/proc/self/fd")) == before
    kept = [os.open(os.devnull, os.O_RDONLY) for _ in fds]  # the same numbers: a second close must not take them
    image.close()
    for fd in kept:
        os.close(fd)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_another_rule_is_another_generation(form, rules, tmp_path):
    generations = set()
    for number, text in enumerate((RULES["rules_ldb"], logical("Contract.Body-1", "first marker of the contracT"))):
        (rules / "rules.ldb").write_text(text)
        with form(rules, tmp_path / f"state{number}") as image:
            generations.add(image.generation)
    assert len(generations) == 2


def test_starter_rules_alone_are_a_demonstration_in_every_form(tmp_path):
    from kavfs.signatures.sources import STARTER

    compile_image_file([STARTER], tmp_path / "image").close()
    for place in (STARTER, os.path.join(STARTER, b"starter.ndb"), tmp_path / "image"):
        with open_image([place], tmp_path / "state") as image:
            assert image.demonstration is True

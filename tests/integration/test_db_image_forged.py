"""Image files made by somebody who knows the format: what they say is refused or harmless, never a crash."""

from __future__ import annotations

import copy
import hashlib
import json
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs.errors import DatabaseDamaged
from kavfs.signatures import imagefile
from kavfs.signatures.image import open_image
from kavfs.signatures.imagefile import HEAD, MAGIC
from kavfs.signatures.imagewriter import compile_image_file
from tests.support.databases import body, write

HOSTILE = (
    None,
    True,
    -1,
    0,
    1,
    1 << 40,
    1 << 64,
    10**400,
    0.5,
    "",
    "x" * 9,
    "\ud800",
    "a\0b",
    [],
    {},
    [[1, 2]],
    {"a": 1},
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """An image file of two databases, one with lines that are not taken."""
    folder = tmp_path_factory.mktemp("db")
    write(folder, a_ndb=body("First.Name-1", "a marker of the test") + "broken line\n", b_hdb=f"{'0' * 32}:7:Second\n")
    compile_image_file([folder], folder / "all.image").close()
    return (folder / "all.image").read_bytes()


def split(whole: bytes) -> tuple[bytes, dict]:
    """What stands before the index, and the index with its catalog as values."""
    _, at, length, _ = HEAD.unpack_from(whole)
    tree = json.loads(whole[at : at + length])
    tree["catalog"] = json.loads(tree["catalog"].partition("\n")[2])
    return whole[:at], tree


def seal(before: bytes, index: bytes) -> bytes:
    """A file with a right head for this index."""
    return HEAD.pack(MAGIC, len(before), len(index), hashlib.sha256(index).digest()) + before[HEAD.size :] + index


def forge(before: bytes, tree: dict) -> bytes:
    """A file with right digests whose catalog says what *tree* does."""
    text = json.dumps(tree["catalog"])
    catalog = f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}"
    return seal(before, json.dumps({**tree, "catalog": catalog}).encode())


def use(path: Path) -> None:
    """Everything that programs ask an image."""
    with open_image([path], b"") as image:
        _ = image.generation, image.signature_count, image.newest, image.demonstration, image.notes, image.databases
        assert len(image.parts) < 100
        for entry in image.entries:
            image.side(entry)


def places(value: object, path: tuple = ()) -> Iterator[tuple]:
    """Every place in a tree of lists and dicts, as the keys that lead there."""
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def test_a_file_sealed_anew_is_the_same_image(whole, tmp_path):
    (tmp_path / "image").write_bytes(forge(*split(whole)))
    use(tmp_path / "image")


def test_whatever_an_index_says_the_answer_is_an_image_or_damaged(whole, tmp_path):
    before, tree = split(whole)
    refused = accepted = 0
    for *way, last in places(tree):
        for value in HOSTILE:
            changed = copy.deepcopy(tree)
            inner = changed
            for key in way:
                inner = inner[key]
            inner[last] = value
            (tmp_path / "image").write_bytes(forge(before, changed))
            try:
                use(tmp_path / "image")
                accepted += 1
            except DatabaseDamaged:
                refused += 1
    assert refused > accepted > 0


@pytest.mark.parametrize(
    "index",
    [b"", b"\xff", b"null", b"[]", b"7", b'"x"', b"{}", b'{"sides": [], "catalog": 7}', b"[" * 100_000, b"9" * 10_000],
)
def test_an_index_that_is_no_index_is_damaged(whole, tmp_path, index):
    (tmp_path / "image").write_bytes(seal(split(whole)[0], index))
    with pytest.raises(DatabaseDamaged, match="index makes no sense"):
        use(tmp_path / "image")


def test_parts_that_share_bytes_are_damaged(whole, tmp_path):
    """A million parts of one small stretch would take hours to check."""
    before, tree = split(whole)
    tree["catalog"]["parts"] *= 100
    (tmp_path / "image").write_bytes(forge(before, tree))
    with pytest.raises(DatabaseDamaged):
        use(tmp_path / "image")


@pytest.mark.parametrize(
    ("at", "length"),
    [(0, 1 << 40), (1 << 40, 1), (1 << 39, 1 << 39), ((1 << 64) - 1, (1 << 64) - 1), (1 << 40, 1 << 64)],
)
def test_a_head_that_asks_for_more_than_there_is_memory_is_damaged(whole, tmp_path, at, length):
    """The file is as large as the head says, but holes."""
    path = tmp_path / "image"
    with open(path, "wb") as file:
        file.write(HEAD.pack(MAGIC, at, length % (1 << 64), bytes(32)))
        file.truncate(1 << 40)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, hard))
    try:
        with pytest.raises(DatabaseDamaged):
            use(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_a_side_that_claims_a_terabyte_is_damaged(whole, tmp_path):
    before, tree = split(whole)
    index_at = imagefile.INDEX_MAX * 4
    tree["sides"] = dict.fromkeys(tree["sides"], (0, imagefile.INDEX_MAX * 2))
    sealed = forge(before, tree)
    _, at, length, digest = HEAD.unpack_from(sealed)
    with open(tmp_path / "image", "wb") as file:
        file.write(HEAD.pack(MAGIC, index_at, length, digest) + sealed[HEAD.size : at])
        file.seek(index_at)
        file.write(sealed[at:])
    with pytest.raises(DatabaseDamaged, match="index makes no sense"):
        use(tmp_path / "image")

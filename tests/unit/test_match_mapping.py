"""How an image is mapped: a large part by small pages, all of it, and nothing is left of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from kavfs._native import match
from kavfs.signatures.image import Image, open_image
from kavfs.signatures.imagewriter import compile_image_file

LINES = 60_000
LARGE_PAGE = 2 << 20
LAST = b"the last of many"


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Databases of which one is compiled to more than a large page, and one to less."""
    folder = tmp_path_factory.mktemp("rules")
    lines = [f"{hashlib.md5(b'%d' % i).hexdigest()}:{10_000 + i}:Test.Hash-{i}\n" for i in range(LINES)]
    lines.append(f"{hashlib.md5(LAST).hexdigest()}:{len(LAST)}:Test.Last\n")
    (folder / "many.hdb").write_text("".join(lines))
    (folder / "few.ndb").write_text(f"Test.Body:0:*:{b'one body'.hex()}\n")
    return folder


@pytest.fixture(params=["folder", "image file"])
def image(request: pytest.FixtureRequest, rules: Path, tmp_path: Path) -> Image:
    if request.param == "folder":
        return open_image([rules], tmp_path / "state")
    compile_image_file([rules], tmp_path / "image")
    return open_image([tmp_path / "image"], tmp_path / "state")


def mapped(length: int) -> list[tuple[int, int]]:
    """(address, offset) of what is mapped of files in stretches of *length* bytes, in whole pages."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        where, _, offset, _, inode = line.split()[:5]
        begin, end = (int(one, 16) for one in where.split("-"))
        if inode != "0" and end - begin == -(-length // 4096) * 4096:
            found.append((begin, int(offset, 16)))
    return found


def test_a_large_part_is_mapped_whole_by_small_pages_and_goes_with_the_image(image):
    large = max(image.parts, key=lambda part: part.length)
    assert large.length > LARGE_PAGE
    assert not mapped(large.length)
    with image:
        made = match.Image([(part.fd, part.offset, part.length) for part in image.parts])
        ((address, offset),) = mapped(large.length)
        assert offset == large.offset
        assert (address - offset) % LARGE_PAGE
        assert made.scan(LAST).names == [b"Test.Last.UNOFFICIAL"]
        assert made.scan(b"there is one body in it").names == [b"Test.Body.UNOFFICIAL"]
        assert not made.scan(LAST + b"!").names
    del made
    assert not mapped(large.length)

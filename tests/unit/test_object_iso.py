"""An ISO image holds up to three trees of names over the same bytes; what any of them shows is scanned, and once."""

from __future__ import annotations

import gzip

import pytest

from kavfs.model import Status
from tests.support.archives import Files, with_tool
from tests.support.objects import EICAR, NEAR_MISS, scan

FILLER = bytes(range(256)) * 400
TREE = {
    "a.bin": FILLER,
    "d/b.bin": FILLER[1:],
    "d/empty": b"",
    "bad.gz": gzip.compress(EICAR),
}  # packed: the image itself shows nothing


def image(files: Files, *options: str) -> bytes:
    return with_tool(files, "genisoimage", "-quiet", *options, "-o", "OUT", ".")


@pytest.mark.parametrize(
    "options",
    [
        ("-R", "-J", "-hide", "bad.gz"),
        ("-R", "-J", "-hide-joliet", "bad.gz"),
        ("-J", "-hide", "bad.gz"),
        ("-J", "-hide-joliet", "bad.gz"),
    ],
    ids=" ".join,
)
def test_a_file_that_one_tree_hides_is_found_in_the_other(options: tuple[str, ...]) -> None:
    verdict = scan(image(TREE, *options))
    assert verdict.status is Status.INFECTED
    assert not verdict.reasons
    assert [path.lower() for path in verdict.infected] == [b"bad.gz/#1"]


@pytest.mark.parametrize("options", [(), ("-R",), ("-J",), ("-R", "-J")], ids=lambda words: " ".join(words) or "plain")
def test_a_file_that_stands_in_several_trees_is_one_member(options: tuple[str, ...]) -> None:
    packed = gzip.compress(NEAR_MISS)
    verdict = scan(image(TREE | {"bad.gz": packed}, *options))
    assert verdict.clean
    folders = [".", "d"]
    assert verdict.members == len(TREE) + len(folders) + len([NEAR_MISS])
    assert verdict.scanned == verdict.size + 2 * len(FILLER) - 1 + len(packed) + len(NEAR_MISS)


def test_what_is_found_is_reported_once() -> None:
    assert scan(image(TREE, "-R", "-J")).infected == [b"bad.gz/#1"]


def test_the_same_place_with_another_size_is_another_file() -> None:
    """The first tree claims that the file ends before the bytes that matter."""
    harmless, packed = gzip.compress(NEAR_MISS), gzip.compress(EICAR)
    whole = image({"bad.gz": harmless + packed}, "-R", "-J")
    long, short = (n.to_bytes(4, "little") + n.to_bytes(4, "big") for n in (len(harmless + packed), len(harmless)))
    first = whole.index(long)  # genisoimage writes the tree that Linux shows before Joliet's
    assert whole.index(long, first + 1) > first
    verdict = scan(whole[:first] + short + whole[first + len(long) :])
    assert verdict.status is Status.INFECTED
    assert {path.split(b"/")[0] for path in verdict.infected} == {b"bad.gz"}


def test_a_file_that_one_tree_calls_a_folder_is_scanned() -> None:
    whole = image({"bad.gz": gzip.compress(EICAR)}, "-r", "-J")
    file, folder = (mode.to_bytes(4, "little") + mode.to_bytes(4, "big") for mode in (0o100444, 0o040555))
    assert whole.count(file) == 1
    assert scan(whole.replace(file, folder)).infected == [b"bad.gz/#1"]

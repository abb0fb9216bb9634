"""The benchmarks' own arithmetic: a row must not say "met" of what was not reached, nor measure what is not there."""

from __future__ import annotations

import os
import random
import re
import subprocess
from pathlib import Path

import pytest

from benchmarks import corpus, growth, literals, peers
from benchmarks.corpus import Corpus
from benchmarks.metadata import FS, NEWEST, SECRET, SETTINGS, chunks
from benchmarks.peers import Floor, Lister
from benchmarks.scenario import at_least, at_most, told
from benchmarks.warmed import Warmed
from kavfs._native import cache


@pytest.mark.parametrize(
    ("ours", "factor", "extra", "met"), [(1.5, 1.5, 0, True), (1.51, 1.5, 0, False), (1.59, 1.5, 0.1, True)]
)
def test_at_most_compares_with_the_floor_times_the_factor_and_the_extra(ours, factor, extra, met):
    row = at_most("what", ours, 1.0, factor, extra)
    assert row.met is met
    assert row.line().endswith("| met |" if met else "| NOT MET |")
    assert f"{factor + extra:.3f} s" in row.wanted


def test_at_least_is_how_many_times_faster_we_are():
    assert at_least("what", 0.1, 4.0, 40, "clamd").met is True
    assert at_least("what", 0.101, 4.0, 40, "clamd").met is False
    assert told("what", "words").line().endswith("|  |")


def test_a_slope_is_that_of_the_dearest_number_of_files():
    assert growth.slope("x", {100: 10.0, 1000: 12.0, 10000: 11.0}).met is True
    dear = growth.slope("x", {100: 10.0, 1000: 13.0, 10000: 11.0})
    assert (dear.met, dear.ratio) == (False, "1.30")


@pytest.mark.parametrize("layout", ["even", "mixed"])
def test_metadata_has_as_many_files_as_it_says_and_no_inode_twice(layout):
    directories, inodes = 0, []
    for chunk in chunks(70_000, layout):
        directories += len(chunk.directories)
        assert sum(one.count for one in chunk.directories) == len(chunk.identities) // 40 == len(chunk.facts) // 80
        for one in chunk.directories:
            assert one.place == cache.place(SECRET, FS, one.ino, NEWEST, SETTINGS)
            assert bytes(chunk.facts[one.first * 80 : one.first * 80 + 16]) == one.place
            inodes += [
                int.from_bytes(chunk.identities[i * 40 : i * 40 + 8], "little")
                for i in range(one.first, one.first + one.count)
            ]
            assert bytes(chunk.facts[one.first * 80 + 24 : one.first * 80 + 64]) == bytes(
                chunk.identities[one.first * 40 : one.first * 40 + 40]
            )
    assert len(set(inodes)) == len(inodes) == 70_000
    assert (directories == 70_000 // 50) is (layout == "even")


@pytest.fixture
def tree(tmp_path: Path) -> Corpus:
    folder = tmp_path / "tree"
    for i in range(3):
        (folder / f"{i}" / "inner").mkdir(parents=True)
        (folder / f"{i}" / "inner" / f"{i:06}.html").write_bytes(b"<html>" + bytes(1000 * i) + b"needle in it")
    (folder / "link").symlink_to("0")
    return Corpus("three", folder, "")


def test_the_floor_of_a_walk_sees_every_file_once(tree, tmp_path):
    lister = Lister(tmp_path / "built", 2)
    assert lister.walk(tree).files == 3
    done = subprocess.run([str(lister.floor), "2", str(tree.folder)], check=True, capture_output=True, text=True)
    size = sum(os.path.getsize(path) for path in corpus.files_below(tree.folder))
    assert f'"bytes": {size},' in done.stdout


def test_the_floor_of_a_scan_does_what_it_is_asked_for(tree, tmp_path):
    signatures = tmp_path / "signatures"
    signatures.mkdir()
    (signatures / "a.ndb").write_text(f"Test.A:3:*:{b'needle in it'.hex()}\nTest.B:1:*:{b'needle in it'.hex()}\n")
    with Floor(tmp_path / "built", signatures, 2) as floor:
        paths = list(corpus.files_below(tree.folder))
        assert floor.literals == 2
        assert floor.read(paths, "match").files == 3
        assert floor.hits == 3
        assert floor.read(paths, "md5,sha256").files == 3
        assert floor.hits == 0
        with pytest.raises(subprocess.CalledProcessError):
            floor.read(paths, "nothing")
        with pytest.raises(RuntimeError, match="could not open 1 file"):
            floor.read([b"/nowhere/at/all"], "match")


def test_new_signatures_are_new_and_name_sizes_as_they_say(tmp_path):
    warmed = Warmed(tmp_path, tmp_path, 1, quick=True)
    lines = warmed.new_bodies(100, (1, 3)).splitlines()
    assert len({line.split(":")[3] for line in lines}) == 100
    assert {line.split(":")[1] for line in lines} == {"1", "3"}
    assert all(re.fullmatch(r"Bench\.[\w.-]+:\d:\*:[0-9a-f]{48}", line) for line in lines)
    sizes = [random.Random(i).randrange(100, 8000) for i in range(50)]
    text, occurring = warmed.new_digests(1000, 32, sizes, 0.5)
    named = [int(line.split(":")[1]) for line in text.splitlines()]
    assert occurring == set(named) & set(sizes)
    assert 400 < sum(size in occurring for size in named) < 600
    assert min(size for size in named if size not in occurring) > corpus.TREE_LARGEST


def test_what_a_floor_matches_are_literals_of_the_patterns():
    assert literals.best("00ff20", wide=False) is None
    assert literals.best("6e6565646c65{4}??6161", wide=False) == b"needle"


def test_a_launched_program_is_measured_by_itself(tmp_path):
    launch = peers.built(tmp_path, "launch")
    done = subprocess.run([launch, "sh", "-c", "exit 7"], check=True, capture_output=True, text=True)
    assert '"code": 7' in done.stdout
    found = re.search(r'"rss": (\d+)', done.stdout)
    assert found is not None
    assert 0 < int(found[1]) < 16 << 20  # a shell, not the Python that started it

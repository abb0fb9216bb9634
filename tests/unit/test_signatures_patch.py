"""Patches: a large database file that changed a little says just what it says when all of it is compiled."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs._native import match
from kavfs.cli.kavfs import kavfs
from kavfs.signatures import patch
from kavfs.signatures.image import Image, compile_image, open_image
from tests.support.databases import body, logical, write

PARTS = 30
CONTENTS = [b"content number %d" % i for i in range(8)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a few lines are large."""
    monkeypatch.setattr(patch, "OWN_GROUP", 1)
    monkeypatch.setattr(patch, "HASHES_LEAST", 1)
    monkeypatch.setattr(patch, "SHARE", 1)


def marker(number: int) -> str:
    return f"marker number {number:03} of the test"


def hashed(name: str, content: bytes, size: object = None) -> str:
    return f"{hashlib.sha256(content).hexdigest()}:{size or len(content)}:{name}:73\n"


def random_line(rng: random.Random, kind: str) -> str:
    """A line of a kind; its name is that of what it matches, or another: what stands first then decides."""
    number, name = rng.randrange(PARTS), f"Test.Name-{rng.randrange(3 * PARTS)}"
    if rng.random() < 0.1:
        return rng.choice(["# a comment\n", "\n", "rubbish:of;no kind\n", "Other.Level:0:*:61626364:999\n"])
    if kind == "ndb":
        return body(name, marker(number))
    if kind == "ldb":
        return logical(name, marker(number), marker(rng.randrange(PARTS)))
    return hashed(name, rng.choice(CONTENTS), rng.choice([None, "*"]))


def changed(rng: random.Random, lines: list[str], kind: str) -> list[str]:
    """Some lines inserted, deleted, edited, moved or written twice, at random places."""
    lines = list(lines)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(lines))
        match rng.randrange(6):
            case 0:
                lines.insert(at, random_line(rng, kind))
            case 1:
                del lines[at]
            case 2:
                lines[at] = random_line(rng, kind)
            case 3:
                lines.insert(rng.randrange(len(lines)), lines.pop(at))
            case 4:
                lines.insert(rng.randrange(len(lines)), lines[at])
            case _:
                lines[at] = lines[at].replace("\n", "\r\n") if "\r" not in lines[at] else lines[at]
    if rng.random() < 0.1:
        rng.shuffle(lines)
    return lines


def texts(image: Image) -> Iterator[object]:
    """What a user sees of an image: its files, their lines, and what it finds in which data, under which line."""
    yield image.generation
    for entry in image.entries:
        yield entry.path, entry.taken, entry.comments, entry.reasons
    scanner = match.Image([(part.fd, part.offset, part.length) for part in image.parts])
    everything = "".join(marker(i) for i in range(PARTS)).encode()
    pairs = [f"{marker(i)} {marker((i * 7 + 3) % PARTS)}".encode() for i in range(PARTS)]
    for data in [everything, *pairs, *CONTENTS]:
        for all_match in (False, True):
            found = scanner.scan(data, all_match=all_match)
            yield data, all_match, found.hits, found.suppressed


def listed(folder: Path, state: Path, capfd: pytest.CaptureFixture[str]) -> list[list[str]]:
    """`kavfs db info --rejected` below its first lines, which tell the history, and `kavfs db list` sorted."""
    outputs = []
    for words in ([b"info", b"--rejected"], [b"list"]):
        assert kavfs([b"db", *words, b"--db", bytes(folder), b"--state", bytes(state)]) == 0
        outputs.append(capfd.readouterr().out.splitlines())
    info, names = outputs
    return [info[info.index("") :], sorted(names)]


def lines_file(state: Path, image: Image) -> list[bytes]:
    return [(state / "segments" / f"{entry.key}.lines").read_bytes() for entry in image.entries if entry.kind != "ign2"]


def patched(image: Image) -> list[bool]:
    return [entry.patched for entry in image.entries]


@pytest.mark.parametrize("seed", [*range(5), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(5, 60))])
def test_a_patched_image_is_like_one_that_was_compiled_from_all(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], seed: int
) -> None:
    rng = random.Random(seed)
    folder, state = tmp_path / "rules", tmp_path / "state"
    kinds = ("ndb", "ldb", "hsb")
    files = {kind: [random_line(rng, kind) for _ in range(60)] for kind in kinds}
    was_patched = 0
    for step in range(4):
        ignored = "".join(f"Test.Name-{rng.randrange(3 * PARTS)}\n" for _ in range(4))
        write(folder, z_ign2=ignored, **{f"a_{kind}": "".join(lines) for kind, lines in files.items()})
        fresh = tmp_path / f"fresh-{step}"
        with open_image([folder], state) as image, open_image([folder], fresh) as compiled:
            was_patched += sum(patched(image))
            assert not any(patched(compiled))
            assert list(texts(image)) == list(texts(compiled))
            assert lines_file(state, image) == lines_file(fresh, compiled)
        assert listed(folder, state, capfd) == listed(folder, fresh, capfd)
        files = {kind: changed(rng, lines, kind) for kind, lines in files.items()}
    assert was_patched >= 3


def many(count: int) -> list[str]:
    return [body(f"Many.Name-{i}", f"one of many {i:04}") for i in range(count)]


def test_one_changed_line_leaves_the_base_as_it_is(tmp_path: Path) -> None:
    lines = many(100)
    folder = write(tmp_path / "rules", a_ndb="".join(lines))
    with open_image([folder], tmp_path / "state") as image:
        base = image.catalog.parts[0]
    write(folder, a_ndb="".join([*lines[:50], body("Fresh.Name", "something new"), *lines[51:]]))
    with open_image([folder], tmp_path / "state") as image:
        assert image.catalog.parts[0] == base
        scanner = match.Image([(part.fd, part.offset, part.length) for part in image.parts])
        assert scanner.scan(b"one of many 0050 ").hits == []
        assert [hit.line for hit in scanner.scan(b"something new").hits] == [51]
        assert [hit.line for hit in scanner.scan(b"one of many 0051").hits] == [52]


def test_an_older_text_that_comes_back_is_the_base_alone(tmp_path: Path) -> None:
    text = "".join(many(40))
    folder = write(tmp_path / "rules", a_ndb=text)
    with open_image([folder], tmp_path / "state") as image:
        generation = image.generation
    write(folder, a_ndb=text + body("Fresh.Name", "something new"))
    with open_image([folder], tmp_path / "state") as image:
        assert patched(image) == [True]
    write(folder, a_ndb=text)
    with open_image([folder], tmp_path / "state") as image:
        assert (image.generation, patched(image)) == (generation, [False])


@pytest.mark.parametrize(("share", "expected"), [(4, True), (5, False)])
def test_a_change_of_many_lines_compiles_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: int, expected: bool
) -> None:
    monkeypatch.setattr(patch, "SHARE", share)
    lines = many(40)
    folder = write(tmp_path / "rules", a_ndb="".join(["# comment\n", "rubbish\n", *lines]))
    open_image([folder], tmp_path / "state").close()
    write(folder, a_ndb="".join(["# comment\n", "rubbish\n", *lines[5:], *many(45)[40:]]))  # 5 gone, 5 fresh
    with open_image([folder], tmp_path / "state") as image:
        assert patched(image) == [expected]


def test_of_many_with_one_digest_the_one_that_is_left_is_found(tmp_path: Path) -> None:
    lines = [hashed(f"Same.Name-{i}", CONTENTS[0]) for i in range(400)]
    folder = write(tmp_path / "rules", a_hsb="".join(lines))
    open_image([folder], tmp_path / "state").close()
    for left, winner in ((lines[390:], b"Same.Name-390"), ([*lines[395:], lines[300]], b"Same.Name-395")):
        write(folder, a_hsb="".join(left))
        with open_image([folder], tmp_path / "state") as image:
            assert patched(image) == [True]
            scanner = match.Image([(part.fd, part.offset, part.length) for part in image.parts])
            assert scanner.scan(CONTENTS[0]).names == [winner + b".UNOFFICIAL"]
            assert len(scanner.scan(CONTENTS[0], all_match=True).hits) == len(left)


def test_two_files_of_one_name_do_not_share_a_base(tmp_path: Path) -> None:
    lines, state = many(40), tmp_path / "state"
    one, two = (write(tmp_path / name, a_ndb="".join(lines)) for name in ("one", "two"))
    open_image([one, two], state).close()
    for texts_now in (
        [lines[1:], lines],
        [lines[1:], lines[2:]],
        [lines[2:], lines[2:]],
        [lines, lines[2:]],
    ):
        for folder, text in zip((one, two), texts_now, strict=True):
            write(folder, a_ndb="".join(text))
        with open_image([one, two], state) as image, open_image([one, two], tmp_path / "fresh") as compiled:
            assert list(texts(image)) == list(texts(compiled))
            assert len(image.databases) == len({entry.key for entry in image.entries})


@pytest.mark.parametrize("what", [0, 1, 2])
def test_a_part_that_was_damaged_is_made_again(tmp_path: Path, what: int) -> None:
    folder, state = write(tmp_path / "rules", a_ndb="".join(many(40))), tmp_path / "state"
    open_image([folder], state).close()
    write(folder, a_ndb="".join(many(42)))
    with open_image([folder], state) as image:
        assert patched(image) == [True]
        expected = list(texts(image))
        victim = state / "segments" / f"{image.catalog.parts[what].key}.bin"
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    with compile_image([folder], state) as image:
        assert list(texts(image)) == expected


def test_a_patch_stands_behind_its_segments(tmp_path: Path) -> None:
    folder, state = write(tmp_path / "rules", a_ndb="".join(many(40))), tmp_path / "state"
    open_image([folder], state).close()
    write(folder, a_ndb="".join(many(42)))
    with open_image([folder], state) as image:
        rows = [(part.fd, part.offset, part.length) for part in image.parts]
        base, fresh, tie, *groups = rows
        match.Image(rows)
        for wrong in ([fresh, base, tie], [base, tie, fresh], [tie, base, fresh], [base, fresh, tie, tie], [tie]):
            with pytest.raises(match.ImageDamaged):
                match.Image([*wrong, *groups])


def test_state_folders_do_not_grow_with_changes(tmp_path: Path) -> None:
    folder, state = write(tmp_path / "rules", a_ndb="".join(many(40))), tmp_path / "state"
    counts = []
    for more in range(1, 6):
        write(folder, a_ndb="".join(many(40 + more)))
        open_image([folder], state, used=()).close()  # no deltas
        counts.append(sum(name.endswith(".bin") for name in os.listdir(state / "segments")))
    assert counts[-1] == counts[-2]

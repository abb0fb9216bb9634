"""Subsignatures that are no patterns, against clamscan: many signatures, many files, the same names."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from kavfs._native import match
from kavfs.signatures.ldb import read_ldb
from kavfs.signatures.lines import Tally
from kavfs.signatures.ndb import read_ndb
from tests.support import probe_rows as rows
from tests.support.matching import DIGEST, image, layer, names

SEED = 1
SIGNATURES = 400
FILES = 300

pytestmark = [
    pytest.mark.clamav,
    pytest.mark.skipif(shutil.which("clamscan") is None, reason="clamscan is not installed (make system-test)"),
]


def compares(rng: random.Random) -> list[str]:
    reference = rows.REFERENCE.hex()
    return [f"B{i};Engine:81-255,Target:0;0&1;{reference};{rows.compare_row(rng)}" for i in range(SIGNATURES)]


def regexes(rng: random.Random) -> list[str]:
    made = []
    for i in range(SIGNATURES):
        expression, probe = rows.regex_row(rng)
        made.append(f"P{i};Engine:81-255,Target:0;{expression};{b'one~'.hex()};{b'two~'.hex()};{probe}")
    return made


def macros(rng: random.Random) -> list[str]:
    expressions = ["0&1", "1", "0=1&1", "0>1&1", "1>1", "0=2|1>5", "0=1|1>5"]
    return [
        f"M{i};Engine:81-255,Target:0;{rng.choice(expressions)};{rows.REFERENCE.hex()};{rows.macro_row(rng)}"
        for i in range(SIGNATURES)
    ]


KINDS = {
    "compare": (compares, rows.compare_file),
    "regex": (regexes, rows.regex_file),
    "macro": (macros, rows.macro_file),
}


def ours(lines: list[str], members: str) -> tuple[match.Image, set[int]]:
    """The image, and the numbers of lines that are not taken."""
    tally = Tally()
    logical = match.SegmentBuilder(b"a.ldb", DIGEST, True)
    read_ldb("\n".join(lines).encode() + b"\n", logical, tally)
    bodies = match.SegmentBuilder(b"b.ndb", DIGEST, True)
    read_ndb(members.encode(), bodies, tally)
    return image(logical.finish(), bodies.finish()), {row for row, _ in tally.listed}


def theirs(folder: Path, lines: list[str], members: str) -> dict[str, set[str]]:
    """Names by file, from one run of clamscan."""
    database = folder / "db"
    database.mkdir()
    (database / "a.ldb").write_text("\n".join(lines) + "\n")
    (database / "b.ndb").write_text(members)
    command = ["clamscan", f"--database={database}", "--allmatch", "--no-summary", "--infected", str(folder / "files")]
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    assert told.returncode in (0, 1), told.stderr
    found: dict[str, set[str]] = {}
    for line in told.stdout.splitlines():
        path, _, name = line.removesuffix(" FOUND").rpartition(": ")
        found.setdefault(Path(path).name, set()).add(name.removesuffix(".UNOFFICIAL"))
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [SEED, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 12))])
def test_the_same_names_as_clamscan(kind: str, seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    make_lines, make_file = KINDS[kind]
    lines, contents = make_lines(rng), [make_file(rng) for _ in range(FILES)]
    members = rows.MEMBERS + "Other:0:*:7a7a7a7a7a\n"
    one, refused = ours(lines, members)
    assert refused == set(), "clamscan would refuse the whole database"
    (tmp_path / "files").mkdir()
    for i, content in enumerate(contents):
        (tmp_path / "files" / str(i)).write_bytes(content)
    expected = theirs(tmp_path, lines, members)
    found = {}
    for i, content in enumerate(contents):
        whole = one.scan(content, all_match=True)
        with layer(content) as fd:
            assert one.scan(fd, all_match=True) == whole
        if whole.hits:
            found[str(i)] = set(names(whole))
    assert expected, "nothing was flagged at all"
    wrong = {
        name: (sorted(expected.get(name, set()) ^ found.get(name, set())), contents[int(name)])
        for name in expected.keys() | found.keys()
        if expected.get(name) != found.get(name)
    }
    told = [f"{contents[int(name)]!r}: {[lines[int(n[1:])] for n in some[:3]]}" for name, (some, _) in wrong.items()]
    assert not wrong, f"{len(wrong)} files differ:\n" + "\n".join(told[:20])

"""Against sigtool and clamscan: what pictures look like, and signatures of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kavfs._native.match import SegmentBuilder
from kavfs.signatures.ldb import read_ldb
from kavfs.signatures.lines import Tally
from tests.support.matching import image, names
from tests.support.pictures import blotches, gif, others, png

pytestmark = [
    pytest.mark.clamav,
    pytest.mark.skipif(shutil.which("sigtool") is None, reason="sigtool is not installed (make system-test)"),
]

KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 2), (3, 8), (4, 8), (6, 8), (6, 16)]
FILES = {f"{kind}-{depth}": png(70 + depth, 50, kind=kind, depth=depth, seed=kind) for kind, depth in KINDS} | {
    f"side-{w}-{h}": png(w, h, seed=w) for w, h in ((32, 32), (31, 33), (9, 5), (200, 16), (64, 64))
}
BLOTCHES = blotches(60, 40)
FILES |= others(BLOTCHES) | {
    "gif-small": gif(BLOTCHES, screen=(100, 90), at=(9, 7)),
    "gif-cut": gif(BLOTCHES, screen=(30, 20)),
}


def test_a_picture_is_found_by_what_it_looks_like(tmp_path: Path) -> None:
    lines = ["Never;Engine:150-255,Target:5;0;fuzzy_img#0123456789abcdef\n"]
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
        command = ["sigtool", "--fuzzy-img", str(tmp_path / name)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        digits = said.rsplit(":", 1)[1].strip()
        lines.append(f"P.{name};Engine:150-255,Target:5;0;fuzzy_img#{digits}#0\n")
        lines.append(f"Q.{name};Engine:150-255,Target:0;0&1;fuzzy_img#{digits.upper()};{data[:8].hex()}\n")
        lines.append(f"R.{name};Engine:150-255,Target:5;0&1;fuzzy_img#{digits};{b'IHDX'.hex()}\n")
    (tmp_path / "a.ldb").write_text("".join(lines))
    builder, tally = SegmentBuilder(b"a.ldb", bytes(32), True), Tally()
    read_ldb("".join(lines).encode(), builder, tally)
    assert tally.reasons == {}
    matcher = image(builder.finish())
    command = ["clamscan", "-d", str(tmp_path / "a.ldb"), "--allmatch", "--no-summary"]
    run = subprocess.run([*command, *(str(tmp_path / n) for n in FILES)], capture_output=True, text=True, check=False)
    theirs = {name: set[str]() for name in FILES}
    for line in run.stdout.splitlines():
        if line.endswith(" FOUND"):
            path, name = line.removesuffix(".UNOFFICIAL FOUND").rsplit(": ", 1)
            theirs[Path(path).name].add(name)
    for name, data in FILES.items():
        assert {f"P.{name}", f"Q.{name}"} <= theirs[name]
        assert set(names(matcher.scan(data, all_match=True))) == theirs[name]

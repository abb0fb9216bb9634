"""Against clamscan: measures of icons in every depth and size, and which signatures made from them match."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kavfs._native import match
from kavfs.signatures.cdb import Rows
from kavfs.signatures.idb import read_idb
from kavfs.signatures.ldb import read_ldb
from kavfs.signatures.lines import Tally
from tests.support.icons import GROUP, ICON, flat, gray, group, icon, program, program_with, shapes
from tests.support.matching import image, names

pytestmark = [
    pytest.mark.clamav,
    pytest.mark.skipif(shutil.which("clamscan") is None, reason="clamscan is not installed (make system-test)"),
]

CHECKOUT = Path(__file__).resolve().parents[2]
SIDES = [15, 16, 18, 20, 23, 24, 28, 30, 32, 33, 36, 40, 48, 60, 64, 72, 96, 100, 128, 168, 216, 256, 300]
OBLONG = [(24, 32), (32, 24), (20, 16), (40, 30), (16, 12), (200, 160)]


def clear(x: int, y: int) -> tuple[int, int, int, int]:
    """32 bits in which nothing says how opaque it is."""
    return *shapes(5)(x, y)[:3], 0


FEW = [icon(32, 32, 32, shapes(n)) for n in range(4)]
FILES = {
    **{f"depth-{d}": program_with([icon(s, s, d, shapes(s + d)) for s in SIDES]) for d in (1, 4, 8, 16, 24, 32)},
    "oblong": program_with([icon(w, h, 8, shapes(w + h)) for w, h in OBLONG]),
    "gray": program_with([icon(s, s, 8, gray(s)) for s in SIDES]),
    "flat": program_with([icon(32, 32, 24, flat(*c)) for c in ((0, 0, 0), (255, 255, 255), (200, 9, 9), (0, 0, 99))]),
    "long-header": program_with([icon(32, 32, 32, shapes(2), header=108)]),
    "no-alpha": program_with([icon(32, 32, 32, clear), icon(24, 24, 32, clear)]),
    "no-mask": program_with([icon(32, 32, 32, clear, mask=False)])[:-200],
    "png": program_with([b"\x89PNG\r\n\x1a\n" + bytes(90), FEW[0]]),
    "groups": program({
        ICON: {1: FEW[:2], 2: [FEW[2]], 3: [FEW[3]]}, GROUP: {5: [group([1, 2, 9])] * 2, 6: [group([3])]},
    }),
    "many": program_with([icon(16, 16, 4, shapes(n)) for n in range(120)]),
}  # fmt: skip


def clamscan(database: Path, *files: Path) -> str:
    command = ["clamscan", "-d", str(database), "--allmatch", "--no-summary", "--debug", *map(str, files)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode in (0, 1), run.stderr
    return run.stdout + run.stderr


def hash_printer(folder: Path) -> Path:
    """A program of ours that prints what it measures."""
    parts = ["exe", "pe", "elf", "macho", "resources", "icon", "icondraw", "iconmeasure"]
    sources = [CHECKOUT / f"ext/exe/{part}.c" for part in parts]
    sources += [CHECKOUT / "ext/source/source.c", CHECKOUT / "tests/native/icon_hashes.c"]
    includes = [f"-I{CHECKOUT}/ext/{part}" for part in ("common", "source", "type", "hash", "exe")]
    command = ["gcc", "-std=gnu11", "-O1", *includes, *map(str, sources), "-lm", "-o", str(folder / "icons")]
    subprocess.run(command, check=True)
    return folder / "icons"


def changed(digits: str, rng: random.Random) -> str:
    """The hash of an icon that is more or less like this one."""
    text = list(digits)
    for _ in range(rng.choice([0, 0, 4, 12, 25, 40])):
        at = rng.randrange(2, len(text) - 8)
        text[at] = rng.choice("0123456789abcdef")
    return "".join(text)


def signatures(found: dict[str, list[str]]) -> tuple[str, str]:
    """(.idb, .ldb): a group of its own for each icon of another file; as many groups as ClamAV takes."""
    rng = random.Random(7)
    icons = sorted({digits for rows in found.values() for digits in rows})
    lines, count = [], 0
    while count < 250:
        digits = changed(rng.choice(icons), rng)
        rows, tally = Rows(), Tally()
        read_idb(digits.join(["N:A:B:", "\n"]).encode(), rows, tally)
        if tally.reasons:
            continue
        lines.append(f"Icon-{count}:Group{count}:Two{count % 3}:{digits}\n")
        count += 1
    attributes = [f"IconGroup1:Group{i}" for i in range(count)] + [f"IconGroup2:Two{i}" for i in range(4)]
    attributes += ["IconGroup1:Group1,IconGroup2:Two1", "IconGroup1:Group1,IconGroup2:Two2", "IconGroup2:*"]
    logical = "".join(f"L.{i};Engine:51-255,{a},Target:1;0;0:4d5a\n" for i, a in enumerate(attributes))
    return "".join(lines), logical


def test_icons_are_measured_and_matched_as_by_clamscan(tmp_path: Path) -> None:
    printer, database = hash_printer(tmp_path), tmp_path / "rules"
    database.mkdir()
    (database / "a.idb").write_text(f"None:None:None:20{'0' * 122}\n")
    (database / "a.ldb").write_text("Any.One;Engine:51-255,IconGroup1:Other,Target:1;0;0:4d5a\n")
    hashes: dict[str, list[str]] = {}
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
        theirs = re.findall(r"IDB SIGNATURE: ICON_NAME:GROUP1:GROUP2:(\w+)", clamscan(database, tmp_path / name))
        ours = subprocess.run([printer, tmp_path / name], capture_output=True, text=True, check=True).stdout.split()
        assert ours[1:] == theirs, name
        hashes[name] = theirs
    assert all(hashes.values())

    icons, logical = signatures(hashes)
    (database / "a.idb").write_text(icons)
    (database / "a.ldb").write_text(logical)
    rows, builder, tally = Rows(), match.SegmentBuilder(b"a.ldb", bytes(32), True), Tally()
    read_idb(icons.encode(), rows, tally)
    read_ldb(logical.encode(), builder, tally)
    assert tally.reasons == {}
    part = match.build_listed("icons", b"".join(rows.rows), bytes(rows.text), database=b"a.idb", digest=bytes(32))
    matcher = image(part, builder.finish())
    said = clamscan(database, *(tmp_path / name for name in FILES))
    total = 0
    for name, data in FILES.items():
        theirs = re.findall(rf"^{re.escape(str(tmp_path / name))}: (\S+)\.UNOFFICIAL FOUND$", said, re.MULTILINE)
        assert set(names(matcher.scan(data, all_match=True))) == set(theirs), name
        total += len(theirs)
    assert len(FILES) < total < len(FILES) * 250

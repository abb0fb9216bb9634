"""Against clamscan: offsets, entry points and sections, over small executables, whole and damaged.

One database holds every offset for every marker and target; clamscan reads it once for all files.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kavfs._native.match import SegmentBuilder
from kavfs.signatures.ldb import read_ldb
from kavfs.signatures.lines import Tally
from kavfs.signatures.ndb import read_ndb
from tests.support import headers
from tests.support.matching import image, names

pytestmark = [
    pytest.mark.clamav,
    pytest.mark.skipif(shutil.which("clamscan") is None, reason="clamscan is not installed (make system-test)"),
]

BODIES = [headers.marked(m, n) for m, n in [(b"ALPHAmark", 0x250), (b"BRAVOmark", 0x180), (b"CHARLIEmk", 0x200)]]
VERSION = headers.version({b"CompanyName": b"Kilo Corp", b"FileDescription": b"Lima", b"Odd": b"x"}, headers.PAGE * 4)
FILES = {
    "pe": headers.pe(BODIES),
    "pe-entry-first": headers.pe(BODIES, 0),
    "pe-entry-last": headers.pe(BODIES[:2], 0x1FF),
    "pe-version": headers.pe([*BODIES, VERSION], 4, resources=3, overlay=b"OVERLAYmark" * 3),
    "pe-cut": headers.pe(BODIES)[:0x700],
    "elf": headers.elf(BODIES),
    "elf-two": headers.elf(BODIES[1::-1], 0),
    "elf-cut": headers.elf(BODIES)[:0x300],
    "macho": headers.macho(BODIES),
    "macho-one": headers.macho(BODIES[1:2], 4),
    "dos": b"MZ" + bytes(0x3E) + BODIES[0] + BODIES[1],
    "plain": b"".join(BODIES),
}
MARKS = [b"ALPHAmark", b"BRAVOmark", b"CHARLIEmk", b"\x09" * 12, b"OVERLAYmark"]
MARKS += [word.encode("utf-16-le") for word in ("CompanyName", "FileDescription", "Kilo", "VS_VERSION", "StringFile")]
HEADERS = """
    EP+0 EP-16 EP-16,16 EP+4 EP+16 EP+592 EP-512 EP-4000 EP+0,2000 EP+ S0+0 S1+0 S2+0 S3+0 S0+0,600 S1+64 S0+528 S0+1
    S9+0 SL+0 SL+448 SL+0,500 SE0 SE1 SE2 SE3 SE9 SE0,64 SE1,5 SE VI
""".split()  # noqa: SIM905 - a table
PLAIN = ["EOF-512", "EOF-64", "EOF-64,10", "EOF-9000", "EOF-0,20", "EOF-33", "*", "0", "1024", "1024,600"]
ATTRIBUTES = [
    *(f"EntryPoint:{r}" for r in ("1024-1024", "0-1039", "1040-1040", "272-272", "256-256", "1041-9999", "1024-1050")),
    *(f"NumberOfSections:{r}" for r in ("3-3", "2-4", "4-9", "0-2", "1-1")),
    *("EntryPoint:0-4000,NumberOfSections:3-3", "Container:CL_TYPE_ANY", "Container:CL_TYPE_ZIP", "FileSize:0-0"),
    *("FileSize:1-3000", "Intermediates:CL_TYPE_ANY", "Intermediates:CL_TYPE_ZIP"),
]


def lines() -> tuple[str, str]:
    """(logical, body) signatures, named after their number."""
    logical: list[str] = []
    bodies: list[str] = []
    for target in (0, 1, 6, 9):
        for offset in PLAIN if target == 0 else HEADERS + PLAIN:
            for mark in MARKS:
                hexes = [mark.hex(), f"{mark.hex()[:8]}{{1-40}}{mark.hex()[-4:]}??", f"{mark.hex()[:8]}*09090909"]
                logical += [f"Target:{target};0;{offset}:{text}" for text in hexes]
                bodies.append(f"{target}:{offset}:{mark.hex()}")
        if target:
            logical += [f"{a},Target:{target};0;{b'BRAVOmark'.hex()}" for a in ATTRIBUTES]
    return (
        "".join(f"L.{i};Engine:81-255,{line}\n" for i, line in enumerate(logical)),
        "".join(f"N.{i}:{line}\n" for i, line in enumerate(bodies)),
    )


def clamscan(database: Path, folder: Path) -> dict[str, set[str]]:
    """Names by file, without those under which it scans a layer once more."""
    command = ["clamscan", "-d", str(database), "--allmatch", "--no-summary", "-r", str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode in (0, 1), run.stderr
    found: dict[str, set[str]] = {}
    for line in run.stdout.splitlines():
        if line.endswith(" FOUND"):
            file, name = line.removesuffix(" FOUND").rsplit(": ", 1)
            found.setdefault(Path(file).name, set()).add(name.removesuffix(".UNOFFICIAL"))
    return found


def test_every_offset_and_attribute_is_what_it_is_to_clamscan(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    for name, data in FILES.items():
        (tmp_path / "files" / name).write_bytes(data)
    parts, theirs = [], {name: set() for name in FILES}
    for name, reader, text in zip(("a.ldb", "a.ndb"), (read_ldb, read_ndb), lines(), strict=True):
        (tmp_path / name).write_text(text)
        for file, found in clamscan(tmp_path / name, tmp_path / "files").items():
            theirs[file] |= found
        builder, tally = SegmentBuilder(name.encode(), bytes(32), True), Tally()
        reader(text.encode(), builder, tally)
        assert tally.reasons == {}
        parts.append(builder.finish())
    matcher = image(*parts)
    ours = {name: set(names(matcher.scan(data, all_match=True))) for name, data in FILES.items()}
    text = dict(line.split(mark, 1) for mark, part in zip(";:", lines(), strict=True) for line in part.splitlines())
    wrong = {f: sorted(text[n] for n in ours[f] ^ theirs[f]) for f in FILES if ours[f] != theirs[f]}
    assert wrong == {}
    assert all(theirs.values())

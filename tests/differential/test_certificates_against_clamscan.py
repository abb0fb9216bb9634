"""Signed programs and rules for certificates: clamscan prints what stands in the list of cases, which is what the unit
tests hold us to; and so do we, name for name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kavfs.model import Switch
from kavfs.options import EVERYTHING
from tests.support.objects import image_of, scan, scanner
from tests.support.signed_programs import CASES, FOUND


def clamscan(folder: Path, data: bytes, files: dict[str, str], *options: str) -> set[str]:
    databases = folder / "databases"
    databases.mkdir(exist_ok=True)
    for name, text in files.items():
        (databases / name).write_text(text)
    path = folder / "object"
    path.write_bytes(data)
    words = ["clamscan", "-d", str(databases), "--no-summary", *options, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    lines = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    return {line.removesuffix(" FOUND") for line in lines if line.endswith(" FOUND")}


@pytest.mark.parametrize("name", CASES)
def test_clamscan_prints_what_we_print(tmp_path: Path, name: str) -> None:
    case = CASES[name]()
    files = {"a.crb": case.rules, **dict(case.files)}
    assert clamscan(tmp_path, case.data, files, "--allmatch") == case.names
    first = clamscan(tmp_path, case.data, files)
    ours = scan(case.data, scanner(of=image_of(tmp_path, files)))
    assert {found.decode() for _, found in ours.threats} == first


def test_without_certificates_both_print_what_is_in_the_program(tmp_path: Path) -> None:
    for name in ("a chain to a trusted root", "blocked"):
        case = CASES[name]()
        files = {"a.crb": case.rules, **dict(case.files)}
        assert clamscan(tmp_path, case.data, files, "--nocerts") == FOUND
        ours = scan(case.data, scanner(switches=EVERYTHING | Switch.NO_CERTIFICATES, of=image_of(tmp_path, files)))
        assert {found.decode() for _, found in ours.threats} == FOUND

"""Resources of thousands of broken PE files, under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.executables import ALIGNMENT, DATA, Part, pe, version_resource
from tests.support.icons import gray, icon, program_with, shapes

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDERS = ("common", "source", "type", "hash", "exe")
SECONDS = 2


def seeds() -> dict[str, bytes]:
    versions = version_resource(ALIGNMENT * 2, {"CompanyName": "Some"})
    return {
        "depths": program_with([icon(16, 16, depth, shapes(depth)) for depth in (1, 4, 8, 16, 24, 32)]),
        "sizes": program_with([icon(w, h, 4, gray(w)) for w, h in ((20, 20), (48, 48), (24, 32))]),
        "versions": pe((Part(b".text", b"\x90"), Part(b".rsrc", versions, DATA)), directories={2: (0x2000, 600)}),
    }


def test_no_broken_program_harms_the_readers_of_resources(tmp_path: Path) -> None:
    parts = ["exe", "pe", "elf", "macho", "versions", "resources", "icon", "icondraw", "iconmeasure"]
    sources = [CHECKOUT / f"ext/exe/{part}.c" for part in parts] + [CHECKOUT / "ext/source/source.c"]
    sources += [CHECKOUT / "tests/fuzz" / f"{name}.c" for name in ("fuzz_icon", "mutate")]
    flags = ["-std=gnu11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    includes = [f"-I{CHECKOUT}/ext/{folder}" for folder in FOLDERS]
    program = tmp_path / "fuzz_icon"
    subprocess.run(["gcc", *flags, *includes, *map(str, sources), "-lm", "-o", str(program)], check=True)
    files = []
    for name, content in seeds().items():
        (tmp_path / name).write_bytes(content)
        files.append(str(tmp_path / name))
    run = subprocess.run(
        [program, str(SECONDS), "1", *files], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if run.returncode != 0:
        pytest.fail(f"input kept in {tmp_path / 'mutate.last'}\n{run.stderr}")
    assert int(run.stdout.split()[0]) > 100

"""Globals in C: no object file of ours holds writable data, so every state has an owner."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SOURCES = sorted((CHECKOUT / "ext").glob("*/*.c"))
PACKAGES = ("libhs", "libarchive", "libpcre2-8", "libcrypto", "libseccomp", "gmime-3.0")
WRITABLE = set("bBdDCgGsS")  # nm's letters for data that can change, thread-local data included


def flags() -> list[str]:
    asked = subprocess.run(["pkg-config", "--cflags", *PACKAGES], check=True, capture_output=True, text=True)
    folders = sorted(folder for folder in (CHECKOUT / "ext").iterdir() if folder.is_dir())
    return [*asked.stdout.split(), *(f"-I{folder}" for folder in folders)]


def writable(source: Path, out: Path, options: list[str]) -> list[str]:
    """Names of writable data in *source*, compiled alone. Without -fPIC, because constant tables of pointers would
    stand among the data that the loader relocates."""
    target = out / (source.parent.name + "-" + source.stem + ".o")
    command = ["gcc", "-std=gnu11", "-O0", "-fno-pic", "-fno-pie", "-c", str(source), "-o", str(target), *options]
    subprocess.run(command, check=True)
    told = subprocess.run(["nm", "--format=posix", str(target)], check=True, capture_output=True, text=True).stdout
    return [f"{source.name}: {words[0]}" for line in told.splitlines() if (words := line.split())[1] in WRITABLE]


def test_no_c_file_of_ours_has_writable_data(tmp_path: Path) -> None:
    assert SOURCES
    options = flags()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda source: writable(source, tmp_path, options), SOURCES)
        assert [name for names in found for name in names] == []


SAMPLES = {
    "hidden counter": ("int next(void);\nint next(void) { static int n; return ++n; }\n", 1),
    "global": ("int shared = 3;\n", 1),
    "thread-local": ("_Thread_local int last;\n", 1),
    "constant table": ('static const char *const w[] = {"a", "b"};\nconst char *word(int i) { return w[i]; }\n', 0),
}


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_hidden_state_is_seen(tmp_path: Path, sample: str) -> None:
    code, count = SAMPLES[sample]
    source = tmp_path / "sample.c"
    source.write_text(code)
    assert len(writable(source, tmp_path, [])) == count

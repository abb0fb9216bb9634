"""Repository: what must never be in a tracked file."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
EICAR = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
PROGRAMS = (b"MZ", b"\x7fELF", b"\xd0\xcf\x11\xe0", b"PK\x03\x04", b"\xcf\xfa\xed\xfe")


@cache
def tracked() -> dict[str, bytes]:
    """Every tracked file as it lies in the checkout."""
    command = ["git", "-c", "safe.directory=*", "-C", str(CHECKOUT), "ls-files", "-z"]
    listed = subprocess.run(command, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: " + listed.stderr.decode(errors="replace").strip())
    paths = [name for name in listed.stdout.decode().split("\0") if name and (CHECKOUT / name).is_file()]
    return {path: (CHECKOUT / path).read_bytes() for path in paths}


def test_the_test_string_is_never_stored_whole() -> None:
    plain = EICAR.encode()
    forms = [plain, EICAR.encode("utf-16-le"), plain.replace(b"\\", b"\\\\")]
    assert [path for path, data in tracked().items() if any(form in data for form in forms)] == []


def test_no_program_and_no_archive_is_stored() -> None:
    assert [path for path, data in tracked().items() if data.startswith(PROGRAMS)] == []


def test_no_file_names_a_place_of_this_machine() -> None:
    assert len(CHECKOUT.parts) > 2, "checked out at the top of the file system: every path would look like ours"
    here = re.compile(re.escape(str(CHECKOUT).encode()) + rb"\b")
    assert [path for path, data in tracked().items() if here.search(data)] == []


def test_what_is_built_is_not_tracked() -> None:
    built = re.compile(r"(^|/)(build|dist|demo|\.venv|__pycache__)/|\.(so|o|a|pyc)$")
    assert [path for path in tracked() if built.search(path)] == []


def test_every_file_ends_with_a_line_and_has_unix_lines() -> None:
    text = {path: data for path, data in tracked().items() if data and b"\0" not in data}
    assert [path for path, data in text.items() if not data.endswith(b"\n") or b"\r\n" in data] == []

"""Signatures with a HandlerType: clamscan prints what stands in the cases of the unit tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.handlers import CASES, SIGNATURES


@pytest.mark.parametrize("name", CASES)
def test_clamscan_prints_what_we_print(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "a.ldb").write_text(case.rules)
    (tmp_path / "db" / "a.ndb").write_text(SIGNATURES)
    (tmp_path / "object").write_bytes(case.data)
    words = ["clamscan", "-d", str(tmp_path / "db"), "--no-summary", "--allmatch", str(tmp_path / "object")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    lines = [line.partition(": ")[2] for line in done.stdout.splitlines() if line.endswith(" FOUND")]
    assert {line.removesuffix(" FOUND") for line in lines} == case.names

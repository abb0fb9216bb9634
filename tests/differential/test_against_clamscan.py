"""Against clamscan: same signatures, same files, same files flagged with the same names.

The files are made by siggen.py from real signatures: one inert file for each, and a near miss with one required byte
changed. The short run takes every fourth line of each database, because clamscan clears tables as large as the whole
database for every file; the long one takes them all.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import differential

FILES = 2000  # and as many near misses
AGREEMENT = 0.99
TESTFILES = Path("/usr/share/clamav-testfiles")

pytestmark = [
    pytest.mark.clamav,
    pytest.mark.skipif(shutil.which("clamscan") is None, reason="clamscan is not installed (make system-test)"),
]
needs_signatures = pytest.mark.skipif(differential.missing() is not None, reason=str(differential.missing()))


@needs_signatures
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)], ids=["quarter", "all"])
def test_the_same_files_are_flagged_with_the_same_names(
    tmp_path: Path, every: int, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    databases, left_out = differential.prepare(differential.SIGNATURES, tmp_path, every)
    files = differential.generate(databases, tmp_path, FILES)
    theirs = differential.clamscan(databases, files, tmp_path)
    ours = differential.ours(databases, files, tmp_path)
    found = differential.compare(files, theirs, ours)
    record_property("agreement", found.agreement)
    with capsys.disabled():
        print(f"\n{found}\n{left_out} signature lines are of kinds that kavfs does not read yet")
    assert found.flagged >= 0.95 * FILES, "the generated files must be found at all"
    assert found.agreement >= AGREEMENT, str(found)

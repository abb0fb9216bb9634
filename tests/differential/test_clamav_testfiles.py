"""ClamAV's test files: one harmless program inside 44 packers, archives, documents and mails.

clamscan finds it in all of them. Ours must find it wherever the wrapping is one that it opens; the number of all is
printed, so that it can be seen to grow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.programs import kavscanner

FOLDER = Path("/usr/share/clamav-testfiles")
OPENED = {
    "clam.exe",
    "clam.exe.bz2",
    "clam.7z",
    "clam.bin-be.cpio",
    "clam.bin-le.cpio",
    "clam.newc.cpio",
    "clam.odc.cpio",
    "clam.cab",
    "clam.zip",
    "clam.bz2.zip",
    "clam.tar.gz",
    "clam_cache_emax.tgz",
    "clam.exe.mbox.base64",
    "clam.exe.mbox.uu",
    "clam.mail",
}

pytestmark = [
    pytest.mark.clamav,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="clamav-testfiles is not installed (make system-test)"),
]


def test_the_test_program_is_found_in_every_wrapping_that_is_opened(
    tmp_path: Path, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    program = (FOLDER / "clam.exe").read_bytes()
    database = tmp_path / "database"
    database.mkdir()
    (database / "test.hsb").write_text(f"{hashlib.sha256(program).hexdigest()}:{len(program)}:Test.Program\n")
    run = kavscanner("--db", database, "--state", tmp_path / "state", FOLDER)
    results = {Path(path.decode()).name: record for path, record in run.results.items()}
    found = {name for name, record in results.items() if record["status"] == "infected"}
    record_property("found", len(found))
    with capsys.disabled():
        print(f"\n{len(found)} of {len(results)} test files are found; not: {' '.join(sorted(set(results) - found))}")
    assert OPENED - found == set()
    assert run.exit_code == 25

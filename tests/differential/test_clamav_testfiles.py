"""ClamAV's test files: one harmless program inside 44 packers, archives, documents and mails. clamscan finds it in all.

The table in clamav-testfiles.md says in which the native engine finds it, and why not in the rest; by `--engine auto`
it is found in all, with the test's own database or ClamAV's own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import testfiles

TABLE = Path(__file__).with_name("clamav-testfiles.md")

pytestmark = [
    pytest.mark.clamav,
    pytest.mark.skipif(not testfiles.FOLDER.is_dir(), reason="clamav-testfiles is not installed (make system-test)"),
]


def test_the_table_says_what_the_native_engine_finds_and_why_not_the_rest(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    run = testfiles.scan("native", tmp_path)
    found = testfiles.found(run)
    record_property("found", sum(map(bool, found.values())))
    table = testfiles.table(found)
    assert table == TABLE.read_text("utf-8"), (
        "python -m tests.support.testfiles > tests/differential/clamav-testfiles.md"
    )
    assert "?" not in table
    assert run.exit_code == 25


@pytest.mark.parametrize("engine", ["auto", "clamav", "native,clamav"])
def test_with_libclamav_it_is_found_in_all(tmp_path: Path, engine: str) -> None:
    found = testfiles.found(testfiles.scan(engine, tmp_path))
    assert len(found) == len(list(testfiles.FOLDER.iterdir()))
    assert {name for name, engines in found.items() if not engines} == set()
    assert {name for name, engines in found.items() if "native" in engines} == (
        _found_by_native() if engine != "clamav" else set()
    )


def _found_by_native() -> set[str]:
    rows = [line.split(" | ") for line in TABLE.read_text("utf-8").splitlines() if line.startswith("| clam")]
    return {row[0].removeprefix("| ") for row in rows if row[1] == "yes"}

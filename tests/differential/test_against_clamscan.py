"""Against ClamAV: same databases, same files; every name that ``clamscan --allmatch`` gives is given by kavfs.

The files are made from real signatures: one inert file for each, near misses with one required byte changed, and
ordinary files of this machine. ClamAV is asked through a clamd of our own, because clamscan needs minutes for thousands
of files. What still differs is listed and explained in differences.toml; what is not explained fails.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import differential
from tests.support.clamd_daemon import CLAMD
from tests.support.differing import Case, compare, read_known
from tests.support.oracle import oracle
from tests.support.programs import CHECKOUT
from tests.support.samples.making import Made, lines_of, samples

KNOWN = Path(__file__).with_name("differences.toml")
MEMORY = CHECKOUT / "build" / "differential"
SEED = 20
SHORT, ORDINARY = 2000, 3000
NEAR = 5  # of the short run's near misses every fifth, for clamd needs milliseconds for each
AGREEMENT = 0.999
LARGEST = 4 << 20  # of ordinary files

pytestmark = [
    pytest.mark.clamav,
    pytest.mark.skipif(shutil.which(CLAMD) is None, reason="clamd is not installed (make system-test)"),
    pytest.mark.skipif(differential.missing() is not None, reason=str(differential.missing())),
]


def generated(databases: Path, folder: Path, limit: int | None, made: Made) -> Iterator[Case]:
    """Samples of all lines, or of so many, each with its near miss."""
    lines = lines_of(databases)
    if limit is not None:
        lines = random.Random(SEED).sample(lines, min(limit, len(lines)))
    groups = [line for line in lines_of(databases) if ";" not in line and line.split(":")[2].startswith("$")]
    for number, sample in enumerate(samples(list(dict.fromkeys([*lines, *groups])), differential.SIGGEN, SEED, made)):
        path = folder / f"{number:05d}"
        path.write_bytes(sample.content)
        yield Case(path, sample.how, sample.signature)
        if sample.near is not None and (limit is None or number % NEAR == 0):
            near = folder / f"{number:05d}.near"
            near.write_bytes(sample.near)
            yield Case(near, f"near {sample.how}", sample.signature)


def ordinary(folder: Path, count: int) -> Iterator[Case]:
    """Files under /usr, the same for the same machine."""
    found = []
    for top, folders, names in os.walk("/usr"):
        folders.sort()
        paths = [Path(top, name) for name in sorted(names)]
        found += [path for path in paths if path.is_file() and not path.is_symlink()]
    for number, path in enumerate(random.Random(SEED).sample(found, min(count, len(found)))):
        if 0 < path.stat().st_size <= LARGEST and "clamav" not in str(path):
            copy = folder / f"usr-{number:05d}"
            shutil.copyfile(path, copy)
            yield Case(copy, "ordinary", "")


@pytest.mark.parametrize(
    ("every", "limit", "usual"),
    [pytest.param(10, SHORT, 0, id="some"), pytest.param(1, None, ORDINARY, id="all", marks=pytest.mark.long)],
)
def test_every_name_of_clamav_is_given_and_nothing_flagged_besides(
    tmp_path: Path,
    every: int,
    limit: int | None,
    usual: int,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    databases = differential.unpack(differential.SIGNATURES, tmp_path / "databases", every)
    files, made = tmp_path / "files", Made()
    files.mkdir()
    cases = [*generated(databases, files, limit, made), *ordinary(files, usual)]
    theirs = oracle(databases, [case.path for case in cases], tmp_path, None if limit else MEMORY)
    flagged = {path.name for path, names in theirs.items() if names}
    ours = {files / name: names for name, names in differential.ours(databases, files, tmp_path, flagged).items()}
    found = compare(cases, theirs, ours, read_known(KNOWN))
    record_property("agreement", found.agreement)
    with capsys.disabled():
        print(f"\n{made}\n{found}")
    assert found.flagged.total() > 0.9 * made.by.total(), "the generated files must be found at all"
    assert found.unexplained == []
    assert found.agreement >= AGREEMENT

"""Rest: what a start alone has looked at is given back, and comes again when it is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.databases import body
from tests.support.objects import EICAR, NEAR_MISS, image_of, parts, scan, scanner
from tests.support.resident import resident

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = """
import os, sqlite3
from pathlib import Path
from kavfs._native import process
from tests.support.resident import resident

library = next(line.split()[5] for line in Path("/proc/self/maps").read_text().splitlines() if "libsqlite3" in line)
inode = os.stat(library).st_ino

def ask():
    with sqlite3.connect(":memory:") as there:
        there.execute("create table lines (line text)")
        there.executemany("insert into lines values (?)", [(str(i),) for i in range(1000)])
        return there.execute("select count(distinct line) from lines").fetchone()[0]

first, before = ask(), resident(inode, "r-x")
process.rest()
after = resident(inode, "r-x")
print(first, after < before // 4, ask(), resident(inode, "r-x") > 0)
"""


def test_libraries_are_let_go_and_work_afterwards() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["1000", "True", "1000", "True"]


def test_a_scanner_that_was_just_made_holds_no_page_of_its_signatures(tmp_path: Path) -> None:
    image = image_of(tmp_path, {"some.ndb": body("Test.Eicar", EICAR.decode())})
    inodes = {os.fstat(fd).st_ino for fd, _, _ in parts(image)}
    made = scanner(of=image)
    assert sum(map(resident, inodes)) == 0
    assert scan(EICAR, made).threats
    assert scan(NEAR_MISS, made).clean
    assert sum(map(resident, inodes)) > 0

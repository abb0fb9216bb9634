"""Grove: a tree that changes between scans, and kavscanner on it with stores.

What each file's verdict must be is known from its content, so that no answer of the program is what another is held to.
All contents of a kind have one size: a file that turns bad shows it by its times alone, and some hide their mtime.
"""

from __future__ import annotations

import fcntl
import io
import os
import random
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.programs import CHECKOUT, EICAR, STARTER, Run, finish, kavfs, read_records

FINE = b"nothing that anybody would look for, in as many bytes as the other ".ljust(len(EICAR), b".")


def packed(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("inside.com"), content)
    return out.getvalue()


CONTENTS = {False: (FINE, packed(FINE)), True: (EICAR, packed(EICAR))}  # bad: plain, in an archive


@contextmanager
def ext4(folder: Path, mib: int = 64) -> Iterator[Path]:
    """An empty file system that stamps its changes itself; what a test runs on may be one that cannot be trusted."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    image, point = folder / f"image{mib}", folder / f"disk{mib}"
    with open(image, "wb") as file:
        file.truncate(mib << 20)
    point.mkdir()
    made = subprocess.run(["mkfs.ext4", "-q", "-F", image], capture_output=True).returncode == 0
    if not made or subprocess.run(["mount", "-o", "loop", image, point], capture_output=True).returncode:
        pytest.skip("this machine does not let root mount an image")
    try:
        yield point
    finally:
        subprocess.run(["umount", point], check=True)


def build_shim(folder: Path) -> Path:
    """tests/native/store_faults.c, to be preloaded."""
    shim = folder / "store_faults.so"
    source = CHECKOUT / "tests" / "native" / "store_faults.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", shim, source, "-ldl"], check=True)
    return shim


def beside_ours(shim: Path) -> str:
    """LD_PRELOAD with what is preloaded already: a sanitizer insists on being the first."""
    return " ".join([*os.environ.get("LD_PRELOAD", "").split(), str(shim)])


def at_some_moment(seconds: float) -> None:
    """Let so much time go by: what happens to a scan then is to meet it at a moment that nothing announces."""
    time.sleep(seconds)


class Grove:
    """*files* files in directories of forty, every third an archive, and the state folder that goes with them."""

    def __init__(self, folder: Path, seed: int, files: int = 400) -> None:
        self.random = random.Random(seed)
        self.tree, self.state = folder / "tree", folder / "state"
        self.bad: dict[Path, bool] = {}
        self._youngest = folder / "tree" / "youngest"
        self._youngest.mkdir(parents=True)
        for number in range(files):
            path = self.tree / f"d{number // 40}" / f"f{number}"
            path.parent.mkdir(exist_ok=True)
            self.put(path, self.random.random() < 0.1)
        self.settle()

    def put(self, path: Path, bad: bool) -> None:
        """Write it where it stands, or put another file in its place; its mtime may stay what it was."""
        content = CONTENTS[bad][int(path.name[1:]) % 3 == 0]
        before = path.stat() if path.exists() else None
        if before is None or self.random.random() < 0.3:
            other = path.with_name("other")
            other.write_bytes(content)
            other.rename(path)
        else:
            with open(path, "r+b") as file:
                file.write(content)
        if before is not None and self.random.random() < 0.5:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.bad[path] = bad

    def change(self, count: int = 10) -> None:
        """Turn as many files into the other kind, and have the file system's clock go on."""
        for path in self.random.sample(sorted(self.bad), count):
            self.put(path, not self.bad[path])
        self.settle()

    def settle(self) -> None:
        """The newest thing on a file system is not remembered, so that must be none of the files."""
        newest = max(path.stat().st_ctime_ns for path in self.bad)
        while self._youngest.stat().st_ctime_ns <= newest:  # within one tick of the clock
            self._youngest.chmod(0o755)

    def start(
        self, *words: str | Path, env: Mapping[str, str] | None = None, before: tuple[str, ...] = ()
    ) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-m", "tests.support.later", "-q", "--json", "-", "--db", STARTER]
        process = subprocess.Popen(
            [*before, *line, "--state", self.state, "-j", "1", *words, self.tree],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=CHECKOUT,
            env={**os.environ, **(env or {})},
        )
        assert process.stdout is not None
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 1 << 20)  # it never waits for us to read
        return process

    def scan(self, *words: str | Path, env: Mapping[str, str] | None = None) -> Run:
        return finish(self.start(*words, env=env))

    def check(self, run: Run) -> None:
        """Every file has the verdict that its content asks for."""
        statuses = {path: "infected" if bad else "clean" for path, bad in self.bad.items()}
        assert {Path(os.fsdecode(path)): one["status"] for path, one in run.results.items()} == statuses
        assert run.exit_code == 25

    def check_part(self, lines: bytes) -> None:
        """As far as a run got that was cut off: nothing is called clean that is not."""
        run = read_records(lines[: lines.rfind(b"\n") + 1], Run(0, ""))
        clean = {Path(os.fsdecode(path)) for path, one in run.results.items() if one["status"] == "clean"}
        wrong = [path for path in clean if self.bad[path]]
        assert wrong == []

    def stats(self) -> str:
        """What `kavfs cache stats` says; it must be able to."""
        return kavfs("cache", "stats", "--state", self.state)

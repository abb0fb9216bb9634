"""Scratch: the folder goes when its worker goes, however that happens, and nobody fills it beyond its quota."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kavfs.engine import scratch
from kavfs.engine.scratch import PREFIX, Scratch, used
from kavfs.errors import SystemFailure
from tests.support.engines import wait_until
from tests.support.programs import CHECKOUT

PATIENCE = 20.0  # seconds
WORKER = """
import os, sys
from kavfs.engine.scratch import Scratch
made = Scratch(os.fsencode(sys.argv[1]), int(sys.argv[2]), None)
os.mkdir(made.path + b"/below")
with open(made.path + b"/below/file", "wb") as file:
    file.write(bytes(int(sys.argv[3])))
    file.flush()
    print("made", flush=True)
    sys.stdin.read()
"""


def start(folder: Path, quota: int, fill: int) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", WORKER, str(folder), str(quota), str(fill)]
    return subprocess.Popen(words, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def wait_until_empty(folder: Path) -> None:
    """The keeper is no child of ours: its work is all that can be seen of it."""
    wait_until(lambda: not list(folder.iterdir()))


def test_close_removes_the_folder_and_all_in_it(tmp_path: Path) -> None:
    made = Scratch(os.fsencode(tmp_path), 1 << 20, None)
    assert os.stat(made.path).st_mode & 0o777 == 0o700
    os.makedirs(os.path.join(made.path, b"a/b"))
    os.symlink("/etc", os.path.join(made.path, b"link"))
    made.close()
    assert list(tmp_path.iterdir()) == []
    assert os.path.isdir("/etc")


def test_a_killed_worker_leaves_nothing(tmp_path: Path) -> None:
    worker = start(tmp_path, 1 << 30, 5000)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"made\n"
    assert len(list(tmp_path.glob(PREFIX.decode() + "*/below/file"))) == 1
    worker.kill()
    worker.communicate()
    wait_until_empty(tmp_path)


def test_whoever_fills_more_than_the_quota_is_killed(tmp_path: Path) -> None:
    worker = start(tmp_path, 1 << 20, 2 << 20)
    assert worker.wait(PATIENCE) == -signal.SIGTERM  # a SIGKILL would be taken for somebody else's
    worker.communicate()
    wait_until_empty(tmp_path)


TAKEN_OVER = """
import os, signal, sys
from kavfs.engine.scratch import Scratch
made = Scratch(os.fsencode(sys.argv[1]), 1 << 20, (65534, 65534) if os.geteuid() == 0 else None)
if os.geteuid() == 0:
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
os.chdir(made.path)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""
UNCOUNTED = {
    "a folder that cannot be read": "os.mkdir('closed', 0)",
    "more folders inside one another than a path can name": "for i in range(3000): os.mkdir('a'); os.chdir('a')",
    "names without content": "for i in range(5000): open(str(i), 'w').close()",
}


@contextmanager
def taken_over(deed: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A worker that does *deed* in its folder and then waits; and where its folder is: its user must reach that."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o1777)
        words = [sys.executable, "-c", f"{TAKEN_OVER}{deed}\nsys.stdin.read()", folder]
        worker = subprocess.Popen(words, cwd=CHECKOUT, stdin=subprocess.PIPE)
        try:
            yield worker, folder
        finally:
            worker.kill()
            worker.communicate()


@pytest.mark.parametrize("deed", UNCOUNTED.values(), ids=UNCOUNTED)
def test_who_makes_what_no_engine_would_make_is_killed_and_leaves_nothing(deed: str) -> None:
    with taken_over(deed) as (worker, folder):
        assert worker.wait(PATIENCE) == -signal.SIGKILL
        wait_until(lambda: os.listdir(folder) == [])


def test_who_closes_the_pipe_and_goes_on_has_no_folder() -> None:
    deed = """
from contextlib import suppress
os.close(made._alive)
open(sys.argv[1] + "/began", "w").close()
while True:
    with suppress(OSError):
        open(made.path + b"/" + os.urandom(8).hex().encode(), "w").close()
"""
    with taken_over(deed) as (_, folder):
        wait_until(lambda: os.listdir(folder) == ["began"])


def test_less_than_the_quota_is_nobodys_business(tmp_path: Path) -> None:
    worker = start(tmp_path, 4 << 20, 2 << 20)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"made\n"
    worker.communicate(b"")
    assert worker.returncode == 0


def test_the_end_of_a_worker_is_not_hidden_by_its_keeper(tmp_path: Path) -> None:
    """Whoever waits for the end of its output must not wait for the keeper's."""
    worker = start(tmp_path, 1 << 30, 10)
    worker.kill()
    worker.communicate(timeout=PATIENCE)


def test_what_a_killed_keeper_left_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / (PREFIX.decode() + "left") / "sub").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    fresh = Scratch(os.fsencode(tmp_path), 1 << 20, None)
    assert len(list(tmp_path.iterdir())) == 3  # it may be on its way to a keeper
    monkeypatch.setattr(scratch, "FRESH", -1.0)
    Scratch(os.fsencode(tmp_path), 1 << 20, None).close()
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "other", Path(os.fsdecode(fresh.path))])
    fresh.close()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_folder_that_the_worker_s_user_cannot_reach_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    with pytest.raises(SystemFailure, match=f"user 65534 cannot make temporary files in {tmp_path}/closed"):
        Scratch(os.fsencode(tmp_path / "closed"), 1 << 20, (65534, 65534))
    assert list((tmp_path / "closed").iterdir()) == []


def test_used_counts_blocks_of_all_files_and_follows_no_link(tmp_path: Path) -> None:
    before = used(os.fsencode(tmp_path))
    (tmp_path / "file").write_bytes(bytes(100_000))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(bytes(100_000))
    (tmp_path / "link").symlink_to("/usr")
    assert 200_000 <= used(os.fsencode(tmp_path)) - before < 300_000

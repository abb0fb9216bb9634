"""kavscanner --lock: scans of one job never overlap, and a lock never outlives its scan."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess

import pytest

from tests.support.kavscanner import command, environment, run

HELD = 30


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.txt").write_text("harmless")
    return tmp_path / "tree"


def scan(tmp_path, tree, *words, **more):
    return run(["--state", tmp_path / "state", "--no-events", *words, tree], tmp_path, **more)


def locked(path):
    """Another process's hold of the lock, as flock(1) would take it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a+")  # noqa: SIM115  # closed by the caller
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


@pytest.mark.parametrize("as_file", [False, True])
def test_a_second_scan_of_a_job_is_refused_and_touches_no_report(tmp_path, tree, as_file):
    place = tmp_path / "own.lock" if as_file else tmp_path / "state/locks/nightly.lock"
    name = str(place) if as_file else "nightly"
    report = tmp_path / "report"
    report.write_text("of the first\n")
    with locked(place):
        done = scan(tmp_path, tree, "--lock", name, "-o", report)
    assert done.code == HELD
    assert b"holds the lock " + name.encode() + b"; nothing was scanned" in done.err
    assert done.findings == []
    assert report.read_text() == "of the first\n"
    assert scan(tmp_path, tree, "--lock", name).code == 0


def test_another_lock_is_another_job(tmp_path, tree):
    with locked(tmp_path / "state/locks/nightly.lock"):
        assert scan(tmp_path, tree, "--lock", "daily").code == 0
        assert scan(tmp_path, tree).code == 0


def test_a_scan_that_is_killed_leaves_no_lock_and_a_running_one_says_who_it_is(tmp_path, tree):
    """The first scan cannot end: nobody reads its report, which is longer than a pipe holds."""
    for number in range(1000):
        (tree / f"{number}.txt").write_text("harmless")
    os.mkfifo(tmp_path / "records")
    words = ["--state", str(tmp_path / "state"), "--lock", "nightly", "--json", str(tmp_path / "records"), str(tree)]
    reader = os.open(tmp_path / "records", os.O_RDONLY | os.O_NONBLOCK)
    first = subprocess.Popen(command("kavscanner", "-q", *words), cwd=tmp_path, env=environment(tmp_path))
    try:
        written = select.poll()
        written.register(reader, select.POLLIN)
        assert written.poll(30_000), "the first scan has not begun"
        done = scan(tmp_path, tree, "--lock", "nightly")
        assert done.code == HELD
        assert f"process {first.pid}".encode() in done.err
    finally:
        first.kill()
        first.wait()
        os.close(reader)
    assert scan(tmp_path, tree, "--lock", "nightly").code == 0


@pytest.mark.parametrize("name", [".hidden", "two words", "-x", "ä", "a" * 101])
def test_a_word_that_could_be_mistaken_is_refused(tmp_path, tree, name):
    done = scan(tmp_path, tree, f"--lock={name}")
    assert done.code == 66
    assert b"is no name" in done.err


def test_a_lock_that_is_something_else_is_left_alone(tmp_path, tree):
    (tmp_path / "precious").write_text("not a lock")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    os.mkfifo(tmp_path / "fifo")
    assert scan(tmp_path, tree, "--lock", tmp_path / "link").code == 66
    assert scan(tmp_path, tree, "--lock", tmp_path / "fifo").code == 66
    assert scan(tmp_path, tree, "--lock", tmp_path / "precious").code == 0
    assert (tmp_path / "precious").read_text() == "not a lock"

"""The library: Scanner over the real engine, with the starter signatures."""

from __future__ import annotations

import doctest
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import psutil
import pytest

import kavfs
from kavfs.model import Reason, Status
from kavfs.signatures.sources import STARTER

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@pytest.fixture(scope="module")
def scanner(tmp_path_factory):
    with kavfs.Scanner(STARTER, tmp_path_factory.mktemp("state"), jobs=2) as one:
        yield one


def test_bytes_are_scanned(scanner):
    result = scanner.scan_bytes(EICAR, b"attachment")
    assert (result.status, result.path) == (Status.INFECTED, b"attachment")
    assert [threat.name for threat in result.threats] == ["EICAR-Test-File"]
    assert scanner.scan_bytes(b"").status is Status.CLEAN
    assert scanner.scan_bytes(memoryview(b"harmless")).complete


def test_file_is_scanned_with_what_is_inside_it(scanner, tmp_path):
    with zipfile.ZipFile(tmp_path / "mail.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner/eicar.com", EICAR)
    result = scanner.scan_path(tmp_path / "mail.zip")
    assert result.status is Status.INFECTED
    assert [threat.member for threat in result.threats] == [b"inner/eicar.com"]
    assert (result.container, result.format) == (True, "zip")


@pytest.mark.parametrize("what", ["missing", "folder", "fifo"])
def test_what_is_no_readable_file_is_an_error_and_no_exception(scanner, tmp_path, what):
    path = tmp_path / what
    if what == "folder":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    result = scanner.scan_path(path)
    assert (result.status, result.reasons) == (Status.ERROR, Reason.UNREADABLE)
    assert result.error


def test_tree_is_scanned_again_and_again_by_the_same_processes(scanner, tmp_path):
    for number in range(150):
        (tmp_path / f"file{number}").write_bytes(EICAR if number % 50 == 0 else b"fine %d" % number)
    (tmp_path / "other name").hardlink_to(tmp_path / "file0")
    for _ in range(3):
        results = list(scanner.scan([tmp_path]))
        assert len(results) == 151
        assert sum(result.status is Status.INFECTED for result in results) == 4


def test_iteration_that_is_given_up_leaves_a_scanner_that_works(scanner, tmp_path):
    for number in range(500):
        (tmp_path / f"file{number}").write_bytes(b"fine %d" % number)
    iteration = scanner.scan([tmp_path])
    next(iteration)
    with pytest.raises(RuntimeError, match="in use"):
        scanner.scan_bytes(b"too early")
    iteration.close()
    assert scanner.scan_bytes(EICAR).status is Status.INFECTED
    assert len(list(scanner.scan([tmp_path]))) == 500


@pytest.mark.parametrize("kind", [str, os.fsencode, lambda path: path], ids=["str", "bytes", "PathLike"])
def test_single_path_is_not_taken_for_a_sequence_of_paths(scanner, tmp_path, kind):
    (tmp_path / "eicar.com").write_bytes(EICAR)
    (result,) = scanner.scan(kind(tmp_path / "eicar.com"))
    assert (result.path, result.status) == (os.fsencode(tmp_path / "eicar.com"), Status.INFECTED)


@pytest.mark.parametrize("path", ["", b"", "a\0b", b"\0", "half a pair \ud800", b"long" * (1 << 14)])
def test_path_that_no_file_can_have_is_an_error_and_no_exception(scanner, tmp_path, path):
    (tmp_path / "eicar.com").write_bytes(EICAR)
    bad, good = scanner.scan([path, tmp_path])
    assert good.status is Status.INFECTED
    for result in (bad, scanner.scan_path(path), *scanner.scan(path)):
        assert (result.status, result.reasons) == (Status.ERROR, Reason.UNREADABLE)
        assert result.error


@pytest.mark.parametrize("name", [b"", b"a\0b", b"long" * (1 << 14)])
def test_name_of_bytes_that_cannot_be_is_refused_and_the_scanner_still_works(scanner, name):
    with pytest.raises(kavfs.KavfsError, match="name"):
        scanner.scan_bytes(EICAR, name)
    assert scanner.scan_bytes(EICAR).status is Status.INFECTED


@pytest.mark.parametrize("what", ["db", "state"])
@pytest.mark.parametrize("path", ["", "a\0b", "\ud800"])
def test_places_that_cannot_be_are_one_clear_error(tmp_path, what, path):
    with pytest.raises(kavfs.KavfsError, match=r"no signatures|no state"):
        kavfs.Scanner(**{"db": STARTER, "state": tmp_path, what: path})


def test_without_a_current_directory_only_relative_paths_are_refused(scanner, tmp_path, monkeypatch):
    (tmp_path / "eicar.com").write_bytes(EICAR)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert [result.status for result in scanner.scan([tmp_path])] == [Status.INFECTED]
    with pytest.raises(kavfs.KavfsError, match="current directory"):
        list(scanner.scan("eicar.com"))
    assert [result.status for result in scanner.scan([tmp_path])] == [Status.INFECTED]


def test_fewer_than_no_processes_are_refused(tmp_path):
    with pytest.raises(kavfs.KavfsError, match="-1"):
        kavfs.Scanner(STARTER, tmp_path, jobs=-1)


def test_closed_scanner_says_so_and_leaves_nothing(tmp_path):
    before = sorted(os.listdir("/proc/self/fd"))
    scanner = kavfs.Scanner(STARTER, tmp_path, jobs=1)
    scanner.scan_bytes(b"x")
    scanner.close()
    scanner.close()
    with pytest.raises(ValueError, match="closed"):
        scanner.scan_bytes(b"x")
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_thousand_scans_leak_no_descriptor_and_no_memory(scanner):
    for _ in range(200):
        scanner.scan_bytes(EICAR)
    me = psutil.Process()
    descriptors, memory = me.num_fds(), me.memory_info().rss
    for _ in range(1000):
        scanner.scan_bytes(EICAR)
    assert me.num_fds() == descriptors
    assert me.memory_info().rss - memory < 2 << 20


def test_worker_killed_between_two_scans_is_replaced(scanner):
    for child in psutil.Process().children(recursive=True):
        if child.name() == "kavfs-worker":
            child.send_signal(signal.SIGKILL)
            child.wait(timeout=10)
    assert scanner.scan_bytes(EICAR).status is Status.INFECTED


def test_missing_database_is_one_clear_error(tmp_path):
    with pytest.raises(kavfs.DatabaseMissing):
        kavfs.Scanner(tmp_path / "nothing", tmp_path)


def test_all_matches_are_named_when_asked_for(tmp_path):
    database = tmp_path / "db"
    database.mkdir()
    lines = "".join(f"Test.Part{n}:0:*:{part.hex()}\n" for n, part in enumerate((b"first half of it", b"second half")))
    (database / "two.ndb").write_text(lines)
    data = b"the first half of it and the second half"
    with kavfs.Scanner(database, tmp_path / "state", jobs=1, all_match=True) as scanner:
        assert len(scanner.scan_bytes(data).threats) == 2
    with kavfs.Scanner(database, tmp_path / "state", jobs=1) as scanner:
        assert len(scanner.scan_bytes(data).threats) == 1


UNPRIVILEGED = """
import os, sys
import kavfs.scan.scanner, kavfs.scan.sandbox, kavfs.signatures.renew, kavfs.signatures.segment
from kavfs._native import walk, worker  # the interpreter's own folders may be closed to nobody
os.setgroups([]); os.setgid(65534); os.setuid(65534)
import kavfs
with kavfs.Scanner(sys.argv[1], sys.argv[2], jobs=1) as scanner:
    print(scanner.scan_bytes(b"fine").status.name, scanner.scan_path(sys.argv[3]).status.name)
"""


def test_whoever_is_not_root_can_scan_too(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("the other tests show it: this is not root")
    if not all(folder.stat().st_mode & 0o001 for folder in Path(kavfs.__file__).parents):
        pytest.skip("the checkout lies in a folder that only root may enter")
    state = tmp_path / "state"
    state.mkdir()
    for path in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        path.chmod(0o755)
    os.chown(state, 65534, 65534)
    words = [sys.executable, "-c", UNPRIVILEGED, STARTER, state, __file__]
    run = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert run.stdout.split() == ["CLEAN", "CLEAN"], run.stderr


def test_importing_kavfs_imports_nothing_costly():
    code = "import sys, kavfs; print([m for m in sys.modules if m.startswith('kavfs') and m != 'kavfs'])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_public_names_are_there_and_documented():
    for name in kavfs.__all__:
        assert getattr(kavfs, name).__doc__
    assert sorted(kavfs.__all__) == kavfs.__all__


def test_examples_of_the_documentation_are_true(tmp_path, monkeypatch):
    monkeypatch.setattr("kavfs.scan.scanner.default_state", lambda: os.fsencode(tmp_path))
    monkeypatch.setattr("kavfs.scan.scanner.default_databases", lambda: (STARTER,))
    failures, tried = doctest.testmod(kavfs)
    assert tried > 5
    assert not failures

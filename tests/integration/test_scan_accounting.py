"""Every path that a walk meets has exactly one verdict, whoever gives it and however many share the work."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kavfs.errors import SystemFailure
from kavfs.model import Entry, Reason, Status
from kavfs.options import ScanOptions, WalkOptions
from kavfs.scan import crew as crew_module
from kavfs.scan.job import Job
from tests.support.fakes import NoImage, Notebook, fake_scan, fake_server, options


def grow(folder, files=600):
    for number in range(files):
        parent = folder / f"d{number % 7}"
        parent.mkdir(exist_ok=True)
        (parent / f"f{number}").write_bytes(b"EVIL %d" % number if number % 9 == 0 else b"fine" * (number % 50))


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_verdicts_do_not_depend_on_the_number_of_workers(tmp_path, jobs):
    grow(tmp_path)
    book = fake_scan(tmp_path, jobs=jobs)
    paths = sorted(os.fsencode(path) for path in tmp_path.rglob("f*"))
    infected = sorted(os.fsencode(path) for path in tmp_path.rglob("f*") if path.read_bytes().startswith(b"EVIL"))
    assert [path for path, _, _ in book.verdicts()] == paths
    assert [path for path, status, _ in book.verdicts() if status == "INFECTED"] == infected
    assert book.totals.files == len(paths)
    assert book.totals.statuses == {Status.CLEAN: len(paths) - len(infected), Status.INFECTED: len(infected)}
    assert book.totals.bytes == sum(path.stat().st_size for path in tmp_path.rglob("f*"))
    assert book.notes == []


def test_report_that_does_not_want_clean_files_gets_none_but_they_are_counted(tmp_path):
    grow(tmp_path, 90)
    book = fake_scan(tmp_path, wants_clean=False)
    assert {result.status for result in book.results} == {Status.INFECTED}
    assert len(book.results) == 10
    assert book.totals.files == 90


def test_result_holds_what_the_worker_said_in_several_records(tmp_path):
    (tmp_path / "evil").write_bytes(b"EVIL")
    result = fake_scan(tmp_path).of(tmp_path / "evil")
    assert [(threat.name, threat.member, threat.offset) for threat in result.threats] == [("Test.Evil", b"", None)]
    assert [member.path for member in result.members] == [b"inside"]
    assert result.format == "text"


def test_every_name_of_an_inode_has_the_verdict_of_the_one_that_was_read(tmp_path):
    first = tmp_path / "evil0"
    first.write_bytes(b"EVIL")
    for number in range(1, 300):
        (tmp_path / f"evil{number}").hardlink_to(first)
    book = fake_scan(tmp_path)
    assert len(book.results) == 300
    assert {result.threats[0].name for result in book.results} == {"Test.Evil"}
    assert book.totals.scanned == 4
    assert book.totals.bytes == 4 * 300


def test_clean_inode_is_counted_for_each_of_its_names(tmp_path):
    first = tmp_path / "fine"
    first.write_bytes(b"fine")
    (tmp_path / "fine too").hardlink_to(first)
    book = fake_scan(tmp_path, wants_clean=False)
    assert book.totals.statuses == {Status.CLEAN: 2}
    assert book.totals.scanned == 4


def test_what_is_no_file_is_skipped_with_its_kind(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("nowhere")
    book = fake_scan(tmp_path)
    kinds = {skip.path: skip.kind for skip in book.skips}
    assert kinds == {os.fsencode(tmp_path / "fifo"): Entry.SPECIAL, os.fsencode(tmp_path / "link"): Entry.SYMLINK}
    assert book.totals.entries == {Entry.SPECIAL: 1, Entry.SYMLINK: 1}


def test_missing_root_is_an_error_with_its_reason(tmp_path):
    result = fake_scan(tmp_path / "nothing").of(tmp_path / "nothing")
    assert (result.status, result.reasons) == (Status.ERROR, Reason.UNREADABLE)
    assert "No such file" in result.error


def test_pseudo_file_system_below_a_root_is_not_entered(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    point = tmp_path / "proc"
    point.mkdir()
    if subprocess.run(["mount", "-t", "proc", "proc", point], capture_output=True).returncode:
        pytest.skip("this machine does not let root mount")
    try:
        book = fake_scan(tmp_path)
    finally:
        subprocess.run(["umount", point], check=True)
    assert [(skip.path, skip.kind) for skip in book.skips] == [(os.fsencode(point), Entry.PSEUDO)]


@pytest.mark.parametrize("one_file_system", [False, True])
def test_mount_below_a_root_is_walked_unless_told_otherwise(tmp_path, one_file_system):
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    point = tmp_path / "mount"
    point.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", point], capture_output=True).returncode:
        pytest.skip("this machine does not let root mount")
    try:
        (point / "evil").write_bytes(b"EVIL")
        walk = WalkOptions((os.fsencode(tmp_path), os.fsencode(point)), one_file_system=one_file_system)
        only_outer = WalkOptions((os.fsencode(tmp_path),), one_file_system=one_file_system)
        both, outer = Notebook(), Notebook()
        Job(NoImage(), ScanOptions(walk, jobs=1), both, server=fake_server()).run()
        Job(NoImage(), ScanOptions(only_outer, jobs=1), outer, server=fake_server()).run()
    finally:
        subprocess.run(["umount", point], check=True)
    assert [result.path for result in both.results] == [os.fsencode(point / "evil")]  # once, though two ways lead there
    assert [skip.kind for skip in outer.skips] == ([Entry.SUBMOUNT] if one_file_system else [])
    assert len(outer.results) == (0 if one_file_system else 1)


def test_stop_ends_with_what_was_done(tmp_path):
    grow(tmp_path)
    book = Notebook()
    job = Job(NoImage(), options(tmp_path), book, server=fake_server(), tick=lambda totals: job.stop())
    totals = job.run()
    assert totals.interrupted
    assert book.totals is totals
    assert totals.files == len(book.results) <= 600


LOW = """
import os, resource, sys
from kavfs._native import walk
from kavfs.scan import asking, sandbox
from tests.support.fakes import fake_scan
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]),) * 2)
if sys.argv[3] == "nobody":
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(fake_scan(sys.argv[1], jobs=2).totals.statuses)
"""


@pytest.fixture
def common_folder():
    """A folder that everybody may read; pytest's own is closed to others again whenever another pytest starts."""
    with tempfile.TemporaryDirectory(prefix="kavfs-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize("limit", ["220", "1024"])
@pytest.mark.parametrize("user", ["self", "nobody"])
def test_few_descriptors_slow_a_scan_and_lose_nothing(common_folder, limit, user):
    """For root the kernel does not limit descriptors inside sockets, for others it does."""
    if os.geteuid() != 0 and user == "nobody":
        pytest.skip("only root can become nobody; this is covered by the other case")
    grow(common_folder, 3000)
    words = [sys.executable, "-c", LOW, common_folder, limit, user]
    run = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == str({Status.CLEAN: 2666, Status.INFECTED: 334}), run.stderr


def test_too_few_descriptors_are_refused_with_one_line(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (90, 90))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: None)
    with pytest.raises(SystemFailure, match="too few open files are allowed"):
        crew_module.descriptor_budget(2)


def own_children() -> set[int]:
    """Running or not waited for; other tests may have left some."""
    threads = Path("/proc/self/task").iterdir()
    return {int(child) for thread in threads for child in (thread / "children").read_text().split()}


def test_nothing_is_left_open_or_running(tmp_path):
    grow(tmp_path, 100)
    before, running = sorted(os.listdir("/proc/self/fd")), own_children()
    fake_scan(tmp_path)
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert own_children() <= running


def test_spill_folder_that_does_not_exist_is_one_clear_line(tmp_path):
    server = fake_server()
    with pytest.raises(SystemFailure, match="no temporary file can be made in /no/such"):
        Job(NoImage(), options(tmp_path, spill_dir=b"/no/such"), Notebook(), server=server).run()

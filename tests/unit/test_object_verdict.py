"""The verdict on an object: statuses by name and reason, exceptions, identity, paths of members."""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
from pathlib import Path

import pytest

from kavfs._native import worker
from kavfs.limits import Limits
from kavfs.model import Reason, Status, Switch
from kavfs.options import EVERYTHING
from kavfs.signatures.image import compile_image
from tests.support.archives import make_tar, make_zip
from tests.support.databases import body
from tests.support.objects import (
    ADWARE,
    EICAR,
    F_CONTAINER,
    F_SHA256,
    F_STABLE,
    F_SUPPRESSED,
    NEAR_MISS,
    ODDITY,
    scan,
    scan_fd,
    scan_file,
    scanner,
)


def test_the_name_decides_the_status() -> None:
    assert scan(EICAR).status is Status.INFECTED
    assert scan(ADWARE).status is Status.WARNING
    assert scan(ODDITY).status is Status.SUSPICIOUS
    assert scan(ADWARE[:-1]).clean


def test_the_gravest_status_of_all_members_is_that_of_the_object() -> None:
    assert scan(make_zip({"a": ODDITY, "b": ADWARE})).status is Status.WARNING
    assert scan(make_zip({"a": ODDITY, "b": ADWARE, "c": EICAR})).status is Status.INFECTED
    verdict = scan(make_zip({"a": ODDITY, "z": gzip.compress(ADWARE)[:-3]}))
    assert verdict.status is Status.WARNING
    assert verdict.reasons == Reason.DAMAGED


def test_member_lines_name_what_is_not_clean_and_all_containers() -> None:
    verdict = scan(make_zip({"a.txt": b"harmless", "bad": EICAR, "in.tgz": gzip.compress(b"harmless"), "e/": b""}))
    assert set(verdict.lines) == {b"bad", b"in.tgz"}
    assert verdict.lines[b"in.tgz"] == (Status.CLEAN, 0)
    assert verdict.containers == {b"in.tgz"}
    assert verdict.members == 5


def test_all_members_are_named_when_asked_for() -> None:
    every = scanner(switches=EVERYTHING | Switch.ALL_MEMBERS)
    verdict = scan(make_zip({"a.txt": b"harmless", "e/": b"", "in.gz": gzip.compress(b"x")}), every)
    assert list(verdict.lines) == [b"a.txt", b"e/", b"in.gz/#1", b"in.gz"]
    assert {status for status, _ in verdict.lines.values()} == {Status.CLEAN}


def test_a_plain_file_is_no_container_and_its_identity_is_told() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 1000)
        file.seek(500)  # the position is nobody's business
        verdict = scan_fd(file.fileno())
        assert file.tell() == 500
    assert verdict.clean
    assert verdict.flags & F_STABLE
    assert not verdict.flags & F_CONTAINER
    assert (verdict.size, verdict.scanned, verdict.members) == (1000, 1000, 0)


def test_the_digest_of_what_was_found_is_told() -> None:
    for data in (EICAR, ADWARE, make_zip({"a": EICAR})):
        verdict = scan(data)
        assert verdict.flags & F_SHA256
        assert verdict.sha256 == hashlib.sha256(data).digest()


@pytest.mark.parametrize("make", [lambda: os.pipe()[0], lambda: os.open("/", os.O_RDONLY), lambda: -1])
def test_what_is_no_readable_file_is_an_error(make) -> None:
    fd = make()
    verdict = scan_fd(fd)
    assert (verdict.status, verdict.reasons) == (Status.ERROR, Reason.UNREADABLE)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(EICAR)
    fd = os.open(path, os.O_WRONLY)
    verdict = scan_fd(fd)
    os.close(fd)
    assert verdict.status is Status.ERROR
    assert Reason.UNREADABLE in verdict.reasons


def test_a_file_that_changes_while_it_is_read_says_so(tmp_path: Path) -> None:
    """/proc/self/status-like files aside, a file whose time stamp moves during the scan is not the one we opened."""
    path = tmp_path / "file"
    data = make_tar({str(n): NEAR_MISS * 50 for n in range(3000)})
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    child = os.fork()
    if child == 0:
        while True:
            os.utime(path)
    try:
        for _ in range(20):
            verdict = scan_fd(fd)
            if verdict.reasons:
                break
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(fd)
    assert verdict.reasons == Reason.CHANGED
    assert verdict.status is Status.ERROR
    assert not verdict.flags & F_STABLE


def excepting(tmp_path: Path, *datas: bytes) -> object:
    """A scanner with the usual signature and an exception for each of these contents."""
    folder = tmp_path / "databases"
    folder.mkdir()
    (folder / "test.ndb").write_text(body("EICAR-Test-File", EICAR.decode()))
    lines = [f"{hashlib.sha256(data).hexdigest()}:{len(data)}:exception\n" for data in datas]
    (folder / "local.sfp").write_text("".join(lines))
    return scanner(of=compile_image([str(folder)], str(tmp_path / "state")))


def test_an_exception_lifts_the_match_of_the_file_it_names(tmp_path: Path) -> None:
    data = b"allowed: " + EICAR
    using = excepting(tmp_path, data)
    lifted = scan(data, using)
    assert lifted.clean
    assert lifted.flags & F_SUPPRESSED
    other = scan(data + b".", using)
    assert other.status is Status.INFECTED
    assert not other.flags & F_SUPPRESSED


def test_an_exception_for_a_member_holds_inside_any_container(tmp_path: Path) -> None:
    data = b"allowed: " + EICAR
    using = excepting(tmp_path, data)
    verdict = scan(make_zip({"fine": data, "bad": EICAR}), using)
    assert verdict.infected == [b"bad"]
    assert verdict.flags & F_SUPPRESSED


def test_an_exception_for_a_container_holds_for_everything_in_it(tmp_path: Path) -> None:
    inner = make_zip({"bad": EICAR})
    using = excepting(tmp_path, inner)
    verdict = scan(make_zip({"in.zip": inner, "same": EICAR}), using)
    assert verdict.infected == [b"same"]
    assert verdict.flags & F_SUPPRESSED
    assert scan(inner, using).clean


def test_long_names_lose_their_middle() -> None:
    name = "a" * 2000 + "z" * 2000
    (path,) = scan(make_zip({name: EICAR})).infected
    assert len(path) == 1024
    assert path.startswith(b"aaa")
    assert path.endswith(b"zzz")
    deep = EICAR
    for level in range(10):
        deep = make_zip({f"{level}" * 1000: deep})
    (path,) = scan(deep).infected
    assert len(path) == 4096
    assert path.startswith(b"9")
    assert path.endswith(b"0")


def test_limits_of_one_scanner_are_fresh_for_every_object() -> None:
    using = scanner(Limits(max_members=3, max_unpacked=1000))
    data = make_zip({"a": bytes(300), "b": bytes(300), "c": EICAR})
    for _ in range(5):
        verdict = scan(data, using)
        assert verdict.infected == [b"c"]
        assert not verdict.reasons


def test_a_file_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "eicar").write_bytes(EICAR)
    assert scan_file(tmp_path / "eicar").infected == [b""]


def test_an_object_that_is_stopped_for_want_of_memory_is_not_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line about the first member cannot be kept; the second is then not looked at."""
    every = scanner(switches=EVERYTHING | Switch.ALL_MEMBERS)

    def no_room(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(worker, "Note", no_room)
    verdict = scan(make_zip({"a": b"harmless", "b": b"harmless"}), every)
    assert (verdict.status, verdict.reasons) == (Status.ERROR, Reason.MEMORY)

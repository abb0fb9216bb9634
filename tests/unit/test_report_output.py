"""Outputs: a full disk or a closed pipe is told once and stops nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from kavfs.report.output import Output, open_output


@pytest.fixture
def failures() -> list[tuple[str, int | None]]:
    return []


@pytest.fixture
def failed(failures):
    return lambda output, error: failures.append((output.name, error.errno))


def test_everything_written_is_there_after_close(tmp_path: Path, failed) -> None:
    output = open_output(os.fsencode(tmp_path / "r"), failed)
    for i in range(50_000):
        output.write(b"%d\n" % i)
    output.close()
    output.close()
    assert (tmp_path / "r").read_bytes() == b"".join(b"%d\n" % i for i in range(50_000))
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o600


def test_a_report_that_is_made_has_the_mode_that_was_asked_for(tmp_path: Path, failed) -> None:
    path = os.fsencode(tmp_path / "r")
    before = os.umask(0o077)
    try:
        for asked, there in ((0o660, 0o660), (0o644, 0o660)):  # one that is there keeps its own
            open_output(path, failed, True, asked).close()
            assert (tmp_path / "r").stat().st_mode & 0o777 == there
    finally:
        os.umask(before)


def test_a_report_is_added_to_or_begun_anew(tmp_path: Path, failed) -> None:
    for append, expected in ((False, b"a"), (True, b"aa"), (False, b"a")):
        output = open_output(os.fsencode(tmp_path / "r"), failed, append)
        output.write(b"a")
        output.close()
        assert (tmp_path / "r").read_bytes() == expected


def test_a_full_disk_is_told_once(failures, failed) -> None:
    output = open_output(b"/dev/full", failed)
    for _ in range(3):
        output.write(b"x" * 100_000)
        output.flush()
    output.close()
    assert failures == [("/dev/full", errno.ENOSPC)]


def test_a_closed_pipe_is_told_once(failures, failed) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    output = Output(writer, "pipe", failed)
    output.write(b"x")
    output.close()
    output.write(b"x")
    assert failures == [("pipe", errno.EPIPE)]


def test_a_pipe_that_somebody_made_non_blocking_loses_nothing(failures, failed) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    if child := os.fork():
        os.close(writer)
        data = b""
        while piece := os.read(reader, 1 << 16):
            data += piece
        os.close(reader)
        assert os.waitpid(child, 0)[1] == 0
        assert data == b"x" * 500_000
    else:
        os.close(reader)
        output = Output(writer, "pipe", failed)
        output.write(b"x" * 500_000)
        output.close()
        os._exit(len(failures))


def test_a_link_is_refused_so_that_nobody_chooses_what_root_writes_to(tmp_path: Path, failed) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("target")
    with pytest.raises(OSError, match="symbolic links") as caught:
        open_output(os.fsencode(tmp_path / "link"), failed)
    assert caught.value.errno == errno.ELOOP
    assert (tmp_path / "target").read_bytes() == b"precious"


def test_a_fifo_without_a_reader_is_refused_and_not_waited_for(tmp_path: Path, failed) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="No such device") as caught:
        open_output(os.fsencode(tmp_path / "fifo"), failed)
    assert caught.value.errno == errno.ENXIO

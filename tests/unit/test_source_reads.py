"""Source: the bytes of a layer at any offset, from memory, a file, or a stretch of a spill file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kavfs._native.basics import Source

BYTES = bytes(range(256)) * 40


@pytest.fixture
def fd(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(BYTES)
    descriptor = os.open(path, os.O_RDWR)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(("offset", "length"), [(0, 10), (5000, 300), (len(BYTES) - 3, 3), (0, len(BYTES))])
def test_memory_and_file_give_the_same(fd: int, offset: int, length: int) -> None:
    want = BYTES[offset : offset + length]
    assert Source(BYTES).read(offset, length) == want
    assert Source(fd).read(offset, length) == want


@pytest.mark.parametrize("offset", [len(BYTES), len(BYTES) + 1, 1 << 62, (1 << 64) - 1])
def test_nothing_is_read_past_the_end(fd: int, offset: int) -> None:
    assert Source(BYTES).read(offset, 10) == b""
    assert Source(fd).read(offset, 10) == b""


def test_a_read_over_the_end_is_short(fd: int) -> None:
    assert Source(BYTES).read(len(BYTES) - 2, 10) == BYTES[-2:]
    assert Source(fd).read(len(BYTES) - 2, 10) == BYTES[-2:]


def test_a_stretch_hides_its_neighbours(fd: int) -> None:
    stretch = Source(fd, base=100, size=50)
    assert stretch.read(0, 1000) == BYTES[100:150]
    assert stretch.read(40, 1000) == BYTES[140:150]
    assert stretch.read(50, 1) == b""


def test_the_position_of_the_descriptor_is_not_used(fd: int) -> None:
    os.lseek(fd, 77, os.SEEK_SET)
    assert Source(fd).read(0, 4) == BYTES[:4]
    assert os.lseek(fd, 0, os.SEEK_CUR) == 77


def test_a_file_that_shrinks_gives_what_is_left(fd: int) -> None:
    source = Source(fd)
    os.ftruncate(fd, 1000)
    assert source.read(0, 5000) == BYTES[:1000]
    assert source.read(2000, 5000) == b""


def test_a_file_that_grows_keeps_the_size_it_had(fd: int) -> None:
    source = Source(fd)
    os.pwrite(fd, b"more", len(BYTES))
    assert source.read(len(BYTES), 4) == b""


def test_an_error_is_told() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(OSError, match="Illegal seek"):
            Source(reading, size=10).read(0, 10)
    finally:
        os.close(reading)
        os.close(writing)


def test_an_impossible_position_is_refused(fd: int) -> None:
    with pytest.raises(OSError, match="too large"):
        Source(fd, base=1 << 63, size=10).read(0, 10)


def test_holes_are_stepped_over(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(b"head")
        file.seek(100 << 20)
        file.write(b"tail")
    with path.open("rb") as file:
        if os.lseek(file.fileno(), 1 << 20, os.SEEK_DATA) == 1 << 20:
            pytest.skip("this file system keeps no holes")
        source = Source(file.fileno())
        assert 4 <= source.next_hole(0) < 1 << 20
        begin = source.next_data(1 << 20)
        assert 99 << 20 < begin <= 100 << 20
        assert source.read(100 << 20, 10) == b"tail"
        assert source.next_hole(begin) == source.size
        assert source.next_data(source.size) == source.size

        stretch = Source(file.fileno(), base=1 << 20, size=50 << 20)
        assert stretch.next_data(0) == stretch.size, "data behind the stretch are not its own"


def test_memory_has_no_holes() -> None:
    source = Source(bytes(100))
    assert source.next_data(7) == 7
    assert source.next_hole(7) == 100

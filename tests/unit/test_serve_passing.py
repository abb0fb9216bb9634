"""Front, FILDES: descriptors that come with or after the command, none, several, of the wrong kind."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs._native import serve
from tests.support.fronts import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path) as made:
        yield made


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[int]]:
    opened = []
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
        opened.append(os.open(tmp_path / name, os.O_RDONLY))
    yield opened
    for fd in opened:
        os.close(fd)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("said", [b"nFILDES\n", b"zFILDES\0", b"FILDES\n"])
@pytest.mark.parametrize("byte", [b"\0", b"x", b"n"])
def test_descriptor_comes_after_the_command(house: House, files: list[int], said: bytes, byte: bytes) -> None:
    client = house.connect()
    assert house.talk(client, said) == b""
    client.send(byte, files[0])
    assert house.talk(client) == b"FILDES" + (b"\0" if said.startswith(b"z") else b"\n")
    assert house.contents() == [b"a"]
    assert client.ended


@pytest.mark.parametrize("said", [b"nFILDES\n\0", b"nFILDES\n", b"zFILDES\0\0"])
def test_descriptor_comes_with_the_command(house: House, files: list[int], said: bytes) -> None:
    client = house.connect()
    client.send(said, files[0])
    house.talk(client)
    assert house.contents() == [b"a"]


def test_descriptor_comes_with_the_first_byte(house: House, files: list[int]) -> None:
    client = house.connect()
    client.send(b"n", files[0])
    house.settle()
    house.talk(client, b"FILDES\n")
    assert house.contents() == [b"a"]


@pytest.mark.parametrize("count", [2, 4, 5, 200])
def test_several_descriptors_are_refused_and_closed(house: House, files: list[int], count: int) -> None:
    client = house.connect()
    house.talk(client, b"nFILDES\n")
    before = open_descriptors()
    client.send(b"\0", *(files[0] for _ in range(count)))
    house.talk(client)
    assert house.heard() == [("BROKEN", b"n", b"several descriptors")]
    assert open_descriptors() <= before


def test_descriptors_one_after_the_other_are_several(house: House, files: list[int]) -> None:
    client = house.connect()
    client.send(b"n", files[0])
    house.settle()
    client.send(b"FIL", files[1])
    house.settle()
    house.talk(client, b"DES\n\0")
    assert house.heard() == [("BROKEN", b"n", b"several descriptors")]


def test_no_descriptor_is_told(house: House) -> None:
    assert house.talk(house.connect(), b"nFILDES\n", b"\0") == b"BROKEN\n"
    assert house.heard() == [("BROKEN", b"n", b"no descriptor")]


def test_over_tcp_there_is_none(house: House) -> None:
    client = house.connect(serve.CLAMD, "tcp")
    client.send(b"nFILDES\n\0")
    house.until(lambda: house.requests)
    assert house.heard() == [("BROKEN", b"n", b"no descriptor")]


def test_descriptor_that_nobody_asked_for_is_closed_with_its_connection(house: House, files: list[int]) -> None:
    before = open_descriptors()
    client = house.connect()
    client.send(b"nPING\n", files[0])
    assert house.talk(client) == b"PING\n"
    client.close()
    house.settle()
    assert open_descriptors() == before


def test_client_that_vanishes_leaves_no_descriptor(house: House, files: list[int]) -> None:
    before = open_descriptors()
    for said in (b"n", b"nFILDES", b"nIDSESSION\nnFIL"):
        client = house.connect()
        client.send(said, files[0])
        house.settle()
        client.close()
        house.settle()
    assert open_descriptors() == before
    assert house.heard() == []


def test_only_regular_files_that_may_be_read(house: House, files: list[int], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    pipe = os.pipe()
    pair = socket.socketpair()
    wrong = [
        (os.open(tmp_path, os.O_RDONLY), b"not a regular file"),
        (os.open(tmp_path / "fifo", os.O_RDWR), b"not a regular file"),
        (os.open("/dev/null", os.O_RDONLY), b"not a regular file"),
        (os.open(tmp_path / "a", os.O_PATH), b"not open for reading"),
        (os.open(tmp_path / "a", os.O_WRONLY), b"not open for reading"),
        (pipe[0], b"not a regular file"),
        (pair[0].fileno(), b"not a regular file"),
    ]
    client = house.connect()
    house.talk(client, b"nIDSESSION\n")
    for number, (fd, _) in enumerate(wrong, 1):
        client.send(b"nFILDES\n\0", fd)
        assert house.talk(client).endswith(b"%d: FILDES\n" % number)
    client.send(b"nFILDES\n\0", files[1])
    house.talk(client)
    assert house.heard() == [*(("FILDES", b"ns", why) for _, why in wrong), ("FILDES", b"ns", b"")]
    assert house.contents() == [*(None for _ in wrong), b"b"]
    for fd in (*(fd for fd, _ in wrong[:5]), *pipe):
        os.close(fd)
    for end in pair:
        end.close()


def test_session_of_descriptors(house: House, files: list[int]) -> None:
    """As clients send them: all at once, each with a byte of its own or with the command."""
    client = house.connect()
    client.send(b"zIDSESSION\0")
    client.send(b"zFILDES\0")
    client.send(b"\0", files[0])
    client.send(b"zFILDES\0\0", files[1])
    client.send(b"zFILDES\0", files[2])
    client.send(b"zPING\0zFILDES\0")
    client.send(b"\0", files[0])
    client.send(b"zEND\0")
    assert house.talk(client) == b"1: FILDES\x002: FILDES\x003: FILDES\x004: PING\x005: FILDES\0"
    assert house.contents() == [b"a", b"b", b"c", None, b"a"]
    assert client.ended

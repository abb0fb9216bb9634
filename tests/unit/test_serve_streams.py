"""Front, INSTREAM: chunks, limits, where content lies, clients that vanish."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kavfs._native import serve
from tests.support.fronts import MEMORY_MAX, STREAM_MAX, House, chunk, stream

END = struct.pack("!I", 0)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path) as made:
        yield made


def bytes_of(length: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(length)


CHUNKS: dict[str, list[bytes]] = {
    "nothing": [],
    "one": [b"content"],
    "two": [b"con", b"tent"],
    "many": [bytes([i % 256]) for i in range(9000)],
    "large": [bytes_of(MEMORY_MAX)],
    "larger": [bytes_of(MEMORY_MAX), b"x"],
    "largest": [bytes_of(STREAM_MAX)],
    "largest-of-two": [bytes_of(STREAM_MAX - 7), b"content"],
    "looks-like-an-end": [b"\0\0\0\0", b"zPING\0"],
}


@pytest.mark.parametrize("name", CHUNKS)
def test_content_is_what_the_chunks_hold(house: House, name: str) -> None:
    client = house.connect()
    assert house.talk(client, b"zINSTREAM\0" + stream(*CHUNKS[name])) == b"INSTREAM\0"
    assert house.contents() == [b"".join(CHUNKS[name])]
    assert client.ended


@pytest.mark.parametrize("name", ["nothing", "one", "two", "looks-like-an-end"])
def test_content_may_come_byte_by_byte_and_in_halves(house: House, name: str) -> None:
    said = b"nINSTREAM\n" + stream(*CHUNKS[name])
    assert house.talk(house.connect(), *(said[i : i + 1] for i in range(len(said)))) == b"INSTREAM\n"
    for cut in range(1, len(said)):
        assert house.talk(house.connect(), said[:cut], said[cut:]) == b"INSTREAM\n"
    assert set(house.contents()) == {b"".join(CHUNKS[name])}


TOO_LARGE = {
    "one-byte": [bytes_of(STREAM_MAX + 1)],
    "in-a-second": [bytes_of(STREAM_MAX), b"x"],
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_one_byte_too_many_is_told_and_ends_it(house: House, name: str) -> None:
    client = house.connect()
    house.talk(client, b"nINSTREAM\n" + stream(*TOO_LARGE[name]))
    house.until(lambda: client.receive() and client.ended)
    assert client.receive() == b"TOO_LARGE\n"
    assert house.contents() == [None]
    assert house.front.counts()["memory_used"] == house.front.counts()["spill_used"] == 0


@pytest.mark.parametrize("length", [0xFFFFFFFF, STREAM_MAX + 1, 0x80000000])
def test_length_alone_is_enough_to_be_refused(house: House, length: int) -> None:
    assert house.talk(house.connect(), b"nINSTREAM\n" + struct.pack("!I", length)) == b"TOO_LARGE\n"


def test_client_that_vanishes_at_any_byte_leaves_nothing(house: House) -> None:
    said = b"nINSTREAM\n" + stream(b"a" * 40, b"b" * 9)
    for cut in range(len(said)):
        client = house.connect()
        house.talk(client, said[:cut])
        client.close()
        house.settle()
    counts = house.front.counts()
    assert house.heard() == []
    assert house.gone == []
    assert counts["connections"] == counts["memory_used"] == 0


def test_client_that_says_no_more_in_the_middle_is_let_go(house: House) -> None:
    client = house.connect()
    client.send(b"nINSTREAM\n" + chunk(b"half"))
    client.finish()
    assert house.talk(client) == b""
    assert client.ended
    assert house.heard() == []


def test_client_that_vanishes_after_its_request_is_told_to_be_gone(house: House) -> None:
    client = house.connect()
    client.send(b"nINSTREAM\n" + stream(b"content"))
    house.settle()
    assert house.gone == []
    client.close()
    house.settle()
    assert house.gone == [house.requests[0][0]]
    assert house.front.reply(house.requests[0][0], house.requests[0][1], b"OK", True) == 0
    assert house.front.counts()["memory_used"] == 0
    with pytest.raises(LookupError):
        house.front.peer(house.requests[0][0])


@pytest.mark.parametrize("length", [0, 1, MEMORY_MAX, MEMORY_MAX + 1])
def test_what_is_handed_out_cannot_be_changed(house: House, length: int) -> None:
    house.talk(house.connect(), b"nINSTREAM\n" + stream(*([bytes_of(length)] if length else [])))
    fd = house.requests[0][5]
    changes: list[Callable[[], object]] = [lambda: os.pwrite(fd, b"x", 0), lambda: os.ftruncate(fd, length + 1)]
    if length:
        changes.append(lambda: os.ftruncate(fd, 0))
    for change in changes:
        with pytest.raises(OSError, match=r".") as told:
            change()
        assert told.value.errno in (errno.EPERM, errno.EBADF, errno.EINVAL)
    assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    assert house.contents() == [bytes_of(length)]


def test_spilled_content_has_no_name_and_is_counted(house: House, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    house.talk(house.connect(), b"nINSTREAM\n" + stream(bytes_of(MEMORY_MAX + 1)), answer=lambda _h, _r: None)
    counts = house.front.counts()
    assert sorted(tmp_path.iterdir()) == before
    assert (counts["spilled"], counts["spill_used"], counts["memory_used"]) == (1, MEMORY_MAX + 1, 0)
    house.front.reply(house.requests[0][0], 1, b"OK", True)
    assert house.front.counts()["spill_used"] == 0


def test_no_client_holds_more_of_memory_and_disk_than_is_left_to_others(tmp_path: Path) -> None:
    with House(tmp_path, memory_total=100, spill_total=150) as house:

        def said_to(transport: str, length: int) -> tuple[str, int, int]:
            """What a stream of so many bytes becomes, and what is held in memory and on disk then."""
            client = house.connect(serve.CLAMD, transport)
            client.send(b"nINSTREAM\n" + stream(b"x" * length))
            asked = len(house.requests)
            house.until(lambda: len(house.requests) > asked)
            counts = house.front.counts()
            return house.heard()[-1][0], counts["memory_used"], counts["spill_used"]

        assert said_to("unix", 50) == ("INSTREAM", 50, 0)
        assert said_to("unix", 1) == ("INSTREAM", 50, 1)
        assert said_to("unix", 75) == ("BROKEN", 50, 1)
        assert house.heard()[-1][2] == b"no space"
        assert said_to("unix", 74) == ("INSTREAM", 50, 75)
        assert said_to("unix", 1) == ("BROKEN", 50, 75)
        assert said_to("tcp", 25) == ("INSTREAM", 75, 75)  # another client
        assert said_to("tcp", 38) == ("BROKEN", 75, 75)
        assert said_to("tcp", 37) == ("INSTREAM", 75, 112)
        first = house.requests[0]
        house.front.reply(first[0], first[1], b"OK", True)
        assert said_to("unix", 37) == ("INSTREAM", 62, 112)


def test_spill_folder_that_is_gone_refuses_what_does_not_fit_into_memory(tmp_path: Path) -> None:
    with House(tmp_path, spill_dir=os.fsencode(tmp_path / "gone")) as house:
        assert house.talk(house.connect(), b"nINSTREAM\n" + stream(b"x" * MEMORY_MAX)) == b"INSTREAM\n"
        house.talk(house.connect(), b"nINSTREAM\n" + stream(b"x" * (MEMORY_MAX + 1)))
        assert house.heard()[-1] == ("BROKEN", b"n", b"no space")


def test_stream_in_a_session_is_followed_by_commands(house: House) -> None:
    said = b"nIDSESSION\nnINSTREAM\n" + stream(b"one") + b"zINSTREAM\0" + stream() + b"nPING\nnEND\n"
    for parts in ([said], [said[i : i + 1] for i in range(len(said))]):
        client = house.connect()
        assert house.talk(client, *parts) == b"1: INSTREAM\n2: INSTREAM\x003: PING\n"
        assert client.ended
    assert house.contents() == [b"one", b"", None] * 2


def test_too_large_stream_ends_a_session_after_what_is_open(house: House) -> None:
    client = house.connect()
    said = b"nIDSESSION\nnSCAN /a\nnINSTREAM\n" + struct.pack("!I", STREAM_MAX + 1) + b"nPING\n"
    house.talk(client, said, answer=lambda _h, _r: None)
    assert [row[0] for row in house.heard()] == ["SCAN", "TOO_LARGE"]
    connection = house.requests[0][0]
    house.front.reply(connection, 2, b"large", True)
    assert house.talk(client) == b"2: large\n"
    house.front.reply(connection, 1, b"scanned", True)
    house.until(lambda: client.receive() and client.ended)
    assert client.receive() == b"2: large\n1: scanned\n"

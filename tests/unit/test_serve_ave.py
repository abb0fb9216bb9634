"""Front, the aveserver protocol: greeting, lines, order, and lines that arrive one by one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from kavfs._native import serve
from kavfs._native.serve import Request
from tests.support.fronts import BUSY, GREETING, LINE_MAX, House, keep, named

GREETED = GREETING + b"\r\n"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path) as made:
        yield made


LINES = {
    "crlf": (b"SCAN bPQ /a b\r\n", "SCAN", b"bPQ", b"/a b"),
    "lf": (b"SCAN bPQ /a\n", "SCAN", b"bPQ", b"/a"),
    "lower-case": (b"scan xm /a\r\n", "SCAN", b"xm", b"/a"),
    "no-letters": (b"SCAN /a\r\n", "SCAN", b"", b"/a"),
    "several-blanks": (b" SCAN  xm \t /a\r\n", "SCAN", b"xm", b"/a"),
    "relative": (b"SCAN xm a/b\r\n", "SCAN", b"xm", b"a/b"),
    "relative-alone": (b"SCAN a/b\r\n", "SCAN", b"", b"a/b"),
    "no-arguments": (b"SCAN\r\n", "SCAN", b"", b""),
    "no-name": (b"SCAN xm \r\n", "SCAN", b"xm", b""),
    "trailing-blank": (b"SCAN xm /a \r\n", "SCAN", b"xm", b"/a "),
    "nuls": (b"\0S\0CAN xm /a\0\r\0\n\0", "SCAN", b"xm", b"/a"),
    "unknown": (b"FETCH xm /a\r\n", "UNKNOWN", b"", b"FETCH xm /a"),
    "glued": (b"SCANxm /a\r\n", "UNKNOWN", b"", b"SCANxm /a"),
    "quit": (b"quit\r\n", "QUIT", b"", b"quit"),
    "quit-nul": (b"QUIT\r\n\0", "QUIT", b"", b"QUIT"),
    "quit-more": (b"QUIT now\r\n", "UNKNOWN", b"", b"QUIT now"),
}


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("split", [False, True])
def test_line_is_understood_however_it_comes(house: House, name: str, split: bool) -> None:
    said, verb, option, argument = LINES[name]
    client = house.connect(serve.AVE)
    parts = [said[i : i + 1] for i in range(len(said))] if split else [said]
    assert house.talk(client, *parts) == GREETED + verb.encode() + b"\r\n"
    assert house.heard() == [(verb, option, argument)]


def test_greeting_comes_before_the_client_has_said_anything(house: House) -> None:
    client = house.connect(serve.AVE)
    house.settle()
    assert client.receive() == GREETED


def test_empty_lines_are_nothing(house: House) -> None:
    assert house.talk(house.connect(serve.AVE), b"\r\n\0\n \r\n") == GREETED
    assert house.heard() == []


def test_lines_that_came_together_are_answered_one_after_the_other(house: House) -> None:
    client = house.connect(serve.AVE)
    held: list[Request] = []
    said = b"".join(b"SCAN b /%d\r\n" % i for i in range(300)) + b"QUIT\r\n"
    house.talk(client, said, answer=lambda _, request: held.append(request))
    for i in range(300):
        assert len(held) == i + 1
        assert held[i][1] == i + 1
        house.front.reply(held[i][0], held[i][1], b"220 %d" % i, True)
        house.settle(lambda _, request: held.append(request))
    assert [request[4] for request in held] == [b"/%d" % i for i in range(300)] + [b"QUIT"]
    house.front.reply(held[-1][0], held[-1][1], b"200 bye", True)
    expected = GREETED + b"".join(b"220 %d\r\n" % i for i in range(300)) + b"200 bye\r\n"
    house.until(lambda: client.receive() and client.ended)
    assert client.receive() == expected


def test_what_follows_quit_is_not_heard(house: House) -> None:
    house.talk(house.connect(serve.AVE), b"QUIT\r\nSCAN b /a\r\n")
    assert [row[0] for row in house.heard()] == ["QUIT"]


@pytest.mark.parametrize("length", [LINE_MAX, LINE_MAX + 1])
@pytest.mark.parametrize("cut", [1, 50, LINE_MAX - 1, LINE_MAX])
def test_line_may_be_so_long_and_no_longer(house: House, length: int, cut: int) -> None:
    said = b"SCAN b /".ljust(length, b"x") + b"\n"
    client = house.connect(serve.AVE)
    got = house.talk(client, said[:cut], said[cut:])
    assert got == GREETED + (b"SCAN\r\n" if length == LINE_MAX else b"TOO_LONG\r\n")
    assert client.ended == (length > LINE_MAX)


def test_lines_before_quiet_end_of_a_client_are_answered(house: House) -> None:
    client = house.connect(serve.AVE)
    client.send(b"SCAN b /a\r\nSCAN b /b\r\nSCAN b /half")
    client.finish()
    assert house.talk(client) == GREETED + b"SCAN\r\nSCAN\r\n"
    assert client.ended
    assert house.gone == []


# Descriptors on their way are counted for each user but not held against root: as another one, with one on its way that
# nobody receives, and no more allowed when the next is to go.
REFUSED = """
import os, resource, socket, sys
from pathlib import Path
from tests.support.fronts import House
from tests.unit.test_serve_ave import infected
from kavfs._native import serve
if os.geteuid() == 0:
    os.chown(sys.argv[1], 54321, 54321)
    for above in Path(sys.argv[1]).parents[:2]:
        above.chmod(0o755)
    os.setgid(54321); os.setuid(54321)
with House(Path(sys.argv[1])) as house:
    client = house.connect(serve.AVE)
    client.send(b"SCAN b /a\\r\\n")
    house.settle(lambda house, request: None)
    ours, theirs = socket.socketpair()
    socket.send_fds(ours, [b"x"], [0, 1])
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))
    try:
        socket.send_fds(ours, [b"x"], [0])
        print("nothing is refused")
    except OSError:
        infected(house, house.requests[0])
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    os.write(1, client.receive())
"""


LAST = b"230 File is infected\r\n"
INFECTED = b"322-Name /a\r\n322-Other /a\r\n" + LAST


def infected(house: House, request: Request) -> None:
    house.front.reply(request[0], request[1], b"322-Name /a", False)
    house.front.reply(request[0], request[1], b"322-Other /a", False, apart=True)
    house.front.reply(request[0], request[1], b"230 File is infected", True)


def bye(house: House, request: Request) -> None:
    house.front.reply(request[0], request[1], b"200 Bye", True)
    house.front.end(request[0])


def test_last_line_has_a_recv_of_its_own_however_late_it_is_read(house: House) -> None:
    client = house.connect(serve.AVE)
    house.settle()
    assert client.receive() == GREETED
    for count in range(1, 4):
        client.send(b"SCAN b /a\r\n")
        house.settle(infected)
        assert len(house.requests) == count
        assert house.front.waits(house.requests[0][0]) == 0  # all is sent, nothing is read
        assert client.receive() == GREETED + INFECTED * count
        assert client.pieces[-2:] == [INFECTED.removesuffix(LAST), LAST]


def test_lines_that_are_not_kept_apart_come_together(house: House) -> None:
    client = house.connect(serve.AVE)
    client.send(b"SCAN b /a\r\n")

    def answer(house: House, request: Request) -> None:
        house.front.reply(request[0], request[1], b"322-Name /a", False)
        house.front.reply(request[0], request[1], b"230 File is infected", True)

    house.settle(answer)
    client.receive()
    assert client.pieces == [GREETED + b"322-Name /a\r\n" + LAST]


def test_line_that_had_to_wait_is_kept_apart_when_it_is_sent(house: House) -> None:
    client = house.connect(serve.AVE)
    client.send(b"SCAN b /a\r\n")
    house.settle(keep)
    connection, number = house.requests[0][:2]
    while not house.front.waits(connection):
        house.front.reply(connection, number, b"322-Name /a", False)
    infected(house, house.requests[0])
    house.until(lambda: client.receive().endswith(LAST))
    assert client.pieces[-1] == LAST
    assert client.pieces[-2].endswith(b"322-Other /a\r\n")


def test_client_that_does_not_read_has_one_descriptor_on_its_way(house: House) -> None:
    """The kernel counts them for all that this user sends, so nobody may leave more and more of them unread."""
    client = house.connect(serve.AVE)
    client.send(b"SCAN b /a\r\n" * 20)
    house.until(lambda: len(house.requests) == 20, infected)
    passed = 0
    with suppress(BlockingIOError):
        while got := socket.recv_fds(client.socket, 1 << 16, 20):
            passed += len(got[1])
            for fd in got[1]:
                os.close(fd)
    assert passed == 1


@pytest.mark.parametrize("reads", [True, False])
def test_client_that_leaves_its_answer_unread_keeps_its_place(tmp_path: Path, reads: bool) -> None:
    """Until it reads or closes: what is on its way counts as long, whether our end is closed or not."""
    with House(tmp_path, connections=1) as house:
        client = house.connect(serve.AVE)
        client.send(b"SCAN b /a\r\nQUIT\r\n")
        answers = [infected, bye]
        house.until(lambda: len(house.requests) == 2, lambda h, r: answers[r[1] - 1](h, r))
        assert house.talk(house.connect(serve.AVE)) == BUSY + b"\r\n"
        if reads:
            assert client.receive() == GREETED + INFECTED + b"200 Bye\r\n"
            assert client.ended
        else:
            client.close()
        house.settle()
        assert house.talk(house.connect(serve.AVE)) == GREETED
        assert house.front.counts()["connections"] == 1


@pytest.mark.parametrize("more", [b"", b"SCAN b /next\r\n"])
def test_end_while_an_answer_is_unread_and_a_line_waits_its_turn(tmp_path: Path, more: bytes) -> None:
    """The client hears no more, has not read all, and its next line was to be gone on with."""
    with House(tmp_path) as house:
        client = house.connect(serve.AVE)
        client.send(b"SCAN b /a\r\n" + more)
        house.settle(keep)
        connection, number = house.requests[0][:2]
        house.front.reply(connection, number, b"322-Name /a", False, apart=True)
        while not house.front.waits(connection):
            house.front.reply(connection, number, b"322-Name /a".ljust(LINE_MAX), False)
        while house.front.waits(connection):  # until there is room, and a turn for the line behind
            assert client.read(1 << 14)
            house.turn()
        client.socket.shutdown(socket.SHUT_RDWR)
        house.front.reply(connection, number, b"230 File is infected", True)
        house.settle()
        assert house.front.counts()["connections"] == 1
        assert house.front.close() == []


def test_descriptor_that_comes_along_is_of_no_use(house: House) -> None:
    client = house.connect(serve.AVE)
    client.send(b"SCAN b /a\r\n")
    house.settle(infected)
    _, (fd,), _, _ = socket.recv_fds(client.socket, 1 << 16, 20)
    try:
        assert os.fstat(fd).st_size == 0
        for attempt in (lambda: os.write(fd, b"x"), lambda: os.ftruncate(fd, 1)):
            with pytest.raises(PermissionError):
                attempt()
        with pytest.raises(NotADirectoryError):
            os.stat("..", dir_fd=fd)
    finally:
        os.close(fd)


def test_answer_comes_also_when_the_kernel_takes_no_descriptor(tmp_path: Path) -> None:
    words = [sys.executable, "-c", REFUSED, tmp_path]
    run = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout == GREETED + INFECTED


def test_lines_that_came_together_are_answered_though_nobody_reads_between(house: House) -> None:
    client = house.connect(serve.AVE)
    client.send(b"SCAN b /a\r\nSCAN b /b\r\nQUIT\r\n")
    answers = [infected, infected, named]
    house.until(lambda: client.receive() and client.ended, lambda h, r: answers[r[1] - 1](h, r))
    assert client.receive() == GREETED + INFECTED * 2 + b"QUIT\r\n"


def test_over_tcp_lines_come_as_they_do(house: House) -> None:
    client = house.connect(serve.AVE, "tcp")
    client.send(b"SCAN b /a\r\n")
    house.until(lambda: house.requests, infected)
    assert house.front.waits(house.requests[0][0]) == 0
    house.until(lambda: client.receive().endswith(b"230 File is infected\r\n"))


@pytest.mark.parametrize("text", [b"322-x /a\nb", b"322-x /a\rb", b"322-x /a\0b"])
def test_name_cannot_fake_a_line(house: House, text: bytes) -> None:
    client = house.connect(serve.AVE)
    got = house.talk(client, b"SCAN b /a\n", answer=lambda h, r: h.front.reply(r[0], r[1], text, True) and None)
    assert got == GREETED + b"322-x /a_b\r\n"


def test_reply_to_what_was_not_asked_is_an_error(house: House) -> None:
    client = house.connect(serve.AVE)
    house.talk(client, b"SCAN b /a\n")
    connection = house.requests[0][0]
    for number in (0, 1, 2):
        with pytest.raises(ValueError, match="no such request"):
            house.front.reply(connection, number, b"220", True)
    house.front.end(connection)
    house.settle()
    assert house.front.reply(connection, 1, b"220", True) == 0
    assert client.receive() == GREETED + b"SCAN\r\n"
    assert client.ended

"""Front, the aveserver protocol: greeting, lines, order, and lines that arrive one by one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs._native import serve
from kavfs._native.serve import Request
from tests.support.fronts import GREETING, LINE_MAX, House, named

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


def infected(house: House, request: Request) -> None:
    house.front.reply(request[0], request[1], b"322-Name /a", False)
    house.front.reply(request[0], request[1], b"322-Other /a", False)
    house.front.reply(request[0], request[1], b"230 File is infected", True)


def test_last_line_comes_when_the_others_have_been_read(house: House) -> None:
    client = house.connect(serve.AVE)
    house.settle()
    client.receive()
    client.send(b"SCAN b /a\r\n")
    house.settle(infected)
    assert client.receive() == GREETED + b"322-Name /a\r\n322-Other /a\r\n"
    began = time.monotonic()
    house.settle()
    assert client.receive().endswith(b"\r\n230 File is infected\r\n")
    assert client.pieces[-1] == b"230 File is infected\r\n"
    assert time.monotonic() - began < 0.15  # told by the kernel, not by the clock


def test_single_line_waits_for_nobody(house: House) -> None:
    client = house.connect(serve.AVE)
    assert house.talk(client, b"SCAN b /a\r\n") == GREETED + b"SCAN\r\n"


def test_last_line_comes_in_the_end_although_nobody_reads(house: House) -> None:
    client = house.connect(serve.AVE)
    client.send(b"SCAN b /a\r\n")
    house.settle(infected)
    house.until(lambda: house.front.waits(house.requests[0][0]) == 0)
    assert client.receive().endswith(b"322-Other /a\r\n230 File is infected\r\n")


def test_lines_that_came_together_wait_while_a_last_line_does(house: House) -> None:
    client = house.connect(serve.AVE)
    client.send(b"SCAN b /a\r\nSCAN b /b\r\nQUIT\r\n")
    answers = [infected, infected, named]
    house.until(lambda: client.receive() and client.ended, lambda h, r: answers[r[1] - 1](h, r))
    one = b"322-Name /a\r\n322-Other /a\r\n230 File is infected\r\n"
    assert client.receive() == GREETED + one + one + b"QUIT\r\n"


def test_over_tcp_nothing_waits(house: House) -> None:
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


def test_what_waits_goes_on_when_reader_and_turn_come_together(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        client = house.connect(serve.AVE)
        house.settle()
        client.receive()
        client.send(b"SCAN b /one\r\nSCAN b /two\r\nQUIT\r\n")
        house.settle()
        connection, number = house.requests[0][:2]
        house.front.reply(connection, number, b"322-Name /one", False)
        house.front.reply(connection, number, b"230 found", True)  # waits for the reader; the next line has its turn
        client.receive()  # so that both are told in one step
        house.settle()
        connection, number = house.requests[1][:2]
        house.front.reply(connection, number, b"220 clean", True)
        house.until(lambda: len(house.requests) == 3)
        assert house.requests[2][2] == serve.QUIT

"""Front, clamd's protocol: framings, sessions, what ends a connection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs._native import serve
from kavfs._native.serve import Request
from tests.support.fronts import LINE_MAX, House, named


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path) as made:
        yield made


COMMANDS = {
    "plain": (b"PING\n", "PING", b"", b"", b"PING\n"),
    "plain-crlf": (b"PING\r\n", "PING", b"", b"", b"PING\n"),
    "plain-nul": (b"SCAN /a b\0", "SCAN", b"", b"/a b", b"SCAN\n"),
    "bare": (b"PING", "PING", b"", b"", b"PING\n"),
    "n": (b"nPING\n", "PING", b"n", b"", b"PING\n"),
    "n-crlf": (b"nPING\r\n", "PING", b"n", b"", b"PING\n"),
    "z": (b"zPING\0", "PING", b"z", b"", b"PING\0"),
    "z-keeps-newlines": (b"zSCAN /a\n\0", "SCAN", b"z", b"/a\n", b"SCAN\0"),
    "z-keeps-carriage-returns": (b"zPING\r\0", "UNKNOWN", b"z", b"PING\r", b"UNKNOWN\0"),
    "scan": (b"nSCAN /a b\n", "SCAN", b"n", b"/a b", b"SCAN\n"),
    "tab": (b"nSCAN\t/a\n", "SCAN", b"n", b"/a", b"SCAN\n"),
    "one-blank-only": (b"nSCAN  /a \n", "SCAN", b"n", b" /a ", b"SCAN\n"),
    "empty-path": (b"nSCAN \n", "SCAN", b"n", b"", b"SCAN\n"),
    "no-path": (b"nSCAN\n", "UNKNOWN", b"n", b"SCAN", b"UNKNOWN\n"),
    "glued": (b"nSCANx\n", "UNKNOWN", b"n", b"SCANx", b"UNKNOWN\n"),
    "nul-in-path": (b"nSCAN /a\0b\n", "UNKNOWN", b"n", b"SCAN /a\0b", b"UNKNOWN\n"),
    "contscan": (b"CONTSCAN /a\n", "CONTSCAN", b"", b"/a", b"CONTSCAN\n"),
    "multiscan": (b"zMULTISCAN /a\0", "MULTISCAN", b"z", b"/a", b"MULTISCAN\0"),
    "allmatchscan": (b"zALLMATCHSCAN /a\0", "ALLMATCHSCAN", b"z", b"/a", b"ALLMATCHSCAN\0"),
    "allmatchscan-plain": (b"ALLMATCHSCAN /a\n", "UNKNOWN", b"", b"ALLMATCHSCAN /a", b"UNKNOWN\n"),
    "version": (b"VERSION", "VERSION", b"", b"", b"VERSION\n"),
    "versioncommands": (b"nVERSIONCOMMANDS\n", "VERSIONCOMMANDS", b"n", b"", b"VERSIONCOMMANDS\n"),
    "versioncommands-plain": (b"VERSIONCOMMANDS\n", "UNKNOWN", b"", b"VERSIONCOMMANDS", b"UNKNOWN\n"),
    "stats": (b"zSTATS\0", "STATS", b"z", b"", b"STATS\0"),
    "stats-plain": (b"STATS\n", "UNKNOWN", b"", b"STATS", b"UNKNOWN\n"),
    "reload": (b"RELOAD", "RELOAD", b"", b"", b"RELOAD\n"),
    "shutdown": (b"nSHUTDOWN\n", "SHUTDOWN", b"n", b"", b"SHUTDOWN\n"),
    "quit": (b"nQUIT\n", "SHUTDOWN", b"n", b"", b"SHUTDOWN\n"),
    "instream-plain": (b"INSTREAM\n", "UNKNOWN", b"", b"INSTREAM", b"UNKNOWN\n"),
    "instream-argument": (b"nINSTREAM x\n", "UNKNOWN", b"n", b"INSTREAM x", b"UNKNOWN\n"),
    "idsession-plain": (b"IDSESSION\n", "UNKNOWN", b"", b"IDSESSION", b"UNKNOWN\n"),
    "end-outside": (b"nEND\n", "UNKNOWN", b"n", b"END", b"UNKNOWN\n"),
    "stream": (b"STREAM\n", "UNKNOWN", b"", b"STREAM", b"UNKNOWN\n"),
    "lower-case": (b"nping\n", "UNKNOWN", b"n", b"ping", b"UNKNOWN\n"),
    "argument-too-many": (b"nPING x\n", "UNKNOWN", b"n", b"PING x", b"UNKNOWN\n"),
    "empty": (b"\n", "UNKNOWN", b"", b"", b"UNKNOWN\n"),
    "empty-n": (b"n\n", "UNKNOWN", b"n", b"", b"UNKNOWN\n"),
    "empty-z": (b"z\0", "UNKNOWN", b"z", b"", b"UNKNOWN\0"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_understood_and_answered_in_its_framing(house: House, name: str) -> None:
    said, verb, option, argument, reply = COMMANDS[name]
    client = house.connect()
    assert house.talk(client, said) == reply
    assert client.ended
    assert house.heard() == [(verb, option, argument)]


@pytest.mark.parametrize("name", [name for name, row in COMMANDS.items() if row[2]])
def test_prefixed_command_may_come_byte_by_byte(house: House, name: str) -> None:
    said, verb, option, argument, reply = COMMANDS[name]
    client = house.connect()
    assert house.talk(client, *(said[i : i + 1] for i in range(len(said)))) == reply
    assert house.heard() == [(verb, option, argument)]


def test_path_without_prefix_and_end_is_taken_when_nothing_more_comes(house: House) -> None:
    client = house.connect()
    assert house.talk(client, b"SCAN /a") == b""
    house.until(lambda: client.receive(), named)
    assert client.receive() == b"SCAN\n"
    assert house.heard() == [("SCAN", b"", b"/a")]


def test_path_without_prefix_and_end_is_taken_when_the_client_says_no_more(house: House) -> None:
    client = house.connect()
    client.send(b"SCAN /a")
    client.finish()
    assert house.talk(client) == b"SCAN\n"


def test_half_a_prefixed_command_is_no_command(house: House) -> None:
    client = house.connect()
    client.send(b"nPIN")
    client.finish()
    assert house.talk(client) == b""
    assert client.ended
    assert house.heard() == []


def test_only_the_first_command_counts_outside_of_a_session(house: House) -> None:
    client = house.connect()
    assert house.talk(client, b"nPING\nnVERSION\n") == b"PING\n"
    assert house.heard() == [("PING", b"n", b"")]


@pytest.mark.parametrize("length", [LINE_MAX - 1, LINE_MAX, LINE_MAX + 1, LINE_MAX * 9])
def test_line_may_be_so_long_and_no_longer(house: House, length: int) -> None:
    said = b"nSCAN /".ljust(length, b"x") + b"\n"
    client = house.connect()
    expected = b"SCAN\n" if length <= LINE_MAX else b"TOO_LONG\n"
    assert house.talk(client, said) == expected
    assert house.talk(house.connect(), said[:100], said[100:]) == expected


def test_session_numbers_its_requests_and_takes_replies_in_any_order(house: House) -> None:
    client = house.connect()
    held: list[Request] = []
    house.talk(client, b"nIDSESSION\nnPING\nzSCAN /a\0nVERSION\nnEND\n", answer=lambda _, request: held.append(request))
    assert [request[1] for request in held] == [1, 2, 3]
    assert [request[3] for request in held] == [b"ns", b"zs", b"ns"]
    for request, text in zip(reversed(held), (b"c", b"b", b"a"), strict=True):
        house.front.reply(request[0], request[1], text, True)
    assert house.talk(client) == b"3: c\n2: b\x001: a\n"
    assert client.ended


SESSION_ENDS = [b"nFOO\n", b"nCONTSCAN /a\n", b"nMULTISCAN /a\n", b"nALLMATCHSCAN /a\n", b"nRELOAD\n", b"nIDSESSION\n"]


@pytest.mark.parametrize("said", [*SESSION_ENDS, b"nSHUTDOWN\n", b"PING\n", b"n\n"])
def test_session_ends_with_what_it_may_not_have(house: House, said: bytes) -> None:
    client = house.connect()
    assert house.talk(client, b"nIDSESSION\nnPING\n" + said + b"nPING\n") == b"1: PING\n2: UNKNOWN\n"
    assert client.ended


def test_session_takes_so_many_requests_at_once_and_then_waits(house: House) -> None:
    client = house.connect()
    wanted = serve.FLIGHTS * 3
    held: list[Request] = []
    house.talk(client, b"nIDSESSION\n" + b"nPING\n" * wanted, answer=lambda _, request: held.append(request))
    assert len(held) == serve.FLIGHTS
    for count in range(wanted):
        house.front.reply(held[count][0], held[count][1], b"x", True)
        house.settle(lambda _, request: held.append(request))
    assert len(held) == wanted
    assert house.talk(client) == b"".join(b"%d: x\n" % (i + 1) for i in range(wanted))


def test_several_lines_of_one_reply_have_the_number_and_the_end_of_its_command(house: House) -> None:
    client = house.connect()

    def answer(house: House, request: Request) -> None:
        house.front.reply(request[0], request[1], b"a", False)
        house.front.reply(request[0], request[1], b"b", True)

    assert house.talk(client, b"zIDSESSION\0zSCAN /a\0", answer=answer) == b"1: a\x001: b\0"

"""Front, limits: how many, how long, how much; who a client is."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs._native import serve
from kavfs._native.serve import Request
from tests.support.fronts import BUSY, GREETING, LATE, House, chunk, keep, named, stream


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path) as made:
        yield made


def test_one_connection_too_many_is_told_so(tmp_path: Path) -> None:
    with House(tmp_path, connections=3) as house:
        clients = [house.connect() for _ in range(3)]
        house.settle()
        late, late_ave = house.connect(), house.connect(serve.AVE)
        house.settle()
        assert (late.receive(), late.ended) == (BUSY + b"\n", True)
        assert (late_ave.receive(), late_ave.ended) == (BUSY + b"\r\n", True)
        assert house.front.counts()["busy"] == 2
        assert house.talk(clients[0], b"nPING\n") == b"PING\n"
        assert house.talk(house.connect(), b"nPING\n") == b"PING\n"


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_client_may_have_so_many(tmp_path: Path, transport: str) -> None:
    with House(tmp_path, per_client=2) as house:
        first = [house.connect(serve.CLAMD, transport) for _ in range(2)]
        house.until(lambda: house.front.counts()["connections"] == 2)
        third = house.connect(serve.CLAMD, transport)
        house.until(lambda: third.receive() and third.ended)
        assert third.receive() == BUSY + b"\n"
        other = house.connect(serve.CLAMD, "tcp" if transport == "unix" else "unix")
        house.until(lambda: house.front.counts()["connections"] == 3)  # another client
        first[0].close()
        house.until(lambda: house.front.counts()["connections"] == 2)
        fourth = house.connect(serve.CLAMD, transport)
        fourth.send(b"nPING\n")
        house.until(lambda: fourth.receive(), named)
        assert fourth.receive() == b"PING\n"
        assert not other.ended


def test_peer_is_told(house: House) -> None:
    house.talk(house.connect(), b"nPING\n", answer=keep)
    remote = house.connect(serve.CLAMD, "tcp")
    remote.send(b"nPING\n")
    house.until(lambda: len(house.requests) == 2)
    near, far = (house.front.peer(request[0]) for request in house.requests)
    assert (near.pid, near.uid, near.gid, near.address) == (os.getpid(), os.getuid(), os.getgid(), b"")
    assert set(near.groups) == set(os.getgroups())
    host, port = remote.socket.getsockname()
    assert (far.pid, far.uid, far.gid, far.groups) == (-1, -1, -1, ())
    assert far.address == f"{host} {port}".encode()


def test_adopted_socket_stands_for_whom_it_was_said_to(tmp_path: Path) -> None:
    with House(tmp_path, per_client=1) as house:
        pairs = [socket.socketpair() for _ in range(4)]
        names = [b"192.0.2.1 7", b"192.0.2.2 7", b"192.0.2.1 8", None]
        numbers = [
            house.front.adopt(pair[0].detach(), serve.CLAMD, name) for pair, name in zip(pairs, names, strict=True)
        ]
        assert [bool(number) for number in numbers] == [True, True, False, True]
        assert house.front.peer(numbers[0]).uid == -1
        assert house.front.peer(numbers[0]).address == b"192.0.2.1 7"
        assert house.front.peer(numbers[3]).uid == os.getuid()
        pairs[1][1].send(b"nPING\n")
        house.settle(named)
        assert pairs[1][1].recv(99) == b"PING\n"
        assert pairs[2][1].recv(99) == BUSY + b"\n"
        for pair in pairs:
            pair[1].close()


def test_relay_brings_no_descriptors(house: House, tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    house.front.adopt(ours.detach(), serve.CLAMD, b"192.0.2.1 7")
    with open(tmp_path / "file", "wb") as file:
        socket.send_fds(theirs, [b"nFILDES\n\0"], [file.fileno()])
        house.settle(named)
    assert house.heard() == [("BROKEN", b"n", b"no descriptor")]
    theirs.close()


STALLS = {
    "nothing": b"",
    "half-a-command": b"nPI",
    "stream-without-chunk": b"nINSTREAM\n",
    "half-a-chunk": b"nINSTREAM\n" + chunk(b"content")[:6],
    "no-descriptor": b"nFILDES\n",
    "idle-session": b"nIDSESSION\n",
}


@pytest.mark.parametrize("name", STALLS)
def test_request_that_does_not_come_to_its_end_is_ended(tmp_path: Path, name: str) -> None:
    with House(tmp_path, stall_ms=60) as house:
        client = house.connect()
        client.send(STALLS[name])
        house.until(lambda: client.receive() and client.ended)
        assert client.receive() == LATE + b"\n"
        assert house.front.counts()["stalled"] == 1
        assert house.front.counts()["memory_used"] == 0


def test_request_that_is_being_worked_on_is_not_late(tmp_path: Path) -> None:
    with House(tmp_path, stall_ms=30, idle_ms=30) as house:
        one, other = house.connect(), house.connect(serve.AVE)
        one.send(b"nSCAN /a\n")
        other.send(b"SCAN b /a\r\n")
        bystander = house.connect()  # its time is over later than theirs would be
        house.until(lambda: len(house.requests) == 2)
        house.until(lambda: bystander.receive())
        for request in house.requests:
            named(house, request)
        assert house.talk(one) == b"SCAN\n"
        assert house.talk(other).endswith(b"SCAN\r\n")


def test_stalled_session_gives_up_what_is_open(tmp_path: Path) -> None:
    with House(tmp_path, stall_ms=60) as house:
        client = house.connect()
        house.talk(client, b"nIDSESSION\nnSCAN /a\nnPI", answer=keep)
        house.until(lambda: client.receive() and client.ended)
        assert house.gone == [house.requests[0][0]]


def test_idle_line_is_kept_or_ended_as_set(tmp_path: Path) -> None:
    with House(tmp_path, idle_ms=60, stall_ms=100_000) as house:
        client = house.connect(serve.AVE)
        house.until(lambda: client.receive() and client.ended)
        assert client.receive() == GREETING + b"\r\n"
    (tmp_path / "more").mkdir()
    with House(tmp_path / "more", idle_ms=0, stall_ms=60) as house:
        client, witness = house.connect(serve.AVE), house.connect()
        house.until(lambda: witness.receive() and witness.ended)
        assert house.talk(client, b"SCAN b /a\r\n").endswith(b"SCAN\r\n")


def test_half_a_line_of_an_idle_client_is_late(tmp_path: Path) -> None:
    with House(tmp_path, idle_ms=0, stall_ms=60) as house:
        client = house.connect(serve.AVE)
        client.send(b"SCAN")
        house.until(lambda: client.receive() and client.ended)
        assert house.front.counts()["stalled"] == 1


def test_client_that_takes_no_output_is_ended(tmp_path: Path) -> None:
    with House(tmp_path, send_ms=60) as house:
        house.talk(house.connect(), b"nSCAN /a\n", answer=keep)
        connection, number = house.requests[0][:2]
        while not house.front.waits(connection):
            house.front.reply(connection, number, b"x" * 9999, False)
        house.until(lambda: house.gone)
        assert house.gone == [connection]
        assert house.front.counts()["slow"] == 1


def test_output_that_nobody_takes_is_not_kept_without_end(house: House) -> None:
    house.talk(house.connect(), b"nSCAN /a\n", answer=keep)
    connection, number = house.requests[0][:2]
    most = 0
    while waits := house.front.reply(connection, number, b"x" * 99_999, False) or not house.front.gone():
        most = max(most, waits)
    assert serve.HIGH < most < 5_000_000
    assert house.front.counts()["connections"] == 0


def test_slow_reader_gets_every_line(house: House) -> None:
    client = house.connect()
    lines = [b"%d " % i + b"x" * 1000 for i in range(2000)]

    def answer(house: House, request: Request) -> None:
        for i, line in enumerate(lines):
            house.front.reply(request[0], request[1], line, i + 1 == len(lines))

    client.send(b"nCONTSCAN /a\n")
    house.until(lambda: client.receive() and client.ended, answer)
    assert client.receive() == b"".join(line + b"\n" for line in lines)


def test_session_that_does_not_read_is_not_heard_any_further(house: House) -> None:
    client = house.connect()

    def answer(house: House, request: Request) -> None:
        house.front.reply(request[0], request[1], b"x" * 5000, True)

    wanted = 500
    client.send(b"nIDSESSION\n" + b"nPING\n" * wanted + b"nEND\n")
    house.settle(answer)
    assert serve.FLIGHTS < len(house.requests) < wanted
    house.until(lambda: client.receive() and client.ended, answer)
    assert client.receive().count(b"x" * 5000) == wanted


def test_session_that_reads_little_at_a_time_leaves_commands_where_they_are(house: House) -> None:
    client = house.connect()
    wanted, answered = 40_000, b"x" * 300

    def answer(house: House, request: Request) -> None:
        house.front.reply(request[0], request[1], answered, True)

    said, got = b"nIDSESSION\n" + b"nPING\n" * wanted + b"nEND\n", 0
    while not client.ended:
        if said:
            said = said[client.send(said[:100_000]) :]
        house.settle(answer)
        for _ in range(40):
            got += client.read(4096).count(b"\n")
        house.settle(answer)
    assert got == len(house.requests) == wanted


def test_nobody_starves_beside_one_who_floods(house: House) -> None:
    flood = house.connect()
    flood.send(b"nIDSESSION\n")
    house.settle()
    for _ in range(20):
        while flood.send(b"nPING\n" * 1000):
            pass
        quiet = house.connect()
        quiet.send(b"nPING\n")
        turns = 0
        while not quiet.receive():
            house.turn(named, 0.1)
            turns += 1
        assert turns < 5
        flood.receive()


def test_not_accepting_leaves_clients_in_the_queue(house: House) -> None:
    house.front.accepting(False)
    client = house.connect()
    client.send(b"nPING\n")
    house.settle(named)
    assert client.receive() == b""
    house.front.accepting(True)
    house.settle(named)
    assert client.receive() == b"PING\n"


def test_end_sends_what_waits_first(house: House) -> None:
    client = house.connect()
    house.talk(client, b"nSCAN /a\n", answer=keep)
    connection, number = house.requests[0][:2]
    for _ in range(100):
        house.front.reply(connection, number, b"x" * 9999, False)
    house.front.end(connection)
    house.until(lambda: client.receive() and client.ended)
    assert client.receive() == (b"x" * 9999 + b"\n") * 100
    assert house.gone == []


def test_many_connections_cost_little(tmp_path: Path) -> None:
    with House(tmp_path, connections=300) as house:
        clients = []
        for _ in range(300):
            clients.append(house.connect())
            house.settle()
        for client in clients:
            client.send(b"nINSTREAM\n" + stream(b"x"))
        house.settle(named)
        assert {client.receive() for client in clients} == {b"INSTREAM\n"}
        assert house.front.counts()["connections"] == 0


@pytest.mark.parametrize("wrong", [{"connections": 0}, {"connections": 1 << 20}, {"line_max": 0}])
def test_impossible_settings_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="1 to"):
        House(tmp_path, **wrong)


def test_closed_front_says_so(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        house.front.close()
        house.front.close()
        with pytest.raises(ValueError, match="closed"):
            house.front.step()

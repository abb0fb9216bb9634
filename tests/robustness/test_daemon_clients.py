"""aveserver with clients as they come: garbage, halves, vanishing ones, slow ones in crowds; and its workers killed.

The same at the end of each: right verdicts for whoever behaves, and no descriptor more than before.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.daemons import EICAR_NAME, PATIENCE, Aveserver, ask, children, databases
from tests.support.passing import wait_until
from tests.support.programs import EICAR

FINISH = bytes(4)
CROWD, MORE = 500, 30  # clients at once
SETTINGS = f"[aveserver.network]\nMaxConnections=2000\nMaxConnectionsClient={CROWD + MORE}\n"
KILLS = 25
FOUND = f"stream: {EICAR_NAME} FOUND\0".encode()
CLEAN = b"stream: OK\0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aveserver]:
    top = tmp_path_factory.mktemp("daemon")
    with Aveserver(top, databases(top / "databases"), SETTINGS) as running:
        yield running
        assert running.process.poll() is None, running.said


def stream(content: bytes) -> bytes:
    return b"zINSTREAM\0" + struct.pack("!I", len(content)) + content + FINISH


@pytest.fixture(autouse=True)
def _well_afterwards(server: Aveserver) -> Iterator[None]:
    assert b"/nowhere" in server.ask(b"zSCAN /nowhere\0")  # makes the process that opens
    assert ask(server.clamd, stream(EICAR)) == FOUND
    before = settled(server)
    yield
    assert ask(server.clamd, stream(EICAR)) == FOUND
    assert ask(server.clamd, stream(b"fine")) == CLEAN
    assert b"/nowhere" in server.ask(b"zSCAN /nowhere\0")
    wait_until(lambda: server.descriptors() <= before)
    assert server.process.poll() is None


def settled(server: Aveserver) -> int:
    """Descriptors, when nobody is connected but those who have just gone. Found ones are noted by a thread, which opens
    its database at the first of them."""
    wait_until(server.complete)
    wait_until(lambda: server.holds("events.db-shm") and not server.holds("events.db.lock"))
    counts = [server.descriptors()]

    def is_settled() -> bool:
        counts.append(server.descriptors())
        return counts[-1] == counts[-2]

    wait_until(is_settled)
    return counts[-1]


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE)
    connection.connect(os.fspath(path))
    return connection


# ---- garbage and halves ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["clamd", "ave"])
def test_garbage_is_no_command_and_hurts_nobody(server: Aveserver, protocol: str) -> None:
    path = server.clamd if protocol == "clamd" else server.ave
    chance = random.Random(5)
    words = (b"zSCAN /nowhere", b"nINSTREAM\n", b"zIDSESSION\0", b"SCAN xbhl /nowhere", b"zFILDES\0", b"QUIT\r\n")
    for _ in range(200):
        pieces = (chance.choice((*words, b"\0", chance.randbytes(chance.randrange(40)))) for _ in range(8))
        answer = b""
        with connect(path) as client, suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(b"".join(pieces))
            client.shutdown(socket.SHUT_WR)
            while more := client.recv(1 << 16):
                answer += more
        assert b"FOUND" not in answer
        assert b"322" not in answer


@pytest.mark.parametrize("said", [stream(EICAR), b"zIDSESSION\0" + stream(EICAR) + b"zEND\0"], ids=["plain", "session"])
def test_a_client_may_vanish_at_each_byte(server: Aveserver, said: bytes) -> None:
    for length in range(len(said) + 1):
        with connect(server.clamd) as client:
            client.sendall(said[:length])


def test_half_a_stream_gets_no_verdict(server: Aveserver) -> None:
    for said in (stream(b"fine"), stream(EICAR)):
        for length in range(len(b"zINSTREAM\0"), len(said)):
            assert ask(server.clamd, said[:length], half=True) == b""


def test_a_client_that_never_reads(server: Aveserver, tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:03}{'x' * 200}").write_bytes(EICAR)
    with connect(server.clamd) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        deaf.sendall(b"zCONTSCAN %s\0" % bytes(tmp_path))
        for _ in range(20):
            assert ask(server.clamd, stream(EICAR)) == FOUND


# ---- crowds ----------------------------------------------------------------------------------------------------------


def test_slow_clients_in_crowds_while_others_are_served(server: Aveserver) -> None:
    """They send a few bytes now and then, and end with the right verdict all the same."""
    said = stream(EICAR)
    others: list[bytes] = []
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(server.clamd)) for _ in range(CROWD)]
        for at in range(0, len(said), 16):
            for client in slow:
                client.sendall(said[at : at + 16])
            others.append(ask(server.clamd, stream(EICAR)))
            others.append(ask(server.clamd, stream(b"fine %d" % at)))
        assert {client.recv(1 << 16) for client in slow} == {FOUND}
    assert set(others[::2]) == {FOUND}
    assert set(others[1::2]) == {CLEAN}


def test_who_has_too_many_connections_is_told_so(server: Aveserver) -> None:
    with ExitStack() as stack:
        crowd = [stack.enter_context(connect(server.clamd)) for _ in range(CROWD + 2 * MORE)]
        for client in crowd[CROWD + MORE :]:
            assert client.recv(1 << 16).endswith(b" ERROR\n")
            assert client.recv(1 << 16) == b""
        crowd[0].sendall(stream(EICAR))
        assert crowd[0].recv(1 << 16) == FOUND


# ---- processes that die ----------------------------------------------------------------------------------------------


def test_processes_killed_during_scans_cost_no_verdict(server: Aveserver) -> None:
    """What a killed one had in hand is scanned by another, or answered as an error; never as clean."""
    stop = threading.Event()

    def client(number: int) -> list[tuple[bytes, bytes]]:
        answers: list[tuple[bytes, bytes]] = []
        while not stop.is_set():
            turn = b"%d.%d " % (number, len(answers))
            answers.append((ask(server.clamd, stream(turn + EICAR)), FOUND))
            answers.append((ask(server.clamd, stream(turn)), CLEAN))
            answers.append((ask(server.clamd, b"zPING\0"), b"PONG\0"))
        return answers

    with ThreadPoolExecutor(6) as pool:
        clients = [pool.submit(client, number) for number in range(6)]
        try:
            for _ in range(KILLS):
                kill_one(server)
                answer = ask(server.clamd, stream(EICAR))
                assert answer == FOUND or answer.endswith(b" ERROR\0")
        finally:
            stop.set()
        answers = [answer for one in clients for answer in one.result()]
    wrong = [said for said, wanted in answers if said != wanted]
    assert all(said.endswith(b" ERROR\0") for said in wrong), wrong
    assert len(wrong) < len(answers) / 10


def kill_one(server: Aveserver) -> None:
    """One that scans or opens files: a leaf of the tree of processes."""
    victim = random.choice([one for one in server.processes() if not children(one)])
    with suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in server.processes())

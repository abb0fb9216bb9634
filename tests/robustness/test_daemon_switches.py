"""Signatures that change under load: nobody is refused, and who asks after a change is answered by it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.support.daemon import wait_until
from tests.support.daemons import Aveserver, ask, children

CLIENTS = 2


class Load(threading.Thread):
    """A client that asks about two objects in turn as fast as it is answered; every answer is looked at."""

    def __init__(self, server: Aveserver) -> None:
        super().__init__()
        self._server = server
        self._stopped = threading.Event()
        self.asked = 0
        self.wrong: list[bytes] = []

    def run(self) -> None:
        while not self._stopped.is_set():
            for content, ends in ((b"MARK", b" FOUND\0"), (b"nothing is in here", b": OK\0")):
                # No two alike: what is remembered of one must not answer for the other.
                answer = stream(self._server, content + b" %d %d" % (self.ident or 0, self.asked))
                self.asked += 1
                if not answer.endswith(ends):
                    self.wrong.append(answer)

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def stream(server: Aveserver, content: bytes) -> bytes:
    return ask(server.clamd, b"zINSTREAM\0" + len(content).to_bytes(4, "big") + content + bytes(4))


def change(databases: Path, number: int) -> None:
    """Another name for the same bytes, renamed over the last one."""
    fresh = databases.parent / "fresh"
    fresh.write_text(f"Mark.{number}:0:*:{b'MARK'.hex()}\n")
    os.rename(fresh, databases / "mark.ndb")


def switch_under_load(tmp_path: Path, changes: int) -> None:
    databases = tmp_path / "databases"
    databases.mkdir()
    change(databases, 0)
    with Aveserver(tmp_path, databases) as server:
        clients = [Load(server) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            for number in range(1, changes + 1):
                change(databases, number)
                ask(server.clamd, b"zRELOAD\0")
                server.wait_for_line("signatures are changed", number)
                assert stream(server, b"MARK") == b"stream: Mark.%d.UNOFFICIAL FOUND\0" % number
        finally:
            for client in clients:
                client.stop()
        assert [client.wrong for client in clients] == [[], []]
        assert all(client.asked > changes for client in clients)


def test_twenty_changes_under_load(tmp_path):
    switch_under_load(tmp_path, 20)


@pytest.mark.long
def test_thousand_changes_under_load(tmp_path):
    switch_under_load(tmp_path, 1000)


def test_processes_and_descriptors_are_no_more_after_many_changes(tmp_path):
    databases = tmp_path / "databases"
    databases.mkdir()
    change(databases, 0)
    with Aveserver(tmp_path, databases) as server:
        wait_until(server.complete)
        processes = len(children(server.process.pid))
        descriptors = 0
        for number in range(1, 9):
            change(databases, number)
            ask(server.clamd, b"zRELOAD\0")
            server.wait_for_line("signatures are changed", number)
            if number == 1:  # the first has less to compare itself with
                wait_until(lambda: server.complete() and len(children(server.process.pid)) == processes)
                descriptors = server.descriptors()
        wait_until(lambda: server.complete() and len(children(server.process.pid)) == processes)
        wait_until(lambda: server.descriptors() <= descriptors)


def test_broken_database_is_refused_and_the_old_one_stays(tmp_path):
    databases = tmp_path / "databases"
    databases.mkdir()
    change(databases, 1)
    with Aveserver(tmp_path, databases) as server:
        version = server.ask(b"nVERSION\n")
        (databases / "daily.cvd").write_bytes(b"no head of a pack" * 100)
        server.wait_for_line("what was in force stays: ")
        assert stream(server, b"MARK") == b"stream: Mark.1.UNOFFICIAL FOUND\0"
        assert server.ask(b"nVERSION\n") == version
        (databases / "daily.cvd").unlink()
        change(databases, 2)
        server.wait_for_line("signatures are changed")
        assert stream(server, b"MARK") == b"stream: Mark.2.UNOFFICIAL FOUND\0"
        assert server.ask(b"nVERSION\n").split(b"/")[1] != version.split(b"/")[1]

"""What systemd is told: nothing where nobody asked, plain datagrams where somebody did."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs.daemon.notify import Notify


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(10)
        yield sock


def test_each_message_as_the_manager_reads_it(manager: socket.socket) -> None:
    notify = Notify({"NOTIFY_SOCKET": manager.getsockname()})
    assert notify
    notify.ready("serving\nFAKED=1")
    assert manager.recv(4096) == b"READY=1\nSTATUS=serving FAKED=1"
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notify.reloading()
    head, _, moment = manager.recv(4096).decode().partition("\n")
    assert head == "RELOADING=1"
    assert before <= int(moment.removeprefix("MONOTONIC_USEC=")) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notify.alive()
    notify.stopping()
    assert [manager.recv(4096), manager.recv(4096)] == [b"WATCHDOG=1", b"STOPPING=1"]


def test_sockets_in_the_abstract_name_space() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0kavfs-test-{os.getpid()}")
        sock.settimeout(10)
        Notify({"NOTIFY_SOCKET": f"@kavfs-test-{os.getpid()}"}).alive()
        assert sock.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("place", ["", "relative", "/nonexistent/socket"])
def test_where_nobody_listens_nothing_happens(place: str) -> None:
    notify = Notify({"NOTIFY_SOCKET": place})
    assert bool(notify) == place.startswith("/")
    notify.ready()


def test_a_manager_that_does_not_read_does_not_hold_us_up(manager: socket.socket) -> None:
    notify = Notify({"NOTIFY_SOCKET": manager.getsockname()})
    for _ in range(5000):
        notify.alive()


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_signs_of_life_come_twice_in_the_time_that_is_allowed(variables: dict[str, str], seconds: float) -> None:
    assert Notify(variables).watchdog == seconds


def test_what_was_said_to_us_is_said_to_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent/socket")
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    assert Notify().watchdog == 0.5
    assert "NOTIFY_SOCKET" not in os.environ
    assert "WATCHDOG_USEC" not in os.environ

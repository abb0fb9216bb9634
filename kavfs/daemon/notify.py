"""Notify: what systemd is told about the service (sd_notify(3)), and how often it wants a sign of life."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class Notify:
    """Says nothing where nobody asked (no NOTIFY_SOCKET). Takes the variables out, so that no child speaks for us."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = dict(os.environ if environment is None else environment)
        place = given.get("NOTIFY_SOCKET", "")
        self._place = "\0" + place[1:] if place.startswith("@") else place if place.startswith("/") else ""
        mine = given.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        period = given.get("WATCHDOG_USEC", "") if mine else ""
        self.watchdog = int(period) / 2e6 if period.isascii() and period.isdigit() else 0.0  # seconds; 0 = none
        if environment is None:
            for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
                os.environ.pop(name, None)

    def __bool__(self) -> bool:
        return bool(self._place)

    def ready(self, status: str = "") -> None:
        self._say("READY=1", f"STATUS={status}")

    def status(self, text: str) -> None:
        self._say(f"STATUS={text}")

    def reloading(self) -> None:
        """ready() says that it is over."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def alive(self) -> None:
        self._say("WATCHDOG=1")

    def stopping(self) -> None:
        self._say("STOPPING=1")

    def _say(self, *lines: str) -> None:
        if not self._place:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)  # a manager that does not read must not hold the service up
            sock.sendto("\n".join(line.replace("\n", " ") for line in lines).encode(), self._place)

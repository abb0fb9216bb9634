"""Rivals: a process of another user that lets names mean something else while we act, as fast as it can."""

from __future__ import annotations

import mmap
import os
import signal
import struct
from collections.abc import Callable
from contextlib import suppress

NOBODY = 65534


class Rival:
    """Calls *attack* with the number of the round, again and again, until close(); as nobody, unless *root*.

    begin() lets it attack a round and returns when it has done so at least once; end() returns when it has stopped.
    """

    def __init__(self, attack: Callable[[int], None], *, root: bool = False) -> None:
        self._shared = mmap.mmap(-1, 24)  # the round that is wanted, the round that is on, attacks
        self._pid = os.fork()
        if self._pid == 0:
            try:
                if os.geteuid() == 0 and not root:
                    os.setgroups([])
                    os.setresgid(NOBODY, NOBODY, NOBODY)
                    os.setresuid(NOBODY, NOBODY, NOBODY)
                self._run(attack)
            finally:
                os._exit(1)

    def _run(self, attack: Callable[[int], None]) -> None:
        parent = os.getppid()
        while os.getppid() == parent:
            wanted = self._get(0)
            self._set(1, wanted)
            if wanted:
                with suppress(OSError):
                    attack(wanted)
                self._set(2, self._get(2) + 1)
            else:
                os.sched_yield()

    def begin(self, number: int) -> None:
        before = self._get(2)
        self._set(0, number)
        while self._get(2) == before:
            os.sched_yield()

    def end(self) -> None:
        self._set(0, 0)
        while self._get(1):
            os.sched_yield()

    def close(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._shared.close()

    def _get(self, at: int) -> int:
        return int(struct.unpack_from("=Q", self._shared, 8 * at)[0])

    def _set(self, at: int, value: int) -> None:
        struct.pack_into("=Q", self._shared, 8 * at, value)

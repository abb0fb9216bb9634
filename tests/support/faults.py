"""Faults: every call to the system that some modules make can fail, or be the last thing that a process does.

The modules' own `os`, `action` and catalogue are counted, so nothing has to be prepared in the code under test, and a
call that is added tomorrow is counted too.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from kavfs._native import action
from kavfs.action import aside, facts, layout, place, seal, store, vault
from kavfs.action.catalogue import Catalogue

MODULES = (aside, facts, layout, place, seal, store, vault)
ERROR_IN_CHILD = 77


class Steps:
    """Counts calls; at the one numbered *at* something *happens*: it returns the exception to raise."""

    def __init__(self, at: int, happens: Callable[[], BaseException]) -> None:
        self.at = at
        self.count = 0
        self.name = ""
        self._happens = happens

    def step(self, name: str, *, base: bool = False) -> None:
        self.count += 1
        if self.count == self.at:
            self.name = name
            error = self._happens()
            raise sqlite3.OperationalError("database or disk is full") if base else error


class Counted:
    """A module whose functions are counted."""

    def __init__(self, module: ModuleType, steps: Steps) -> None:
        self._module = module
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if not callable(value) or name in (
            "fsencode",
            "fsdecode",
            "urandom",
            "geteuid",
            "getuid",
            "major",
            "minor",
            "umask",
        ):
            return value
        if name == "close":  # an error of close() is a defect of the test: nobody's descriptor stays open by it
            return value

        def call(*words: Any, **more: Any) -> Any:
            self._steps.step(name)
            return value(*words, **more)

        return call


@contextmanager
def counted(steps: Steps) -> Iterator[None]:
    """The modules' calls go through *steps*."""
    kept = {
        (module, name): getattr(module, name)
        for module in MODULES
        for name in ("os", "action")
        if hasattr(module, name)
    }
    methods = {name: getattr(Catalogue, name) for name in ("add", "remove")}
    for module, name in kept:
        setattr(module, name, Counted(os if name == "os" else action, steps))
    for name, method in methods.items():
        setattr(Catalogue, name, _stepping(name, method, steps))
    try:
        yield
    finally:
        for (module, name), value in kept.items():
            setattr(module, name, value)
        for name, method in methods.items():
            setattr(Catalogue, name, method)


def _stepping(name: str, method: Callable[..., None], steps: Steps) -> Callable[..., None]:
    def call(*words: Any) -> None:
        steps.step(f"catalogue.{name}", base=True)
        method(*words)
        steps.step(f"after catalogue.{name}", base=True)

    return call


def die() -> BaseException:
    """What kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def killed_at(at: int, work: Callable[[], None]) -> bool:
    """Do the work in a child that is killed before its call number *at*; False: it came to its end before."""
    child = os.fork()
    if child == 0:
        status = ERROR_IN_CHILD
        try:
            with counted(Steps(at, die)):
                work()
            status = 0
        finally:
            os._exit(status)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in (0, -signal.SIGKILL), f"the work itself failed before its call {at}"
    return ended != 0


def failed_at(at: int, number: int, work: Callable[[], None]) -> tuple[Steps, BaseException | None]:
    """Do the work with call number *at* failing with the error *number*; what was counted, and what came of it."""
    steps = Steps(at, lambda: OSError(number, os.strerror(number)))
    with counted(steps):
        try:
            work()
        except Exception as error:
            return steps, error
    return steps, None

"""Detached: going on in the background as init scripts expect it, and the file that says under which process ID.

The process that was called waits until the service answers, and ends with its exit code: a start that fails says so.
"""

from __future__ import annotations

import os
import signal
import tempfile
from contextlib import suppress

from kavfs.errors import SystemFailure

_NEVER_SAID = SystemFailure.exit_code


def detach() -> int:
    """Go on as a child of nobody, in a session of its own; the caller's process ends when settle() or give_up() is
    called with the descriptor that comes back, or when this process dies. Before threads and other children."""
    hears, tells = os.pipe()
    if os.fork():
        os.close(tells)
        code = os.read(hears, 1)
        os._exit(code[0] if code else _NEVER_SAID)
    os.close(hears)
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # of the session's leader, which goes
    if os.fork():
        os._exit(0)
    os.chdir("/")
    _onto_nothing(0)
    return tells


def settle(tells: int) -> None:
    """The service answers: let the caller go, and keep nothing of its terminal."""
    for fd in (1, 2):
        _onto_nothing(fd)
    give_up(tells, 0)


def give_up(tells: int, code: int) -> None:
    """Let the caller go with this exit code."""
    with suppress(OSError):  # it was killed meanwhile
        os.write(tells, bytes([code]))
    os.close(tells)


def _onto_nothing(fd: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(nothing, fd)
    os.close(nothing)


class PidFile:
    """A file with our process ID, made at once under its name, for whoever sends signals. remove() if it is ours."""

    def __init__(self, path: bytes) -> None:
        self._path = path
        folder = os.path.dirname(path)
        try:
            fd, name = tempfile.mkstemp(prefix=b".kavfs-", dir=folder)
            try:
                os.write(fd, b"%d\n" % os.getpid())
                os.fchmod(fd, 0o644)
                os.rename(name, path)
            except BaseException:
                os.unlink(name)
                raise
            finally:
                os.close(fd)
        except OSError as error:
            shown = path.decode("utf-8", "backslashreplace")
            raise SystemFailure(f"cannot write {shown}: {error.strerror}") from None

    def remove(self) -> None:
        with suppress(OSError, ValueError):
            with open(self._path, "rb") as file:
                ours = int(file.read(32)) == os.getpid()
            if ours:
                os.unlink(self._path)

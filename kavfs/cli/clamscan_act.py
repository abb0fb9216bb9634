"""Acting for the clamscan front end: --remove, --move and --copy of what is infected, on the scanned file alone."""

from __future__ import annotations

import os
from collections.abc import Iterator

from kavfs.action.facts import apply
from kavfs.action.place import ActionError, Held, Places
from kavfs.cli.clamscan_options import ClamscanError, Given
from kavfs.model import Result
from kavfs.report.names import shown_path

_PIECE = 1 << 20  # bytes
_NAMES = 1000  # name, name.001, name.002 ...


class Disposal:
    """What is done with an infected file."""

    def __init__(self, given: Given, roots: tuple[bytes, ...]) -> None:
        wanted = [name for name in ("remove", "move", "copy") if given.has(name)]
        if given.has("remove") and not given.yes("remove"):
            wanted.remove("remove")
        if len(wanted) > 1:
            raise ClamscanError(f"only one of --{', --'.join(wanted)} can be carried out")
        self._verb = wanted[0] if wanted else ""
        self._folder = os.path.realpath(given.last(self._verb)) if self._verb in ("move", "copy") else b""
        if self._folder and not os.path.isdir(self._folder):
            raise ClamscanError(f"--{self._verb}: there is no folder {_text(self._folder)}")
        self._places = Places(roots)

    def dispose(self, result: Result, shown: bytes) -> bytes:
        """Do it; the line that tells it, b"" if there is nothing to do. OSError and ActionError say why not."""
        if not self._verb:
            return b""
        with self._places.open(result.path, result.identity) as held:
            if self._verb == "remove":
                held.remove()
                return shown + b": Removed."
            there = self._copied(held, os.path.basename(result.path))
            if self._verb == "move":
                try:
                    held.remove()
                except (ActionError, OSError):
                    os.unlink(there)
                    raise
        done = b"moved" if self._verb == "move" else b"copied"
        return shown + b": " + done + b" to '" + shown_path(there) + b"'"

    def _copied(self, held: Held, name: bytes) -> bytes:
        """A copy that is on disk, with owner, mode and times; never over anything. Its path."""
        for path in self._names(name):
            try:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                continue
            try:
                _pour(held.fd, fd)
                apply(fd, held.facts)
                os.fsync(fd)
            except BaseException:
                os.unlink(path)
                raise
            finally:
                os.close(fd)
            return path
        raise ActionError(f"{_text(self._folder)} holds too many files of that name")

    def _names(self, name: bytes) -> Iterator[bytes]:
        yield os.path.join(self._folder, name)
        for number in range(1, _NAMES):
            yield os.path.join(self._folder, b"%s.%03d" % (name, number))


def _pour(source: int, target: int) -> None:
    at = 0
    while piece := os.pread(source, _PIECE, at):
        at += len(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(target, view) :]


def _text(path: bytes) -> str:
    return shown_path(path).decode("utf-8", "backslashreplace")

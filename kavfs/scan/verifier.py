"""Verifier: scans what is behind a descriptor with the signatures and settings of a scan, and remembers nothing.

with Verifier(image, options, judge=allow.judge) as rescan:   a ports.Rescan; processes start when first needed
    result = rescan(fd, b"name in the result")
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType

from kavfs.errors import SystemFailure
from kavfs.model import Result
from kavfs.options import ScanOptions
from kavfs.ports import Image
from kavfs.record import replace
from kavfs.scan.crew import Crew


class Verifier:
    """One at a time, by a crew of its own: without stores, so that no answer is an old one. *judge* is the allow
    list's: what is allowed in a scan is allowed here."""

    def __init__(
        self,
        image: Image,
        options: ScanOptions,
        note: Callable[[str], None] = lambda text: None,
        judge: Callable[[Result], Result] = lambda result: result,
    ) -> None:
        self._image = image
        self._judge = judge
        self._options = replace(options, jobs=1, max_load=0.0, until=0.0)
        self._note = note
        self._crew: Crew | None = None

    def __call__(self, fd: int, name: bytes) -> Result:
        """The descriptor stays the caller's. Errors are KavfsError; what is wrong with the file is in the result."""
        if self._crew is None:
            self._crew = Crew(self._image, self._options, want_clean=True)
        crew = self._crew
        found: list[Result] = []
        done = False
        try:
            own = reopened(fd)
            try:
                crew.submit(own, name)
            except BaseException:
                os.close(own)
                raise
            while not crew.done:
                for happening in crew.step():
                    if isinstance(happening, Result):
                        found.append(happening)
                    elif isinstance(happening, str):
                        self._note(happening)
            crew.forget()
            done = True
        finally:
            if not done:
                self.close()  # what is still on its way belongs to nobody
        if len(found) != 1:
            raise SystemFailure("a file could not be scanned again")
        return self._judge(found[0])

    def close(self) -> None:
        """End all processes. May be called twice."""
        if self._crew is not None:
            self._crew.close()
            self._crew = None

    def __enter__(self) -> Verifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def reopened(fd: int) -> int:
    """The same file, good for reading only: who scans it must not be able to change it."""
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise SystemFailure(f"a file cannot be opened again: {error.strerror}") from None

"""Scanner: the library's way in. Processes start with it and stay until it is closed.

    with Scanner() as scanner:
        print(scanner.scan_path("/etc/hostname").status.name)
        for result in scanner.scan(["/srv/data"]):
            ...

One thread at a time. Make it before starting threads of your own: its processes come from a fork.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType

from kavfs.cache.opened import OpenStores
from kavfs.cache.stores import open_stores
from kavfs.errors import DatabaseMissing, KavfsError, SystemFailure, UsageError
from kavfs.limits import Limits
from kavfs.model import Result, Switch
from kavfs.options import (
    EVERYTHING,
    NATIVE,
    EngineChoice,
    EnginePlaces,
    ScanOptions,
    WalkOptions,
    engine_names,
)
from kavfs.ports import Image
from kavfs.scan import records
from kavfs.scan.crew import Crew, Happening
from kavfs.scan.forkserver import ForkServer
from kavfs.scan.roles import start_server
from kavfs.signatures.allow import AllowList
from kavfs.signatures.image import open_image
from kavfs.signatures.sources import default_databases, default_state

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]

MEMORY_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
NOTES_KEPT = 100
NAME_MAX = 65535  # bytes; KAV_PATH_MAX in ext/common/kav.h


class Scanner:
    """Scans files, trees and bytes with one set of signatures.

    *db* is a folder of databases, a database or an image; None means the usual places. *state* is where compiled
    signatures are kept. *jobs* is the number of scanning processes, 0 as many as the machine allows. With *cache*, what
    earlier scans found out is used, and remembered in *state*; where that cannot be, notes says why. *engine* names the
    engines to ask ("native", "native,clamd", "auto"), *places* where they find what they need. Raises
    DatabaseMissing, DatabaseDamaged, SystemFailure or UsageError; what goes wrong with one file is a Result with status
    ERROR, never an exception.
    """

    def __init__(
        self,
        db: Path | None = None,
        state: Path | None = None,
        jobs: int = 0,
        limits: Limits | None = None,
        all_match: bool = False,
        cache: bool = True,
        engine: str = "native",
        places: EnginePlaces | None = None,
    ) -> None:
        if jobs < 0:
            raise UsageError(f"the number of scanning processes cannot be {jobs}")
        self.notes: deque[str] = deque(maxlen=NOTES_KEPT)  # lost processes and the like, newest last
        switches = EVERYTHING | (Switch.ALL_MATCH if all_match else Switch(0))
        self._state = default_state() if state is None else _usable(state, "no state", SystemFailure)
        self._engines = _chosen(engine, places or EnginePlaces(state=self._state))
        self.notes.extend(self._engines.notes)
        self._options = ScanOptions(
            WalkOptions(()), limits or Limits(), switches, jobs=jobs, engines=self._engines.uses
        )
        self._cache = cache
        self._stores = OpenStores(None, ())
        self._crew: Crew | None = None
        self._image: Image | None = None
        self._allow = AllowList()
        self._busy = False
        server = self._start_server()
        try:
            self._image = self._open_image(db)
            self._crew = self._make_crew(server)
        except BaseException:
            server.close()
            self.close()
            raise

    def _start_server(self) -> ForkServer:
        return start_server()

    def _open_image(self, db: Path | None) -> Image:
        databases = default_databases() if db is None else (_usable(db, "no signatures", DatabaseMissing),)
        image = open_image(databases, self._state)
        self._allow = image.allow
        self.notes.extend(image.allow.notes)
        return image

    def _make_crew(self, server: ForkServer) -> Crew:
        assert self._image is not None
        if self._cache:  # each crew has stores of its own: no other than the first can write to the table in memory
            self._stores.close()
            self._stores = open_stores(
                self._state,
                limits=self._options.limits,
                switches=self._options.switches,
                files=not self._engines.passing,
                engines=0 if self._engines.passing else self._engines.knowledge,
            )
            self.notes.extend(self._stores.notes)
        return Crew(self._image, self._options, want_clean=True, server=server, stores=self._stores.stores)

    # ---- scanning ---------------------------------------------------------------------------------------------------

    def scan_path(self, path: Path) -> Result:
        """The verdict on one file. A link is followed. What is no regular file, or cannot be read, is ERROR."""
        name, wrong = checked(path)
        if wrong:
            return records.unreadable(name, wrong)
        try:
            fd = open_regular(name)
        except OSError as error:
            return records.unreadable(name, error.strerror or str(error))
        return self._scan_fd(fd, name)

    def scan_bytes(self, data: bytes | bytearray | memoryview, name: bytes = b"bytes") -> Result:
        """The verdict on *data*; *name* is its path in the result."""
        name = _usable(name, "bytes cannot have that name", UsageError)
        return self._scan_fd(memory_file(data), name)

    def scan(self, paths: Path | Iterable[Path]) -> Iterator[Result]:
        """Verdicts on all files at and below *paths* (several, or a single one), clean ones too, as they fall. What is
        no file (a FIFO, a link) is left out. An iteration that is given up ends its processes; the next call starts
        others."""
        named = [checked(path) for path in ((paths,) if isinstance(paths, str | bytes | os.PathLike) else paths)]
        roots = tuple(name for name, wrong in named if not wrong)
        crew = self._take()
        try:
            for name, wrong in named:
                if wrong:
                    yield records.unreadable(name, wrong)
            if roots:
                crew.walk(roots)
                yield from self._results(crew)
            self._note(crew.finish())
            crew.forget()
            self._busy = False
        finally:
            self._give_up_unless_idle()

    def _scan_fd(self, fd: int, name: bytes) -> Result:
        try:
            crew = self._take()
        except BaseException:
            os.close(fd)
            raise
        try:
            try:
                crew.submit(fd, name)
            except BaseException:
                os.close(fd)
                raise
            (result,) = self._results(crew)
            self._busy = False
            return result
        finally:
            self._give_up_unless_idle()

    def _results(self, crew: Crew) -> Iterator[Result]:
        while not crew.done:
            for happening in crew.step():
                if isinstance(happening, Result):
                    yield self._allow.judge(happening)
                elif isinstance(happening, records.Known | records.Listed):
                    yield from happening.results()
                else:
                    self._note([happening])

    def _note(self, happenings: Iterable[Happening]) -> None:
        self.notes.extend(happening for happening in happenings if isinstance(happening, str))

    def _take(self) -> Crew:
        if self._image is None:
            raise ValueError("the scanner is closed")
        if self._busy:
            raise RuntimeError("the scanner is in use: finish or close the iteration over scan() first")
        if self._crew is None:
            self._crew = self._make_crew(self._start_server())
        self._busy = True
        return self._crew

    def _give_up_unless_idle(self) -> None:
        """After an exception, or an iteration that was not finished, nobody wants what is still on its way."""
        if self._busy and self._crew is not None:
            self._crew.close()
            self._crew = None
        self._busy = False

    # ---- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End all processes. May be called twice."""
        if self._crew is not None:
            self._crew.close()
            self._crew = None
        self._stores.close()
        if self._image is not None:
            self._image.close()
            self._image = None

    def __enter__(self) -> Scanner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _chosen(engine: str, places: EnginePlaces) -> EngineChoice:
    try:
        names = engine_names(engine)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if names == (NATIVE.name,):
        return EngineChoice()
    from kavfs.engine.choose import choose  # most scans have the native engine alone

    return choose(names, places)


def checked(path: Path) -> tuple[bytes, str]:
    """The bytes of *path*, and why no file can be called so; "" when one can."""
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:  # half a surrogate pair: a text that no bytes were decoded to
        return str(path).encode("utf-8", "surrogatepass"), "not a name of a file: it cannot be encoded"
    if not name:
        return name, "the path is empty"
    if b"\0" in name:
        return name, "not a name of a file: it holds a NUL byte"
    return name, os.strerror(errno.ENAMETOOLONG) if len(name) > NAME_MAX else ""


def _usable(path: Path, trouble: str, kind: type[KavfsError]) -> bytes:
    name, wrong = checked(path)
    if wrong:
        raise kind(f"{trouble}: {wrong}")
    return name


def open_regular(path: bytes) -> int:
    """Open a regular file for reading, without waiting for anything else that may be there."""
    if stat.S_ISREG(os.stat(path).st_mode):  # opening a device can do things already
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
    raise OSError(0, "not a regular file")


def memory_file(data: bytes | bytearray | memoryview) -> int:
    """*data* as a file in memory that nobody can change any more."""
    fd = os.memfd_create("kavfs-bytes", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[os.write(fd, rest) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, MEMORY_SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def scan_path(path: Path) -> Result:
    """One file with the usual signatures. For more than one, a Scanner starts its processes only once."""
    with Scanner(jobs=1) as scanner:
        return scanner.scan_path(path)


def scan_bytes(data: bytes | bytearray | memoryview, name: bytes = b"bytes") -> Result:
    """Bytes with the usual signatures. For more than one piece, a Scanner starts its processes only once."""
    with Scanner(jobs=1) as scanner:
        return scanner.scan_bytes(data, name)

"""Daemons: aveserver as an administrator starts it, alone or beside the real clamd with the same databases."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.support.clamd import real_clamd
from tests.support.kavscanner import environment
from tests.support.programs import EICAR

PATIENCE = 60.0  # seconds until a test gives up
EICAR_NAME = "Eicar.Body.UNOFFICIAL"  # as databases() call it
JOBS = 2  # scanning processes
MARKS = (b"mark-one-mark-one", b"mark-two-mark-two")  # Mark.One and Mark.Two of databases()


def databases(folder: Path) -> Path:
    """Signatures of EICAR and of MARKS, made for the real clamd and for us."""
    folder.mkdir()
    rows = {"Eicar.Body": EICAR, "Mark.One": MARKS[0], "Mark.Two": MARKS[1]}
    (folder / "test.ndb").write_text("".join(f"{name}:0:*:{bytes_.hex()}\n" for name, bytes_ in rows.items()))
    return folder


@dataclass
class Aveserver:
    """One process of it."""

    folder: Path
    databases: Path
    settings: str = ""  # a configuration, beside what tests always say
    before: tuple[str, ...] = ()  # words in front of it (setpriv ...)
    said: list[str] = field(default_factory=list)  # lines of standard error

    @property
    def clamd(self) -> Path:
        return self.folder / "clamd.sock"

    @property
    def ave(self) -> Path:
        return self.folder / "ave.sock"

    def __enter__(self) -> Aveserver:
        self._ready = threading.Event()
        self._news = threading.Condition()
        words = [*self.before, sys.executable, "-m", "kavfs.cli.aveserver", "--foreground", "--jobs", str(JOBS)]
        words += ["--db", str(self.databases), "--state", str(self.folder / "state")]
        words += ["--ave-socket", str(self.ave), "--clamd-socket", str(self.clamd)]
        if self.settings:
            (self.folder / "kavfs.conf").write_text(self.settings)
            words += ["-c", str(self.folder / "kavfs.conf")]
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=environment(self.folder),
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._ready.wait(PATIENCE)
        if not self.said or not self.said[-1].endswith("ready"):
            self.stop()
            raise AssertionError(f"aveserver did not start: {self.said}")
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """May be called twice."""
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join()
            assert self.process.stderr is not None
            self.process.stderr.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.said.append(line.rstrip("\n"))
                self._news.notify_all()
            if line.endswith("ready\n"):
                self._ready.set()
        self._ready.set()

    def for_everybody(self) -> None:
        """Clients of every user may connect; what they may read stays their own matter."""
        for path in (self.clamd, self.ave):
            path.chmod(0o666)

    def wait_for_line(self, text: str, count: int = 1) -> None:
        """Until that many lines with *text* in them have been said."""
        with self._news:
            told = self._news.wait_for(lambda: sum(text in line for line in self.said) >= count, PATIENCE)
        assert told, self.said[-10:]

    def ask(self, command: bytes, *, timeout: float = PATIENCE) -> bytes:
        return ask(self.clamd, command, timeout=timeout)

    def processes(self) -> list[int]:
        """Process ids of all that it has made, and of what they made."""
        return children(self.process.pid)

    def complete(self) -> bool:
        """Whether all workers are there; the later ones are made one by one, while it serves already."""
        names = []
        for one in self.processes():
            with suppress(FileNotFoundError, ProcessLookupError):
                names.append(Path(f"/proc/{one}/comm").read_text())
        return names.count("kavfs-worker\n") == JOBS

    def holds(self, name: str) -> bool:
        """Whether a file of that name is open."""
        links = Path(f"/proc/{self.process.pid}/fd").iterdir()
        with suppress(FileNotFoundError):  # closed meanwhile: looked at again
            return any(os.path.basename(os.readlink(link)) == name for link in links)
        return False

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def ask(path: Path, *pieces: bytes, timeout: float = PATIENCE, half: bool = False) -> bytes:
    """Everything that the server says to a client that sends *pieces*. *half*: and then says that it sends no more."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(os.fspath(path))
        for piece in pieces:
            connection.sendall(piece)
        if half:
            connection.shutdown(socket.SHUT_WR)
        said = b""
        while more := connection.recv(1 << 16):
            said += more
        return said


def children(process: int) -> list[int]:
    """Ids of the processes below *process*, as far as they do not end meanwhile."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *children(child)]
    return found


@dataclass
class Pair:
    """Ours, and the real clamd, on sockets with rights for everybody."""

    ours: Path
    theirs: Path
    server: Aveserver


@contextmanager
def pair(folder: Path, *, ours: str = "", theirs: str = "") -> Iterator[Pair]:
    """*ours*, *theirs*: lines of their configurations, beside what tests always say."""
    with ExitStack() as stack:
        (folder / "theirs").mkdir()
        (folder / "ours").mkdir()
        signatures = databases(folder / "databases")
        clamd, _ = stack.enter_context(real_clamd(folder / "theirs", signatures, more=theirs))
        server = stack.enter_context(Aveserver(folder / "ours", signatures, ours))
        yield Pair(server.clamd, clamd, server)

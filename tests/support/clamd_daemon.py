"""A clamd of our own on a socket of its own, which answers for thousands of files with databases loaded once.

with Clamd(databases, work) as clamd:
    names = clamd.scan(paths)           path -> names of all matches; what it says otherwise is an error
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

CLAMD = shutil.which("clamd") or "/usr/sbin/clamd"
SUFFIX = ".UNOFFICIAL"
LOADING = 120  # seconds
SETTINGS = """\
LocalSocket {socket}
LogFile {log}
TemporaryDirectory {work}
DatabaseDirectory {databases}
Foreground yes
AllowAllMatchScan yes
DetectPUA yes
ConcurrentDatabaseReload no
SelfCheck 86400
MaxThreads 2
CommandReadTimeout 600
ReadTimeout 600
"""


class Clamd:
    """clamd with its defaults, as clamscan has them, and ``--allmatch --detect-pua``."""

    def __init__(self, databases: Path, work: Path) -> None:
        self.socket, self.log = work / "clamd.socket", work / "clamd.log"
        self.settings = work / "clamd.conf"
        self.settings.write_text(SETTINGS.format(socket=self.socket, log=self.log, work=work, databases=databases))

    def __enter__(self) -> Clamd:
        self.process = subprocess.Popen(
            [CLAMD, "--config-file", str(self.settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + LOADING
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                self.__exit__()
                raise RuntimeError(f"clamd does not start: {self.log.read_text()[-2000:] if self.log.exists() else ''}")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        try:
            return self._ask(b"zPING\0") == b"PONG\0"
        except OSError:
            return False

    def _ask(self, command: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(600)
            connection.connect(str(self.socket))
            connection.sendall(command)
            answer = b""
            while more := connection.recv(1 << 16):
                answer += more
            return answer

    def scan(self, paths: Iterable[Path]) -> dict[Path, frozenset[str]]:
        """Names by path, for every path; a file that clamd cannot scan is an error."""
        found: dict[Path, frozenset[str]] = {}
        for path in paths:
            names = set()
            for row in self._ask(b"zALLMATCHSCAN %s\0" % bytes(path)).decode(errors="replace").split("\0"):
                said = row.rpartition(": ")[2]
                if said.endswith(" FOUND"):
                    names.add(said.removesuffix(" FOUND").removesuffix(SUFFIX))
                elif said and said != "OK":
                    raise RuntimeError(f"clamd: {row}")
            found[path] = frozenset(names)
        return found

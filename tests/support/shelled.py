"""Commands as they stand in a manual: a shell runs them, and `kavscanner` is found on its PATH."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.kavscanner import LONGEST, Run, environment
from tests.support.programs import STARTER


class Desk:
    """A home with a configuration, a folder of programs, and the starter signatures."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.bin = home / "bin"
        self.bin.mkdir(parents=True)
        # What is usual for root is another place than a test may use: the rest of the command line stands as it is.
        self.conf = home / "etc" / "kavfs.conf"
        self.state = home / "state"
        usual = f"-c {self.conf} --state {self.state}"
        self.program("kavscanner", f'exec {sys.executable} -m kavfs.cli.kavscanner {usual} "$@"')
        self.configure("")

    def program(self, name: str, text: str) -> Path:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def configure(self, text: str, path: Path | None = None) -> None:
        """The usual configuration, or another file."""
        path = path or self.conf
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[path]\nBasesPath={STARTER}\n{text}\n")

    @property
    def environment(self) -> dict[str, str]:
        return {**environment(self.home), "PATH": f"{self.bin}:{os.environ['PATH']}"}

    def shell(self, command: str, cwd: Path | None = None) -> Run:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            capture_output=True,
            timeout=LONGEST,
            cwd=cwd or self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr)

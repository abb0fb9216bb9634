"""Tools: the programs that an MTA brings, run without a shell; what they say is text of others."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import NamedTuple

from kavfs.mail.mta.wish import Refused

PATIENCE_S = 120
_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin:/usr/lib/sm.bin"


class Said(NamedTuple):
    code: int
    output: str
    error: str

    def wrong(self, lines: int = 5) -> list[str]:
        """What it complains of: none when it ended well."""
        return (self.error or self.output).split("\n")[-lines:] if self.code else []


def which(name: str) -> str | None:
    """The path of a program of this system."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_FOLDERS}")


def run(name: str, *words: str, text: str = "") -> Said:
    """Raises Refused when there is no such program, or when it does not end."""
    program = which(name)
    if program is None:
        raise Refused(f"there is no {name} on this system: run this where the mail program is installed")
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            [program, *words], input=b"", capture_output=True, env=environment, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"{name} could not be run: {error}") from None
    output, wrong = (stream.decode("latin-1").strip() for stream in (done.stdout, done.stderr))
    return Said(done.returncode, output, wrong)

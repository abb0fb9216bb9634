"""smtpscanner in C as it is installed, beside a program that stands for the one in Python."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.kavscanner import CHECKOUT, LONGEST

SOURCES = [*sorted((CHECKOUT / "ext/smtprelay").glob("*.c")), CHECKOUT / "ext/aveclient/conf.c"]
SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer")
HARDENED = ("-O2", "-D_FORTIFY_SOURCE=2", "-fstack-protector-strong")


def build(folder: Path, other: str, *flags: str) -> Path:
    """The program in *folder*; *other*: text of the script kavfs-smtpscanner beside it, "" = there is none."""
    target = folder / "smtpscanner"
    includes = f"-I{CHECKOUT / 'ext/aveclient'}"
    subprocess.run(
        ["gcc", "-std=gnu11", includes, *(flags or HARDENED), *SOURCES, "-o", target], check=True, timeout=LONGEST
    )
    if other:
        script = folder / "kavfs-smtpscanner"
        script.write_text(other)
        script.chmod(0o755)
    return target

"""LibreOffice as a reference: it makes documents, and it says what stands in them. Many at a time: it starts slowly."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

PROGRAM = "soffice"


def is_there() -> bool:
    return shutil.which(PROGRAM) is not None


def converted(files: Sequence[Path], form: str, out: Path) -> list[Path]:
    """The files in another form, in the same order; each must be one that can be opened."""
    out.mkdir(exist_ok=True)
    profile = f"-env:UserInstallation=file://{out}/profile"
    words = [PROGRAM, profile, "--headless", "--convert-to", form, "--outdir", str(out), *map(str, files)]
    done = subprocess.run(words, capture_output=True, timeout=240, check=False)
    made = [out / f"{file.stem}.{form.partition(':')[0]}" for file in files]
    assert all(path.exists() for path in made), done.stderr.decode(errors="replace")
    return made

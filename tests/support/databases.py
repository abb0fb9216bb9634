"""Databases made by hand: signatures that only these tests have, and a look into a state folder."""

from __future__ import annotations

import os
from pathlib import Path


def body(name: str, text: str, target: int = 0) -> str:
    """A line of an .ndb file: *text* anywhere."""
    return f"{name}:{target}:*:{text.encode().hex()}\n"


def logical(name: str, *texts: str, target: int = 0) -> str:
    """A line of an .ldb file: all *texts* together."""
    expression = "&".join(str(i) for i in range(len(texts)))
    return f"{name};Engine:51-255,Target:{target};{expression};" + ";".join(t.encode().hex() for t in texts) + "\n"


def bodies(prefix: str, count: int) -> str:
    """Many different lines of an .ndb file."""
    return "".join(body(f"{prefix}-{i}", f"{prefix} marker number {i:06} of many") for i in range(count))


def write(folder: Path, **files: str) -> Path:
    """Database files in *folder*; ``a_ndb="..."`` becomes a.ndb."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        stem, _, kind = name.rpartition("_")
        (folder / f"{stem}.{kind}").write_text(text)
    return folder


def compiled(state: Path) -> dict[str, int]:
    """The compiled parts in a state folder: name -> inode, which a part made again does not keep."""
    return {
        f"{kind}/{name}": os.stat(state / kind / name).st_ino
        for kind in ("segments", "groups")
        for name in os.listdir(state / kind)
        if name.endswith(".bin")
    }

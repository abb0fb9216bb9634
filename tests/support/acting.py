"""Acting: files that a scan has found, held, and a store for them."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from kavfs.action.catalogue import Finding
from kavfs.action.place import Held, Places, identity_of
from kavfs.model import Identity

FINDING = Finding("Test.Threat", generation=bytes(range(16)))


def scanned(path: Path | bytes) -> Identity:
    """What a scan remembers of a file."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return identity_of(fd)
    finally:
        os.close(fd)


def hold(path: Path | bytes, identity: Identity | None = None) -> Held:
    """The file as a verb gets it."""
    name = os.fsencode(path)
    return Places([os.path.dirname(name)]).open(name, identity or scanned(path))


def left_aside(folder: Path) -> list[str]:
    """Folders of our own that nobody has removed."""
    return [name for name in os.listdir(folder) if name.startswith(".kavfs-")]


def quick_folder(prefix: str) -> Path:
    """A folder that everybody can reach; in memory where that can be, because it is synced thousands of times."""
    for top in ("/dev/shm", tempfile.gettempdir()):
        with suppress(OSError):
            path = Path(tempfile.mkdtemp(prefix=prefix, dir=top))
            path.chmod(0o755)
            try:
                os.setxattr(path, "user.probe", b"")
                return path
            except OSError:
                path.rmdir()
    pytest.skip("no file system here takes attributes")

"""Asking: what a walker makes of the descriptors and words that let it ask the stores.

Here the mount is touched for the first time, so that a dead one hangs its walker and nobody else.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

from kavfs._native import walk
from kavfs.scan.control import Message, bytes_of
from kavfs.scan.lookups import seen_in
from kavfs.walk import filesystems

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def options(setup: Message, roots: list[bytes], fds: list[int]) -> dict[str, Any]:
    """What walk() takes besides the rules of the walk; nothing where the stores have nothing to do with this mount."""
    words = setup["lookup"]
    if words is None or setup["count_only"]:
        return {}
    seen = seen_in(words)
    dev, found = _file_system(seen, roots)
    if dev is None or (found.id is None and not words["journal"]):
        return {}
    given = dict(zip(setup["descriptors"], fds, strict=True))
    return {
        "lookup": _lookup(words, given),
        "fs": found.id or seen.place,
        "fs_dev": dev,
        "subvolumes": seen.subvolumes,
        "trusted": found.id is not None and words["files"],
        "distrust": words["distrust"],
        "names": words["names"],
    }


def _lookup(words: Message, given: dict[str, int]) -> walk.Lookup:
    secret, generation = bytes_of(words["secret"]), bytes_of(words["generation"])
    settings = [bytes_of(one) for one in words["settings"]]
    file, journal = given.get("file", -1), given.get("journal", -1)
    if "delta" in given:
        try:
            table = mmap.mmap(given["delta"], 0, prot=mmap.PROT_READ)  # a memfd that nobody writes to any more
            return walk.Lookup(secret, generation, settings, file=file, journal=journal, delta=table)
        except (OSError, ValueError):
            pass  # a damaged table costs full scans, not this walk
    return walk.Lookup(secret, generation, settings, file=file, journal=journal)


def _file_system(seen: filesystems.Seen, roots: list[bytes]) -> tuple[int | None, filesystems.FileSystem]:
    """Its device, and how the stores know it, asked where the roots are."""
    found = filesystems.FileSystem(None, "no root of this walk can be opened")
    dev = None
    for root in roots:
        try:
            fd = _open_folder(root)
        except OSError:
            continue  # the walk will say so
        try:
            dev, number, unique_number, uuid = walk.file_system(fd)
        except OSError:
            continue
        finally:
            os.close(fd)
        found = filesystems.identify(seen, number, unique_number, uuid)
        if found.id is not None or seen.why:
            break
    return dev, found


def _open_folder(root: bytes) -> int:
    try:
        return os.open(root, _OPEN)
    except NotADirectoryError:
        return os.open(os.path.dirname(os.path.realpath(root)), _OPEN)

"""Libraries: which files of the system's libraries open and match objects, as one number.

An update of such a library may open what could not be opened before, without a change of its version. So what was found
out with other files of them is not asked for. Nothing is loaded: the names are those that the dynamic linker knows.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

NAMES = frozenset(
    b"lib" + name
    for name in b"archive,bz2,crypto,deflate,glib-2.0,gmime-3.0,hs,lz4,lzma,pcre2-8,xml2,z,zstd".split(b",")
)
FOLDERS = ("lib", "lib64", "usr/lib", "usr/lib64", "usr/local/lib")  # of a system whose linker keeps no list
ELSEWHERE = (b"LD_LIBRARY_PATH", b"LD_PRELOAD")


def installed(root: str = "/") -> int:
    """A 63-bit digest of paths, sizes and modification times of all that have one of NAMES."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted({path for path in _listed(root) if b".so." in path and _is_ours(path)}):
        try:
            status = os.stat(os.path.join(os.fsencode(root), path.lstrip(b"/")))
        except OSError:
            continue  # removed since the list was made
        digest.update(b"%b\0%d %d\n" % (path, status.st_size, status.st_mtime_ns))
    for name in ELSEWHERE:
        digest.update(b"%b\n" % os.environb.get(name, b""))
    return int.from_bytes(digest.digest()) >> 1


def _is_ours(path: bytes) -> bool:
    """With a version behind ``.so``: the one without is for compilers."""
    return path[path.rindex(b"/") + 1 :].partition(b".so.")[0] in NAMES


def _listed(root: str) -> Iterator[bytes]:
    """Paths of libraries, and what else stands in the list."""
    try:
        with open(os.path.join(root, "etc/ld.so.cache"), "rb") as file:
            yield from (b"/" + word.partition(b"\0")[0] for word in file.read().split(b"\0/"))
    except OSError:
        for folder in FOLDERS:
            try:
                names = os.listdir(os.fsencode(os.path.join(root, folder)))
            except OSError:
                continue
            yield from (b"/%b/%b" % (folder.encode(), name) for name in names)

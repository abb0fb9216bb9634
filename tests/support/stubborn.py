"""Stubborn: a file system (FUSE) with a file ``f`` and a folder ``d`` that leaves some questions without an answer.

It is a process of its own: when that is killed, the kernel answers whoever waits with an error. Needs root.
"""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOKUP, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT = 1, 3, 14, 15, 17, 18, 25, 26
OPENDIR, READDIR, RELEASEDIR = 27, 28, 29
FORGET, INTERRUPT, BATCH_FORGET = 2, 36, 42  # nobody waits for an answer
FILE, FOLDER = 2, 3
CONTENT = b"nothing of interest"
MNT_DETACH = 2
ENOENT, ENOSYS = 2, 38


def possible() -> bool:
    return os.geteuid() == 0 and os.path.exists("/dev/fuse")


@contextmanager
def stubborn(place: Path, *silent: int) -> Iterator[Path]:
    """Mounted at *place*; operations in *silent* are never answered. Each operation that comes is a line of
    ``place.name + ".log"`` beside it."""
    place.mkdir()
    log = place.with_name(place.name + ".log").open("wb")
    words = [sys.executable, "-m", "tests.support.stubborn", str(place), *map(str, silent)]
    process = subprocess.Popen(words, stdout=log, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert said == b"ready\n", said + process.stderr.read()
        yield place
    finally:
        process.kill()
        process.communicate()
        log.close()
        ctypes.CDLL(None).umount2(os.fsencode(place), MNT_DETACH)


def _attributes(node: int) -> bytes:
    size, mode = (len(CONTENT), 0o100644) if node == FILE else (0, 0o40755)
    return struct.pack("6Q10I", node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def _answer(operation: int, node: int, body: bytes) -> bytes | int:
    """What is said, or an errno."""
    if operation == INIT:
        return struct.pack("4I2H2I2H7I", 7, 31, 0, 0, 12, 10, 1 << 16, 1, 1, 0, *[0] * 7)
    if operation == LOOKUP:
        found = {b"f\0": FILE, b"d\0": FOLDER}.get(body)
        return struct.pack("4Q2I", found, 0, 1, 0, 0, 0) + _attributes(found) if found else ENOENT
    if operation == GETATTR:
        return struct.pack("Q2I", 0, 0, 0) + _attributes(node)
    if operation in (OPEN, OPENDIR):
        return struct.pack("Q2I", 1, 0, 0)
    if operation == READ:
        _, offset, size = struct.unpack_from("2QI", body)
        return CONTENT[offset : offset + size]
    if operation == STATFS:
        return struct.pack("5Q4I6I", 0, 0, 0, 0, 0, 4096, 255, 4096, 0, *[0] * 6)
    return b"" if operation in (READDIR, FLUSH, RELEASE, RELEASEDIR) else ENOSYS


def _serve(place: bytes, silent: set[int]) -> None:
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other"
    if ctypes.CDLL(None).mount(b"stubborn", place, b"fuse", 6, options.encode()):
        raise SystemExit("cannot mount")
    os.write(2, b"ready\n")
    while True:
        data = os.read(fd, 1 << 20)
        _, operation, number, node = struct.unpack_from("2I2Q", data)
        os.write(1, b"%d\n" % operation)
        if operation in silent or operation in (FORGET, INTERRUPT, BATCH_FORGET):
            continue
        answer = _answer(operation, node, data[40:])
        error, content = (-answer, b"") if isinstance(answer, int) else (0, answer)
        os.write(fd, struct.pack("IiQ", 16 + len(content), error, number) + content)


if __name__ == "__main__":
    _serve(os.fsencode(sys.argv[1]), set(map(int, sys.argv[2:])))

"""Walker: directory entries a second, listed and looked at, and files a second opened and handed over."""

from __future__ import annotations

import array
import os
import socket
import stat
import struct
import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks.conftest import Rate
from benchmarks.corpus import kept
from kavfs._native import walk

FOLDERS, FILES = 400, 100  # files in each folder
SLOT = struct.Struct("=QQQQII24x")  # kav_slot; the fourth number is the entries seen
MESSAGE, DESCRIPTORS = 160 << 10, 64


@pytest.fixture(scope="module")
def tree(cache: Path) -> Path:
    def make(part: Path) -> None:
        for i in range(FOLDERS):
            folder = part / f"d{i:04}"
            folder.mkdir()
            for j in range(FILES):
                (folder / f"f{j:04}").touch()

    return kept(cache / f"tree-{FOLDERS}-{FILES}", make)


def drain(receiver: socket.socket) -> None:
    """Take batches and close their descriptors, as a coordinator would hand them on."""
    while True:
        data, ancillary, _, _ = receiver.recvmsg(MESSAGE, socket.CMSG_SPACE(DESCRIPTORS * 4))
        if not data:
            return
        for _, _, raw in ancillary:
            for fd in array.array("i", raw):
                os.close(fd)


def walk_and_hand_over(tree: Path, threads: int) -> None:
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    taker = threading.Thread(target=drain, args=(receiver,))
    taker.start()
    with sender, receiver:
        walk.walk(sender.fileno(), [os.fsencode(tree)], threads=threads)
        sender.shutdown(socket.SHUT_WR)
        taker.join()


@pytest.mark.parametrize("threads", [1, 2])
def test_list_and_look(benchmark: Any, rate: Rate, tree: Path, threads: int) -> None:
    """getdents64 and statx of every entry, nothing opened."""
    slot = bytearray(64)

    def run() -> None:
        slot[:] = bytes(64)
        walk.walk(-1, [os.fsencode(tree)], slot=slot, count_only=True, threads=threads)

    benchmark(run)
    seen = SLOT.unpack(slot)[3]
    assert seen >= FOLDERS * FILES
    rate("entries/s", seen)


@pytest.mark.parametrize("threads", [1, 2])
def test_open_and_hand_over(benchmark: Any, rate: Rate, tree: Path, threads: int) -> None:
    benchmark(walk_and_hand_over, tree, threads)
    rate("files/s", FOLDERS * FILES)


def test_baseline_scandir(benchmark: Any, rate: Rate, tree: Path) -> None:
    """The same in plain Python: os.scandir and os.stat."""

    def run() -> int:
        files, folders = 0, [os.fsencode(tree)]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    info = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(info.st_mode):
                        folders.append(entry.path)
                    else:
                        files += 1
        return files

    assert benchmark(run) == FOLDERS * FILES
    rate("entries/s", FOLDERS * FILES + FOLDERS)

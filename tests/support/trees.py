"""A file tree as a literal: what a test scans stands in the test, readable at a glance.

    build(tmp_path, {
        "clean.txt": b"nothing",
        "sub": {
            b"not-utf8-\\xff": File(b"content", mode=0o600, mtime_ns=0),
            "link": Symlink("../clean.txt"),
            "same": Hardlink("clean.txt"),        # from the top of the tree
            "pipe": Fifo(),
            "huge": Sparse(1 << 40, {-68: EICAR}),
            "gone": Dir({}, mode=0o000),
        },
    })

Names are str or bytes; a value that is bytes is a File, a dict is a Dir. Hard links are made last, so they may name
anything in the tree; modes of directories are set after everything else, so a directory may be closed to its maker.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Name = str | bytes


@dataclass(frozen=True)
class File:
    content: bytes = b""
    mode: int = 0o644
    mtime_ns: int | None = None


@dataclass(frozen=True)
class Dir:
    entries: Mapping[Name, Node] = field(default_factory=dict)
    mode: int = 0o755


@dataclass(frozen=True)
class Symlink:
    target: Name


@dataclass(frozen=True)
class Hardlink:
    target: Name  # from the top of the tree


@dataclass(frozen=True)
class Fifo:
    mode: int = 0o644


@dataclass(frozen=True)
class Socket:
    """A bound UNIX socket that nobody listens on."""


@dataclass(frozen=True)
class Device:
    """A device node; making one needs root (CAP_MKNOD)."""

    major: int
    minor: int
    block: bool = False


@dataclass(frozen=True)
class Sparse:
    """A file of holes with pieces of data; a negative offset counts from the end."""

    size: int
    pieces: Mapping[int, bytes] = field(default_factory=dict)


Node: TypeAlias = "bytes | Mapping[Name, Node] | File | Dir | Symlink | Hardlink | Fifo | Socket | Device | Sparse"


def build(top: os.PathLike[str] | Name, entries: Mapping[Name, Node]) -> bytes:
    """Make *entries* in the directory *top* (made when missing) and return the path of *top* as bytes."""
    root = os.fsencode(top)
    os.makedirs(root, exist_ok=True)
    late = _Late([], [])
    _fill(root, entries, late)
    for path, target in late.links:
        os.link(os.path.join(root, target), path)
    for path, mode in reversed(late.modes):
        os.chmod(path, mode)
    return root


@dataclass
class _Late:
    """What can only be done when the whole tree stands."""

    links: list[tuple[bytes, bytes]]
    modes: list[tuple[bytes, int]]


def _fill(directory: bytes, entries: Mapping[Name, Node], late: _Late) -> None:
    for name, node in entries.items():
        _make(os.path.join(directory, os.fsencode(name)), node, late)


def _make(path: bytes, node: Node, late: _Late) -> None:
    match node:
        case bytes():
            _make(path, File(node), late)
        case File():
            with open(path, "wb") as out:
                out.write(node.content)
            os.chmod(path, node.mode)
            if node.mtime_ns is not None:
                os.utime(path, ns=(node.mtime_ns, node.mtime_ns))
        case Dir():
            os.mkdir(path)
            late.modes.append((path, node.mode))
            _fill(path, node.entries, late)
        case Symlink():
            os.symlink(os.fsencode(node.target), path)
        case Hardlink():
            late.links.append((path, os.fsencode(node.target)))
        case Fifo():
            os.mkfifo(path, node.mode)
        case Socket():
            _make_socket(path)
        case Device():
            kind = stat.S_IFBLK if node.block else stat.S_IFCHR
            os.mknod(path, kind | 0o600, os.makedev(node.major, node.minor))
        case Sparse():
            _make_sparse(path, node)
        case Mapping():
            _make(path, Dir(node), late)
        case _:
            raise TypeError(f"not a node of a tree: {node!r}")


def _make_socket(path: bytes) -> None:
    """Bound through the directory's descriptor, because a socket's address holds 107 bytes only."""
    directory, name = os.path.split(path)
    handle = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(b"/proc/self/fd/%d/%s" % (handle, name))
    finally:
        os.close(handle)


def _make_sparse(path: bytes, node: Sparse) -> None:
    with open(path, "wb") as out:
        out.truncate(node.size)
        for offset, data in node.pieces.items():
            out.seek(offset if offset >= 0 else node.size + offset)
            out.write(data)

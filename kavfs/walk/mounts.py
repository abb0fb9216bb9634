"""Mounts: what /proc/self/mountinfo says, asked without touching any of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from kavfs.errors import SystemFailure

MOUNTINFO = "/proc/self/mountinfo"

PSEUDO = frozenset(
    b"proc sysfs cgroup cgroup2 debugfs tracefs securityfs devpts bpf pstore configfs fusectl mqueue hugetlbfs "
    b"efivarfs selinuxfs smackfs binfmt_misc autofs nsfs rpc_pipefs nfsd resctrl xenfs functionfs gadgetfs".split()
)
"""Windows into the kernel. The walker asks statfs itself; this spares starting it."""

LOCAL = frozenset(
    b"ext2 ext3 ext4 xfs btrfs f2fs bcachefs zfs jfs nilfs2 reiserfs tmpfs ramfs rootfs devtmpfs overlay squashfs "
    b"erofs vfat msdos exfat ntfs3 iso9660 udf hfs hfsplus minix".split()
)
"""Answer without another machine or process, so that looking at a name on them cannot hang for ever. What is not named
here (nfs, cifs, 9p, ceph, every fuse ...) may be dead."""


class Mount(NamedTuple):
    """One line of mountinfo."""

    number: int
    parent: int
    device: tuple[int, int]  # major, minor; of btrfs not that of stat
    top: bytes  # which directory of the file system is mounted; b"/" unless it is a bind mount or a subvolume
    point: bytes  # where
    fstype: bytes
    source: bytes
    options: bytes = b""  # of the file system, not of this mount; between commas, each escaped as in the table

    @property
    def pseudo(self) -> bool:
        return self.fstype in PSEUDO

    @property
    def local(self) -> bool:
        """Whether looking at it is safe. The root file system always is: we run from it."""
        return self.fstype in LOCAL or self.point == b"/"


class MountTable:
    """All mounts of our namespace, as they were when it was read."""

    def __init__(self, mounts: Iterable[Mount]) -> None:
        self.mounts = tuple(mounts)
        self._at = {mount.point: mount for mount in self.mounts}  # of several at one point the last covers the others

    @property
    def points(self) -> tuple[bytes, ...]:
        """What the walker must not touch."""
        return tuple(self._at)

    def at(self, path: bytes) -> Mount | None:
        """The mount whose mount point is exactly this real path."""
        return self._at.get(path)

    def of(self, path: bytes) -> Mount | None:
        """The mount on which a real path lies."""
        while True:
            if path in self._at:
                return self._at[path]
            if path in (b"/", b""):
                return None
            path = os.path.dirname(path)

    def elsewhere(self, mount: Mount) -> tuple[bytes, ...]:
        """Other real paths that show what *mount* shows: a bind mount need not be walked when one of them is."""
        paths = []
        for other in self._at.values():
            if other is mount or other.device != mount.device or not within(mount.top, other.top):
                continue
            path = other.point.rstrip(b"/") + b"/" + mount.top[len(other.top.rstrip(b"/")) :].lstrip(b"/")
            path = path.rstrip(b"/") or b"/"
            if self.of(path) is other:
                paths.append(path)
        return tuple(paths)


def within(path: bytes, directory: bytes) -> bool:
    """Whether *path* is *directory* or lies below it, by name."""
    return path == directory or path.startswith(directory.rstrip(b"/") + b"/")


def read(path: str = MOUNTINFO) -> MountTable:
    """The table of this moment."""
    try:
        with open(path, "rb") as lines:
            return parse(lines.read())
    except (OSError, ValueError) as error:
        raise SystemFailure(f"{path} cannot be read: {error}") from None


def parse(text: bytes) -> MountTable:
    """From the text of mountinfo; ValueError when it is something else."""
    return MountTable(_parse_line(line) for line in text.split(b"\n") if line)


def _parse_line(line: bytes) -> Mount:
    words = line.split(b" ")
    try:
        rest = words.index(b"-", 6)  # optional fields end here
        major, minor = words[2].split(b":")
        return Mount(
            number=int(words[0]),
            parent=int(words[1]),
            device=(int(major), int(minor)),
            top=unescape(words[3]),
            point=unescape(words[4]),
            fstype=unescape(words[rest + 1]),
            source=unescape(words[rest + 2]),
            options=words[rest + 3] if len(words) > rest + 3 else b"",
        )
    except (ValueError, IndexError):
        raise ValueError(f"not a line of mountinfo: {line!r}") from None


def unescape(word: bytes) -> bytes:
    """The kernel writes blank, tab, newline, '#' and '\\' as three octal digits."""
    return re.sub(rb"\\([0-3][0-7]{2})", lambda found: bytes([int(found[1], 8)]), word)

"""File systems: which ones can be trusted to tell a changed file, and the name under which the stores know them.

    seen = look(mount, table)                 in the coordinator: asks /sys, /proc and /dev, never the mount itself
    found = identify(seen, mount_number, unique_number, uuid)     in the walker, once its root is open

A file system is trusted when it stamps ctime itself on every change. Its name holds across reboots (the UUID), but
where something else can come to stand behind the same UUID, or there is none: loop devices, disks that can be taken
out, overlays. Those are named by this boot and this very mount. So is what is mounted with lazytime: after a crash it
may show new bytes under old times.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import NamedTuple

from kavfs.walk.mounts import Mount, MountTable, unescape

FORMAT = b"1"  # goes up when places are named in another way

STAMPING = frozenset(b"ext2 ext3 ext4 xfs btrfs f2fs".split())
"""Stamp ctime themselves. tmpfs, vfat, FUSE and file servers do not, or let somebody else do it."""


class Seen(NamedTuple):
    """What can be said of a mount from outside."""

    number: int  # of the mount
    fstype: bytes
    place: bytes  # 16 bytes that are the same for the same mount point and source: good enough for a journal
    why: str = ""  # why it is not trusted; "" = it is, as far as can be seen from here
    uuid: bytes = b""  # b"" = not told
    disks: bytes = b""  # tells it from a copy that is mounted at the same time: a snapshot has the same UUID
    boot: bytes = b""  # which boot this is; b"" = not told
    bound: bool = False  # the name must not outlive this boot and this mount

    @property
    def subvolumes(self) -> bool:
        """Whether it gives inode numbers anew for each part of it."""
        return self.fstype == b"btrfs"


class FileSystem(NamedTuple):
    """How the stores know a file system, or why they do not."""

    id: bytes | None  # 16 bytes
    why: str = ""


class System:
    """The files of the kernel that tell about disks; *root* is where / is, for tests."""

    def __init__(self, root: bytes = b"/") -> None:
        self._root = root

    def _path(self, *names: bytes) -> bytes:
        return os.path.join(self._root, *names)

    def boot(self) -> bytes:
        """b"" when it cannot be told."""
        return _read(self._path(b"proc/sys/kernel/random/boot_id"))

    def disks(self, mount: Mount) -> list[bytes]:
        """Folders in /sys of the devices that a file system lies on; none when they cannot be found."""
        if mount.fstype != b"btrfs":
            folders = [self._path(b"sys/dev/block", b"%d:%d" % mount.device)]
        else:  # its device number is none of a device, but of a subvolume
            name = os.path.basename(os.path.realpath(self._path(mount.source.lstrip(b"/"))))
            folders = [self._path(b"sys/class/block", other) for other in self._together(name)]
        return [os.path.realpath(folder) for folder in folders] if all(map(os.path.isdir, folders)) else []

    def _together(self, name: bytes) -> list[bytes]:
        """The devices of the btrfs file system that has the one called *name*."""
        top = self._path(b"sys/fs/btrfs")
        for uuid in _list(top):
            names = _list(os.path.join(top, uuid, b"devices"))
            if name in names:
                return names
        return [name]

    def uuid(self, disk: bytes) -> bytes:
        """What udev knows of a device; b"" = nothing."""
        folder = self._path(b"dev/disk/by-uuid")
        for text in _list(folder):
            if os.path.basename(os.path.realpath(os.path.join(folder, text))) == os.path.basename(disk):
                return _uuid_of(text)
        return b""

    def serial(self, disk: bytes) -> bytes:
        """What no copy of a device has, and itself has again after a reboot; else its name."""
        partition = _read(os.path.join(disk, b"partition"))
        whole = os.path.dirname(disk) if partition else disk
        for name in (b"dm/uuid", b"wwid", b"device/wwid", b"serial", b"device/serial"):
            if told := _read(os.path.join(whole, name)):
                return told + b" " + partition
        return os.path.basename(disk)


def look(mount: Mount, table: MountTable, system: System | None = None) -> Seen:
    """What can be said of *mount* without touching it."""
    system = system or System()
    place = _digest(b"mount", mount.fstype, mount.source, mount.point)
    why = _distrusted(mount, table)
    if why:
        return Seen(mount.number, mount.fstype, place, why)
    disks = [] if mount.fstype == b"overlay" else system.disks(mount)
    uuid = system.uuid(disks[0]) if disks else b""
    bound = not disks or b"lazytime" in mount.options.split(b",") or any(_movable(disk) for disk in disks)
    serials = b"\0".join(map(system.serial, disks))
    return Seen(mount.number, mount.fstype, place, "", uuid, serials, system.boot(), bound)


def identify(seen: Seen, number: int, unique_number: int, uuid: bytes) -> FileSystem:
    """The name in the stores. *number* and *unique_number* are those of the mount that was opened, as the kernel tells
    them (0 = it does not), *uuid* is what the file system itself says."""
    if seen.why:
        return FileSystem(None, seen.why)
    if number and number != seen.number:
        return FileSystem(None, "something else has been mounted there")
    uuid = uuid if any(uuid) else seen.uuid
    if any(uuid) and not seen.bound:
        return FileSystem(_digest(b"uuid", seen.fstype, uuid, seen.disks))
    if not seen.boot:
        return FileSystem(None, "the system does not tell one boot from the next")
    if not unique_number:
        return FileSystem(None, "the kernel does not tell one mount from the next (Linux 6.8 does)")
    return FileSystem(_digest(b"boot", seen.fstype, uuid, seen.boot, b"%d" % unique_number))


def _distrusted(mount: Mount, table: MountTable) -> str:
    """Why the kind of file system is not trusted; "" if it is."""
    if mount.fstype in STAMPING:
        return ""
    if mount.fstype != b"overlay":
        return f"{os.fsdecode(mount.fstype)} is not trusted to stamp every change"
    layers = layers_of(mount.options)
    if not layers:
        return "the layers of the overlay are not told"
    for layer in layers:
        below = table.of(layer) if layer.startswith(b"/") else None
        if below is None or below.fstype not in STAMPING:
            return f"the layer {os.fsdecode(layer)} of the overlay is not seen on a file system that is trusted"
    return ""


def layers_of(options: bytes) -> list[bytes]:
    """The folders that an overlay with these mount options shows."""
    layers: list[bytes] = []
    for option in options.split(b","):
        key, _, escaped = option.partition(b"=")
        value = unescape(escaped)
        if key == b"lowerdir":
            layers += [re.sub(rb"\\(.)", rb"\1", part) for part in re.split(rb"(?<!\\):", value) if part]
        elif key in (b"upperdir", b"lowerdir+", b"datadir+"):
            layers.append(value)
    return layers


def _movable(disk: bytes) -> bool:
    """Whether another disk, or another image, can stand behind this device tomorrow."""
    partition = os.path.exists(os.path.join(disk, b"partition"))
    whole = os.path.dirname(disk) if partition else disk
    if os.path.basename(whole).startswith((b"loop", b"nbd")) or b"/usb" in whole:
        return True
    if _read(os.path.join(whole, b"removable")) != b"0" or _read(os.path.join(whole, b"device", b"type")) == b"SD":
        return True
    below = os.path.join(whole, b"slaves")  # of a device mapper, a RAID: a graph without circles
    return any(_movable(os.path.realpath(os.path.join(below, slave))) for slave in _list(below))


def _digest(*words: bytes) -> bytes:
    text = b"".join(b"%d:%b" % (len(word), word) for word in (FORMAT, *words))
    return hashlib.blake2b(text, digest_size=16, person=b"file system").digest()


def _uuid_of(text: bytes) -> bytes:
    try:
        return bytes.fromhex(text.replace(b"-", b"").decode("ascii"))
    except ValueError:
        return b""


def _read(path: bytes) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(4096).strip()
    except OSError:
        return b""


def _list(folder: bytes) -> list[bytes]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []

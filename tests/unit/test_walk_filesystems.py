"""File systems: which are trusted, and when their names hold."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kavfs._native.walk import file_system
from kavfs.walk import mounts
from kavfs.walk.filesystems import System, identify, layers_of, look
from kavfs.walk.mounts import Mount, MountTable
from tests.unit.test_walk_mounts import AGAINST, CHECKOUT

UUID = bytes(range(16))
UUID_TEXT = "00010203-0405-0607-0809-0a0b0c0d0e0f"
BOOT = "f0e1d2c3-0000-1111-2222-333344445555"


class Machine:
    """What /sys, /dev and /proc say of disks that do not exist."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.write("proc/sys/kernel/random/boot_id", BOOT)

    def write(self, name: str, text: str) -> None:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    def link(self, name: str, target: str) -> None:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(self.top / target)

    def disk(self, name: str, device: str, bus: str = "pci0", removable: bool = False, uuid: str = "") -> None:
        """A whole disk, or a partition as "disk/partition"."""
        folder = f"sys/devices/{bus}/block/{name}"
        short = name.split("/")[-1]
        if "/" in name:
            self.write(f"{folder}/partition", "1")
        else:
            self.write(f"{folder}/removable", str(int(removable)))
        self.link(f"sys/dev/block/{device}", folder)
        self.link(f"sys/class/block/{short}", folder)
        self.write(f"dev/{short}", "")
        if uuid:
            self.link(f"dev/disk/by-uuid/{uuid}", f"dev/{short}")

    def name(self, mount: Mount, *, uuid: bytes = UUID, unique: int = 99, number: int = 0) -> tuple[bytes | None, str]:
        seen = look(mount, MountTable([mount]), System(os.fsencode(self.top)))
        found = identify(seen, number or mount.number, unique, uuid)
        return found.id, found.why


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.disk("sda", "8:0")
    made.disk("sda/sda1", "8:1")
    return made


def mount(
    fstype: str = "ext4",
    device: tuple[int, int] = (8, 1),
    source: str = "/dev/sda1",
    number: int = 30,
    options: str = "rw",
) -> Mount:
    return Mount(number, 1, device, b"/", b"/mnt", fstype.encode(), source.encode(), options.encode())


@pytest.mark.parametrize("fstype", ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"])
def test_what_stamps_every_change_is_named_by_its_uuid(machine: Machine, fstype: str) -> None:
    name, why = machine.name(mount(fstype))
    assert name is not None
    assert why == ""
    assert machine.name(mount(fstype, number=31), unique=7)[0] == name  # after another boot
    assert machine.name(mount(fstype), uuid=UUID[::-1])[0] != name


@pytest.mark.parametrize(
    "fstype",
    [
        "tmpfs",
        "ramfs",
        "vfat",
        "exfat",
        "ntfs3",
        "fuse",
        "fuse.sshfs",
        "fuseblk",
        "nfs",
        "nfs4",
        "cifs",
        "9p",
        "squashfs",
        "iso9660",
        "erofs",
        "zfs",
        "bcachefs",
    ],
)
def test_others_are_not_trusted(machine: Machine, fstype: str) -> None:
    name, why = machine.name(mount(fstype))
    assert name is None
    assert why.startswith(f"{fstype} is not trusted")


def test_kinds_of_file_system_are_told_apart(machine: Machine) -> None:
    assert len({machine.name(mount(fstype))[0] for fstype in ("ext3", "ext4", "xfs")}) == 3


@pytest.mark.parametrize("uuid", [b"", bytes(16)])
def test_without_a_uuid_the_name_is_for_this_mount_only(machine: Machine, uuid: bytes) -> None:
    first = machine.name(mount(), uuid=uuid, unique=1)[0]
    assert first is not None
    assert machine.name(mount(), uuid=uuid, unique=1)[0] == first
    assert machine.name(mount(), uuid=uuid, unique=2)[0] != first
    assert machine.name(mount(), uuid=uuid, unique=0)[0] is None


def test_the_uuid_that_udev_knows_will_do(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.disk("sda", "8:0", uuid="1234-5678")
    machine.disk("sda/sda1", "8:1", uuid=UUID_TEXT)
    assert machine.name(mount(), uuid=b"") == machine.name(mount(), uuid=UUID)


def test_what_is_mounted_there_by_now_is_not_trusted(machine: Machine) -> None:
    assert machine.name(mount(number=30), number=31) == (None, "something else has been mounted there")


MOVABLE = {
    "a loop device": ("loop0", "7:0", "virtual", False),
    "a network block device": ("nbd3", "43:3", "virtual", False),
    "a drive for disks": ("sr0", "11:0", "pci0", True),
    "a stick": ("sdb", "8:16", "pci0/usb2", False),
}


@pytest.mark.parametrize("kind", MOVABLE)
def test_what_can_be_exchanged_is_named_for_this_mount_only(machine: Machine, kind: str) -> None:
    name, device, bus, removable = MOVABLE[kind]
    machine.disk(name, device, bus, removable)
    major, minor = map(int, device.split(":"))
    it = mount(device=(major, minor), source=f"/dev/{name}")
    first = machine.name(it, unique=5)[0]
    assert first is not None
    assert machine.name(it, unique=5)[0] == first
    assert machine.name(it, unique=6)[0] != first
    assert machine.name(it, unique=0) == (None, "the kernel does not tell one mount from the next (Linux 6.8 does)")
    machine.write("proc/sys/kernel/random/boot_id", BOOT[::-1])
    assert machine.name(it, unique=5)[0] != first
    (machine.top / "proc/sys/kernel/random/boot_id").unlink()
    assert machine.name(it)[0] is None


def test_a_partition_is_movable_with_its_disk(machine: Machine) -> None:
    machine.disk("sdc", "8:32", removable=True)
    machine.disk("sdc/sdc1", "8:33")
    it = mount(device=(8, 33), source="/dev/sdc1")
    assert machine.name(it, unique=1)[0] != machine.name(it, unique=2)[0]


@pytest.mark.parametrize(("below", "moves"), [(["8:1"], False), (["8:1", "7:0"], True)])
def test_a_mapped_device_is_movable_with_what_lies_below(machine: Machine, below: list[str], moves: bool) -> None:
    """/dev/mapper: two layers of them over a partition, or over a partition and a loop device."""
    machine.disk("loop0", "7:0", "virtual")
    for name, device, slaves in (("dm-0", "253:0", below), ("dm-1", "253:1", ["253:0"])):
        machine.disk(name, device, "virtual")
        for slave in slaves:
            machine.link(f"sys/devices/virtual/block/{name}/slaves/{slave}", f"sys/dev/block/{slave}")
    it = mount(device=(253, 1), source="/dev/mapper/data")
    assert (machine.name(it, unique=1)[0] != machine.name(it, unique=2)[0]) is moves


def test_a_device_that_sysfs_does_not_know_counts_as_movable(machine: Machine) -> None:
    it = mount(device=(99, 0))
    assert machine.name(it, unique=1)[0] != machine.name(it, unique=2)[0]


def test_a_snapshot_is_another_file_system_though_its_uuid_is_the_same(machine: Machine) -> None:
    """Inode numbers and times in both can be made alike by whoever may write to both."""
    for name, device in (("dm-0", "253:0"), ("dm-1", "253:1"), ("dm-2", "253:2")):
        machine.disk(name, device, "virtual")
    for name, uuid in (("dm-0", "LVM-origin"), ("dm-1", "LVM-snapshot"), ("dm-2", "LVM-origin")):
        machine.write(f"sys/devices/virtual/block/{name}/dm/uuid", uuid)
    origin, snapshot, rebooted = (machine.name(mount(device=(253, minor)))[0] for minor in range(3))
    assert origin is not None
    assert snapshot not in (None, origin)
    assert rebooted == origin  # device numbers are given anew


def test_copies_of_a_disk_are_told_apart(machine: Machine) -> None:
    machine.disk("sdb", "8:16")
    machine.disk("sdb/sdb1", "8:17")
    machine.disk("sda/sda2", "8:2")
    names = [machine.name(mount(device=device))[0] for device in ((8, 1), (8, 17))]
    for name, serial in (("sda", "naa.1"), ("sdb", "naa.2")):
        machine.write(f"sys/devices/pci0/block/{name}/device/wwid", serial)
    machine.write("sys/devices/pci0/block/sda/sda2/partition", "2")
    names += [machine.name(mount(device=device))[0] for device in ((8, 1), (8, 17), (8, 2))]
    assert len(set(names)) == 5


def test_what_is_written_lazily_is_named_for_this_mount_only(machine: Machine) -> None:
    """With lazytime a crash can leave new bytes with the old times on the disk."""
    for options, bound in (("rw", False), ("rw,lazytime", True), ("rw,nolazytime", False)):
        first, second = (machine.name(mount(options=options), unique=unique)[0] for unique in (1, 2))
        assert (first != second) is bound


def test_the_device_of_btrfs_is_that_of_its_source(machine: Machine) -> None:
    """The number in the mount table belongs to a subvolume; all its devices count."""
    machine.disk("loop0", "7:0", "virtual")
    it = mount("btrfs", device=(0, 45))
    assert machine.name(it, unique=1)[0] == machine.name(it, unique=2)[0] is not None
    for name in ("sda1", "loop0"):
        machine.link(f"sys/fs/btrfs/{UUID_TEXT}/devices/{name}", f"sys/class/block/{name}")
    assert machine.name(it, unique=1)[0] != machine.name(it, unique=2)[0]


def overlay(options: str) -> Mount:
    return Mount(50, 1, (0, 50), b"/", b"/merged", b"overlay", b"overlay", options.encode())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("rw,lowerdir=/a:/data/b,upperdir=/up,workdir=/work", ""),
        ("ro,lowerdir=/a:/data/b", ""),
        ("rw,lowerdir=/a:/ram/b,upperdir=/up", "/ram/b"),
        ("rw,lowerdir=/a,upperdir=/ram/up", "/ram/up"),
        ("rw,lowerdir=a,upperdir=/up", "the layer a of"),
        ("rw,lowerdir=/a,upperdir=/merged/up", "/merged/up"),
        ("rw", "not told"),
    ],
)
def test_an_overlay_is_trusted_when_its_layers_are(machine: Machine, options: str, why: str) -> None:
    it = overlay(options)
    table = MountTable(
        Mount(i, 1, (8, i), b"/", point, kind, b"/dev/x")
        for i, (point, kind) in enumerate([(b"/", b"ext4"), (b"/data", b"xfs"), (b"/ram", b"tmpfs")])
    )
    seen = look(it, MountTable([*table.mounts, it]), System(os.fsencode(machine.top)))
    assert why in seen.why
    assert bool(seen.why) is bool(why)
    if not why:
        assert identify(seen, 50, 1, b"").id not in (None, identify(seen, 50, 2, b"").id)


def test_in_a_container_the_layers_of_the_root_are_not_seen(machine: Machine) -> None:
    it = Mount(50, 1, (0, 50), b"/", b"/", b"overlay", b"overlay", b"rw,lowerdir=/var/lib/l/X,upperdir=/var/lib/u")
    assert "/var/lib/l/X" in look(it, MountTable([it]), System(os.fsencode(machine.top))).why


def test_names_of_layers_may_hold_separators() -> None:
    assert layers_of(rb"rw,lowerdir=/a\134:b:/c\054upperdir=x,lowerdir+=/d:e,upperdir=/u\040p") == [
        b"/a:b",
        b"/c,upperdir=x",
        b"/d:e",
        b"/u p",
    ]


# ---- real ones ------------------------------------------------------------------------------------------------------

ON_MOUNTS = """
import os, signal, subprocess, sys
from kavfs._native import walk
from kavfs.walk import filesystems, mounts
top = os.fsencode(sys.argv[1])
point = top + b"/point"
os.mkdir(point)

def run(*words):
    return subprocess.run(words, check=True, capture_output=True).stdout.strip()

def name(where=point):
    table = mounts.read()
    fd = os.open(where, os.O_RDONLY)
    _, number, unique, uuid = walk.file_system(fd)
    os.close(fd)
    found = filesystems.identify(filesystems.look(table.of(os.path.realpath(where)), table), number, unique, uuid)
    print(repr((found.id, found.why)))
"""


def on_mounts(folder: Path, script: str) -> list[tuple[bytes | None, str]]:
    command = ["unshare", "-m", sys.executable, "-c", ON_MOUNTS + script, os.fspath(folder)]
    environment = {**os.environ, "PYTHONPATH": os.fspath(CHECKOUT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [ast.literal_eval(line) for line in done.stdout.splitlines()]


@pytest.mark.root
@pytest.mark.skipif(bool(AGAINST), reason=AGAINST)
def test_two_images_in_turn_on_one_loop_device_have_two_names(tmp_path: Path) -> None:
    """One is a copy of the other, UUID and all: what was remembered of the first must not answer for the second."""
    script = """
for image in (b"/one", b"/two"):
    with open(top + image, "wb") as file:
        file.truncate(2 << 20)
run("mkfs.ext4", "-q", "-F", top + b"/one")
run("cp", top + b"/one", top + b"/two")
for image in (b"/one", b"/two", b"/one"):
    device = run("losetup", "-f", "--show", top + image)
    try:
        run("mount", device, point)
        name()
        name()
        run("umount", point)
    finally:
        run("losetup", "-d", device)
"""
    names = on_mounts(tmp_path, script)
    if names[0][0] is None:
        assert "Linux 6.8" in names[0][1]
        pytest.skip(names[0][1])
    assert names[0::2] == names[1::2]
    assert len({name for name, _ in names}) == 3


@pytest.mark.root
@pytest.mark.skipif(bool(AGAINST), reason=AGAINST)
def test_a_tmpfs_is_not_trusted_nor_an_overlay_on_it(tmp_path: Path) -> None:
    script = """
run("mount", "-t", "tmpfs", "tmpfs", point)
name()
for folder in (b"/l", b"/u", b"/w", b"/m"):
    os.mkdir(point + folder)
run("mount", "-t", "overlay", "overlay", point + b"/m", "-o",
    b"lowerdir=" + point + b"/l,upperdir=" + point + b"/u,workdir=" + point + b"/w")
name(point + b"/m")
"""
    (tmpfs, tmpfs_why), (over, over_why) = on_mounts(tmp_path, script)
    assert (tmpfs, over) == (None, None)
    assert "tmpfs" in tmpfs_why
    assert "/point/l" in over_why


@pytest.mark.root
@pytest.mark.skipif(bool(AGAINST), reason=AGAINST)
def test_the_kernel_says_where_a_file_lies(tmp_path: Path) -> None:
    """A bind mount shows the same file system, so it has the same name."""
    script = """
os.mkdir(top + b"/real")
run("mount", "--bind", top + b"/real", point)
name(top + b"/real")
name()
"""
    fd = os.open(tmp_path, os.O_RDONLY)
    _, number, _, uuid = file_system(fd)
    os.close(fd)
    here = mounts.read().of(os.path.realpath(os.fsencode(tmp_path)))
    assert here is not None
    assert number in (here.number, 0)
    if not any(uuid) or here.fstype == b"overlay":
        pytest.skip(f"the {os.fsdecode(here.fstype)} here has no UUID")
    real, bound = on_mounts(tmp_path, script)
    assert real == bound

"""Disks: file systems of a test's own, really mounted, and an ext4 image that can be edited while it is not.

Where root may not mount, or a mkfs is missing, the test is skipped and says so.
"""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

MIB = 1 << 20
BLOCK = 4096

MAKERS: dict[str, tuple[int, list[str]]] = {
    "ext4": (64 * MIB, ["mkfs.ext4", "-q", "-F", "-b", str(BLOCK), "-I", "256"]),
    "ext3": (64 * MIB, ["mkfs.ext3", "-q", "-F", "-b", str(BLOCK), "-I", "256"]),
    "xfs": (320 * MIB, ["mkfs.xfs", "-q", "-f"]),
    "btrfs": (160 * MIB, ["mkfs.btrfs", "-q", "-f"]),
}
"""Bytes of an image, which are mostly a hole, and what makes a file system in it."""


def run(*words: str | os.PathLike[str]) -> str | None:
    """What a program says; None when it fails or is not there."""
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def make(image: Path, fstype: str = "ext4") -> Path:
    size, words = MAKERS[fstype]
    with open(image, "wb") as file:
        file.truncate(size)
    if run(*words, image) is None:
        pytest.skip(f"{words[0]} is not there")
    return image


def mount(point: Path, *words: str | os.PathLike[str]) -> Path:
    point.mkdir(parents=True, exist_ok=True)
    if run("mount", *words, point) is None:
        pytest.skip(f"this machine does not let us mount: {' '.join(map(str, words))}")
    return point


def unmount(point: Path) -> None:
    subprocess.run(["umount", point], check=True)


class Mounts:
    """Mounted file systems below one folder, until close()."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()

    def close(self) -> None:
        self._stack.close()

    def mount(self, name: str, *words: str | os.PathLike[str]) -> Path:
        point = mount(self.folder / name, *words)
        self._stack.callback(unmount, point)
        return point

    def disk(self, name: str, fstype: str = "ext4") -> Path:
        """A fresh file system of this type on a loop device."""
        image = make(self.folder / f"{name}.image", fstype)
        return self.mount(name, "-t", fstype, "-o", "loop", image)

    def overlay(self, name: str, below: Path) -> Path:
        layers = [below / part for part in ("lower", "upper", "work")]
        for layer in layers:
            layer.mkdir(exist_ok=True)
        lower, upper, work = layers
        return self.mount(name, "-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", "overlay")


class Image:
    """An ext4 in a file, mounted at one point or not; while it is not, anything in it can be changed alone."""

    def __init__(self, file: Path, point: Path) -> None:
        self.file, self.point = make(file), point
        self._mounted = False

    def mount(self, file: Path | None = None) -> Path:
        """*file*: another image, in its place."""
        mount(self.point, "-t", "ext4", "-o", "loop", file or self.file)
        self._mounted = True
        return self.point

    def unmount(self) -> None:
        if self._mounted:
            unmount(self.point)
            self._mounted = False

    def edit(self, *requests: str) -> None:
        """debugfs(8) requests; one that it refuses fails the test."""
        assert not self._mounted
        done = subprocess.run(
            ["debugfs", "-w", "-f", "-", self.file], input="\n".join(requests), capture_output=True, text=True
        )
        wrong = [line for line in done.stderr.splitlines()[1:] if line]
        assert not wrong, wrong

    def write(self, path: str, content: bytes, file: Path | None = None) -> None:
        """New bytes at the start of a file, as no operating system would write them: nothing else changes."""
        assert not self._mounted
        assert len(content) <= BLOCK
        file = file or self.file
        said = run("debugfs", "-R", f"bmap {path} 0", file)
        assert said
        (block,) = re.findall(r"^\d+", said)
        with open(file, "r+b") as disk:
            disk.seek(int(block) * BLOCK)
            disk.write(content)

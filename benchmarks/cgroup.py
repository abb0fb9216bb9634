"""Cgroup: a command under a limit of memory, where this machine lets us set one: cgroup v2 with a memory controller."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

ENTER = 'echo $$ > "$0" && exec "$@"'  # the shell goes in and becomes the command


class Unavailable(Exception):
    """No limit can be set here; str() says why."""


@contextlib.contextmanager
def limited(memory: int) -> Iterator[list[str]]:
    """Words that stand in front of a command, which then has *memory* bytes and no swap. Raises Unavailable."""
    group = _own_group() / f"kavfs-bench-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        raise Unavailable(f"no cgroup can be made: {error.strerror}") from None
    try:
        _limit(group, memory)
        yield ["sh", "-c", ENTER, str(group / "cgroup.procs")]
    finally:
        group.rmdir()


def _limit(group: Path, memory: int) -> None:
    try:
        (group / "memory.max").write_text(str(memory))
        if (group / "memory.swap.max").exists():  # not where the kernel does not count swap
            (group / "memory.swap.max").write_text("0")
    except OSError as error:
        raise Unavailable(f"no limit can be set: {error.strerror}") from None


def _own_group() -> Path:
    """The folder of this process's group, in which the memory of children can be limited."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    path = next((line[3:] for line in lines if line.startswith("0::")), None)
    mounts = [line.split(" ") for line in Path("/proc/mounts").read_text().splitlines()]
    point = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
    if path is None or point is None:
        raise Unavailable("there is no cgroup v2")
    folder = Path(point) / path.lstrip("/")
    control = folder / "cgroup.subtree_control"
    try:
        if "memory" not in control.read_text().split():
            raise Unavailable("cgroup v2 has no memory controller for children here")
    except OSError as error:
        raise Unavailable(f"cgroup v2: {error.strerror}") from None
    return folder

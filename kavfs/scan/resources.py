"""Resources: how many CPUs and how much memory this process may really use, cgroups included.

    allowed_cpus()      by sched_getaffinity and cpu.max
    allowed_memory()    by MemAvailable and memory.max
    worker_count(n)     what --jobs n (0 = decide) comes to

cgroup v2 and v1 both; a limit of any ancestor counts. What cannot be read limits nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

WORKER_MEMORY = 150 << 20  # bytes of private memory that a worker may come to need
UNLIMITED = 1 << 60


def worker_count(jobs: int, root: str = "/", each: int = WORKER_MEMORY) -> int:
    """Workers for ``jobs`` (0 = one per CPU): never more than can have *each* bytes, at least one, at most 256."""
    wanted = jobs or allowed_cpus(root)
    affordable = allowed_memory(root) // each
    return max(1, min(wanted, affordable, 256))


def allowed_cpus(root: str = "/") -> int:
    """CPUs that this process may keep busy, at least 1. *root* is where /proc and /sys are looked for."""
    cpus = float(len(os.sched_getaffinity(0)))
    for folder in _cgroup_folders(root, "cpu"):
        quota, period = _quota(folder)
        if quota > 0 and period > 0:
            cpus = min(cpus, quota / period)
    return max(1, int(cpus + 0.5))


def allowed_memory(root: str = "/") -> int:
    """Bytes that this process and its children may still take."""
    memory = _available(root)
    for folder in _cgroup_folders(root, "memory"):
        for limit_name, usage_name in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit = _number(_read(f"{folder}/{limit_name}"))
            if limit is not None and limit < UNLIMITED:
                used = _number(_read(f"{folder}/{usage_name}")) or 0
                memory = min(memory, max(0, limit - used + _reclaimable(folder)))
    return memory


def _reclaimable(folder: str) -> int:
    """Page cache that the kernel would give back: after a scan, most of what a cgroup "uses"."""
    for line in _read(f"{folder}/memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            return _number(value) or 0
    return 0


def _available(root: str) -> int:
    for line in _read(f"{root}proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return UNLIMITED


def _quota(folder: str) -> tuple[float, float]:
    words = _read(f"{folder}/cpu.max").split()
    if len(words) == 2:
        return float(_number(words[0]) or 0), float(_number(words[1]) or 0)
    quota = _number(_read(f"{folder}/cpu.cfs_quota_us")) or 0
    return float(quota), float(_number(_read(f"{folder}/cpu.cfs_period_us")) or 0)


def _cgroup_folders(root: str, controller: str) -> Iterator[str]:
    """Folders of this process's cgroup and its ancestors, for v2 and for the v1 *controller*."""
    paths = {}
    for line in _read(f"{root}proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        for name in names.split(","):
            paths[name] = path
    for mount_root, mount_point, kind, options in _cgroup_mounts(root):
        name = "" if kind == "cgroup2" else controller
        if name not in paths or (name and name not in options):
            continue
        path = paths[name]
        inside = path[len(mount_root.rstrip("/")) :] if path.startswith(mount_root) else ""
        yield from _upwards(root + mount_point.lstrip("/"), inside)


def _cgroup_mounts(root: str) -> Iterator[tuple[str, str, str, list[str]]]:
    for line in _read(f"{root}proc/self/mountinfo").splitlines():
        left, separator, right = line.partition(" - ")
        fields, after = left.split(), right.split()
        if separator and len(fields) > 4 and len(after) > 2 and after[0] in ("cgroup", "cgroup2"):
            yield fields[3], fields[4], after[0], after[2].split(",")


def _upwards(top: str, inside: str) -> Iterator[str]:
    names = [name for name in inside.split("/") if name not in ("", "..")]
    for count in range(len(names), -1, -1):
        yield "/".join([top, *names[:count]])


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None  # "max", or nothing there


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""

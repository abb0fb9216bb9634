"""CPUs and memory by cgroup, from pretended /proc and /sys."""

from __future__ import annotations

import os

import pytest

from kavfs.scan.resources import UNLIMITED, WORKER_MEMORY, allowed_cpus, allowed_memory, worker_count

V2 = "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
V1 = (
    "31 20 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "32 20 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)
MIB = 1 << 20


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Write files below a root of our own; returns that root."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))

    def make(**files: str) -> str:
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return f"{tmp_path}/"

    return make


def v2(machine, cpu: str = "max 100000", memory: str = "max", outer_cpu: str = "max 100000") -> str:
    return machine(
        proc__self__cgroup="0::/outer/inner\n",
        proc__self__mountinfo=V2,
        proc__meminfo="MemTotal: 99999999 kB\nMemAvailable:    4194304 kB\n",
        sys__fs__cgroup__outer__cpu_DOT_max=outer_cpu,
        sys__fs__cgroup__outer__inner__cpu_DOT_max=cpu,
        sys__fs__cgroup__outer__inner__memory_DOT_max=memory,
        sys__fs__cgroup__outer__inner__memory_DOT_current=str(100 * MIB),
        sys__fs__cgroup__outer__inner__memory_DOT_stat=f"anon 5\ninactive_file {60 * MIB}\n",
    )


def test_without_limits_affinity_and_free_memory_count(machine):
    root = v2(machine)
    assert allowed_cpus(root) == 16
    assert allowed_memory(root) == 4 << 30


def test_cpu_max_counts(machine):
    assert allowed_cpus(v2(machine, cpu="250000 100000")) == 3  # two and a half keep three busy


def test_cpu_max_of_an_outer_group_counts_too(machine):
    assert allowed_cpus(v2(machine, cpu="800000 100000", outer_cpu="200000 100000")) == 2


def test_part_of_a_cpu_is_one(machine):
    assert allowed_cpus(v2(machine, cpu="10000 100000")) == 1


def test_memory_max_counts_less_what_is_used_but_for_caches(machine):
    assert allowed_memory(v2(machine, memory=str(1000 * MIB))) == (1000 - 100 + 60) * MIB


def test_version_1_limits_count(machine):
    root = machine(
        proc__self__cgroup="4:memory:/box\n3:cpu,cpuacct:/box\n",
        proc__self__mountinfo=V1,
        **{
            "sys__fs__cgroup__cpu,cpuacct__box__cpu_DOT_cfs_quota_us": "400000",
            "sys__fs__cgroup__cpu,cpuacct__box__cpu_DOT_cfs_period_us": "100000",
            "sys__fs__cgroup__cpu,cpuacct__cpu_DOT_cfs_quota_us": "-1",
            "sys__fs__cgroup__memory__box__memory_DOT_limit_in_bytes": str(500 * MIB),
            "sys__fs__cgroup__memory__memory_DOT_limit_in_bytes": "9223372036854771712",
        },
    )
    assert allowed_cpus(root) == 4
    assert allowed_memory(root) == 500 * MIB


def test_unreadable_machine_limits_nothing(machine):
    root = machine(nothing="")
    assert allowed_cpus(root) == 16
    assert allowed_memory(root) == UNLIMITED


def test_workers_never_outgrow_their_memory(machine):
    root = v2(machine, memory=str(3 * WORKER_MEMORY + 40 * MIB))
    assert worker_count(0, root) == 3
    assert worker_count(8, root) == 3
    assert worker_count(2, root) == 2
    assert worker_count(5, v2(machine, memory=str(50 * MIB))) == 1

"""Descriptors: how many a walker may have open, and how many of them directories may keep."""

from __future__ import annotations

import resource

PER_THREAD = 64 + 8  # a batch that is not sent yet, and directories on their way
RESERVE = 64  # Python, sockets, slots, roots
ENOUGH = 1 << 16  # no path has more directories: each costs 2 bytes of at most 64 KiB


def raise_limit() -> int:
    """Raise the soft limit of this process to the hard one; the limit that holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 20


def for_directories(limit: int, threads: int) -> int:
    """What walk() gets as max_fds under *limit* open files. 0 is allowed: it is slow on deep trees, but right."""
    return max(0, min(ENOUGH, limit - RESERVE - threads * PER_THREAD))

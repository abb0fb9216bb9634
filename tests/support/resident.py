"""What this process has mapped of files, and how much of that is in memory."""

from __future__ import annotations

import re
from pathlib import Path

_HEAD = re.compile(r"[0-9a-f]+-[0-9a-f]+ (\S+) \S+ \S+ (\d+)")


def resident(inode: int, how: str = "") -> int:
    """Bytes of the file's pages that are mapped now, of all its mappings or of those with these rights ("r-x")."""
    found, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if head := _HEAD.match(line):
            counts = int(head[2]) == inode and head[1].startswith(how)
        elif counts and line.startswith("Rss:"):
            found += int(line.split()[1]) << 10
    return found

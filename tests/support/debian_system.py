"""A Debian system to install packages in: this one; what is written to it is kept apart and thrown away."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

_BOOT = """set -e
mount --make-rprivate /
mount -t tmpfs tmpfs {top}
mkdir -p {top}/upper {top}/work {top}/root
mount -t overlay overlay -o lowerdir=/,upperdir={top}/upper,workdir={top}/work {top}/root
mount -t proc proc {top}/root/proc
mount --rbind /dev {top}/root/dev
mount -t tmpfs tmpfs {top}/root/run
mount --bind {shared} {top}/root/mnt
exec chroot {top}/root /bin/sh -e /mnt/script
"""


def run_inside(script: str, shared: Path, top: Path) -> subprocess.CompletedProcess[str]:
    """Runs *script* as root there; it sees the folder *shared* as /mnt, the only one that outlives it."""
    (shared / "script").write_text(script)
    top.mkdir(exist_ok=True)
    boot = _BOOT.format(top=shlex.quote(str(top)), shared=shlex.quote(str(shared)))
    command = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--mount-proc", "sh", "-c", boot]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)

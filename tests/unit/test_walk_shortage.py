"""Walk: the kernel takes no message, because descriptors of other processes of the same user are on their way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kavfs._native.walk import walk

# Only who has no right to more is refused: run as a user that nobody else is. The descriptors in flight are those of
# the limit; what is sent on top of them is refused until they have been taken out.
REFUSED = """
import array, contextlib, errno, mmap, os, resource, socket, sys, threading, time
from kavfs._native.walk import walk
from tests.support.batches import batches, pair
LIMIT, PATIENCE = 200, float(sys.argv[2])
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(54321); os.setuid(54321)
resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
full, taken = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
some = array.array("i", [0] * 100)
with contextlib.suppress(OSError):
    for _ in range(2 + LIMIT // 100):
        full.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, some)], socket.MSG_DONTWAIT)
ours, theirs = pair()
slot = mmap.mmap(-1, 64)
beat = lambda: int.from_bytes(slot[:8], sys.byteorder)
ended = []
def run():
    try:
        walk(theirs.fileno(), [os.fsencode(sys.argv[1])], slot=slot, patience=PATIENCE)
        ended.append(0)
    except OSError as error:
        ended.append(error.errno)
    theirs.close()
thread = threading.Thread(target=run)
thread.start()
if PATIENCE > 1:
    for _ in range(3):
        seen, end = beat(), time.monotonic() + 20
        while beat() < seen + 5 and time.monotonic() < end:
            time.sleep(0.001)
        assert beat() >= seen + 5, "it does not beat while it waits"
    assert not ended
    taken.close(); full.close()
met = [entry for batch in batches(ours) for entry in getattr(batch, "entries", [])]
thread.join(30)
print(ended[0] and errno.errorcode[ended[0]], len(met))
"""


def refused(folder: Path, patience: float) -> str:
    folder.chmod(0o755)
    for number in range(5):
        (folder / f"file-{number}").write_bytes(b"x")
    for above in (folder.parent, folder.parent.parent):
        above.chmod(0o755)
    words = [sys.executable, "-c", REFUSED, folder, str(patience)]
    run = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_the_heart_beats_until_there_is_room_and_nothing_is_lost(tmp_path: Path) -> None:
    assert refused(tmp_path, 100) == "0 5"


def test_but_not_for_ever(tmp_path: Path) -> None:
    assert refused(tmp_path, 0.1) == "ETOOMANYREFS 0"


@pytest.mark.parametrize("patience", [-1.0, 1e9, float("nan")])
def test_patience_that_is_none_is_refused(patience: float) -> None:
    with pytest.raises(ValueError, match="patience"):
        walk(-1, [os.fsencode("/")], count_only=True, patience=patience)

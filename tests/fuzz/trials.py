"""Trials: one reader for so many seconds; what it has in hand lies in a file, so that it is there when it is broken.

python -m tests.fuzz.trials NAME SECONDS FOLDER
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.fuzz.readers import READERS, rounds


def main(name: str, seconds: str, folder: str) -> int:
    reader, count = READERS[name], 0
    inputs = rounds(reader, seed=time.time_ns())
    held = Path(folder) / "in-hand"
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        data = next(inputs)
        held.write_bytes(data)
        reader.trial(data)
        count += 1
    held.unlink(missing_ok=True)
    print(count)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

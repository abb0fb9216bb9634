"""kavscanner as if its scan began a minute from now: what changed in the last three seconds before a scan is not
remembered, and no test wants to wait that long.

    python -m tests.support.later WORDS
"""

from __future__ import annotations

import time
from types import SimpleNamespace

from kavfs.cli import kavscanner
from kavfs.scan import crew

AHEAD = 60 * 10**9  # nanoseconds

if __name__ == "__main__":
    crew.time = SimpleNamespace(time_ns=lambda: time.time_ns() + AHEAD)  # type: ignore[assignment]
    kavscanner.main()

"""Where nameless temporary files are made."""

from __future__ import annotations

import os

USUAL = b"/var/tmp"
OTHER = b"/tmp"


def writable(folder: bytes) -> bytes:
    """*folder*; or /tmp, where that is the usual place and this user may not write there."""
    if folder == USUAL and not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        return OTHER
    return folder

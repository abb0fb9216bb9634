"""Limit names: what ClamAV reports under the name of a threat and is none: where it did not look."""

from __future__ import annotations

from kavfs.model import COMPLETE, Reason

ENCRYPTED = "Heuristics.Encrypted."
EXCEEDED = "Heuristics.Limits.Exceeded"
LIMITS = {
    "MaxScanSize": Reason.BYTES,
    "MaxFileSize": Reason.SIZE,
    "MaxFiles": Reason.MEMBERS,
    "MaxRecursion": Reason.DEPTH,
    "MaxScanTime": Reason.TIME,
}


def reason_of_name(name: str) -> Reason:
    """COMPLETE for the name of a threat. The limits that are not in LIMITS are those for parts of mails."""
    if name.startswith(ENCRYPTED):
        return Reason.ENCRYPTED
    if name.startswith(EXCEEDED):
        return LIMITS.get(name.removeprefix(EXCEEDED).lstrip(".").removesuffix(".UNOFFICIAL"), Reason.MEMBERS)
    return COMPLETE

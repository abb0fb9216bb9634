"""kavfs: a malware scanner for Linux that scans once. The same as kavscanner, as a library:

    >>> import kavfs
    >>> with kavfs.Scanner() as scanner:
    ...     result = scanner.scan_bytes(b"nothing but text")
    >>> result.status.name, result.complete, result.threats
    ('CLEAN', True, ())

A Scanner keeps its processes until it is closed; ``scan_path`` and ``scan_bytes`` are one of it for one object:

    >>> kavfs.scan_path("/etc/hostname").status is kavfs.Status.CLEAN
    True

Trees come as an iterator of results, clean ones too, in the order in which verdicts fall:

    >>> with kavfs.Scanner() as scanner:
    ...     found = [result for result in scanner.scan(["/etc/hostname", "/etc/hosts"]) if result.threats]
    >>> found
    []

Partial coverage is never CLEAN: ``result.reasons`` says what was not looked at. Everything raised is a KavfsError;
trouble with one file is a Result with status ERROR and a text in ``result.error``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kavfs.errors import DatabaseDamaged, DatabaseMissing, KavfsError, SystemFailure
    from kavfs.limits import Limits
    from kavfs.model import Member, Reason, Result, Status, Target, Threat, Totals
    from kavfs.scan.scanner import Scanner, scan_bytes, scan_path

_HOMES = {
    "DatabaseDamaged": "kavfs.errors",
    "DatabaseMissing": "kavfs.errors",
    "KavfsError": "kavfs.errors",
    "Limits": "kavfs.limits",
    "Member": "kavfs.model",
    "Reason": "kavfs.model",
    "Result": "kavfs.model",
    "Scanner": "kavfs.scan.scanner",
    "Status": "kavfs.model",
    "SystemFailure": "kavfs.errors",
    "Target": "kavfs.model",
    "Threat": "kavfs.model",
    "Totals": "kavfs.model",
    "scan_bytes": "kavfs.scan.scanner",
    "scan_path": "kavfs.scan.scanner",
}

__all__ = [
    "DatabaseDamaged",
    "DatabaseMissing",
    "KavfsError",
    "Limits",
    "Member",
    "Reason",
    "Result",
    "Scanner",
    "Status",
    "SystemFailure",
    "Target",
    "Threat",
    "Totals",
    "scan_bytes",
    "scan_path",
]


def __getattr__(name: str) -> object:
    """Import what is asked for when it is asked for (PEP 562): ``import kavfs`` itself costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

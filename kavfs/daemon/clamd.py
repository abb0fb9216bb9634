"""Texts of clamd's protocol, byte for byte what its clients compare. The front end frames them: "N: ", NUL, newline.

What ClamAV calls clean although it could not see into it (encrypted, damaged) is OK here too unless *strict*: then it
is FOUND with a Heuristics name. What was not wholly scanned for a limit or for time is ERROR, never OK.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import NamedTuple

from kavfs.model import REASON_WORDS, Result, Status
from kavfs.report.names import shown_name, shown_path, shown_text

PONG = b"PONG"
RELOADING = b"RELOADING"
UNKNOWN = b"UNKNOWN COMMAND"
INVALID = b"Command invalid inside IDSESSION. ERROR"
TOO_LARGE = b"INSTREAM size limit exceeded. ERROR"
NOT_SHUT_DOWN = b"COMMAND UNAVAILABLE"  # SHUTDOWN from who may not
NO_DESCRIPTOR = b"No file descriptor received. ERROR"
STREAM = b"stream"
DESCRIPTOR = b"fd[10]"  # clamd names its own descriptor there; clients skip it
COMMANDS = (
    "SCAN QUIT RELOAD PING CONTSCAN VERSIONCOMMANDS VERSION END SHUTDOWN MULTISCAN FILDES STATS IDSESSION INSTREAM"
    " DETSTATSCLEAR DETSTATS ALLMATCHSCAN"
)

SILENT = b"COMMAND READ TIMED OUT"  # whatever the framing and wherever the client stopped
BUSY = "Too many requests are waiting"
LATE = "Time limit reached"
CLOSING = "The server is going down"
FAILED = "Scanning is not possible"
NOT_SUPPORTED = "Not supported file type"

# What may not be named, or leads out of a folder; what is no whole path.
_SAME = {errno.EPERM: errno.EACCES, errno.EXDEV: errno.EACCES, errno.EINVAL: errno.ENOENT}

_FOUND = (Status.INFECTED, Status.CUREFAILED, Status.SUSPICIOUS, Status.WARNING)
_STRICT = {Status.PROTECTED: b"Heuristics.Encrypted", Status.CORRUPTED: b"Heuristics.Broken"}


class Load(NamedTuple):
    """What STATS tells."""

    live: int  # workers
    idle: int
    most: int
    queue: int  # requests that wait
    memory: int  # bytes of the signatures


def version(program: str, generation: str, date: str) -> bytes:
    """clamd says "ClamAV VERSION/DATABASE/DATE"; programs cut it at the slashes."""
    return f"{program}/{generation}/{date}".encode()


def version_commands(line: bytes) -> bytes:
    return line + b"| COMMANDS: " + COMMANDS.encode()


def verdict(result: Result, shown: bytes, all_match: bool = False, strict: bool = False) -> list[bytes]:
    """Lines about one object; [] never. *shown* is its path, or STREAM."""
    if result.status in _FOUND:
        names = _names(result)
        return [shown + b": " + name + b" FOUND" for name in (names if all_match else names[:1])]
    if result.status is Status.ERROR:
        return [error(shown, _why(result))]
    if strict and result.status in _STRICT:
        return [shown + b": " + _STRICT[result.status] + b" FOUND"]
    return [shown + b": OK"]


def is_found(line: bytes) -> bool:
    return line.endswith(b" FOUND")


def error(shown: bytes, why: str) -> bytes:
    """The line of what could not be scanned: ``PATH: WHY ERROR``."""
    return shown + b": " + shown_text(why).encode("utf-8", "backslashreplace") + b" ERROR"


def not_opened(number: int) -> str:
    """Why a path could not be opened, from its errno."""
    if number == errno.ENXIO:
        return NOT_SUPPORTED
    return f"File path check failure: {os.strerror(_SAME.get(number, number))}."


def shown(path: bytes, raw: bool = False) -> bytes:
    """*raw*: the reply ends with NUL, so that nothing in a path can be mistaken for its end."""
    return path if raw else shown_path(path, raw=True)


def broken(what: bytes) -> bytes:
    """A descriptor that did not come, or is none that can be scanned."""
    if what in (b"not a regular file", b"not open for reading"):
        return DESCRIPTOR + b": " + what.capitalize() + b" ERROR"
    if what == b"too many descriptors":
        return error(DESCRIPTOR, BUSY)
    return b"No space for the stream. ERROR" if what == b"no space" else NO_DESCRIPTOR


def stats(load: Load) -> bytes:
    mebibytes = load.memory / (1 << 20)
    lines: Iterable[str] = (
        "POOLS: 1\n",
        "STATE: VALID PRIMARY",
        f"THREADS: live {load.live}  idle {load.idle} max {load.most} idle-timeout 30",
        f"QUEUE: {load.queue} items",
        "\tSTATS 0.000000 \n",
        "MEMSTATS: heap N/A mmap N/A used N/A free N/A releasable N/A pools 1"
        f" pools_used {mebibytes:.3f}M pools_total {mebibytes:.3f}M",
        "END",
    )
    return "\n".join(lines).encode()


def _names(result: Result) -> list[bytes]:
    ranked = sorted(result.threats, key=lambda threat: _FOUND.index(threat.status) if threat.status in _FOUND else 9)
    return list(dict.fromkeys(shown_name(threat.name) for threat in ranked)) or [b"unnamed"]


def _why(result: Result) -> str:
    return result.error or ", ".join(word for reason, word in REASON_WORDS.items() if result.reasons & reason)

"""Texts of the aveserver protocol: what a verdict or a refusal is called there.

Replies are lines ``NNN-text`` and a last one ``NNN text``; the front end puts CRLF behind each. Several clients take
any first line that begins with 2 for clean, so what they must stop stands first as ``322-NAME /path``, and what could
not be scanned is 5xx and never 241. 402 is not used: one client takes its third character for a virus. 401 ends the
connection: another client waits for more behind it, and takes the 200 of its own QUIT for the verdict.
A server that goes down ends the connection without a last line.
Texts of last lines are compared byte for byte by clients.
"""

from __future__ import annotations

import time

from kavfs.model import REASON_WORDS, Reason, Result, Status, Threat
from kavfs.report.names import shown_name, shown_path, shown_text

BYE = b"200 Bye"
BUSY = b"401 Too many requests are waiting"
UNKNOWN = b"500 Command is not implemented"
TOO_LONG = b"500 Line is too long"
LATE = b"501 Time is over"
FAILED = b"501 Scanning is not possible"
RELATIVE = b"520 Path is relative"
NO_ACCESS = b"521 No access to file"
OUTSIDE = b"524 Directory is not included"
NOT_FOUND = b"525 File not found"
NOT_A_FILE = b"526 Not a file"
MISSING = b"527 Parameters are missing"
EMPTY_NAME = b"529 File name is empty"

_LAST = {
    Status.CLEAN: b"220 File is clean",
    Status.FILTERED: b"220 File is clean",
    Status.CURED: b"221 File was infected, has been cured",
    Status.INFECTED: b"230 File is infected",
    Status.CUREFAILED: b"231 File is infected, cannot be cured",
    Status.SUSPICIOUS: b"232 File is suspicious",
    Status.WARNING: b"233 File is unwanted",
    Status.CORRUPTED: b"234 File is corrupted",
    Status.PROTECTED: b"240 File is encrypted",
}
_ALERT = _LAST[Status.INFECTED]
_PASSES = tuple(_LAST[status][:3] for status in (Status.CLEAN, Status.CURED, Status.CORRUPTED, Status.PROTECTED))
UNSCANNED = b"Not.Scanned"  # a name for what has none

_FOUND = (Status.INFECTED, Status.CUREFAILED, Status.SUSPICIOUS, Status.WARNING)
NAMES_MAX = 64  # names that are told of one file
NAME_MAX = 256  # bytes of one
LINE_MAX = 1000  # bytes of a line; one client reads 1024 at most, and the rest as another line


def greeting(version: str, newest: float, signatures: int) -> bytes:
    """The line that every connection begins with. *newest*: seconds since 1970, of the newest database."""
    return f"201 kavfs 1 0 {time.strftime('%d%m%Y', time.gmtime(newest))} {signatures} {version}".encode()


def verdict(result: Result, path: bytes) -> list[bytes]:
    """The lines that answer a SCAN of *path*, the last one last."""
    if result.status is Status.ERROR:
        return [b"501 " + _why(result)]
    return [*(_found(name, path) for name in names(result)), _LAST[result.status]]


def alert(lines: list[bytes], path: bytes) -> list[bytes]:
    """The same answer for clients that let pass whatever is not called infected: all that is neither clean nor read as
    far as it could be."""
    if lines[-1].startswith(_PASSES):
        return lines
    return [*(lines[:-1] or [_found(UNSCANNED, path if path.startswith(b"/") else b"/")]), _ALERT]


def names(result: Result) -> list[bytes]:
    """What was found, gravest first, each once, without blanks and slashes: clients cut names there."""
    if result.status not in _FOUND:
        return []
    wanted = sorted(result.threats, key=lambda threat: _FOUND.index(_rank(threat)))
    found = dict.fromkeys(shown_name(threat.name).replace(b"/", b"_")[:NAME_MAX] or b"unnamed" for threat in wanted)
    return list(found)[:NAMES_MAX] or [b"unnamed"]


def _rank(threat: Threat) -> Status:
    return threat.status if threat.status in _FOUND else Status.WARNING


def _found(name: bytes, path: bytes) -> bytes:
    return (b"322-" + name + b" " + shown_path(path, raw=True))[:LINE_MAX]


def _why(result: Result) -> bytes:
    reasons = ", ".join(word for reason, word in REASON_WORDS.items() if result.reasons & reason)
    text = shown_text(result.error or reasons or REASON_WORDS[Reason.UNREADABLE])
    return text.encode("utf-8", "backslashreplace")[: LINE_MAX // 2]


def cannot_open(error: str, code: bytes) -> bytes:
    """The line for a file that could not be opened: *code* is one of the lines above, *error* the system's words."""
    return code + b": " + shown_text(error).encode("utf-8", "backslashreplace")

"""Names on a line: how paths and signature names are written so that none of them can pretend to be something else.

Whoever may create files chooses their names, so a name may hold line breaks, terminal escapes or the words of a
verdict. What is written instead is C-like (``\\n``, ``\\x1b``, ``\\u202e``, a backslash doubled) and can be undone.
JSON lines carry the exact bytes for programs.
"""

from __future__ import annotations

import re

# A cheap test on bytes first: nearly every name passes and is written as it is.
_SUSPECT = re.compile(rb"[\x00-\x1f\\\x7f-\xff]|INFECTED|SUSPICIO|WARNING")

# Of many names with NULs between them: what is left when these are taken away is suspect. Faster than searching.
_PLAIN = b"\0" + bytes(range(0x20, 0x7F)).replace(b"\\", b"")

# C0 and C1 controls, the backslash, line and paragraph separators, marks that turn the direction of text around, and
# (as surrogates) bytes that are not UTF-8.
_UNSAFE = re.compile("[\x00-\x1f\\\\\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\udc80-\udcff]")

# Mail gateways take what stands behind such a word and a blank for the name of a virus, wherever on the line that is.
# Spelling the first letter as an escape takes the word away from them; the path of an INFECTED.txt stays as it is.
_VERDICT = re.compile(r"(INFECTED|SUSPICION|SUSPICIOUS|WARNING)(?=\s|$)")

_VERDICT_WORDS = (b"INFECTED", b"SUSPICIO", b"WARNING")

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}


def shown_path(path: bytes, raw: bool = False) -> bytes:
    """*path* as it is written on a line.

    With *raw* (a pipe) bytes that are not UTF-8 stay as they are, so that an old client finds the file; those that an
    8-bit terminal would obey (0x80 to 0x9f) are escaped there too.
    """
    if not _SUSPECT.search(path):
        return path
    text = _UNSAFE.sub(_keep_high_bytes if raw else _escape, path.decode("utf-8", "surrogateescape"))
    text = _VERDICT.sub(lambda m: f"\\x{ord(m[0][0]):02x}{m[0][1:]}", text)
    return text.encode("utf-8", "surrogateescape")


def shown_as_they_are(names: bytes) -> bool:
    """Whether no path of *names*, with NULs behind each, is written otherwise than it is. False may be said of names
    that are: it costs time and nothing else."""
    for word in _VERDICT_WORDS:
        if word in names:
            return False
    if not names.translate(None, _PLAIN):
        return True
    return not _UNSAFE.search(names.replace(b"\0", b"/").decode("utf-8", "surrogateescape"))


def shown_name(name: str) -> bytes:
    """The name of a signature: without blanks, because old clients accept a hit only when its name has none."""
    return shown_path("_".join(name.split()).encode("utf-8", "surrogateescape"))


def shown_text(text: str) -> str:
    """Any other text, for one line of a message."""
    return _UNSAFE.sub(lambda m: m[0] if m[0] == "\\" else _escape(m), text)


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if code >= 0xDC80 and code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def _keep_high_bytes(match: re.Match[str]) -> str:
    return match[0] if match[0] >= "\udca0" else _escape(match)

"""Marks: what is ours in a text that belongs to somebody else.

    # kavfs: begin (kavfs mta remove takes it away)
    #- the line that stood here before, if there was one
    our lines
    # kavfs: end

Texts are those of latin-1, so that every byte stays what it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from kavfs.mail.mta.wish import Refused

BEGIN = "kavfs: begin (kavfs mta remove takes it away)"
END = "kavfs: end"


def block(lines: Sequence[str], instead_of: Sequence[str] = (), comment: str = "#") -> list[str]:
    """*comment* begins a comment of this kind of file."""
    return [f"{comment} {BEGIN}", *(f"{comment}- {line}" for line in instead_of), *lines, f"{comment} {END}"]


def is_marked(text: str, comment: str = "#") -> bool:
    return f"{comment} {BEGIN}" in text.split("\n")


def stripped(text: str, comment: str = "#") -> str:
    """*text* without our blocks; what they stood in for is back. Raises Refused when a block has lost its end."""
    kept: list[str] = []
    ours = False
    for line in text.split("\n"):
        if line == f"{comment} {BEGIN}":
            ours = True
        elif ours and line == f"{comment} {END}":
            ours = False
        elif not ours:
            kept.append(line)
        elif line.startswith(f"{comment}- "):
            kept.append(line[len(comment) + 2 :])
    if ours:
        raise Refused(f'a line "{comment} {BEGIN}" has no end: what is ours below it cannot be told; edit it by hand')
    return "\n".join(kept)


def appended(text: str, lines: Sequence[str]) -> str:
    """*lines* behind the last line of *text*, which need not have an end."""
    return (text if not text or text.endswith("\n") else text + "\n") + "\n".join(lines) + "\n"

"""Masks: what a regular expression of ClamAV's ExcludePath says, as shell masks, where a mask can say it.

ClamAV compares the whole path and finds the expression anywhere in it; what matches is left out with everything below.
So does a mask of ours, but it must match wholly: one with a slash the path, one without the name.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    rb"(?P<escaped>\\[^A-Za-z0-9])|(?P<many>\.\*)|(?P<some>\.\+)|(?P<any>\.)"
    rb"|(?P<class>\[\^?[^\]\\\[^-][^\]\\\[]*\])|(?P<plain>[^\\.*+?()\[\]{}|^$])"
)


def masks_of(expression: bytes) -> list[bytes] | None:
    """Masks that leave out the same; None when masks cannot say it."""
    if b"(" in expression or (b"[" in expression and b"|" in expression):
        return None
    masks = [_mask(part) for part in expression.split(b"|")]
    return [mask for mask in masks if mask] if all(masks) else None


def folder_of(mask: bytes) -> bytes:
    """The folder that *mask* alone leaves out, with everything in it; b"" when it says something else."""
    folder = mask.removesuffix(b"/*")
    plain = not set(folder) & set(b"*?[]\\:")
    return folder if plain and mask.startswith(b"/") and mask.endswith(b"/*") and folder else b""


def _mask(part: bytes) -> bytes | None:
    begins, ends = part.startswith(b"^"), part.endswith(b"$") and not part.endswith(b"\\$")
    part = part[begins : len(part) - ends]
    mask = b""
    while part:
        match = _TOKEN.match(part)
        if match is None:
            return None
        mask += _said(match)
        part = part[match.end() :]
    if b":" in mask or not mask.strip(b"*") or (begins and not mask.startswith((b"/", b"*"))):
        return None  # a colon ends a mask in the list; the others match everything or nothing
    mask = (b"" if begins or mask.startswith(b"*") else b"*") + mask + (b"" if ends or mask.endswith(b"*") else b"*")
    return mask if b"/" in mask or _within_a_name(mask) else None


def _within_a_name(mask: bytes) -> bool:
    """A mask without a slash is compared with names alone, so what it says must not reach over a slash."""
    inner = mask.removeprefix(b"*").removesuffix(b"*")
    return not any(c in inner for c in (b"*", b"?", b"[!"))


def _said(match: re.Match[bytes]) -> bytes:
    text = match[0]
    kind = match.lastgroup
    if kind == "many":
        return b"*"
    if kind == "some":
        return b"?*"
    if kind == "any":
        return b"?"
    if kind == "class":
        return text.replace(b"[^", b"[!", 1)
    char = text[-1:]
    return b"[" + char + b"]" if char in b"*?[" else b"\\\\" if char == b"\\" else char

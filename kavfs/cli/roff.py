"""Roff: texts of ours as the source of a manual page (man(7)); only what makes the pages uses it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kavfs.cli.described import Argument

# The characters that troff takes for something else than what is typed.
_ESCAPES = str.maketrans({"\\": "\\e", "-": "\\-", "`": "\\(ga", "'": "\\(aq", "~": "\\(ti", "^": "\\(ha"})
_WORD = re.compile(r"(?P<option>(?<![\w-])-{1,2}[A-Za-z0-9][\w-]*)|(?P<value>\b[A-Z]{2,}\b)|(?P<other>[^A-Z-]+|.)")
_TERM_END = ".:!?"


def plain(text: str) -> str:
    """*text* with nothing in it that troff would obey."""
    return text.translate(_ESCAPES)


def line(text: str) -> str:
    """The same as a line of its own: one that begins with a dot or a quote would be a request."""
    shown = plain(text)
    return f"\\&{shown}" if shown.startswith((".", "\\(aq")) else shown


def sentence(text: str) -> str:
    """A help text, which begins small and ends without a dot, as a sentence."""
    begun = text[:1].upper() + text[1:]
    return line(begun if begun.endswith(tuple(_TERM_END)) else begun + ".")


def bold(text: str) -> str:
    return f"\\fB{plain(text)}\\fR"


def italic(text: str) -> str:
    return f"\\fI{plain(text)}\\fR"


def term(argument: Argument) -> str:
    """The head of an entry: how an option is spelled, and what its argument is called."""
    names = ", ".join(map(bold, argument.spellings)) if argument.spellings else ""
    value = italic(argument.value) if argument.value else ""
    return " ".join(part for part in (names, value) if part)


def usage(text: str) -> str:
    """A line of usage: options bold, what stands for something in italics."""
    return "".join(_marked(match) for match in _WORD.finditer(text))


def _marked(match: re.Match[str]) -> str:
    if match["option"]:
        return bold(match[0])
    return italic(match[0]) if match["value"] else plain(match[0])


def entry(head: str, *lines: str) -> list[str]:
    """A tagged paragraph."""
    return [".TP", head, *lines]


def comment_mark(text: str) -> tuple[str, str] | None:
    """``.\\" NAME REST`` as its two parts: the places in a page's frame where definitions are put in."""
    match = re.fullmatch(r'\.\\" (\w+)(?: (.*))?', text)
    return (match[1], match[2] or "") if match else None


def joined(lines: Iterable[str]) -> str:
    return "".join(f"{one}\n" for one in lines)

"""Usage: the help text of kavscanner, made from the table of options."""

from __future__ import annotations

import textwrap

from kavfs.cli.arguments import OPTIONS, Option
from kavfs.model import OUTCOMES, Status
from kavfs.report.text import BANNER

_WIDTH = 100
_INDENT = 30


def usage() -> str:
    """Everything that kavscanner -h prints."""
    head = [
        BANNER,
        "",
        "kavscanner [option ...] [path ...]",
        "",
        "Scans files and directories for malware and reports what it finds. Without a path: the current directory.",
        "",
    ]
    return "\n".join([*head, *(line for option in OPTIONS for line in _option(option)), "", *_exit_codes()]) + "\n"


def _option(option: Option) -> list[str]:
    names = []
    if option.letter:
        kinds = "|".join(option.kinds)
        names.append(f"-{option.letter}{f'({kinds})' if kinds else ''}")
    if option.word:
        names.append(option.word)
    head = "  " + ", ".join(names) + (f" {option.value}" if option.value else "")
    text = textwrap.wrap(option.help, _WIDTH - _INDENT)
    first = [head.ljust(_INDENT) + text[0]] if len(head) < _INDENT else [head, " " * _INDENT + text[0]]
    return first + [" " * _INDENT + line for line in text[1:]]


def _exit_codes() -> list[str]:
    lines = ["Exit code: the first of these that occurred, in this order"]
    for status, outcome in OUTCOMES.items():
        if outcome.exit_code and status is not Status.CUREFAILED:
            lines.append(f"  {outcome.exit_code:>3}  {outcome.word}: {outcome.meaning}")
    return [
        *lines,
        "    0  nothing found",
        "An interrupted scan and a report that could not be written count as ERROR. Nothing was scanned with",
        "   50  no signatures     55  signatures damaged     65  configuration wrong     66  option wrong",
    ]

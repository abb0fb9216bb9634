"""Manual page of the configuration: conf/kavfs.conf, which explains every key, as kavfs.conf(5)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from kavfs.cli.roff import bold, entry, italic, joined, line, plain
from kavfs.config.keys import KEYS
from kavfs.config.mail_keys import own_keys_of
from kavfs.version import VERSION

_SECTION = re.compile(r"\[([\w.:]+)\]")
_KEY = re.compile(r"([A-Za-z0-9]+)=(.*)")
_TABLE = "  "  # a comment that begins so is a line of a table


def page(conf: str) -> str:
    """The page, from the text of the file that is shipped."""
    blocks = [block.splitlines() for block in re.split(r"\n\s*\n", conf.strip())]
    lines = [
        f'.TH KAVFS.CONF 5 "" "kavfs {plain(VERSION)}" "System administration"',
        ".SH NAME",
        "kavfs.conf \\- settings of kavscanner, kavfs, aveserver and smtpscanner",
        ".SH DESCRIPTION",
        *_text(blocks[0][1:]),
    ]
    section = ""
    for block in blocks[1:]:
        found = _SECTION.fullmatch(block[0])
        if found:
            section = found[1]
            lines.append(f'.SH "SECTION [{plain(section)}]"')
            block = block[1:]
        said = _block(section, block)
        begun = lines[-1].startswith(".SH") and said[:1] == [".PP"]  # a section begins a paragraph itself
        lines += said[begun:]
    lines += [".SH FILES", *_files(), ".SH SEE ALSO", ".BR kavscanner (8),", ".BR kavfs (8),", ".BR aveserver (8)"]
    return joined(lines)


def _block(section: str, block: list[str]) -> list[str]:
    """Comments and the keys they stand above, several times over: the keys as heads, the comments below them."""
    lines: list[str] = []
    for comments, rows in _groups(block):
        keys = [match for row in rows if (match := _KEY.fullmatch(row))]
        if not keys:  # a word about those that follow
            lines += [".PP", *_text(comments)]
            continue
        for at, key in enumerate(keys):
            default = f" (default: {italic(key[2])})" if key[2] else ""
            lines += [".TP" if at == 0 else ".TQ", bold(key[1]) + default]
        lines += _text(comments, inside=True)
        others = [other for key in keys for other in _synonyms(section, key[1])]
        lines += [f"The same as {bold(other)}." for other in others if other not in " ".join(comments)]
    return lines


def _groups(block: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    runs = [(comment, list(rows)) for comment, rows in itertools.groupby(block, lambda row: row.startswith("#"))]
    for at, (comment, rows) in enumerate(runs):
        if not comment:
            yield (runs[at - 1][1] if at else []), rows
        elif at + 1 == len(runs):
            yield rows, []


def _text(comments: list[str], inside: bool = False) -> list[str]:
    """Comment lines as running text; an empty one ends a paragraph, indented ones stay lines of their own."""
    lines: list[str] = []
    for comment in comments:
        text = comment.removeprefix("#").removeprefix(" ")
        if not text.strip():
            if lines and lines[-1] != ".PP":
                lines.append(".IP" if inside else ".PP")
        elif text.startswith(_TABLE):
            lines += [".br", line(text.strip())]
        elif text.startswith(("Safety:", "OnInfected ")):
            lines += [".br", line(text)]
        else:
            lines.append(line(text))
    return lines or ["The same as above, for these."]


def _synonyms(section: str, name: str) -> Iterator[str]:
    for key in (*KEYS, *own_keys_of(())):
        if (key.section, key.name) == (section, name):
            yield from key.synonyms


def _files() -> list[str]:
    return [
        *entry("/etc/kavfs/kavfs.conf", "settings of root"),
        *entry("\\(ti/.config/kavfs/kavfs.conf", "settings of others (XDG_CONFIG_HOME)"),
    ]

"""Postfix's two files as values, for decisions; postconf is what edits them.

settings(main)   {"content_filter": "lmtp:..."}: as they are written, macros not filled in
services(master) [Service("smtp", "inet", "smtpd", {"content_filter": ""})]
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_BEFORE_COMMAND = 7  # fields of a line of master.cf
_WORD = re.compile(r"\{[^}]*\}|\S+")


class Service(NamedTuple):
    name: str
    kind: str
    command: str
    options: Mapping[str, str]

    @property
    def key(self) -> str:
        """As postconf names it."""
        return f"{self.name}/{self.kind}"

    @property
    def port(self) -> str:
        return self.name.rpartition(":")[2]


def settings(main: str) -> dict[str, str]:
    """The last one counts, as for Postfix."""
    found = {}
    for line in _logical(main):
        name, equals, value = line.partition("=")
        if equals:
            found[name.strip()] = value.strip()
    return found


def services(master: str) -> list[Service]:
    """Lines that are no services are left out: postconf says what is wrong with them."""
    found = []
    for line in _logical(master):
        words = _WORD.findall(line)
        if len(words) > _BEFORE_COMMAND:
            found.append(Service(words[0], words[1], words[7], dict(_options(words[8:]))))
    return found


def elements(value: str) -> list[str]:
    """A list of Postfix: parted by commas or blanks, braces hold one together."""
    return re.findall(r"\{[^}]*\}|[^\s,{}]+", value)


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    for at, word in enumerate(words):
        if word.startswith("-o"):
            given = word[2:] or (words[at + 1] if at + 1 < len(words) else "")
            name, _, value = given.strip("{}").partition("=")
            yield name.strip(), value.strip()


def _logical(text: str) -> Iterator[str]:
    """Lines with what continues them, however many comments stand between."""
    whole = ""
    for line in text.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t":
            whole += line
            continue
        if whole:
            yield whole
        whole = line
    if whole:
        yield whole

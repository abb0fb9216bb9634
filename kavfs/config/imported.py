"""Imported: what was taken over from the configuration files of other products, and what was not.

The readers of each product (``import_product``, ``import_old``, ``import_clamav``) fill one ``Imported``; ``lines`` is
the kavfs.conf that comes out. Nothing is lost: what has no counterpart stands in comments, with its place and why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from kavfs.config import kinds
from kavfs.config.ini import Entry, shown, written
from kavfs.config.keys import KEYS, Key
from kavfs.config.mail_keys import GROUP, own_keys_of
from kavfs.config.server_keys import OWN
from kavfs.errors import ConfigError

ALL_KEYS = (*KEYS, *OWN, *own_keys_of(()))
_BY_NAME = {(key.section, key.name): key for key in ALL_KEYS}
_LISTS = (kinds.FOLDERS, kinds.MASKS)
_SECRET = re.compile(r"(password\W+)\S.*|(://[^:/@\s]*:)[^@\s]*(?=@)", re.IGNORECASE)


def has_key(section: str, name: str) -> bool:
    """Whether there is such a key."""
    return (section, name) in _BY_NAME


class Source(NamedTuple):
    """A setting of the other product, as it stands there."""

    place: str  # file:line
    section: str  # "" where that product has none
    text: bytes  # the line


class Left(NamedTuple):
    """A setting that was not taken over."""

    source: Source
    why: str

    def message(self) -> str:
        """For the terminal: one line, no passwords."""
        text = self.source.text.decode("utf-8", "backslashreplace")
        section = f"[{self.source.section}] " if self.source.section else ""
        text = _SECRET.sub(lambda m: (m[1] or m[2]) + "...", text)
        return shown(f"{self.source.place}: {section}{text}: {self.why}")


@dataclass
class Imported:
    """Filled by the readers of files."""

    names: list[str] = field(default_factory=list)  # of the files
    taken: dict[Key, tuple[bytes, list[Source]]] = field(default_factory=dict)
    notes: dict[Key, str] = field(default_factory=dict)  # what means something else here
    already: list[Left] = field(default_factory=list)  # kavfs does so without being told
    left: list[Left] = field(default_factory=list)
    groups: tuple[str, ...] = ()  # of mail, without the default one

    @property
    def keys(self) -> tuple[Key, ...]:
        """All that could be taken, in their order."""
        return (*KEYS, *OWN, *own_keys_of(self.groups)) if self.groups else ALL_KEYS

    def key(self, section: str, name: str) -> Key:
        """The key of that name."""
        of_group = section.startswith(GROUP)
        return (
            next(key for key in self.keys if (key.section, key.name) == (section, name))
            if of_group
            else _BY_NAME[section, name]
        )

    def take(self, section: str, name: str, value: bytes, source: Source, note: str = "") -> None:
        """*value* becomes that of the key; ConfigError when it would be wrong there. *note* stands above it."""
        key = self.key(section, name)
        try:
            key.kind.read(value)
        except ValueError as error:
            raise ConfigError(f"{source.place}: {shown(kinds.text(source.text))}: {key.name}: {error}") from None
        old, sources = self.taken.get(key, (b"", []))
        if sources and key.kind in _LISTS:
            value = b":".join(dict.fromkeys(part for part in (old + b":" + value).split(b":") if part))
        elif sources and old != value:
            self.leave(source, f"{key.name} is taken from {sources[0].place} already")
            return
        self.taken[key] = (value, [*sources, source])
        if note:
            self.notes[key] = note

    def replace(self, section: str, name: str, value: bytes, sources: list[Source]) -> None:
        """*value* instead of what was taken before; what was said then and now makes it together."""
        _, old = self.taken.pop(_BY_NAME[section, name], (b"", []))
        for source in [*old, *sources]:
            self.take(section, name, value, source)

    def has(self, section: str, name: str) -> bool:
        """Whether a value was taken for that key."""
        return _BY_NAME[section, name] in self.taken

    def as_here(self, source: Source, why: str) -> None:
        """kavfs does always what this setting says."""
        self.already.append(Left(source, why))

    def leave(self, source: Source, why: str) -> None:
        """There is no counterpart."""
        self.left.append(Left(source, why))

    def actions(self) -> list[Entry]:
        """Action lists, with their first place."""
        return [
            Entry(key.section, key.name, value, sources[0].place)
            for key, (value, sources) in self.taken.items()
            if key.field == "actions"
        ]

    def lines(self) -> Iterator[bytes]:
        """A kavfs.conf."""
        yield b"# Imported by kavfs config import from " + _comment(", ".join(self.names))
        section = ""
        for key in self.keys:
            if key not in self.taken:
                continue
            value, sources = self.taken[key]
            if key.section != section:
                section = key.section
                yield from (b"", f"[{section}]".encode())
            for source in sources:
                yield b"# " + _comment(source.place) + b": " + source.text
            if key in self.notes:
                yield b"# " + _comment(self.notes[key])
            yield key.name.encode() + b"=" + written(value)
        yield from _listed("Already so without a setting:", self.already)
        yield from _listed("Without a counterpart, and not in force:", self.left)


def _listed(title: str, items: list[Left]) -> Iterator[bytes]:
    if items:
        yield from (b"", b"# " + title.encode())
    section = ""
    for item in items:
        if item.source.section != section:
            section = item.source.section
            yield b"# [" + _comment(section) + b"]"
        yield b"# " + item.source.text
        yield b"#     " + _comment(f"{item.source.place}: {item.why}")


def _comment(text: str) -> bytes:
    return shown(text).encode("utf-8", "backslashreplace")

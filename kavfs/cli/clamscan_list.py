"""Listing for the clamscan front end: what its regular expressions and rules for links leave to be scanned.

Our walkers know masks, not expressions. Where such options are given, paths are listed here, in this process, and the
walkers get files. A script that asks so pays for it with time, not with another answer.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kavfs.cli.clamscan_options import ClamscanError, Given
from kavfs.report.names import shown_text

_CLASSES = {
    "alpha": "A-Za-z", "digit": "0-9", "alnum": "A-Za-z0-9", "upper": "A-Z", "lower": "a-z", "space": "\\s",
    "blank": " \\t", "punct": "!-/:-@\\[-`{-~", "xdigit": "0-9A-Fa-f", "word": "A-Za-z0-9_",
}  # fmt: skip
_NEVER, _DIRECT, _ALWAYS = 0, 1, 2

Tell = Callable[[bytes, str], None]


@dataclass(frozen=True)
class Rules:
    """What is listed."""

    exclude: tuple[re.Pattern[bytes], ...]
    exclude_dir: tuple[re.Pattern[bytes], ...]
    include: tuple[re.Pattern[bytes], ...]
    include_dir: tuple[re.Pattern[bytes], ...]
    recursive: bool
    cross_fs: bool
    dir_links: int
    file_links: int
    depth: int  # 0 = any

    @property
    def needed(self) -> bool:
        """Whether the walkers could not do the same."""
        expressions = self.exclude or self.exclude_dir or self.include or self.include_dir
        links = (self.dir_links, self.file_links) not in ((_DIRECT, _DIRECT), (_ALWAYS, _ALWAYS))
        return bool(expressions or self.depth or links)


def rules_of(given: Given) -> Rules:
    """ClamscanError names an expression or a number that is none."""
    exclude, exclude_dir, include, include_dir = (
        tuple(_compiled(name, value) for value in given.all(name)) for name in _EXPRESSIONS
    )
    return Rules(
        exclude,
        exclude_dir,
        include,
        include_dir,
        recursive=given.yes("recursive"),
        cross_fs=given.yes("cross-fs", True),
        dir_links=_links(given, "follow-dir-symlinks"),
        file_links=_links(given, "follow-file-symlinks"),
        depth=number(given, "max-dir-recursion", 0),
    )


_EXPRESSIONS = ("exclude", "exclude-dir", "include", "include-dir")


def number(given: Given, name: str, default: int) -> int:
    """A number of an option; a unit K, M or G is understood, as clamscan does."""
    if not given.has(name):
        return default
    match = re.fullmatch(rb"(\d{1,15})([KkMmGg]?)", given.last(name))
    if match is None:
        raise ClamscanError(f"--{name}: '{shown_text(given.last(name).decode('latin-1'))}' is no number")
    return int(match[1]) << {b"": 0, b"k": 10, b"m": 20, b"g": 30}[match[2].lower()]


def _links(given: Given, name: str) -> int:
    if given.has(name) and given.last(name) == b"":
        return _ALWAYS
    value = number(given, name, _DIRECT)
    if value > _ALWAYS:
        raise ClamscanError(f"--{name}: '{value}' is not one of 0 1 2")
    return value


def _compiled(name: str, value: bytes) -> re.Pattern[bytes]:
    text = value.decode("latin-1")
    for word, characters in _CLASSES.items():
        text = text.replace(f"[:{word}:]", characters)
    try:
        return re.compile(text.encode("latin-1"))
    except re.error as error:
        raise ClamscanError(f"--{name}: {shown_text(text)} is no regular expression: {error}") from None


def files_of(root: bytes, rules: Rules, tell: Tell) -> Iterator[bytes]:
    """Files to be scanned below *root*, which may be one; *tell* is told of what is left out."""
    try:
        link = stat.S_ISLNK(os.lstat(root).st_mode)
        status = os.stat(root)
    except OSError:
        yield root  # the walker says what is the matter
        return
    folder = stat.S_ISDIR(status.st_mode)
    if link and (rules.dir_links if folder else rules.file_links) == _NEVER:
        tell(root, "Symbolic link")
    elif not folder:
        yield from _file(root, rules, tell)
    else:
        yield from _folder(root, rules, tell, status.st_dev, 1, frozenset())


def _file(path: bytes, rules: Rules, tell: Tell) -> Iterator[bytes]:
    if _left_out(path, rules.include, rules.exclude):
        tell(path, "Excluded")
    else:
        yield path


def _left_out(path: bytes, include: tuple[re.Pattern[bytes], ...], exclude: tuple[re.Pattern[bytes], ...]) -> bool:
    excluded = any(one.search(path) for one in exclude)
    return excluded or (bool(include) and not any(one.search(path) for one in include))


def _folder(
    path: bytes, rules: Rules, tell: Tell, device: int, depth: int, above: frozenset[tuple[int, int]]
) -> Iterator[bytes]:
    """*above*: the folders that lead here, so that a link back ends there."""
    if _left_out(path, rules.include_dir, rules.exclude_dir):
        tell(path, "Excluded")
        return
    try:
        status = os.stat(path)
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError:
        yield path  # the walker says so
        return
    here = above | {(status.st_dev, status.st_ino)}
    for entry in entries:
        inner = os.path.join(path, entry.name)
        try:
            folder = entry.is_dir()
            link, found = entry.is_symlink(), os.stat(inner)
        except OSError:
            link, folder, found = True, False, status  # a link to nowhere
            tell(inner, "Symbolic link")
            continue
        if link and (rules.dir_links if folder else rules.file_links) != _ALWAYS:
            tell(inner, "Symbolic link")
        elif folder:
            deeper = rules.recursive and not (rules.depth and depth >= rules.depth)
            same = rules.cross_fs or found.st_dev == device
            if deeper and same and (found.st_dev, found.st_ino) not in here:
                yield from _folder(inner, rules, tell, device, depth + 1, here)
        elif stat.S_ISREG(found.st_mode):
            yield from _file(inner, rules, tell)

"""Task: the cure of one file: which members are infected, how they are found again, what became of them.

A curer is a function of a task and a layer that gives back the layer without what is infected, as pieces:

    def cure(task: Task, layer: Layer) -> Pieces:
        members = [Named(name, size) ...]                    every member, in the order of the container
        for index, path in task.chosen(layer, members).items():
            cured = task.inside(path, lambda: unpacked source, layer)
            ...                                              None: the member goes; else pieces to stand in its place
        return pieces

It raises Refused where it cannot do that faithfully. Everything it reads is hostile. The scratch file takes one thing
at a time: what is inside is cured before anything is packed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kavfs._native.basics import TYPE_HEAD, detect
from kavfs.action.cure.pieces import Pieces, Scratch, Source
from kavfs.action.cure.recipes import SIZE_MAX as RECIPES_REACH
from kavfs.action.cure.recipes import Found, treated
from kavfs.action.cure.refused import Refused, Why

DEPTH = 20  # containers inside containers
NAME_MAX = 1024  # bytes kept of one name, and of a whole path: ext/object/memberpath.h
PATH_MAX = 4096
CUT = b"..."
FATAL = (Why.SPACE, Why.MEMORY, Why.READING)  # not the fault of the layer in hand


class Layer(NamedTuple):
    source: Source
    path: bytes = b""  # where it lies in the file, names joined with "/"; not cut
    depth: int = 0


class Named(NamedTuple):
    """A member as a container has it."""

    name: bytes
    size: int | None = None  # bytes unpacked; None = not known without unpacking


Curer = Callable[["Task", Layer], Pieces]


@dataclass(slots=True)
class Task:
    scratch: Scratch
    curers: Mapping[str, Curer]  # by format
    infected: frozenset[bytes]  # paths of what is infected itself
    lines: Mapping[
        bytes, Sequence[int]
    ]  # path -> sizes of the infected members that are called so, on the way included
    name: bytes = b""  # of the file, without folders
    recipes: Mapping[bytes, Sequence[Found]] = field(default_factory=dict)  # path -> threats, where one has recipes
    gone: dict[bytes, None] = field(default_factory=dict)  # paths of what was taken out, in order
    taken: int = 0  # how many members that was; several may have one path

    def chosen(self, layer: Layer, members: Sequence[Named]) -> dict[int, bytes]:
        """Which of *members* are infected, or hold what is: index -> path. Of several with one name those are told by
        their size; Refused where that cannot be."""
        groups: dict[bytes, list[int]] = {}
        for index, member in enumerate(members):
            path = joined(layer.path, member.name or b"#%d" % (index + 1))
            if shown(path) in self.lines:
                groups.setdefault(path, []).append(index)
        chosen: dict[int, bytes] = {}
        for path, group in groups.items():
            sizes = self.lines[shown(path)]
            if len(group) == 1 and any(p in groups for p in above(path)):
                size = members[group[0]].size
                if size not in (None, *sizes):
                    continue  # "a.zip/b" is clean, but not the b in "a.zip"
                if (len(sizes) if size is None else sizes.count(size)) < 2:
                    raise Refused(Why.DOUBLED)  # one of them is, and nothing tells which
            for index in self._told_apart(group, members, sizes):
                chosen[index] = path
        return dict(sorted(chosen.items()))

    def _told_apart(self, group: list[int], members: Sequence[Named], sizes: Sequence[int]) -> list[int]:
        if len(group) == 1:
            return group
        if any(members[index].size is None for index in group):
            if len(sizes) >= len(group):
                return group
            raise Refused(Why.DOUBLED)
        wanted = Counter(sizes)
        told = [index for index in group if members[index].size in wanted]
        there = Counter(members[index].size for index in told)
        if any(there[size] > count for size, count in wanted.items()):
            raise Refused(Why.DOUBLED)
        return told

    def inside(self, path: bytes, unpack: Callable[[], Source], around: Layer) -> Pieces | None:
        """The member called *path* without what is infected in it; None when all of it must go, which is noted."""
        before = dict(self.gone)
        known = shown(path) in self.recipes
        if (known or shown(path) not in self.infected) and around.depth + 1 < DEPTH:
            try:
                source = unpack()
                return self.cure(Layer(source, path, around.depth + 1), format_of(source))
            except Refused as refused:
                if refused.why in FATAL:
                    raise
        self.gone = before
        self.take_out(path)
        return None

    def take_out(self, path: bytes) -> None:
        self.gone[shown(path)] = None
        self.taken += 1

    def cure(self, layer: Layer, form: str) -> Pieces:
        """The layer without what is infected. What is no container by its beginning may have a zip behind it."""
        if (pieces := self._by_recipe(layer, form)) is not None:
            return pieces
        if shown(layer.path) in self.infected and (layer.path or form not in self.curers):
            raise Refused(Why.NO_RECIPE)
        count = self.taken
        pieces = self.curers.get(form, self.curers["zip"])(self, layer)
        if self.taken == count:
            raise Refused(Why.NOT_FOUND)
        return pieces

    def _by_recipe(self, layer: Layer, form: str) -> Pieces | None:
        """The layer as the recipes of its signatures make it. What is found in a part of a file that is no container
        (a script of a page) is a matter of the file, at no offset."""
        own = shown(layer.path)
        if not self.recipes or layer.source.size > RECIPES_REACH:
            return None
        found = list(self.recipes.get(own, ()))
        paths = [own] if own in self.infected else []
        if form not in self.curers:
            parts = [path for path in self.infected if path != own and is_below(path, layer.path)]
            found += [threat._replace(offset=None) for path in parts for threat in self.recipes.get(path, ())]
            paths += parts
        if not any(threat.recipes for threat in found):
            return None
        try:
            data = treated(layer.source.read(0, layer.source.size), found)
        except Refused:
            return None
        for path in sorted(paths):
            self.take_out(path)
        return [data]


def is_below(path: bytes, above: bytes) -> bool:
    """Whether *path*, as it stands in results, lies in the layer called *above*."""
    return bool(path) and (not above or path.startswith(shown(above) + b"/"))


def format_of(source: Source) -> str:
    return detect(source.upto(0, TYPE_HEAD), source.size)[0]


def joined(around: bytes, name: bytes) -> bytes:
    """The path of a member called *name*, as the scanner makes it."""
    name = cut(name, NAME_MAX).replace(b"\0", b"?")
    return around + b"/" + name if around else name


def above(path: bytes) -> Iterator[bytes]:
    """The paths of containers in which *path* could lie."""
    at = -1
    while (at := path.find(b"/", at + 1)) >= 0:
        yield path[:at]


def shown(path: bytes) -> bytes:
    """The path as it stands in results."""
    return cut(path, PATH_MAX)


def cut(text: bytes, most: int) -> bytes:
    """Without the middle of what is longer."""
    if len(text) <= most:
        return text
    head = (most - len(CUT)) // 2
    return text[:head] + CUT + text[len(text) - (most - len(CUT) - head) :]

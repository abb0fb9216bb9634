"""Automaton: an expression that finds itself in texts, in time that grows with the text alone.

    Automaton(read_expression(r"\\.exe$")).finds("a.EXE")      True: anywhere in the text, in capital or small letters

Texts are chosen by strangers, so there is no going back and forth in them: all ways through an expression are followed
at once, a letter at a time, and what was found out on the way is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from kavfs.patterns.expressions import Anchor, Letter, Many, Node, One, Row, folded

NODES_MAX = 1000  # of one expression, counts written out
LEARNED_MAX = 4096  # steps that are kept of one expression
TEXT_MAX = 4096  # letters that are looked at: of a longer text the first and the last half of that

_END = -1


class Automaton:
    """One expression. *tree*: as read by ``expressions``."""

    def __init__(self, tree: Node) -> None:
        self._nodes: list[_Node] = []
        self._start = self._built(tree, _END)
        self._again = self._reached([self._start], begin=False)
        self._first = _State(self._reached([self._start], begin=True))
        self._states: dict[frozenset[int], _State] = {}
        self._learned = 0

    def finds(self, text: str) -> bool:
        if len(text) > TEXT_MAX:
            text = text[: TEXT_MAX // 2] + text[-TEXT_MAX // 2 :]
        state = self._first
        for letter in text.lower() if text.isascii() else map(folded, text):
            if state.found:
                return True
            state = state.then.get(letter) or self._step(state, letter)
        return state.found or _END in self._reached(state.at, begin=not text, end=True)

    def _step(self, state: _State, letter: str) -> _State:
        seeds = [node.next for at in state.at if at >= 0 and (node := self._nodes[at]).test and node.test(letter)]
        reached = self._reached(seeds, begin=False) | self._again
        if self._learned >= LEARNED_MAX:
            self._states, self._learned = {}, 0
            self._first = _State(self._first.at)
        after = self._states.get(reached)
        if after is None:
            after = self._states[reached] = _State(reached)
        state.then[letter] = after
        self._learned += 1
        return after

    def _reached(self, seeds: Iterable[int], begin: bool, end: bool = False) -> frozenset[int]:
        """Nodes at which one stands without a letter more: those that take one, ends that wait for the text's end,
        and the end of the expression."""
        seen: set[int] = set()
        stack = list(seeds)
        while stack:
            at = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            if at == _END:
                continue
            node = self._nodes[at]
            if node.other is not None:
                stack += (node.next, node.other)
            elif (node.anchor == "^" and begin) or (node.anchor == "$" and end):
                stack.append(node.next)
        return frozenset(at for at in seen if at == _END or self._nodes[at].test or self._nodes[at].anchor == "$")

    # ---- building: from the end to the beginning, so that each node knows what comes after it ----

    def _new(self, node: _Node) -> int:
        if len(self._nodes) >= NODES_MAX:
            raise ValueError("the expression is too large")
        self._nodes.append(node)
        return len(self._nodes) - 1

    def _built(self, tree: Node, after: int) -> int:
        if isinstance(tree, Letter):
            return self._new(_Node(after, tree.test))
        if isinstance(tree, Anchor):
            return self._new(_Node(after, anchor=tree.sign))
        if isinstance(tree, Row):
            for part in reversed(tree.parts):
                after = self._built(part, after)
            return after
        if isinstance(tree, One):
            first = self._built(tree.parts[-1], after)
            for part in reversed(tree.parts[:-1]):
                first = self._new(_Node(self._built(part, after), other=first))
            return first
        return self._repeated(tree, after)

    def _repeated(self, tree: Many, after: int) -> int:
        first = after
        if tree.most is None:
            first = self._new(_Node(after, other=after))
            self._nodes[first] = _Node(self._built(tree.part, first), other=after)
        else:
            for _ in range(tree.most - tree.least):
                first = self._new(_Node(self._built(tree.part, first), other=after))
        for _ in range(tree.least):
            first = self._built(tree.part, first)
        return first


class _Node(NamedTuple):
    """Takes a letter (*test*), or stands for the text's begin or end, or is a fork (*other*)."""

    next: int
    test: Callable[[str], bool] | None = None
    anchor: str = ""
    other: int | None = None


class _State:
    """A set of nodes at which one stands, and what is known of the next letters."""

    __slots__ = ("at", "found", "then")

    def __init__(self, at: frozenset[int]) -> None:
        self.at = at
        self.found = _END in at
        self.then: dict[str, _State] = {}

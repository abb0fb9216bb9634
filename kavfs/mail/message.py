"""Message: one message in a file: its header, its parts, and which part a scan speaks of."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from kavfs.action.cure.pieces import Source
from kavfs.action.cure.task import joined, shown
from kavfs.mail.coding import File, files_of
from kavfs.mail.names import decoded_words
from kavfs.mail.parts import Part, Tree, parts_of

SHOWN_MAX = 998  # bytes of a field that are handed on


class Message:
    """Reads when it is asked, from a file that must not change meanwhile."""

    def __init__(self, source: Source) -> None:
        self.source = source

    @cached_property
    def tree(self) -> Tree:
        return parts_of(self.source)

    @cached_property
    def files(self) -> list[File]:
        """Where files in its texts may begin."""
        return files_of(self.source)

    def field(self, name: bytes) -> bytes:
        """The first field called so, in one line; empty when there is none."""
        return next(self.tree.root.header.values(name), b"")[:SHOWN_MAX]

    @property
    def message_id(self) -> bytes:
        return self.field(b"message-id")

    @property
    def subject(self) -> bytes:
        """In UTF-8."""
        return decoded_words(self.field(b"subject"))

    def headers(self, most: int) -> bytes:
        """The header as it is, or its beginning."""
        return self.source.upto(0, min(most, self.tree.root.header.stop))

    def parts_called(self, member: bytes) -> list[Part]:
        """The parts that a member of the message, as a scan names it, may be or lie in. None: the scan saw what is no
        part of the tree; whoever must know looks at each guess alone, or takes the message as a whole."""
        return list(_called(self.tree.root, "1", member))


def _called(part: Part, number: str, member: bytes) -> Iterator[Part]:
    if part.kind.startswith("multipart/") and part.children:
        for at, child in enumerate(part.children, 1):
            yield from _called(child, f"{number}.{at}", member)
        return
    message = part.kind.startswith("message/") and bool(part.children)
    for name in (*(() if message else part.names()), b"part-" + number.encode("ascii")):
        path = shown(joined(b"", name))
        if member == path:
            yield part
            return
        if member.startswith(path + b"/"):
            inside = list(_called(part.children[0], "1", member[len(path) + 1 :])) if message else []
            yield from inside or [part]
            return

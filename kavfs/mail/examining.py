"""Examining: from a message to its findings, with as few scans as tell which parts they belong to."""

from __future__ import annotations

from kavfs.action.cure.pieces import Source
from kavfs.mail.case import Finding
from kavfs.mail.coding import FILES_MAX, Block, blocks, decoded, readings
from kavfs.mail.findings import (
    Trouble,
    error_of,
    finding_of,
    harmless,
    suspects_of,
    trouble_of,
)
from kavfs.mail.message import Message
from kavfs.mail.parts import Part, Tree
from kavfs.mail.scanning import Bounds, Examiner, TooMuch, apart, crosses, unseen
from kavfs.model import FOUND, Result, Status

NAME = b"message"
WEIGHTY = (*FOUND, Status.ERROR)  # what counts of a part that only some readers would show


async def examined(message: Message, examiner: Examiner) -> list[Finding]:
    """Everything that is not clean: at most one finding for each part or file in a text, and some for the message as a
    whole. Raises Unscanned, OSError."""
    source = message.source
    if 0 < examiner.bounds.size < source.size:
        return [error_of(f"it has more than {examiner.bounds.size} bytes")]
    result: Result | None = None
    try:
        result = await examiner.look(source.fd, NAME)
        tree = await apart(source.size, lambda: message.tree)
        if why := beyond(tree, examiner.bounds):
            raise TooMuch(why)
        return await _Places(message, examiner).findings(result)
    except TooMuch as much:
        whole = trouble_of(result) if result else Trouble()
        found = [finding_of(None, whole, source.size)] if whole.statuses else []
        return [*found, error_of(str(much))]


def beyond(tree: Tree, bounds: Bounds) -> str:
    """Which of the bounds a message exceeds, or ""."""
    parts = list(tree.walk())
    if tree.over or 0 < bounds.parts < len(parts):
        return f"it has more than {bounds.parts} parts" if bounds.parts else "it has too many parts"
    if 0 < bounds.nesting < max(part.place.count(".") for part in parts):
        return f"its parts are nested more than {bounds.nesting} deep"
    return ""


class _Places:
    """Troubles by the parts that they belong to."""

    def __init__(self, message: Message, examiner: Examiner) -> None:
        self._message = message
        self._source = message.source
        self._examiner = examiner
        self._placed: dict[int, tuple[Part, Trouble]] = {}
        self._rest = Trouble()

    async def findings(self, result: Result) -> list[Finding]:
        tree = self._message.tree
        suspects, self._rest = suspects_of(self._message, result)
        lost = Trouble()
        for suspect in suspects:
            if not suspect.parts:
                lost.join(suspect.trouble)
            for part in await self._told_apart(suspect.parts):
                self._place(part, suspect.trouble)
        for part, reading in unseen(tree, result):
            self._see(part, trouble_of(await self._examiner.alone(self._source, part, reading)))
        await self._see_blocks(tree)
        if lost.statuses and not self._elsewhere(lost) and not await self._in_guesses(tree):
            self._rest.join(lost)
        self._forgive()
        found = [finding for part, trouble in self._placed.values() for finding in await self._made(part, trouble)]
        return [*found, finding_of(None, self._rest, self._source.size)] if self._rest.statuses else found

    def _place(self, part: Part, trouble: Trouble) -> None:
        self._placed.setdefault(id(part), (part, Trouble()))[1].join(trouble)

    def _see(self, part: Part, trouble: Trouble) -> bool:
        """What was found in a part that was scanned alone."""
        if trouble.status not in WEIGHTY:
            return False
        if crosses(part):
            self._rest.join(trouble)  # it cannot be taken out without harm to others
        else:
            self._place(part, trouble)
        return True

    async def _see_blocks(self, tree: Tree) -> None:
        """Files in texts, each alone: where one ends and which of its lines count is a matter of opinion."""
        files = await apart(self._source.size, lambda: self._message.files)
        if len(files) >= FILES_MAX:
            raise TooMuch("it has too many files in its texts")
        seen: set[tuple[int, int]] = set()
        for part in tree.leaves():
            for block in self._blocks(part):
                if (block.start, block.end) not in seen:
                    seen.add((block.start, block.end))
                    self._see(part, (await self._block(block))[0])

    def _blocks(self, part: Part) -> list[Block]:
        """Files in a text."""
        if part.children and part.kind.startswith("multipart/"):
            return []
        return [block for body in part.header.bodies for block in blocks(self._message.files, body, part.end)]

    async def _told_apart(self, parts: list[Part]) -> list[Part]:
        """Of parts that are called the same those that are not clean; all, if that does not tell."""
        if len(parts) < 2:
            return parts
        return [part for part in parts if (await self._alone(part)).statuses] or parts

    async def _alone(self, part: Part) -> Trouble:
        trouble = Trouble()
        for reading in readings(part):
            trouble.join(trouble_of(await self._examiner.alone(self._source, part, reading)))
        return trouble

    def _elsewhere(self, lost: Trouble) -> bool:
        """Damaged or locked is also what the core reads twice, once as a part of the tree."""
        return lost.status not in WEIGHTY and any(lost.status is one.status for _, one in self._placed.values())

    async def _in_guesses(self, tree: Tree) -> bool:
        """The core saw something in what is no part of the tree. Is there a guess that has it?"""
        seen = False
        for part in tree.guesses:
            if not crosses(part):  # those have been looked at
                seen |= self._see(part, await self._alone(part))
        return seen

    def _forgive(self) -> None:
        """The message holds the bytes of its parts: what is found in them need not be found in it again."""
        named = {name for _, trouble in self._placed.values() for name in trouble.threats}
        if set(self._rest.threats) <= named:
            self._rest.threats.clear()
            self._rest.statuses = [status for status in self._rest.statuses if status not in FOUND]

    async def _made(self, part: Part, trouble: Trouble) -> list[Finding]:
        if trouble.status in FOUND and (found := await self._in_blocks(part)):
            return found
        return [finding_of(part, trouble, await apart(part.end - part.body, lambda: size_of(self._source, part)))]

    async def _in_blocks(self, part: Part) -> list[Finding]:
        """Files in a text, if it is they in which something is found."""
        if any(part.encodings) or len(part.header.bodies) > 1:
            return []
        found = []
        for block in self._blocks(part):
            trouble, size = await self._block(block)
            if trouble.status in FOUND:
                made = finding_of(part, trouble, size)
                found.append(made._replace(name=harmless(block.name) or made.name, block=block))
        return found

    async def _block(self, block: Block) -> tuple[Trouble, int]:
        content = await self._examiner.block(self._source, block)
        try:
            return trouble_of(await self._examiner.single(content, block.name)), content.size
        finally:
            content.close()


def size_of(source: Source, part: Part) -> int:
    """Bytes of a part, decoded as its first field says."""
    return sum(len(chunk) for chunk in decoded(source, part, readings(part)[0]))

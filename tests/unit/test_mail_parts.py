"""Parts: what any reader of mail would show is found, with the right ranges."""

from __future__ import annotations

import email
import email.message
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kavfs.action.cure.pieces import Source
from kavfs.mail.coding import blocks, decoded, files_of, readings, unpacked
from kavfs.mail.parts import Tree, parts_of
from tests.support.monsters import marks_in, monster


@contextmanager
def held(data: bytes) -> Iterator[Source]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield Source(file.fileno(), 0, len(data))


def contents(data: bytes) -> list[bytes]:
    """Everything that our reader shows."""
    with held(data) as source:
        return [content for _, content in shown(source, parts_of(source))]


def shown(source: Source, tree: Tree) -> Iterator[tuple[str, bytes]]:
    files = files_of(source)
    for part in tree.leaves():
        for reading in readings(part):
            yield part.place, b"".join(decoded(source, part, reading))
            if not reading.encoding:
                for block in blocks(files, reading.body, part.end):
                    yield part.place, b"".join(unpacked(source, block))


def python_shows(data: bytes) -> list[bytes]:
    message = email.message_from_bytes(data)
    payloads = (part.get_payload(decode=True) for part in message.walk() if not part.is_multipart())
    return [payload for payload in payloads if isinstance(payload, bytes)]


def comparable(name: bytes) -> str:
    """Python's library shows one question mark for each byte that is no ASCII, and keeps folds and junk."""
    plain = name.replace("\N{REPLACEMENT CHARACTER}".encode(), b"\xff").decode("ascii", "replace")
    return re.sub(r'[\s"\\]+', "", plain)


def seen_as_python_sees(number: int) -> None:
    data = monster(number)
    with held(data) as source:
        tree = parts_of(source)
        ours: set[int] = set().union(*(marks_in(content) for _, content in shown(source, tree)))
        names = {comparable(name) for part in tree.walk() for name in part.names()}
    theirs: set[int] = set().union(*(marks_in(content) for content in python_shows(data)))
    assert theirs <= ours, f"monster {number}: {sorted(theirs - ours)}"
    assert not tree.over
    for part in email.message_from_bytes(data).walk():
        if name := part.get_filename():
            told = comparable(name.encode("utf-8", "surrogateescape"))
            assert told.startswith(tuple(names)), f"monster {number}: {name}"


@pytest.mark.parametrize("seed", range(0, 300, 50))
def test_what_python_shows_of_monsters_is_seen(seed: int) -> None:
    for number in range(seed, seed + 50):
        seen_as_python_sees(number)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(300, 5000, 470))
def test_what_python_shows_of_very_many_monsters_is_seen(seed: int) -> None:
    for number in range(seed, seed + 470):
        seen_as_python_sees(number)

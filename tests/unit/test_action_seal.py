"""Seal: what comes out is what went in, and any change on the way is noticed."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from kavfs.action import seal

MASTER = bytes(range(32))
ITEM = b"item-one"
SIZES = [0, 1, seal.CHUNK - 1, seal.CHUNK, seal.CHUNK + 1, 3 * seal.CHUNK]


def close(path: Path, content: Iterable[bytes], item: bytes = ITEM) -> bytes:
    data = b"".join(seal.sealed(MASTER, item, content))
    path.write_bytes(data)
    return data


def unseal(path: Path, master: bytes = MASTER, item: bytes = ITEM) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        return b"".join(seal.opened(master, item, fd))
    finally:
        os.close(fd)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [1000, seal.CHUNK, 10 * seal.CHUNK])
def test_what_goes_in_comes_out(tmp_path: Path, size: int, step: int) -> None:
    content = random.Random(size).randbytes(size)
    data = close(tmp_path / "item", [content[at : at + step] for at in range(0, size, step)])
    assert unseal(tmp_path / "item") == content
    if size > 64:
        assert content[:64] not in data
        assert content[-64:] not in data


def test_two_items_of_one_content_have_nothing_in_common(tmp_path: Path) -> None:
    one, other = (close(tmp_path / name, [b"same" * 100]) for name in ("one", "other"))
    assert one[len(seal.MAGIC) + seal.ID :][:60] != other[len(seal.MAGIC) + seal.ID :][:60]
    assert one[seal.HEAD :] != other[seal.HEAD :]


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "item"
    data = close(path, [b"some content"])
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(seal.Damaged):
            unseal(path)
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(seal.Damaged):
            unseal(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(seal.Damaged):
        unseal(path)


def test_chunks_cannot_be_left_out_exchanged_or_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "item"
    data = close(path, [random.Random(1).randbytes(3 * seal.CHUNK)])
    chunk = seal.CHUNK + seal.TAG
    head, parts = data[: seal.HEAD], [data[at : at + chunk] for at in range(seal.HEAD, len(data), chunk)]
    assert len(parts) == 3
    for order in ([0, 1], [0], [], [1, 2], [0, 2], [1, 0, 2], [0, 1, 2, 2], [0, 0, 1, 2]):
        path.write_bytes(head + b"".join(parts[number] for number in order))
        with pytest.raises(seal.Damaged):
            unseal(path)
    path.write_bytes(head + b"".join(parts))
    assert len(unseal(path)) == 3 * seal.CHUNK


def test_another_key_and_another_item_do_not_open(tmp_path: Path) -> None:
    path = tmp_path / "item"
    close(path, [b"content"])
    with pytest.raises(seal.Damaged, match="another master key"):
        unseal(path, master=bytes(32))
    with pytest.raises(seal.Damaged, match="another item"):
        unseal(path, item=b"item-two")
    data = path.read_bytes().replace(ITEM, b"item-two", 1)
    path.write_bytes(data)
    with pytest.raises(seal.Damaged):
        unseal(path, item=b"item-two")


def test_a_head_of_one_and_the_content_of_another_item_do_not_fit(tmp_path: Path) -> None:
    one, other = (close(tmp_path / name, [b"content"]) for name in ("one", "other"))
    (tmp_path / "mixed").write_bytes(one[: seal.HEAD] + other[seal.HEAD :])
    with pytest.raises(seal.Damaged):
        unseal(tmp_path / "mixed")
